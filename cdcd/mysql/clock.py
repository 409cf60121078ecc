"""How a source's clock differs from ours: asked, like NTP does, and the quickest answer believed."""

import time
from dataclasses import dataclass
from datetime import UTC

from cdcd.mysql.connection import Connection

SAMPLES = 3


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """Seconds by which the source's clock is ahead of this host's (negative: behind)."""

    seconds: float
    uncertainty: float
    """At most so far off: half of the time that the answer took."""


def clock_offset(connection: Connection, samples: int = SAMPLES) -> ClockOffset:
    """The source read its clock between our question and its answer: we take the middle. Raises FindingError."""
    return min((_sample(connection) for _ in range(samples)), key=lambda sample: sample.uncertainty)


def _sample(connection: Connection) -> ClockOffset:
    asked = time.time()
    row = connection.row("SELECT UTC_TIMESTAMP(6)")
    answered = time.time()
    assert row is not None
    there = row[0].replace(tzinfo=UTC).timestamp()
    return ClockOffset(there - (asked + answered) / 2, max(0.0, answered - asked) / 2)
