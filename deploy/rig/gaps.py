"""How long an instance published nothing, by the time stamps that its committed messages carry."""

import statistics
from collections.abc import Iterable
from itertools import pairwise

from deploy.rig.topics import read_committed


def published_at(bootstrap: str, topics: list[str]) -> list[int]:
    """When each committed message was made, in Unix milliseconds, in order."""
    return sorted(record.timestamp_ms for record in read_committed(bootstrap, topics))


def longest_gap(times: list[int], since_ms: float, until_ms: float) -> int:
    """Milliseconds: the longest time without a message that touches `since_ms`..`until_ms`."""
    pairs = pairwise(times)
    return max((later - before for before, later in pairs if later >= since_ms and before <= until_ms), default=0)


def first_after(times: list[int], moment_ms: float) -> int | None:
    """The first message made after that moment."""
    return next((each for each in times if each > moment_ms), None)


def spread(values: Iterable[float]) -> dict[str, float]:
    """What `make prove` prints of a series."""
    found = sorted(values)
    return {
        "n": len(found),
        "median": round(statistics.median(found), 3),
        "max": round(found[-1], 3),
    }
