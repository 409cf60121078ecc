"""Where an instance without a stored position begins."""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cdcd.binlog.gtid import GtidSet, Interval
from cdcd.binlog.mariadb_gtid import MariadbPosition
from cdcd.binlog.position import Gtids, Position, file_number
from cdcd.config.start import Start, StartFile, StartGtidSet, StartTime
from cdcd.errors import Finding, FindingError
from cdcd.mysql.connection import Connection
from cdcd.mysql.dump_request import FIRST_EVENT
from cdcd.mysql.scan import BinlogScan, Transaction, Watch, unwatched
from cdcd.mysql.server import BinlogFile, ServerStatus, binlog_files, check_position

CLOCK_MARGIN = 60
"""Seconds by which the source's clock may have been set back: the search looks that much further back."""


def resolve_start(start: Start, connection: Connection, status: ServerStatus, watch: Watch = unwatched) -> Position:
    """The position that `start` means on this source, which can be read from there.

    Scans parts of the binlog for a file or a time. Raises FindingError: what was asked for does not exist (any more);
    and what `watch` raises.
    """
    search = StartSearch(connection, status, watch)
    if isinstance(start, StartGtidSet):
        return search.at_gtid_set(_parse(start.gtid_set, status))
    if isinstance(start, StartFile):
        return search.at_file(start.file, start.position)
    if isinstance(start, StartTime):
        return search.at_time(start.time)
    return search.latest() if start == "latest" else search.earliest()


@dataclass(frozen=True, slots=True)
class _Stop:
    """Where a walk along the binlog ended: before `transaction`, or at the binlog's end if that is None."""

    file: str
    offset: int
    known: Gtids
    passed: Transaction | None
    """The last transaction before."""
    transaction: Transaction | None


