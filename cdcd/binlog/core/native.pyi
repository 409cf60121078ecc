"""The native core: packets in, messages out. Knows no socket, no broker and no clock."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from cdcd.binlog.prepared import Place, Prepared
from cdcd.binlog.schema import Column, TableSchema

# What `Decoder.decode` stopped for.
NEED_BYTES: int
"""All complete events are handled: feed more."""
OUTPUT_FULL: int
"""`limit` bytes of messages wait in `take_runs()`; more events are buffered."""
BOUNDARY: int
"""A transaction has ended (only with `stop_at_boundary`)."""
STATEMENT: int
"""A QUERY event other than BEGIN, COMMIT, SAVEPOINT: see `statement`. Decide, then decode on."""
CONTROL: int
"""An FDE or ROTATE packet, payload in `control`: show it to the session's owner, then decode on."""
END: int
"""An EOF or error packet, payload in `control`: the source sends nothing more."""
HELD: int
"""XA COMMIT of a prepared transaction whose rows are not in memory: the next step calls `reread`, which may take long."""

Reread: TypeAlias = Callable[[str, Prepared | None, Place], tuple[Prepared, Iterable[bytes]] | None]
"""Brings the events of a prepared XA transaction, as `Decoder.take_events` of one that extracts them gives them.

Takes its xid, what is known of it (if it was prepared before reading began, nothing), and where the transaction starts that
commits it. None: that is not the first one that ends it, so that there is nothing more to publish.
"""

class Statement:
    database: str
    """The session's default database, or empty."""
    sql: bytes
    databases: tuple[str, ...] | None
    """Databases the statement changes, as the source logged them; () where it logged none, None where they are too many
    to be listed."""
    in_transaction: bool
    """True inside BEGIN ... COMMIT; a DDL outside ends its own transaction."""
    error: int

class Route:
    """Where a table's messages go; collects them by partition until `take_runs`."""

    def __init__(self, topic: str, partitions: int) -> None: ...
    topic: str
    partitions: int

Codes: TypeAlias = tuple[int, int, int]
Step: TypeAlias = tuple[int, bytes | int | tuple[bytes, ...] | tuple[tuple[bytes, Codes], ...]]
"""Of a message or key: (code, operand). LITERAL takes bytes, COLUMN a column's index; the others b"", if not said."""
LITERAL: int
AFTER: int
"""Columns of the after image: `"a":"1","b":null`."""
BEFORE: int
CHANGED: int
"""Before values of the columns that an update changed."""
COLUMN: int
SEQ: int
NOW_MS: int
COMMIT_MS: int
GTID: int
MEMBERS: int
"""Takes a text for each column; writes those of the image's columns: the after image's, of a delete the before image's."""
TYPE_CODES: int
"""Takes (`"name":`, (code of NULL, of a value, of an unsigned integer with the top bit set)) for each column."""
EVENT_MS: int
BATCH: int

class Zone:
    """A time zone from 1970 to 2106, for canal's rendering.

    From each of `starts` (seconds, rising, the first is 0) local time is UTC plus the offset (seconds, less than a day) at
    the same place.
    """

    def __init__(self, starts: Sequence[int], offsets: Sequence[int]) -> None: ...

class Plan:
    """What to do with the rows of one distinct table map; made by cdcd.formats.

    `columns`: (column, `"name":`, whether its text stands between quotes). `insert`, `update`, `delete`: a message's
    steps. `key`: its key's steps, or None for no key. `partition`: steps of the text whose murmur2 hash chooses the
    partition; None: the key, or `partition_hash` where there is no key. `splits`: an update of the key or the partition
    becomes a delete and an insert. `strict`: values as canal shows them, TIMESTAMP in this zone.
    Raises UnsupportedEvent for an unknown type.
    """

    def __init__(
        self,
        schema: TableSchema,
        route: Route,
        *,
        columns: Sequence[tuple[Column, bytes, bool]],
        insert: Sequence[Step],
        update: Sequence[Step],
        delete: Sequence[Step],
        key: Sequence[Step] | None,
        partition: Sequence[Step] | None,
        partition_hash: int,
        splits: bool = True,
        strict: Zone | None = None,
    ) -> None: ...
    schema: TableSchema
    route: Route
    invalid_text: dict[str, int]
    """Columns with values so far whose bytes were no text in their character set: shown with U+FFFD."""

Run: TypeAlias = tuple[str, int, list[bytes | None], list[bytes], list[bytes]]
"""(topic, partition, keys, values, ids): messages of one partition in order; `ids` is empty without `id_prefix`."""

