"""What a call that waits for Kafka asks: whether to wait on."""

from collections.abc import Iterator
from contextlib import contextmanager

from cdcd.worker.ownership import Ownership
from cdcd.worker.stopping import StopSignal


class Guard:
    """Called several times a second while a call waits; raises to end the wait."""

    def __init__(self, stop: StopSignal, ownership: Ownership) -> None:
        self._stop = stop
        self._ownership = ownership
        self._publishing = False

    @contextmanager
    def publishing(self) -> Iterator[None]:
        """Inside, the end of the ownership ends a wait too; before the lock is taken there is none."""
        self._publishing = True
        try:
            yield
        finally:
            self._publishing = False

    def __call__(self) -> None:
        """Stopped, HoldingLost, NotOwner."""
        self._stop.insist()
        if self._publishing:
            self._ownership.check()