class StartSearch:
    """One source's positions by name, place or time."""

    def __init__(self, connection: Connection, status: ServerStatus, watch: Watch = unwatched) -> None:
        self._connection = connection
        self._status = status
        self._watch = watch

    def latest(self) -> Position:
        """The end of the binlog when `status` was read. With GTIDs the set counts: the place may lie behind it."""
        return self._position(self._status.gtid_executed, self._status.file, self._status.offset)

    def earliest(self) -> Position:
        return self._position(self._status.gtid_purged, self._files()[0].name, FIRST_EVENT)

    def at_gtid_set(self, known: Gtids) -> Position:
        status = self._status
        if not status.by_gtid:
            what = f"start.gtid_set needs gtid_mode=ON; {status.product} at {status.source} has {status.gtid_mode or 'none'}"
            raise _refused("gtid-mode", what, "Start by file and position, by time, latest or earliest")
        position = self._position(known, "", 0)
        if finding := check_position(position, status):
            raise FindingError(finding)
        return position

    def at_file(self, name: str, offset: int) -> Position:
        file = next((file for file in self._files() if file.name == name), None)
        if file is None:
            what = f"start.file: {self._status.product} at {self._status.source} has no binlog file {name}"
            raise _refused(
                "position-purged", what, f"Its oldest is {self._files()[0].name}: start: earliest reads from there"
            )
        if offset > file.size:
            what = f"start.position {offset} is beyond the end of {name} ({file.size}) at {self._status.source}"
            raise _refused("position-beyond-file", what, "Take a position that SHOW BINARY LOG STATUS has shown")
        stop = self._walk(name, lambda transaction: transaction.file != name or transaction.end > offset)
        found = stop.transaction
        if found is not None and found.file == name and found.start < offset:
            what = f"start.position {offset} lies inside a transaction of {name} at {self._status.source}"
            raise _refused("position-inside", what, f"Take its start, {found.start}, or its end, {found.end}")
        passed = stop.passed
        if passed is not None and (passed.file, passed.end) == (name, offset):
            return self._position(stop.known, name, offset)
        return self._position(stop.known, stop.file, stop.offset)

    def at_time(self, time: datetime) -> Position:
        """Right before the first transaction that this source committed at `time` or later.

        On a replica that includes what its own source had committed earlier. A binlog without such a transaction
        yields its end.
        """
        wanted = (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
        self._refuse_future(time, wanted)
        files = self._files()
        self._refuse_purged(time, wanted, files[0])
        newer = bisect_left(files, wanted // 1_000_000 - CLOCK_MARGIN, key=self._created)
        stop = self._walk(
            files[max(0, newer - 1)].name, lambda transaction: committed_since(transaction.logged_us, wanted)
        )
        return self._position(stop.known, stop.file, stop.offset)

    def _position(self, known: Gtids, file: str, offset: int) -> Position:
        gtid_set = known if self._status.by_gtid else None
        return Position(self._status.server_uuid, gtid_set, file, offset, offset)

    def _files(self) -> list[BinlogFile]:
        return binlog_files(self._connection)

    def _created(self, file: BinlogFile) -> int:
        return BinlogScan(self._connection.endpoint, file.name, watch=self._watch).file_created()

    def _walk(self, file: str, until: Callable[[Transaction], bool]) -> _Stop:
        """From the start of `file` to the first transaction that `until` holds for, adding up GTIDs on the way."""
        scan = BinlogScan(self._connection.endpoint, file, watch=self._watch)
        before: Gtids | None = None
        passed: Transaction | None = None
        gtids: list[Interval] = []
        for transaction in scan.transactions():
            if before is None:
                before = self._decode(scan.previous_gtids)
            if until(transaction):
                return _Stop(transaction.file, transaction.start, before.add_all(gtids), passed, transaction)
            passed = transaction
            gtids += transaction.gtids
            if len(gtids) >= 10_000:
                before, gtids = before.add_all(gtids), []
        if before is None:
            before = self._decode(scan.previous_gtids)
        end, offset = scan.place
        return _Stop(end, offset, before.add_all(gtids), passed, None)

    def _decode(self, previous_gtids: bytes) -> Gtids:
        if self._status.flavour == "mariadb":
            return MariadbPosition.decode(previous_gtids) if previous_gtids else MariadbPosition()
        return GtidSet.decode(previous_gtids) if previous_gtids else GtidSet()

    def _refuse_future(self, time: datetime, wanted: int) -> None:
        """By the source's clock, which made the times in the binlog."""
        row = self._connection.row("SELECT CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS UNSIGNED)")
        assert row is not None
        if wanted > int(row[0]):
            what = f"start.time {_show(time)} has not come yet by the clock of {self._status.product} at {self._status.source}"
            raise _refused(
                "start-in-future", what, f"Its time is {_show(_moment(int(row[0])))}; start: latest begins there"
            )

    def _refuse_purged(self, time: datetime, wanted: int, oldest: BinlogFile) -> None:
        """A file's creation is known to the second: what happened within that second may be in the file before."""
        complete_from = (self._created(oldest) + 1) * 1_000_000
        if wanted < complete_from and self._has_purged(oldest):
            what = (
                f"start.time {_show(time)} is older than the binlogs that {self._status.product} at {self._status.source} still has: "
                f"they begin at {_show(_moment(complete_from))}"
            )
            remedy = f"Set start.time to {_show(_moment(complete_from))} or later, or start: earliest"
            raise _refused("start-purged", what, remedy)

    def _has_purged(self, oldest: BinlogFile) -> bool:
        return bool(self._status.gtid_purged) or file_number(oldest.name) > 1


def committed_since(logged_us: int, wanted: int) -> bool:
    """Both in microseconds since 1970. A source that knows whole seconds only gets the benefit of the doubt."""
    precise = logged_us % 1_000_000 != 0
    return logged_us >= (wanted if precise else wanted - wanted % 1_000_000)


def _parse(text: str, status: ServerStatus) -> Gtids:
    """Only a set of MySQL has colons."""
    if (":" in text) == (status.flavour == "mariadb"):
        what = f"start.gtid_set {text[:120]} means nothing to {status.product} at {status.source}"
        example = "0-1-100" if status.flavour == "mariadb" else "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5"
        raise _refused("gtid-mode", what, f"Give what this server has, such as {example}")
    return MariadbPosition.parse(text) if status.flavour == "mariadb" else GtidSet.parse(text)


def _moment(microseconds: int) -> datetime:
    seconds, rest = divmod(microseconds, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)


def _show(time: datetime) -> str:
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _refused(code: str, what: str, remedy: str) -> FindingError:
    return FindingError(Finding(code, "operator", what, remedy))
