"""How far the position is behind the source's end, in bytes and transactions: asked now and then on a control connection."""

import threading
from collections.abc import Callable

from cdcd.binlog.gtid import GtidSet
from cdcd.binlog.mariadb_gtid import MariadbPosition
from cdcd.binlog.position import Gtids, Position, file_number
from cdcd.errors import CdcdError
from cdcd.mysql.connection import Connection, Endpoint, connect
from cdcd.mysql.server import BinlogFile, ServerStatus, binlog_files, read_status
from cdcd.observe.metrics import InstanceMetrics

INTERVAL = 5.0
"""Seconds."""
QUIET_LOOKS = 6
"""Each so many looks the source is asked although the position stands at what was its end: forty idle instances are not to
cost it, or us, anything."""


def bytes_behind(position: Position, status: ServerStatus, files: list[BinlogFile]) -> int:
    """Bytes of binlog from the position to the source's end: what is left of its file, and all later files."""
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

    def __init__(self, endpoint: Endpoint, position: Callable[[], Position | None], metrics: InstanceMetrics) -> None:
        self._endpoint = endpoint
        self._position = position
        self._metrics = metrics
        self._end: tuple[str, int] | None = None
        """The source's end when nothing was behind it."""
        self._looks = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lag", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Its figures are unknown from now on."""
        self._ended.set()
        self._forget()

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                with connect(self._endpoint) as connection:
                    while not self._ended.is_set():
                        self._look(connection)
                        self._ended.wait(INTERVAL)
            except CdcdError:
                self._forget()
                self._ended.wait(INTERVAL)

    def _look(self, connection: Connection) -> None:
        position = self._position()
        if position is None or not position.file:
            return
        self._looks += 1
        if (position.file, position.end_offset) == self._end and self._looks % QUIET_LOOKS:
            return
        status = read_status(connection)
        files = [] if position.file == status.file else binlog_files(connection)
        if self._ended.is_set():
            return
        self._metrics.lag_bytes = behind = bytes_behind(position, status, files)
        self._end = None if behind else (status.file, status.offset)
        if position.gtid_set is not None:
            self._metrics.lag_transactions = transactions_behind(position.gtid_set, status.gtid_executed)

    def _forget(self) -> None:
        self._metrics.lag_bytes = self._metrics.lag_transactions = None
