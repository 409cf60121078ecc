"""Binlog events by hand, from the layouts of the MySQL manual ("Binary Log Events") and binlog.md: the decoder's input
where a server would hardly produce it.
"""

import struct
import uuid
import zlib
from collections.abc import Sequence

SOURCE = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")
SECONDS = 1_700_000_000
"""Time stamp of every event."""
COMMITTED_US = 1_700_000_000_123_456

QUERY, STOP, ROTATE, FDE, XID, TABLE_MAP = 2, 3, 4, 15, 16, 19
WRITE_V1, UPDATE_V1, DELETE_V1, WRITE, UPDATE, DELETE = 23, 24, 25, 30, 31, 32
INCIDENT, HEARTBEAT, ROWS_QUERY, GTID, ANONYMOUS, PREVIOUS_GTIDS = 26, 27, 29, 33, 34, 35
XA_PREPARE, PAYLOAD, HEARTBEAT_V2, TAGGED = 38, 40, 41, 42
ARTIFICIAL, IGNORABLE = 0x20, 0x80

Event = tuple[int, bytes]
"""(type, body without checksum)."""


def packed(n: int) -> bytes:
    """Length-encoded integer ("Protocol::LengthEncodedInteger")."""
    if n < 251:
        return bytes([n])
    for head, size in ((0xFC, 2), (0xFD, 3), (0xFE, 8)):
        if n < 1 << (8 * size):
            return bytes([head]) + n.to_bytes(size, "little")
    raise OverflowError(n)


def header(kind: int, body: bytes, *, log_pos: int, flags: int = 0, size: int | None = None) -> bytes:
    return struct.pack("<IBIIIH", SECONDS, kind, 1, 19 + len(body) if size is None else size, log_pos, flags)


def with_crc(event: bytes) -> bytes:
    return event + struct.pack("<I", zlib.crc32(event))


# ------------------------------------------------------------------ bodies


def rotate(file: str, offset: int = 4) -> Event:
    return ROTATE, struct.pack("<Q", offset) + file.encode()


def fde(version: str = "9.7.4", algorithm: int = 1, table_map_post_header: int = 8) -> Event:
    """Without the CRC32 that always stands behind the algorithm."""
    post_headers = bytearray(42)
    post_headers[TABLE_MAP - 1] = table_map_post_header
    body = struct.pack("<H50sIB", 4, version.encode(), 0, 19) + bytes(post_headers)
    return FDE, body + bytes([algorithm])


def gtid(number: int, *, source: uuid.UUID = SOURCE, length: int = 0, original_us: int = 0, form: str = "8.0") -> Event:
    """GTID (33): flags, uuid, number; from 5.7 on logical times, from 8.0 on commit times, length and version."""
    body = b"\x01" + source.bytes + struct.pack("<q", number)
    if form == "5.6":
        return GTID, body
    body += b"\x02" + struct.pack("<qq", number - 1, number)
    if form == "5.7":
        return GTID, body
    times = (COMMITTED_US | (1 << 55 if original_us else 0)).to_bytes(7, "little")
    times += original_us.to_bytes(7, "little") if original_us else b""
    return GTID, body + times + packed(length) + struct.pack("<I", 90704)


def anonymous(*, length: int = 0) -> Event:
    return ANONYMOUS, gtid(0, source=uuid.UUID(int=0), length=length)[1]


def serialized(value: int) -> bytes:
    """mysql::serialization's integer: the first byte's trailing one bits count the bytes that follow."""
    more = next(n for n in range(9) if n == 8 or value < 1 << (7 * (n + 1)))
    if more == 8:
        return b"\xff" + value.to_bytes(8, "little")
    return (value << (more + 1) | (1 << more) - 1).to_bytes(more + 1, "little")


def signed(value: int) -> bytes:
    """As `serialized`, in zigzag order: 0, -1, 1, -2, ..."""
    return serialized(2 * value if value >= 0 else -2 * value - 1)


def tagged(
    number: int,
    tag: bytes = b"blue",
    *,
    source: uuid.UUID = SOURCE,
    length: int = 0,
    original_us: int = 0,
    must_know: int = 3,
    more: Sequence[tuple[int, int]] = (),
) -> Event:
    """GTID_TAGGED (42): version, size, last field that must be understood, then numbered fields."""
    fields = serialized(0) + serialized(1)
    fields += serialized(1) + b"".join(serialized(byte) for byte in source.bytes)
    fields += serialized(2) + signed(number)
    fields += serialized(3) + serialized(len(tag)) + tag
    fields += serialized(4) + signed(number - 1) + serialized(5) + signed(number)
    fields += serialized(6) + serialized(COMMITTED_US)
    fields += serialized(7) + serialized(original_us) if original_us else b""
    fields += serialized(8) + serialized(length) + serialized(9) + serialized(90704)
    for field, value in more:
        fields += serialized(field) + serialized(value)
    return TAGGED, serialized(1) + serialized(len(fields)) + serialized(must_know) + fields


