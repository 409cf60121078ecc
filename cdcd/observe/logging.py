"""Logs: structlog and the standard library's logging, one way out.

JSON lines where nobody looks (pipe, file), a readable form on a terminal. Everywhere else in cdcd:

    structlog.get_logger().info("instance.acquired", reason="...", gtid=...)

with a fixed event name; the figures stand in named values. Rows' values never do.
"""

import logging
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self, TextIO

import structlog
from structlog.dev import ConsoleRenderer, plain_traceback
from structlog.processors import add_log_level, format_exc_info
from structlog.typing import EventDict

from cdcd.observe.line_length import fitted
from cdcd.observe.log_writer import QUEUE_LINES, LogWriter
from cdcd.observe.redact import Redactor
from cdcd.observe.uncaught import Uncaught

KEYS = ("timestamp", "level", "event", "sync_instance", "server", "epoch", "gtid", "reason")
"""Stand first on a line, in this order; others follow as they were given."""

_STEERING = (
    *range(9),
    *range(11, 32),
    *range(127, 160),
    0x61C,
    0x200E,
    0x200F,
    *range(0x2028, 0x202F),
    *range(0x2066, 0x206A),
)
_VISIBLE = {code: ascii(chr(code))[1:-1] for code in _STEERING}
"""As text: what a server sends must neither steer the reader's terminal nor turn the direction of its writing."""

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class Logs:
    """The logging of a process, from construction until `close`. One at a time.

    `stream`: standard output; standard error where the output is data. `context`: values shown on every line;
    may be changed at any time, as when a new epoch begins.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        level: str = "info",
        context: Mapping[str, object] | None = None,
        limit: int = QUEUE_LINES,
    ) -> None:
        self.context: dict[str, object] = dict(context or {})
        self._redactor = Redactor()
        self._terminal = _terminal() if stream.isatty() else None
        stream.flush()
        self._stream = stream  # held, so that its descriptor cannot be closed and become another file's
        self._writer = LogWriter(stream.fileno(), self._dropped_notice, limit)
        structlog.configure(
            processors=[self._filter, add_log_level, format_exc_info, self._complete, self._render],
            wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
            logger_factory=lambda *_: _Sink(self._writer),
            cache_logger_on_first_use=False,
        )
        logging.basicConfig(handlers=[_Bridge()], force=True)
        logging.captureWarnings(capture=True)
        self._uncaught = Uncaught()
        self.set_level(level)

    @property
    def dropped(self) -> int:
        """Lines lost because nobody read the output."""
        return self._writer.dropped

    def set_level(self, level: str) -> None:
        """Show this level and above: debug, info, warning or error. KeyError for another."""
        self._threshold = LEVELS[level]
        logging.getLogger().setLevel(self._threshold)

    def hide(self, secret: str) -> None:
        """Never show this text from now on."""
        self._redactor.hide(secret)

    def close(self, timeout: float = 2.0) -> None:
        """Write out what is queued, waiting at most `timeout` seconds; later lines go nowhere."""
        self._uncaught.restore()
        self._writer.close(timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _filter(self, _: Any, method: str, event: EventDict) -> EventDict:
        if LEVELS.get(method, logging.ERROR) < self._threshold:
            raise structlog.DropEvent
        return event

    def _complete(self, _: Any, __: str, event: EventDict) -> EventDict:
        members = {"timestamp": _now(), **self.context, **event}
        ordered = {key: members.pop(key) for key in KEYS if key in members} | members
        return {key: self._redactor.member(key, value) for key, value in ordered.items()}

    def _render(self, logger: Any, method: str, event: EventDict) -> str:
        if self._terminal:
            shown = {
                key: value.translate(_VISIBLE) if isinstance(value, str) else value for key, value in event.items()
            }
            return self._terminal(logger, method, shown)
        return fitted(event).decode()

    def _dropped_notice(self, lines: int) -> str:
        event = {"level": "warning", "event": "log.dropped", "lines": lines, "reason": "the log output was not read"}
        return self._render(None, "warning", self._complete(None, "warning", event))


class _Sink:
    """structlog's end of the queue: each level is a method."""

    def __init__(self, writer: LogWriter) -> None:
        self.debug = self.info = self.warning = self.error = self.critical = writer.write


class _Bridge(logging.Handler):
    """The standard library's records, librdkafka's among them: the logger's name is the event."""

    def emit(self, record: logging.LogRecord) -> None:
        log = getattr(structlog.get_logger(), _at_least(record.levelno))
        log(record.name, message=_message(record), exc_info=record.exc_info or None)


def _at_least(number: int) -> str:
    """Name of the highest level not above `number`."""
    return [name for name, lowest in LEVELS.items() if lowest <= max(number, logging.DEBUG)][-1]


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):  # arguments that do not fit; a log line must not stop its writer
        return f"{record.msg} {record.args}"


def _terminal() -> ConsoleRenderer:
    # Plain: the default shows the values of local variables, passwords among them.
    return ConsoleRenderer(colors="NO_COLOR" not in os.environ, exception_formatter=plain_traceback)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
