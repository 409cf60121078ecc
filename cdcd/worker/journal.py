"""What happened to an instance: a log line and an entry in `/status` for each change, with its reason."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Literal

import structlog

from cdcd.errors import Finding

EVENTS_KEPT = 50

Level = Literal["info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Event:
    at: str
    """ISO 8601, UTC."""
    event: str
    reason: str


class Journal:
    """Of one instance; any thread may read it."""

    def __init__(self, instance: str, changed: Callable[[], None] = lambda: None) -> None:
        """`changed` is called with each entry."""
        self._changed = changed
        self._log = structlog.get_logger().bind(sync_instance=instance)
        self._events: deque[Event] = deque(maxlen=EVENTS_KEPT)

    def note(self, event: str, reason: str, level: Level = "info", **more: object) -> None:
        self._events.append(Event(iso(time.time()), event, reason))
        getattr(self._log, level)(event, reason=reason, **more)
        self._changed()

    def warn(self, finding: Finding) -> None:
        """Something that somebody should see to, but that does not stop the instance."""
        self.note("instance.warning", str(finding), "warning", finding=finding.code)

    @property
    def last_reason(self) -> str:
        """Of the last entry."""
        return self._events[-1].reason if self._events else ""

    def events(self) -> list[dict[str, str]]:
        """The last ones, oldest first."""
        return [asdict(event) for event in list(self._events)]


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