def query(sql: str | bytes, database: str = "shop", *, status: bytes = b"", error: int = 0) -> Event:
    text = sql.encode() if isinstance(sql, str) else sql
    name = database.encode()
    fixed = struct.pack("<IIBHH", 7, 0, len(name), error, len(status))
    return QUERY, fixed + status + name + b"\0" + text


def updated(*names: str) -> bytes:
    """Status variable 12: the databases that a statement changes."""
    return bytes([12, len(names)]) + b"".join(name.encode() + b"\0" for name in names)


def xid(name: str, format_id: int = 1) -> str:
    """As the source writes it in XA statements."""
    return f"X'{name.encode().hex()}',X'',{format_id}"


def prepare(name: str, *, one_phase: bool = False, format_id: int = 1) -> Event:
    """XA_PREPARE (38): one phase, format id, lengths of gtrid and bqual, both."""
    return XA_PREPARE, struct.pack("<?III", one_phase, format_id, len(name), 0) + name.encode()


def prepared(name: str, *changes: Event, one_phase: bool = False) -> tuple[Event, ...]:
    """An XA transaction up to the end of its first phase, or of its only one."""
    end = prepare(name, one_phase=one_phase)
    return query(f"XA START {xid(name)}", ""), *changes, query(f"XA END {xid(name)}", ""), end


def xa_commit(name: str) -> Event:
    return query(f"XA COMMIT {xid(name)}", "")


def xa_rollback(name: str) -> Event:
    return query(f"XA ROLLBACK {xid(name)}", "")


BEGIN: Event = query("BEGIN", "")
COMMIT: Event = (XID, struct.pack("<Q", 99))


def field(kind: int, value: bytes) -> bytes:
    """Optional metadata of a TABLE_MAP."""
    return bytes([kind]) + packed(len(value)) + value


def texts(*values: str) -> bytes:
    return b"".join(packed(len(value.encode())) + value.encode() for value in values)


