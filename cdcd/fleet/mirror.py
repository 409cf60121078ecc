"""What the owner of an instance writes for people and tools: a copy of the position, and its status.

Neither is read to go on from, but for the copy where the position topic was lost: a write that is refused or unanswered costs
nothing but news.
"""

import time
from collections.abc import Callable
from math import inf

import orjson

from cdcd.binlog.position import PositionRecord
from cdcd.fleet import paths
from cdcd.fleet.nodes import Mirror, Status, encode
from cdcd.fleet.session import Check, Create, Session, Set
from cdcd.observe.failpoints import Failpoint

INTERVAL = 5.0
"""Seconds between two writes of the same kind, if nothing but figures has changed."""
LONG_INTERVAL = 30.0
"""The same for a status that says what the one before said: an idle instance is to cost next to nothing."""


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
    """The newest status, every 5 s while figures change, else every 30 s; at once where more than figures has changed."""

    def __init__(self, session: Session, instance: str, wake: Callable[[], None]) -> None:
        self._session = session
        self._path = paths.status(instance)
        self._wake = wake
        self._pending: Status | None = None
        self._written: Status | None = None
        self._written_at = -inf

    def tell(self, status: Status) -> None:
        self._pending = status
        if self._written is None or _kernel(status) != _kernel(self._written):
            self._wake()

    def hurry(self) -> None:
        """Write the next one at once."""
        self._written_at = -inf

    def write(self) -> None:
        """Write what is due."""
        status, now = self._pending, time.monotonic()
        if status is None or now < self._written_at + _interval(self._written, status):
            return
        data = encode(status)
        if not self._session.set(self._path, data):
            self._session.create(self._path, data)
        self._written, self._written_at = status, now
        if self._pending is status:
            self._pending = None


def _interval(written: Status | None, status: Status) -> float:
    """Seconds between the two."""
    if written is None or _kernel(written) != _kernel(status):
        return 0.0
    return LONG_INTERVAL if _figures(written) == _figures(status) else INTERVAL


def _kernel(status: Status) -> tuple[object, ...]:
    """What somebody who looks wants to see at once."""
    return status.state, status.server, status.epoch, status.finding, status.problems


def _figures(status: Status) -> tuple[object, ...]:
    """The rest of what it says, but for the time of saying it."""
    lag = None if status.lag_seconds is None else round(status.lag_seconds)
    return status.since, lag, status.tables, status.events
