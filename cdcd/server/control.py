"""Signals, heard by a thread of their own, which also tells systemd that the process makes progress."""

import math
import os
import signal
import threading
import time
from collections.abc import Callable

import structlog

from cdcd.observe.notify import Notifier
from cdcd.worker.stopping import StopSignal

STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})
SIGNALS = STOP_SIGNALS | {signal.SIGHUP}
TICK_SECONDS = 1.0
TICK_LIMIT = 10.0
"""Seconds without a tick after which the process counts as hanging."""


def hold_signals() -> None:
    """Call it before any thread is made, the log's included: every thread inherits it, and `Control` alone is told."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


class Control:
    """The thread that hears signals, whatever the hot thread waits for: the first one stops, the second one ends at once.

    SIGHUP calls `reload`. Systemd hears `WATCHDOG=1` with each tick, unless `progress` says that somebody else hangs.
    """

    def __init__(self, stop: StopSignal, notifier: Notifier, reload: Callable[[], None]) -> None:
        """`reload` runs in the control thread, never raises and does not wait."""
        self._stop = stop
        self._notifier = notifier
        self._reload = reload
        self._progress: Callable[[], bool] = lambda: True
        self._sentence: Callable[[], str] = lambda: ""
        self._defect_told = False
        self._ticked = time.monotonic()
        self._pause = min(TICK_SECONDS, (notifier.watchdog or math.inf) / 3)
        self._thread = threading.Thread(target=self._listen, name="control", daemon=True)

    def start(self, progress: Callable[[], bool], sentence: Callable[[], str]) -> None:
        """The process works from now on. `sentence`: for people, asked with each tick; neither may wait."""
        self._progress, self._sentence = progress, sentence
        self._notifier.ready()
        self._thread.start()

    def alive(self) -> bool:
        """Whether it ticks, and so does what `start` was given."""
        return time.monotonic() - self._ticked < TICK_LIMIT and self._progress()

    def _listen(self) -> None:
        while True:
            self._tick()
            heard = signal.sigtimedwait(SIGNALS, self._pause)
            # A process that was stopped longer than the time-out and continued hears a signal that nobody sent: CPython
            # then returns what lay in memory (its retry after EINTR ends at the deadline as if one had come).
            if heard is None or heard.si_signo not in SIGNALS:
                continue
            if heard.si_signo == signal.SIGHUP:
                self._read_settings()
            elif self._stop.asked:
                os._exit(1)
            else:
                self._end()

    def _tick(self) -> None:
        self._ticked = time.monotonic()
        if self._progress():
            self._notifier.alive()
        self._notifier.status(self._told())

    def _told(self) -> str:
        """A defect in what tells how the process is must not end the thread that hears SIGTERM; the log has it once."""
        try:
            return self._sentence()
        except Exception:  # noqa: BLE001 - whatever it is
            if not self._defect_told:
                self._defect_told = True
                structlog.get_logger().exception(
                    "status.failed", reason="a defect of cdcd: please report it with this log"
                )
            return "how it is cannot be told: see the log"

    def _read_settings(self) -> None:
        self._notifier.reloading()
        self._reload()
        self._notifier.ready()

    def _end(self) -> None:
        structlog.get_logger().info("process.stopping", reason="a signal asked for it; a second one ends at once")
        self._notifier.stopping()
        self._stop.ask()
