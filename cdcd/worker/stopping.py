"""What other threads want of the hot thread: a stop, or a look at its orders. It obeys at once, whatever it waits for."""

import threading
import time
from typing import Protocol

from cdcd.errors import Stopped

GRACE = 5.0
"""Seconds that a stop leaves to store what is published."""


class Sleeper(Protocol):
    """A read that blocks; both may be called from any thread, also after its end."""

    def stop(self) -> None:
        """It raises Stopped, now and ever after."""

    def wake(self) -> None:
        """It returns, with nothing."""


class StopSignal:
    """A stop is asked for once and never taken back; a nudge only ends a wait."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._attention = threading.Event()
        self._deadline = 0.0
        self._sleeper: Sleeper | None = None

    @property
    def asked(self) -> bool:
        return self._asked.is_set()

    def ask(self) -> None:
        self._deadline = time.monotonic() + GRACE
        self._asked.set()
        self._attention.set()
        if self._sleeper is not None:
            self._sleeper.stop()

    def nudge(self) -> None:
        """There is something to look at: an order, or the end of the ownership."""
        self._attention.set()
        if self._sleeper is not None:
            self._sleeper.wake()

    def wakes(self, sleeper: Sleeper) -> None:
        """From now on `sleeper` is stopped and woken. Raises Stopped if a stop came already."""
        self._sleeper = sleeper
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
