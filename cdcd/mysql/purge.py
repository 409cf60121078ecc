"""How long a source keeps what a position still needs.

MySQL and MariaDB purge, at a rotation or restart, the oldest files that were last written to more than their limit ago
(binlog_expire_logs_seconds, expire_logs_days); the file in use stays. A file was last written to when the next was made.
"""

from collections.abc import Callable

from cdcd.binlog.position import Position, file_number
from cdcd.mysql.connection import Endpoint
from cdcd.mysql.scan import BinlogScan, Watch, unwatched
from cdcd.mysql.server import BinlogFile, ServerStatus

Created = Callable[[str], float]
"""When a binlog file was made, Unix seconds of the source's clock."""


def oldest_needed(position: Position) -> str:
    """The first binlog file that is still needed: its own, or one with rows of a prepared XA transaction."""
    return min((position.file, *(each.file for each in position.held if each.file)), key=file_number)


def purged_from(
    position: Position, status: ServerStatus, files: list[BinlogFile], now: float, created: Created
) -> float | None:
    """When the source may purge the oldest file that `position` needs; None where it keeps binlogs for ever, and for a
    position on another server.

    Unix seconds of the source's clock, as `now` is. What is in the file in use is safe for the whole limit from now on.
    """
    if not status.expire_seconds or position.server_uuid != status.server_uuid:
        return None
    oldest = oldest_needed(position)
    if oldest == status.file:
        return now + status.expire_seconds
    number = file_number(oldest)
    if not any(file_number(file.name) == number for file in files):
        return now
    later = [file.name for file in files if file_number(file.name) > number]
    return (created(later[0]) if later else now) + status.expire_seconds


class FileTimes:
    """When binlog files were made, by their first event; each costs a short dump, once."""

    def __init__(self, endpoint: Endpoint, watch: Watch = unwatched) -> None:
        self._endpoint = endpoint
        self._watch = watch
        self._last: tuple[str, float] = ("", 0.0)

    def __call__(self, file: str) -> float:
        """Raises FindingError, BinlogError, and what `watch` raises."""
        if self._last[0] != file:
            self._last = file, float(BinlogScan(self._endpoint, file, watch=self._watch).file_created())
        return self._last[1]