class Decoder:
    """One dump's state machine. Feed it the socket's bytes from the dump command's answer on.

    `catalog` is asked once for each distinct TABLE_MAP: a Plan for a table to publish, None for one to leave out, or a
    TableSchema to leave it out and to know by that how long its values are (where TableSchema.measured is false).
    Without a catalog rows are stepped over unread (scans: transactions, statements and positions only).
    `inflate(compression, data)` yields the pieces of a compressed transaction; only scans can do without.
    `id_prefix`: give each message an identity `<prefix>;<seq>;<transaction>` (for headers).
    `reread`: asked for prepared XA transactions that are committed and no longer in memory.
    """

    def __init__(
        self,
        catalog: Callable[[TableSchema], Plan | TableSchema | None] | None,
        inflate: Callable[[int, bytes], Iterable[bytes]] | None = None,
        id_prefix: bytes | None = None,
        reread: Reread | None = None,
    ) -> None: ...
    def feed(self, data: bytes) -> None: ...
    def decode(self, now_ms: int, limit: int = ..., stop_at_boundary: bool = ...) -> int:
        """Handle buffered events until one of the reasons above.

        Raises MalformedEvent, UnsupportedEvent, or whatever `catalog` raised. Messages, position and `seq` are then those
        of the events before it; what follows it cannot be read.
        """
    def take_runs(self) -> list[Run]:
        """Messages since the last call."""
    def take_gtids(self) -> list[tuple[bytes, str, int, int]]:
        """GTIDs of transactions that ended since the last call: (uuid, tag, first, last), merged where adjacent.

        Of MariaDB the first member is domain and server, 4 bytes each, big-endian.
        """
    def resume(self, transaction: str, rows_done: int) -> None:
        """Expect `transaction` first and publish nothing of its first `rows_done` row changes."""
    def pass_over(self, gap: Callable[[bytes, str, int], tuple[int, int] | None]) -> None:
        """Leave out whole transactions that are published already: those for which `gap` (GtidSet.gap) is None.

        They count in `passed` and nowhere else. Needs MariaDB, or MySQL 8.0.2, whose transactions say how long they are.
        """
    def hold(self, prepared: Iterable[Prepared], largest_kept: int = ...) -> None:
        """XA transactions that were prepared before reading begins. Events of later ones are kept in memory up to
        `largest_kept` bytes each.
        """
    def extract(self, transaction: str) -> None:
        """Without catalog: expect `transaction` first, an XA one, and keep its events for `take_events`."""
    def take_events(self) -> bytes:
        """Events of the transaction that is extracted, since the last call."""
    def forget(self, database: str, table: str) -> None:
        """Ask the catalog again for this table's next map (a DDL may have changed what names it)."""
    def use(self, catalog: Callable[[TableSchema], Plan | TableSchema | None]) -> None:
        """Ask this catalog from the next transaction on, for every table. Between two transactions only; the messages so
        far have been taken.
        """
    place: tuple[str, int, int]
    """Where the transaction starts whose rows are being read: of a prepared one not where it is committed. File, offset, and
    when the file was created, as of `cdcd.binlog.spans.Place`."""
    reading: tuple[str, int, int]
    """The same of the transaction that the dump is in."""
    held: tuple[Prepared, ...]
    """XA transactions that are prepared, the oldest first."""
    xa: tuple[str, str] | None
    """Without catalog: (PREPARE, COMMIT or ROLLBACK, xid) of the transaction that has just ended."""
    control: bytes
    statement: Statement
    checksums: bool
    """Whether the events of this file end in a CRC32, as its FDE says; true before the first."""
    file: str
    """Current binlog file."""
    file_created: int
    """When that file was made, by its FDE: seconds since 1970; 0 until that was read."""
    offset: int
    """End of the last event handled in `file`; 64 bits even where the event header wraps."""
    start_offset: int
    """Where the last finished transaction starts; before the first of a file, where reading of it began."""
    end_offset: int
    """Where the last finished transaction ends (or a later point between transactions)."""
    passed: int
    """Transactions left out because they are known."""
    in_transaction: bool
    transaction: str
    """GTID of the open transaction, or of the last one: `uuid[:tag]:n`, `domain-server-n`; empty where the source has none."""
    has_gtid: bool
    """Whether `transaction` is a GTID; without one it is `file:offset`."""
    rows_done: int
    """Row changes of the open transaction that were handled, before filters; a statement inside it counts as one."""
    transaction_start: int
    """Where the open transaction starts."""
    transaction_length: int
    """Bytes of the open transaction as its GTID event announces them; 0 where it does not."""
    batch: int
    """Number of the next `take_runs` that has messages, from 1."""
    event_seconds: int
    """Time stamp of the last rows event or statement: when the statement began, seconds since 1970."""
    seq: int
    """Number of the last message made; set it before the first decode."""
    transaction_done: int
    """Bytes of the open transaction handled so far."""
    commit_us: int
    """When the newest transaction seen was committed where it was first executed, microseconds since 1970."""
    logged_us: int
    """When it was committed on this source; 0 before the first."""
    first_us: int
    """When the first transaction that began since somebody set this to 0 was committed on this source; known ones do not count."""
    event_type: int
    """Of the last event looked at."""
    server_version: str
    """From the FDE: `9.7.4`."""
    mariadb: bool
    """Whether MariaDB wrote the file, by its FDE."""
    previous_gtids: bytes
    """Body of the last PREVIOUS_GTIDS event (MariaDB: GTID_LIST), empty before: encoded, everything before `file`."""
    inserts: int
    updates: int
    deletes: int
    filtered: int
    """Row changes of tables left out."""
    transactions: int
    ignored: dict[int, int]
    """Event type -> number of unknown events skipped because they are flagged ignorable."""
    buffered: int
    """Bytes fed and not yet handled."""

def murmur2(data: bytes) -> int:
    """Kafka's DefaultPartitioner hash, as unsigned 32 bits (org.apache.kafka.common.utils.Utils.murmur2)."""

def render(column: Column, value: bytes, strict: Zone | None = None) -> bytes:
    """One value as it stands in a row image, as text: the renderers by themselves, for tests and fuzzing.

    Raises ShortRead for a value that is not what its type has; else as planning the column does.
    """

class ShortRead(Exception):
    """A value is longer or shorter than it may be; the decoder makes a MalformedEvent of it."""
