"""Calls in threads of their own, whose results a test waits for."""

import threading
from collections.abc import Callable
from typing import Any


class Call:
    """One call; `result` is what it returned or raised."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._value: Any = None
        self._error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self._value = self._function()
        except BaseException as error:  # noqa: BLE001 - raised where the result is asked for
            self._error = error

    def done(self, seconds: float) -> bool:
        """Whether it has ended; waits at most that long for it."""
        self.thread.join(seconds)
        return not self.thread.is_alive()

    def result(self, seconds: float = 60.0) -> Any:
        assert self.done(seconds), f"not within {seconds} s"
        if self._error is not None:
            raise self._error
        return self._value


class Background:
    """The calls of one test."""

    def __init__(self) -> None:
        self._calls: list[Call] = []

    def start(self, function: Callable[[], Any]) -> Call:
        self._calls.append(Call(function))
        return self._calls[-1]

    def join(self) -> None:
        """Wait a little for what still runs; the threads are daemons."""
        for call in self._calls:
            call.done(1.0)
