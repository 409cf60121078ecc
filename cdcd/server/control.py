"""Signals, heard by a thread of their own."""

import os
import signal
import threading
import time

import structlog

from cdcd.worker.stopping import StopSignal

STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})
TICK_SECONDS = 1.0
TICK_LIMIT = 10.0
"""Seconds without a tick after which the process counts as hanging."""


def hold_stop_signals() -> None:
    """Call it before any thread is made, the log's included: every thread inherits it, and `Control` alone is told."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)


class Control:
    """The thread that hears signals, whatever the hot thread waits for: the first one stops, the second one ends at once."""

    def __init__(self, stop: StopSignal) -> None:
        self._stop = stop
        self._ticked = time.monotonic()
        self._thread = threading.Thread(target=self._listen, name="control", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def alive(self) -> bool:
        return time.monotonic() - self._ticked < TICK_LIMIT

    def _listen(self) -> None:
        while True:
            self._ticked = time.monotonic()
            heard = signal.sigtimedwait(STOP_SIGNALS, TICK_SECONDS)
            # A process that was stopped longer than the time-out and continued hears a signal that nobody sent: CPython
            # then returns what lay in memory (its retry after EINTR ends at the deadline as if one had come).
            if heard is None or heard.si_signo not in STOP_SIGNALS:
                continue
            if self._stop.asked:
                os._exit(1)
            structlog.get_logger().info("process.stopping", reason="a signal asked for it; a second one ends at once")
            self._stop.ask()
