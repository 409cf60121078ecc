"""Log lines to a file descriptor without ever waiting for its reader."""

import os
import select
import threading
from collections.abc import Callable
from itertools import count
from queue import SimpleQueue

QUEUE_LINES = 4096


class LogWriter:
    """A bounded queue and the thread that empties it into `fd`.

    `write` returns at once; when `limit` lines wait because nobody reads, further ones are dropped and counted, and
    `notice(number dropped)` is written as soon as there is room. Safe to call from signal handlers.
    """

    def __init__(self, fd: int, notice: Callable[[int], str], limit: int = QUEUE_LINES) -> None:
        self.dropped = 0
        """Lines dropped so far, lines that could not be written included."""
        self._drops = count(1)
        self._fd = fd
        self._notice = notice
        self._limit = limit
        # Not queue.Queue: a signal handler that logs while its lock is held would wait for itself.
        self._lines: SimpleQueue[str | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        """Queue one line, without its newline."""
        if self._lines.qsize() < self._limit:
            self._lines.put(line)
        else:
            self._drop()

    def close(self, timeout: float) -> None:
        """Write what is queued, for at most `timeout` seconds; the rest is lost."""
        self._lines.put(None)
        self._thread.join(timeout)

    def _drop(self) -> None:
        self.dropped = next(self._drops)

    def _run(self) -> None:
        told = 0
        while (line := self._lines.get()) is not None:
            self._put(line)
            if (dropped := self.dropped) > told and self._put(self._notice(dropped - told)):
                told = dropped

    def _put(self, line: str) -> bool:
        data = memoryview(line.encode("utf-8", "backslashreplace") + b"\n")
        try:
            while data:
                data = data[self._some(data) :]
        except OSError:  # the reader is gone for good, there is nobody to tell
            self._drop()
            return False
        return True

    def _some(self, data: memoryview) -> int:
        try:
            return os.write(self._fd, data)
        except BlockingIOError:
            select.select([], [self._fd], [], 1.0)
            return 0
