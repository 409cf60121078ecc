"""Time zones for the native core: every change of the offset from 1970 to 2106, from the system's tz database."""

from datetime import datetime
from functools import cache
from zoneinfo import ZoneInfo

from cdcd.binlog.core.native import Zone

_DAY = 86_400
_END = 1 << 32
"""TIMESTAMP is at most an unsigned number of 32 bits."""


@cache
def zone(name: str) -> Zone:
    """Raises zoneinfo.ZoneInfoNotFoundError."""
    starts, offsets = changes(ZoneInfo(name))
    return Zone(starts, offsets)


def changes(info: ZoneInfo) -> tuple[list[int], list[int]]:
    """From which second on (the first is 0) which offset holds. No zone ever changed twice within a day."""
    starts, offsets = [0], [_offset(info, 0)]
    for day in range(0, _END, _DAY):
        last = min(day + _DAY, _END - 1)
        if (offset := _offset(info, last)) != offsets[-1]:
            starts.append(_change(info, day, last))
            offsets.append(offset)
    return starts, offsets


def _change(info: ZoneInfo, before: int, after: int) -> int:
    """The first second with the offset of `after`; at `before` it is another."""
    wanted = _offset(info, after)
    while after - before > 1:
        middle = (before + after) // 2
        if _offset(info, middle) == wanted:
            after = middle
        else:
            before = middle
    return after


def _offset(info: ZoneInfo, seconds: int) -> int:
    offset = datetime.fromtimestamp(seconds, info).utcoffset()
    assert offset is not None
    return round(offset.total_seconds())
