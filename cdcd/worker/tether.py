"""What ties a worker to its server: a thread that hears the server and signals, and tells the server how things are."""

import select
import selectors
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler

import structlog

from cdcd.worker.channel import Farewell, Hello, LogLevel, Report, Stop
from cdcd.worker.stopping import StopSignal

TELL_SECONDS = 1.0
QUIET_SECONDS = 5.0
"""So often it hears from a worker that has nothing to do: an idle instance is to cost next to nothing."""
ALONE_SECONDS = 2.0
"""So long a worker may take to end once its server is gone."""

_WAKE = b"\0"
"""No signal has this number."""

Exit = Callable[[str], None]
"""Ends the process at once, for that reason; never returns."""


class Tether:
    """One for a process. The first SIGTERM, a Stop and the end of the server all ask for the same stop."""

    def __init__(self, pipe: Connection, stop: StopSignal, exit_now: Exit, log_at: Callable[[str], None]) -> None:
        """`log_at`: sets the least level that is logged."""
        self._pipe = pipe
        self._stop = stop
        self._exit_now = exit_now
        self._log_at = log_at
        self._report: Callable[[], Report] | None = None
        self._sending = threading.Lock()
        self._told: object = None
        self._tell_at = 0.0
        self._end_at: float | None = None
        self._wake, self._woken = socket.socketpair()
        self._wake.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._woken, selectors.EVENT_READ, self._hear_signals)
        self._selector.register(self._pipe, selectors.EVENT_READ, self._hear_server)
        self._thread = threading.Thread(target=self._listen, name="tether", daemon=True)

    def start(self) -> None:
        """By the main thread. Ctrl-C at a terminal reaches the server as well, which stops its workers in order."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, _heard)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        # The server holds its signals back, and everything that it starts inherits that.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        self._thread.start()

    def introduce(self, hello: Hello, report: Callable[[], Report]) -> None:
        """The first message; from now on `report` is asked each second, in the tether's thread."""
        self._send(hello)
        self._report = report
        self.wake()

    def wake(self) -> None:
        """From any thread: there is something to tell."""
        with suppress(OSError):
            self._wake.send(_WAKE)

    def farewell(self, farewell: Farewell) -> None:
        """The last message."""
        self._report = None
        self._send(farewell)

    def _listen(self) -> None:
        try:
            while True:
                self._turn()
        except Exception:  # noqa: BLE001 - whatever it is: a worker that hears nothing must not go on
            structlog.get_logger().exception("worker.failed", reason="a defect of cdcd: please report it with this log")
            self._exit_now("it would hear neither its server nor signals any more")

    def _turn(self) -> None:
        for key, _ in self._selector.select(self._patience()):
            key.data()
        now = time.monotonic()
        if self._end_at is not None and now >= self._end_at:
            self._exit_now(f"the server is gone, and this did not end within {ALONE_SECONDS:g} s")
        if now >= self._tell_at:
            self._tell_at = now + self._tell()

    def _patience(self) -> float:
        due = self._tell_at if self._end_at is None else min(self._tell_at, self._end_at)
        return max(0.0, due - time.monotonic())

    def _hear_signals(self) -> None:
        heard = self._woken.recv(64)
        for _ in heard.replace(_WAKE, b""):
            if self._stop.asked:
                self._exit_now("a second signal")
            self._ask("a signal asked for it; a second one ends at once")
        if _WAKE in heard:
            self._tell_at = 0.0

    def _hear_server(self) -> None:
        try:
            message = self._pipe.recv()
        except (EOFError, OSError):
            self._selector.unregister(self._pipe)
            self._report = None
            self._end_at = time.monotonic() + ALONE_SECONDS
            self._ask("the server is gone")
        else:
            match message:
                case Stop():
                    self._ask("the server asked for it")
                case LogLevel():
                    self._log_at(message.level)

    def _ask(self, reason: str) -> None:
        structlog.get_logger().info("worker.stopping", reason=reason)
        self._stop.ask()

    def _tell(self) -> float:
        """Seconds until the next time. A server that is stopped in its tracks and does not read is told nothing."""
        source = self._report
        if source is None:
            return TELL_SECONDS
        report = source()
        try:
            message = bytes(ForkingPickler.dumps(report))
        except RuntimeError:  # the hot thread added a label to a figure meanwhile
            return 0.0
        if self._writable():
            with self._sending, suppress(OSError):
                if self._report is source:
                    self._pipe.send_bytes(message)
        before, self._told = self._told, _done(report)
        return QUIET_SECONDS if self._told == before else TELL_SECONDS

    def _writable(self) -> bool:
        """A Unix socket with room has room for at least half of its buffer, which is far more than a report."""
        poll = select.poll()
        poll.register(self._pipe, select.POLLOUT)
        return bool(poll.poll(0))

    def _send(self, message: Hello | Farewell) -> None:
        with self._sending, suppress(OSError):  # a server that is gone is noticed by what it no longer sends
            self._pipe.send(message)


def _done(report: Report) -> object:
    """What changes while there is something to do."""
    figures = report.metrics
    return figures.state, figures.transactions, figures.published_records, figures.transaction_read_bytes


def _heard(number: int, frame: object) -> None:
    """The wake-up descriptor has told the tether already, whatever this thread was doing."""
