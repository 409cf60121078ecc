"""What only the source can tell of how far behind we are: bytes, transactions, its clock, when it purges. Asked now and then
on a control connection.
"""

import threading
import time
from collections.abc import Callable

import structlog

from cdcd.binlog.gtid import GtidSet
from cdcd.binlog.mariadb_gtid import MariadbPosition
from cdcd.binlog.position import Gtids, Position, file_number
from cdcd.errors import CdcdError
from cdcd.mysql.clock import clock_offset
from cdcd.mysql.connection import Connection, Endpoint, connect
from cdcd.mysql.purge import FileTimes, oldest_needed, purged_from
from cdcd.mysql.server import BinlogFile, ServerStatus, binlog_files, read_status
from cdcd.worker.figures import Figures
from cdcd.worker.journal import Level

INTERVAL = 5.0
"""Seconds."""
FAILED_INTERVAL = 60.0
"""Seconds after a defect of our own, which would come again."""
QUIET_LOOKS = 6
"""Each so many looks the source is asked although the position stands at what was its end: forty idle instances are not to
cost it, or us, anything."""


def bytes_behind(position: Position, status: ServerStatus, files: list[BinlogFile]) -> int | None:
    """Bytes of binlog from the position to the source's end: what is left of its file, and all later files. None for a
    position on another server, as before the first one is stored after a failover.
    """
    if position.server_uuid != status.server_uuid:
        return None
    if position.file == status.file:
        return max(0, status.offset - position.end_offset)
    number = file_number(position.file)
    return sum(
        max(0, file.size - position.end_offset) if file_number(file.name) == number else file.size
        for file in files
        if file_number(file.name) >= number
    )


def transactions_behind(known: Gtids, executed: Gtids) -> int | None:
    """Of MariaDB by the numbers, which mostly have no gaps; None for two flavours."""
    if isinstance(known, GtidSet) and isinstance(executed, GtidSet):
        return executed.subtract(known).count()
    if isinstance(known, MariadbPosition) and isinstance(executed, MariadbPosition):
        return known.behind(executed)
    return None


class LagWatch:
    """A thread beside the pump, for one holding. Trouble of its own is no trouble of the instance: figures become unknown."""

    def __init__(
        self,
        endpoint: Endpoint,
        position: Callable[[], Position | None],
        figures: Figures,
        note: Callable[[str, str, Level], None],
        check: Callable[[Endpoint], None] = lambda _: None,
    ) -> None:
        """`position`: the stored one. `note`: Journal.note. `check` is called after each look but the first: what begins
        and ends at once, as in a storm of take-overs, is not to cost the source more.
        """
        self._endpoint = endpoint
        self._position = position
        self._figures = figures
        self._metrics = figures.metrics
        self._note = note
        self._check = check
        self._blocked = False
        self._created = FileTimes(endpoint, self._watch)
        self._end: tuple[str, int] | None = None
        """The source's end when nothing was behind it."""
        self._looks = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lag", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Bytes and transactions are unknown from now on; when the source purges stays known."""
        self._ended.set()
        self._forget()

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                with connect(self._endpoint) as connection:
                    self._follow(connection)
            except (CdcdError, _Ended):
                self._ended.wait(INTERVAL)
            except Exception:  # noqa: BLE001 - without this thread the headroom would run out unnoticed
                structlog.get_logger().exception(
                    "lag.failed", reason="a defect of cdcd: please report it with this log"
                )
                self._ended.wait(FAILED_INTERVAL)
            finally:
                self._forget()

    def _follow(self, connection: Connection) -> None:
        self._look(connection)
        while not self._ended.wait(INTERVAL):
            self._tell_blocked()
            self._look(connection)
            self._check(self._endpoint)

    def _look(self, connection: Connection) -> None:
        position = self._position()
        self._looks += 1
        if position is not None and self._quiet(position) and self._looks % QUIET_LOOKS:
            return
        offset = clock_offset(connection).seconds
        self._figures.compared(offset)
        if position is not None and position.file:
            self._measure(connection, position, offset)

    def _measure(self, connection: Connection, position: Position, offset: float) -> None:
        status = read_status(connection)
        files = [] if oldest_needed(position) == status.file else binlog_files(connection)
        purged = purged_from(position, status, files, time.time() + offset, self._created)
        if self._ended.is_set():
            return
        self._metrics.lag_bytes = behind = bytes_behind(position, status, files)
        self._end = (status.file, status.offset) if behind == 0 else None
        if position.gtid_set is not None:
            self._metrics.lag_transactions = transactions_behind(position.gtid_set, status.gtid_executed)
        self._figures.safe_until(purged)

    def _quiet(self, position: Position) -> bool:
        return (position.file, position.end_offset) == self._end and self._figures.lag(time.time()) == 0

    def _tell_blocked(self) -> None:
        """What an operator finds in the log; the state says it at once."""
        blocked = self._figures.state == "blocked"
        if blocked != self._blocked:
            self._blocked = blocked
            event = "instance.blocked" if blocked else "instance.unblocked"
            self._note(event, self._figures.activity(), "warning" if blocked else "info")

    def _watch(self) -> None:
        if self._ended.is_set():
            raise _Ended

    def _forget(self) -> None:
        self._metrics.lag_bytes = self._metrics.lag_transactions = None


class _Ended(Exception):
    """The holding ended during a look."""
