"""Watches over the stretch in which this process may publish: from the lock to the end of the producer."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from cdcd.errors import HoldingLost, NotOwner
from cdcd.worker.ownership import Ownership
from cdcd.worker.stopping import StopSignal


class Guard:
    """The hot thread enters and leaves `publishing`; any other may ask how long it should have left it."""

    def __init__(self, stop: StopSignal, ownership: Ownership) -> None:
        self._stop = stop
        self._ownership = ownership
        self._publishing = False
        self._lost_at: float | None = None

    @contextmanager
    def publishing(self) -> Iterator[None]:
        self._lost_at = None
        self._publishing = True
        try:
            yield
        finally:
            self._publishing = False

    def __call__(self) -> None:
        """Several times a second while a call waits for Kafka: raises to end the wait."""
        self._stop.insist()
        if self._publishing:
            self._ownership.check()

    def overdue(self) -> float:
        """Seconds since it was seen here that the ownership is lost while the hot thread publishes on; 0: all is well."""
        if not self._publishing:
            self._lost_at = None
            return 0.0
        try:
            self._ownership.check()
        except (HoldingLost, NotOwner):
            self._lost_at = self._lost_at or time.monotonic()
            return time.monotonic() - self._lost_at
        self._lost_at = None
        return 0.0