def table_map(
    table_id: int = 7,
    name: str = "orders",
    *,
    database: str = "shop",
    columns: Sequence[tuple[str, int, bytes]] = (("id", 3, b""), ("name", 15, b"\x50\x00")),
    key: Sequence[int] = (0,),
    more: bytes = b"",
    id_size: int = 6,
    named: bool = True,
) -> Event:
    """Columns are (name, type, metadata bytes); all nullable, signed, text in utf8mb4 (collation 255)."""
    types = bytes(kind for _, kind, _ in columns)
    metadata = b"".join(meta for _, _, meta in columns)
    body = table_id.to_bytes(id_size, "little") + b"\x01\x00"
    for text in (database, name):
        body += bytes([len(text.encode())]) + text.encode() + b"\0"
    body += packed(len(columns)) + types + packed(len(metadata)) + metadata + b"\xff" * ((len(columns) + 7) // 8)
    numeric = sum(kind in {1, 2, 3, 4, 5, 8, 9, 246} for kind in types)
    if numeric:
        body += field(1, bytes((numeric + 7) // 8))
    body += field(2, packed(255))
    if named:
        body += field(4, texts(*(name for name, _, _ in columns)))
        body += field(8, b"".join(map(packed, key))) if key else b""
    return TABLE_MAP, body + more


def rows(
    kind: int,
    *images: bytes,
    table_id: int = 7,
    columns: int = 2,
    present: Sequence[int] | None = None,
    present_after: Sequence[int] | None = None,
    id_size: int = 6,
    extra: bytes = b"",
) -> Event:
    """A rows event of any version; `images` are row images as they stand in it."""
    body = table_id.to_bytes(id_size, "little") + b"\x01\x00"
    if kind in {WRITE, UPDATE, DELETE}:
        body += struct.pack("<H", 2 + len(extra)) + extra
    body += packed(columns) + bitmap(columns, present)
    if kind in {UPDATE, UPDATE_V1}:
        body += bitmap(columns, present if present_after is None else present_after)
    return kind, body + b"".join(images)


def bitmap(n: int, members: Sequence[int] | None) -> bytes:
    """Lowest bit first; None: all of them."""
    bits = sum(1 << i for i in (range(n) if members is None else members))
    return bits.to_bytes((n + 7) // 8, "little")


def image(number: int | None, text: str | None = None, *, columns: int = 2) -> bytes:
    """Of the table that `table_map` makes by default: INT, VARCHAR(80)."""
    nulls = [i for i, value in enumerate((number, text)) if value is None][:columns]
    out = bitmap(columns, nulls)
    out += b"" if number is None else struct.pack("<i", number)
    if columns > 1 and text is not None:
        out += bytes([len(text.encode())]) + text.encode()
    return out


def payload(packed_events: bytes, *, compression: int = 255, announced: int | None = None, plain: int = 0) -> Event:
    """TRANSACTION_PAYLOAD (40)."""
    size = len(packed_events) if announced is None else announced
    out = b""
    for kind, value in ((2, packed(compression)), (3, packed(plain)), (1, packed(size))):
        out += packed(kind) + packed(len(value)) + value
    return PAYLOAD, out + b"\0" + packed_events


def inner(*events: Event) -> bytes:
    """Events as they stand in a payload: no checksum, no position."""
    return b"".join(header(kind, body, log_pos=0) + body for kind, body in events)


# ------------------------------------------------------------------ a dump


class Dump:
    """What a source sends: `data` grows by each call. Positions, sequence numbers and checksums are right unless told otherwise."""

    def __init__(self, file: str = "binlog.000001", *, checksums: bool = True) -> None:
        self.packets: list[bytes] = []
        self.file = file
        self.position = 4
        self.checksums = True  # announced before the dump
        self._artificial(rotate(file))
        self.add(fde(algorithm=int(checksums)))

    @property
    def data(self) -> bytes:
        return b"".join(self.packets)

    def packet(self, payload_: bytes) -> None:
        while True:
            piece, payload_ = payload_[:0xFFFFFF], payload_[0xFFFFFF:]
            sequence = (len(self.packets) + 1) % 256
            self.packets.append(len(piece).to_bytes(3, "little") + bytes([sequence]) + piece)
            if len(piece) < 0xFFFFFF:
                return

    def event(self, kind: int, body: bytes, *, log_pos: int, flags: int = 0) -> None:
        """One event with this position, which does not move the dump's own."""
        crc = self.checksums or kind == FDE
        whole = header(kind, body, log_pos=log_pos, flags=flags, size=19 + len(body) + 4 * crc) + body
        self.packet(b"\0" + (with_crc(whole) if crc else whole))

    def add(self, *events: Event, flags: int = 0) -> "Dump":
        """Events of the file, one behind the other."""
        for kind, body in events:
            self.position += self.size_of((kind, body))
            self.event(kind, body, log_pos=self.position & 0xFFFFFFFF, flags=flags)
            if kind == FDE:
                self.checksums = body[-1:] == b"\x01"
        return self

    def transaction(self, number: int, *events: Event, tag: bytes = b"", **options: int) -> "Dump":
        """GTID, the events, and in the GTID the length of all."""
        rest, length = sum(map(self.size_of, events)), 0

        def head() -> Event:
            return tagged(number, tag, length=length, **options) if tag else gtid(number, length=length, **options)  # type: ignore[arg-type]

        for _ in range(3):  # the length is part of what it measures
            length = rest + self.size_of(head())
        return self.add(head(), *events)

    def size_of(self, event: Event) -> int:
        return 19 + len(event[1]) + 4 * (self.checksums or event[0] == FDE)

    def rotate(self, file: str, *, real: bool = True, checksums: bool = True) -> "Dump":
        """To the next file: a real ROTATE unless the source crashed, then an artificial one and an FDE."""
        if real:
            self.add(rotate(file))
        self._artificial(rotate(file))
        self.file, self.position = file, 4
        return self.add(fde(algorithm=int(checksums)))

    def heartbeat(self, position: int, *, v2: bool = True) -> "Dump":
        name = self.file.encode()
        if v2:
            place = packed(position)
            self.event(HEARTBEAT_V2, field(1, name) + field(2, place) + b"\0", log_pos=0)
        else:
            self.event(HEARTBEAT, name, log_pos=position & 0xFFFFFFFF)
        return self

    def _artificial(self, event: Event) -> None:
        self.event(*event, log_pos=0, flags=ARTIFICIAL)
