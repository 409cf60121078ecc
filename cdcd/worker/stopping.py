"""A stop that any thread asks for and the hot thread obeys."""

import threading
import time
from collections.abc import Callable

from cdcd.errors import Stopped

GRACE = 5.0
"""Seconds that a stop leaves to store what is published."""


class StopSignal:
    """Asked for once, never taken back."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._deadline = 0.0
        self._wake: Callable[[], None] = lambda: None

    @property
    def asked(self) -> bool:
        return self._asked.is_set()

    def ask(self) -> None:
        self._deadline = time.monotonic() + GRACE
        self._asked.set()
        self._wake()

    def wakes(self, wake: Callable[[], None]) -> None:
        """`wake` is called by a stop, so that a blocked read ends. Raises Stopped if it came already."""
        self._wake = wake
        self.proceed()

    def wait(self, seconds: float | None = None) -> None:
        """Sleep until a stop, or that long."""
        self._asked.wait(seconds)

    def proceed(self) -> None:
        """Raises Stopped once a stop was asked for."""
        if self.asked:
            raise Stopped("asked to stop")

    def insist(self) -> None:
        """Raises Stopped once a stop has waited long enough for Kafka."""
        if self.asked and time.monotonic() > self._deadline:
            raise Stopped(f"Kafka did not answer within {GRACE:.0f} s of the stop")
