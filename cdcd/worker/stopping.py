"""What other threads want of the hot thread: a stop, or a look at its orders. It obeys at once, whatever it waits for."""

import threading
import time
from collections.abc import Callable

from cdcd.errors import Stopped

GRACE = 5.0
"""Seconds that a stop leaves to store what is published."""


class StopSignal:
    """A stop is asked for once and never taken back; a nudge only ends a wait."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._attention = threading.Event()
        self._deadline = 0.0
        self._on_stop: Callable[[], None] = _nobody
        self._on_nudge: Callable[[], None] = _nobody

    @property
    def asked(self) -> bool:
        return self._asked.is_set()

    def ask(self) -> None:
        self._deadline = time.monotonic() + GRACE
        self._asked.set()
        self._attention.set()
        self._on_stop()

    def nudge(self) -> None:
        """There is something to look at: an order, or the end of the ownership."""
        self._attention.set()
        self._on_nudge()

    def wakes(self, on_stop: Callable[[], None], on_nudge: Callable[[], None] | None = None) -> None:
        """Both are called in any thread, so that a blocked read ends. Raises Stopped if a stop came already."""
        self._on_stop, self._on_nudge = on_stop, on_nudge or _nobody
        self.proceed()

    def wait(self, seconds: float | None = None) -> None:
        """Sleep until a stop, a nudge, or that long."""
        if not self.asked:
            self._attention.wait(seconds)
            self._attention.clear()

    def proceed(self) -> None:
        """Raises Stopped once a stop was asked for."""
        if self.asked:
            raise Stopped("asked to stop")

    def insist(self) -> None:
        """Raises Stopped once a stop has waited long enough for Kafka."""
        if self.asked and time.monotonic() > self._deadline:
            raise Stopped(f"Kafka did not answer within {GRACE:.0f} s of the stop")


def _nobody() -> None:
    """Nobody sleeps."""
