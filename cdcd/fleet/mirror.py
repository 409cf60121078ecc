"""What the owner of an instance writes for people and tools: a copy of the position, and its status.

Neither is ever read to go on from: a write that is refused or unanswered costs nothing but news.
"""

import time
from collections.abc import Callable

import orjson

from cdcd.binlog.position import PositionRecord
from cdcd.fleet import paths
from cdcd.fleet.nodes import Mirror, Status, encode
from cdcd.fleet.session import Check, Create, Session, Set
from cdcd.observe.failpoints import Failpoint

INTERVAL = 5.0
"""Seconds between two writes of the same kind, if nothing but figures has changed."""


class PositionMirror:
    """The newest position, at most every 5 s; at once in a new holding."""

    def __init__(self, session: Session, instance: str, failpoint: Failpoint) -> None:
        self._session = session
        self._path = paths.position(instance)
        self._epoch_path = paths.epoch(instance)
        self._failpoint = failpoint
        self._pending: PositionRecord | None = None
        self._due_at = 0.0

    def show(self, record: PositionRecord) -> None:
        """To be written soon. By the hot thread: costs nothing."""
        self._pending = record

    def hurry(self) -> None:
        """Write the next one at once."""
        self._due_at = 0.0

    def write(self, epoch_version: int) -> bool:
        """Write what is due. False: refused, as the epoch has been raised by another holding since."""
        record, now = self._pending, time.monotonic()
        if record is None or now < self._due_at:
            return True
        data = encode(Mirror(record.epoch, time.time(), orjson.loads(record.to_json())))
        fence = Check(self._epoch_path, epoch_version)
        self._failpoint("mirror.before_write")
        # The node is there but for the very first time.
        if not self._session.multi(fence, Set(self._path, data)):
            made = self._session.multi(fence, Create(self._path, data))
            if not made:
                return False
        self._failpoint("mirror.after_write")
        self._due_at = now + INTERVAL
        if self._pending is record:
            self._pending = None
        return True


class StatusNote:
    """The newest status, at most every 5 s; at once where more than figures has changed."""

    def __init__(self, session: Session, instance: str, wake: Callable[[], None]) -> None:
        self._session = session
        self._path = paths.status(instance)
        self._wake = wake
        self._pending: Status | None = None
        self._written: tuple[object, ...] = ()
        self._due_at = 0.0

    def tell(self, status: Status) -> None:
        self._pending = status
        if _kernel(status) != self._written:
            self._wake()

    def hurry(self) -> None:
        """Write the next one at once."""
        self._due_at = 0.0

    def write(self) -> None:
        """Write what is due."""
        status, now = self._pending, time.monotonic()
        if status is None or (now < self._due_at and _kernel(status) == self._written):
            return
        data = encode(status)
        if not self._session.set(self._path, data):
            self._session.create(self._path, data)
        self._written, self._due_at = _kernel(status), now + INTERVAL
        if self._pending is status:
            self._pending = None


def _kernel(status: Status) -> tuple[object, ...]:
    """What somebody who looks wants to see at once."""
    return status.state, status.server, status.epoch, status.finding, status.problems
