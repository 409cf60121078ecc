"""Reading a binlog for positions and statements only: rows are stepped over unread.

A scan dumps under an identity of its own: an instance's would evict the instance's running dump.
"""

import secrets
from collections.abc import Callable, Generator
from dataclasses import dataclass
from uuid import uuid4

from cdcd.binlog.compression import inflate
from cdcd.binlog.core.native import BOUNDARY, CONTROL, END, NEED_BYTES, STATEMENT, Decoder, Statement
from cdcd.binlog.gtid import Interval
from cdcd.errors import FindingError
from cdcd.mysql.connection import Endpoint
from cdcd.mysql.dump import BinlogDump
from cdcd.mysql.dump_request import FIRST_EVENT, DumpRequest, Reader
from cdcd.mysql.tap import FDE

POLL_SECONDS = 0.1
_UNLIMITED = 1 << 62

Watch = Callable[[], None]
"""Called at least every POLL_SECONDS; raises (Stopped) to give up."""


def unwatched() -> None:
    """Never gives up."""


def own_reader(heartbeat: float = 10.0) -> Reader:
    """A reader that is no instance. With different UUIDs equal server_ids do not clash."""
    return Reader(secrets.randbelow(1 << 31) + (1 << 31), uuid4(), heartbeat)


@dataclass(frozen=True, slots=True)
class Transaction:
    """One transaction of the binlog, or a statement that is one by itself."""

    file: str
    start: int
    end: int
    logged_us: int
    """When this server committed it, microseconds since 1970; whole seconds before MySQL 8.0.1."""
    gtids: list[Interval]
    """Its own; empty if it is anonymous."""
    statements: tuple[Statement, ...]
    gtid: str | None
    """As `Position.txn` has it."""
    xa: tuple[str, str] | None
    """(PREPARE, COMMIT or ROLLBACK, xid); of compressed ones only where they are looked into."""


class BinlogScan:
    """A source's binlog from an event's start in `file` to its present end. Used once.

    Raises FindingError (retry: connection lost; operator: purged ...), BinlogError, and whatever `watch` raises.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        file: str,
        offset: int = FIRST_EVENT,
        watch: Watch = unwatched,
        *,
        compressed: bool = False,
    ) -> None:
        """`compressed`: look into compressed transactions too, which takes longer."""
        self._dump = BinlogDump(endpoint, own_reader())
        self._request = DumpRequest(file=file, offset=offset, non_blocking=True)
        self._decoder = Decoder(None, inflate if compressed else None)
        self._watch = watch
        self.created = 0
        """When the file being read was created: seconds since 1970, by its FDE."""

    @property
    def previous_gtids(self) -> bytes:
        """Encoded set of all transactions before the file being read; empty if that was entered behind its head."""
        return self._decoder.previous_gtids

    @property
    def place(self) -> tuple[str, int]:
        """File, and end of the last event read in it."""
        return self._decoder.file, self._decoder.offset

    def file_created(self) -> int:
        """Read no further than the first FDE: seconds since 1970."""
        try:
            self._dump.begin(self._request)
            while not self.created and self._next() != END:
                pass
            return self.created
        finally:
            self._dump.close()

    def transactions(self) -> Generator[Transaction, None, None]:
        """In the order of the binlog. Close the generator (or exhaust it) to end the dump."""
        decoder, statements = self._decoder, []
        try:
            self._dump.begin(self._request)
            while (reason := self._next()) != END:
                if reason == STATEMENT:
                    statements.append(decoder.statement)
                # A statement outside BEGIN ... COMMIT ends its own transaction and is reported as a statement only.
                if reason == BOUNDARY or (reason == STATEMENT and not decoder.in_transaction):
                    yield Transaction(
                        decoder.file,
                        decoder.start_offset,
                        decoder.end_offset,
                        decoder.logged_us,
                        decoder.take_gtids(),
                        tuple(statements),
                        decoder.transaction if decoder.has_gtid else None,
                        decoder.xa,
                    )
                    statements.clear()
        finally:
            self._dump.close()

    def _next(self) -> int:
        """Decode to the next thing worth looking at: BOUNDARY, STATEMENT, CONTROL or END."""
        while (reason := self._decoder.decode(0, _UNLIMITED, True)) == NEED_BYTES:
            self._watch()
            if data := self._dump.read(POLL_SECONDS):
                self._decoder.feed(data)
        control = self._decoder.control
        if reason == CONTROL:
            self._dump.show(control)
            if control[5] == FDE:
                self.created = int.from_bytes(control[1:5], "little")
        elif reason == END and control[0] == 0xFF:
            raise FindingError(self._dump.ended(control))
        return reason
