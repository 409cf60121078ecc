"""`cdcd decode`: binlog files on disk through the decoder that the worker uses, as lines; no server is needed."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cdcd.binlog.core.native import NEED_BYTES, STATEMENT, Decoder
from cdcd.binlog.files import FDE, ROTATE, BinlogFile, FileEvent, file_name, open_binlog
from cdcd.config.start import StartFile, StartTime, parse_start
from cdcd.config.tables import TableFilter
from cdcd.errors import BinlogError, Finding, FindingError, MalformedEvent
from cdcd.formats.template import Format
from cdcd.mysql.connection import Endpoint, connect
from cdcd.mysql.schema import SchemaLookup
from cdcd.mysql.start import committed_since
from cdcd.worker.catalog import Names
from cdcd.worker.feed import OUTPUT_BYTES, Feed
from cdcd.worker.held_files import HeldFiles
from cdcd.worker.lines import Lines, Write

Note = Callable[[str], None]
"""Takes what the operator should know although nothing is wrong with the lines."""
Bound = StartFile | StartTime
_ARTIFICIAL: Final = 0x20


@dataclass(slots=True)
class Summary:
    """What came of a reading."""

    transactions: int = 0
    skipped: int = 0
    """Transactions before `begin`."""
    inserts: int = 0
    updates: int = 0
    deletes: int = 0
    statements: int = 0
    filtered: int = 0
    """Row changes of tables left out."""
    first_us: int = 0
    """When the first transaction was committed on the server that wrote the file, microseconds since 1970."""
    last_us: int = 0
    path: str = ""
    offset: int = 0
    """End of the last event read in `path`."""

    def __str__(self) -> str:
        rows = f"{self.inserts} inserts, {self.updates} updates, {self.deletes} deletes"
        ddl = f", {self.statements} DDL statements" if self.statements else ""
        others = f"; {self.filtered} row changes of other tables left out" if self.filtered else ""
        before = f"; {self.skipped} transactions before --from left out" if self.skipped else ""
        times = f"; committed {_show(self.first_us)} to {_show(self.last_us)}" if self.transactions else ""
        return f"{self.transactions} transactions: {rows}{ddl}{others}{before}{times}; read up to {self.path}:{self.offset}"


@dataclass(frozen=True, slots=True)
class Replay:
    """One reading of files that follow each other."""

    paths: Sequence[str]
    tables: TableFilter
    template: Format
    names: Names
    server_id: int | None = None
    """The server that `names` asks: files of any other are refused."""
    begin: Bound | None = None
    """From the first transaction that begins there or later, or was committed then or later; None: from the first."""
    end: Bound | None = None
    """Up to the first transaction that begins there, or was committed then; None: to the end."""
    ddl: bool = False

    def run(self, write: Write, note: Note) -> Summary:
        """Raises FindingError, BinlogError with path, offset and type; OSError. What was read before is written."""
        return _Reading(self, write, note).run()


class _Reading:
    """The state of a reading: until `begin` is reached a decoder that reads no rows looks for it."""

    def __init__(self, replay: Replay, write: Write, note: Note) -> None:
        self._replay = replay
        self._note = note
        self._lines = Lines(
            replay.tables, replay.template, replay.names, write, HeldFiles(replay.paths), ddl=replay.ddl
        )
        self._wanted = Feed(self._lines.decoder)
        self._before = None if replay.begin is None else Feed(Decoder(None))
        self._begin = _passed(replay.begin, replay.paths, "--from")
        self._end = _passed(replay.end, replay.paths, "--to")
        self._summary = Summary()
        self._position = 0

    def run(self) -> Summary:
        try:
            for index, path in enumerate(self._replay.paths):
                with open_binlog(path) as file:
                    if self._read(index, file):
                        break
        finally:
            self._lines.take()
        return self._sum_up()

    def _read(self, index: int, file: BinlogFile) -> bool:
        """Whether `end` was reached in this file."""
        for feed in self._feeds:
            feed.enter(file.name)
        self._position = 0
        event = FileEvent(0, bytes(19))
        for event in file.events():
            if event.kind == FDE:
                self._check_origin(file, event)
            try:
                if self._handle(index, event):
                    return True
            except BinlogError as error:
                # The decoder says where the source has it; here it is a place in the file that was given.
                raise type(error)(error.reason, file.path, event.offset, event.kind) from None
            self._summary.path, self._summary.offset = file.path, event.end
            self._watch_positions(file, event)
        self._check_end(file, event)
        return False

    def _check_origin(self, file: BinlogFile, event: FileEvent) -> None:
        """Names are looked for in the history of one server's binlog, which has files called like those of any other."""
        wanted, found = self._replay.server_id, int.from_bytes(event.data[5:9], "little")
        if wanted is not None and found != wanted:
            what = f"{file.path} was written by the server with server_id {found}; that of --host has {wanted}"
            raise FindingError(
                Finding("binlog-file-foreign", "operator", what, "Name the server that wrote it, or use --schema")
            )

    @property
    def _feeds(self) -> list[Feed]:
        return [self._wanted] if self._before is None else [self._wanted, self._before]

    def _handle(self, index: int, event: FileEvent) -> bool:
        if self._before is None:
            return self._publish(index, event)
        if event.kind in {FDE, ROTATE}:
            self._publish(index, event)
        if not self._found_begin(self._before, index, event):
            return False
        self._summary.skipped = self._before.before
        self._before = None
        return self._publish(index, event)

    def _found_begin(self, feed: Feed, index: int, event: FileEvent) -> bool:
        feed.give(event)
        while True:
            reason = feed.decoder.decode(0, OUTPUT_BYTES)
            if feed.began(reason) and self._begin(index, event.offset, feed.decoder.logged_us):
                return True
            if reason == NEED_BYTES:
                return False

    def _publish(self, index: int, event: FileEvent) -> bool:
        feed, decoder = self._wanted, self._lines.decoder
        feed.give(event)
        while True:
            try:
                reason = decoder.decode(time.time_ns() // 1_000_000, OUTPUT_BYTES)
                if feed.began(reason):
                    if self._end(index, event.offset, decoder.logged_us):
                        return True
                    self._count(decoder)
            finally:
                self._lines.take()
            if reason == STATEMENT:
                self._lines.handle_statement()
            if reason == NEED_BYTES:
                return False

    def _count(self, decoder: Decoder) -> None:
        summary = self._summary
        summary.transactions += 1
        summary.last_us = decoder.logged_us
        summary.first_us = summary.first_us or decoder.logged_us

    def _watch_positions(self, file: BinlogFile, event: FileEvent) -> None:
        """An event's header says where it ends: a jump means that a part is not there."""
        said, flags = int.from_bytes(event.data[13:17], "little"), int.from_bytes(event.data[17:19], "little")
        position = self._position or event.offset
        if said and not flags & _ARTIFICIAL and said != (position + len(event.data)) & 0xFFFFFFFF:
            self._note(
                f"{file.path}: the events from {event.offset} on were written at {said - len(event.data)}, not at "
                f"{position}: what stood between is not in this file"
            )
            position = said - len(event.data)
        self._position = position + len(event.data)

    def _check_end(self, file: BinlogFile, last: FileEvent) -> None:
        decoder = self._feeds[-1].decoder
        if decoder.in_transaction:
            raise MalformedEvent(
                f"the file ends inside transaction {decoder.transaction}, {decoder.rows_done} row changes of which came: "
                "whether it was committed is not known",
                file.path,
                last.offset,
                last.kind,
            )
        if not file.closed:
            state = "its server has it open, or crashed" if file.in_use else "a part may be missing"
            self._note(f"{file.path} ends without ROTATE or STOP: {state}")

    def _sum_up(self) -> Summary:
        decoder, summary = self._lines.decoder, self._summary
        summary.inserts, summary.updates, summary.deletes = decoder.inserts, decoder.updates, decoder.deletes
        summary.statements, summary.filtered = self._lines.statements, decoder.filtered
        if self._before is not None:
            summary.skipped = self._before.decoder.transactions
        return summary


def names_of_source(endpoint: Endpoint) -> tuple[Names, int]:
    """Names from a server that can be asked, and its server_id. Raises FindingError."""
    with connect(endpoint) as connection:
        return SchemaLookup(endpoint), int(connection.rows("SELECT @@server_id")[0][0])


def parse_bound(text: str) -> Bound:
    """`file:NAME:POS` or `time:ISO`. ValueError says what is allowed."""
    start = parse_start(text) if text.startswith(("file:", "time:")) else None
    if not isinstance(start, StartFile | StartTime):
        raise ValueError("must be file:NAME:POS or time:ISO-8601")  # noqa: TRY004 - the text is wrong, not a type
    return start


def _passed(bound: Bound | None, paths: Sequence[str], flag: str) -> Callable[[int, int, int], bool]:
    """Whether a transaction, by number of its file, offset and time of commit, is behind `bound`."""
    if bound is None:
        return lambda _index, _offset, _us: False
    if isinstance(bound, StartTime):
        wanted = int((bound.time - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1_000_000)
        return lambda _index, _offset, us: committed_since(us, wanted)
    names = list(map(file_name, paths))
    if bound.file not in names:
        what = f"{flag} names {bound.file}, which is none of the files given ({', '.join(names)})"
        raise FindingError(Finding("binlog-file-unreadable", "operator", what, "Give that file too, or name another"))
    place = names.index(bound.file), bound.position
    return lambda index, offset, _us: (index, offset) >= place


def _show(microseconds: int) -> str:
    return (
        datetime.fromtimestamp(microseconds / 1_000_000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )
