"""GTID sets with tags: text, wire form and interval arithmetic.

A GTID is (UUID of the server that made the transaction, tag or "", number). Tags exist since MySQL 8.3. Numbers run
from 1 to 2^63 - 2. A set is kept as boundaries: for each (uuid, tag) an ascending tuple `(start, end, start, end, ...)`
of half-open intervals that neither overlap nor touch, so that a place in it is found by bisection and an odd index means
"inside". Gaps are kept, never closed.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

from cdcd.binlog import gtid_wire
from cdcd.binlog.gtid_wire import END, Bounds, GtidSetError, Source, check_gno, check_source

__all__ = ["GtidSet", "GtidSetError", "Interval"]

Interval = tuple[bytes, str, int, int]
"""(uuid as 16 bytes, tag or "", first, last), both ends included: as the decoder reports them."""

Pair = tuple[int, int]
"""(start, end) of a half-open interval."""

_UUID = re.compile(r"\{?([0-9a-f]{8}(-?)[0-9a-f]{4}\2[0-9a-f]{4}\2[0-9a-f]{4}\2[0-9a-f]{12})\}?", re.ASCII)
_TAG = re.compile(r"[a-z_][a-z0-9_]{0,31}", re.ASCII)
_INTERVAL = re.compile(r"([0-9]+)(?:\s*-\s*([0-9]+))?", re.ASCII)


class GtidSet:
    """An immutable set of GTIDs. Every operation returns a new set and costs no more than a copy of what it changes."""

    __slots__ = ("ranges",)
    ranges: Mapping[Source, Bounds]
    """Never changed, and no entry is empty."""

    def __init__(self, intervals: Iterable[Interval] = ()) -> None:
        self.ranges = _collect({}, intervals)

    @classmethod
    def parse(cls, text: str) -> "GtidSet":
        """Read a set as MySQL prints and accepts it: `uuid:1-3:5:blue:1-2,uuid:7`, any white space, any order.

        Stricter than the server in two places where it silently drops what was written: an interval that runs
        backwards and a UUID or tag without a number. Raises GtidSetError naming the piece.
        """
        pieces = (piece.strip() for piece in text.lower().split(","))
        return cls(chain.from_iterable(_parse_source(piece) for piece in pieces if piece))

    @classmethod
    def decode(cls, data: bytes) -> "GtidSet":
        """Read the body of a PREVIOUS_GTIDS event (without checksum). Raises GtidSetError where it is malformed."""
        return cls._of(gtid_wire.decode(data))

    def encode(self) -> bytes:
        """The set as COM_BINLOG_DUMP_GTID carries it: the old form, or the tagged one as soon as there is a tag."""
        return gtid_wire.encode(sorted(self.ranges.items()))

    @classmethod
    def _of(cls, ranges: Mapping[Source, Bounds]) -> "GtidSet":
        made = cls.__new__(cls)
        made.ranges = ranges
        return made

    def __str__(self) -> str:
        """Canonical text in MySQL's order, on one line (MySQL breaks it after each comma)."""
        by_uuid: dict[bytes, list[str]] = {}
        for (uuid, tag), bounds in sorted(self.ranges.items()):
            by_uuid.setdefault(uuid, []).extend([*([tag] if tag else []), *map(_show, *_ends(bounds))])
        return ",".join(":".join([_show_uuid(uuid), *parts]) for uuid, parts in by_uuid.items())

    def __repr__(self) -> str:
        return f"GtidSet({str(self)!r})"

    def __bool__(self) -> bool:
        return bool(self.ranges)

    def __eq__(self, other: object) -> bool:
        return self.ranges == other.ranges if isinstance(other, GtidSet) else NotImplemented

    def __hash__(self) -> int:
        return hash(frozenset(self.ranges.items()))

    def intervals(self) -> Iterator[Interval]:
        """All intervals in canonical order, both ends included."""
        for (uuid, tag), bounds in sorted(self.ranges.items()):
            for first, last in zip(*_ends(bounds), strict=True):
                yield uuid, tag, first, last

    def count(self) -> int:
        """Number of GTIDs. Not `len()`, which cannot go beyond 2^63."""
        return sum(sum(bounds[1::2]) - sum(bounds[::2]) for bounds in self.ranges.values())

    def add(self, uuid: bytes, tag: str, first: int, last: int) -> "GtidSet":
        """With `first` to `last` of (uuid, tag), both included; GtidSetError if they are no numbers of a GTID."""
        return self.add_all(((uuid, tag, first, last),))

    def add_all(self, intervals: Iterable[Interval]) -> "GtidSet":
        """With all of `intervals`; self if that changes nothing."""
        ranges = _collect(self.ranges, intervals)
        return self if ranges is self.ranges else self._of(ranges)

    def union(self, other: "GtidSet") -> "GtidSet":
        """GTIDs in either."""
        ranges = dict(self.ranges)
        for source, bounds in other.ranges.items():
            mine = ranges.get(source)
            ranges[source] = bounds if mine is None else _union(mine, bounds)
        return self._of(ranges)

    def subtract(self, other: "GtidSet") -> "GtidSet":
        """GTIDs in self and not in `other` (MySQL: GTID_SUBTRACT)."""
        ranges = {}
        for source, bounds in self.ranges.items():
            taken = other.ranges.get(source)
            if left := bounds if taken is None else _subtract(bounds, taken):
                ranges[source] = left
        return self._of(ranges)

    def contains(self, other: "GtidSet") -> bool:
        """Whether every GTID of `other` is in self (MySQL: GTID_SUBSET(other, self))."""
        return all(
            _covers(self.ranges.get(source, ()), start, end)
            for source, bounds in other.ranges.items()
            for start, end in _pairs(bounds)
        )

    def is_subset(self, other: "GtidSet") -> bool:
        """Whether every GTID of self is in `other` (MySQL: GTID_SUBSET(self, other))."""
        return other.contains(self)

    def gap(self, uuid: bytes, tag: str, number: int) -> Pair | None:
        """The unknown numbers around `number` as (first, end), end excluded; None if `number` is in the set."""
        bounds = self.ranges.get((uuid, tag), ())
        at = bisect_right(bounds, number)
        return None if at & 1 else (bounds[at - 1] if at else 1, bounds[at] if at < len(bounds) else END)

    def contains_gtid(self, uuid: bytes, tag: str, number: int) -> bool:
        return _covers(self.ranges.get((uuid, tag), ()), number, number + 1)


def _collect(known: Mapping[Source, Bounds], intervals: Iterable[Interval]) -> Mapping[Source, Bounds]:
    """`known` and `intervals` together; `known` itself if they add nothing."""
    news: dict[Source, list[Pair]] = {}
    for uuid, tag, first, last in intervals:
        check_gno(first, last)
        news.setdefault((uuid, tag), []).append((first, last + 1))
    changed: dict[Source, Bounds] = {}
    for source, pairs in news.items():
        bounds = known.get(source)
        if bounds is None:
            check_source(*source)
        grown = _insert(bounds or (), *pairs[0]) if len(pairs) == 1 else _merge([*_pairs(bounds or ()), *pairs])
        if grown != bounds:
            changed[source] = grown
    return {**known, **changed} if changed else known


def _insert(bounds: Bounds, start: int, end: int) -> Bounds:
    low = bisect_left(bounds, start)
    high = bisect_right(bounds, end)
    return bounds[:low] + (() if low & 1 else (start,)) + (() if high & 1 else (end,)) + bounds[high:]


def _covers(bounds: Bounds, start: int, end: int) -> bool:
    at = bisect_right(bounds, start)
    return at & 1 == 1 and end <= bounds[at]


def _pairs(bounds: Bounds) -> Iterator[Pair]:
    return zip(bounds[::2], bounds[1::2], strict=True)


def _merge(pairs: list[Pair]) -> Bounds:
    """Intervals in any order, overlapping or not, to boundaries."""
    merged: list[int] = []
    for start, end in sorted(pairs):
        if merged and start <= merged[-1]:
            merged[-1] = max(merged[-1], end)
        else:
            merged += (start, end)
    return tuple(merged)


def _union(a: Bounds, b: Bounds) -> Bounds:
    return _merge([*_pairs(a), *_pairs(b)])


def _complement(bounds: Bounds) -> Bounds:
    opened = bounds[1:] if bounds[:1] == (1,) else (1, *bounds)
    return opened[:-1] if opened[-1:] == (END,) else (*opened, END)


def _subtract(a: Bounds, b: Bounds) -> Bounds:
    return _complement(_union(_complement(a), b))


def _ends(bounds: Bounds) -> tuple[Bounds, Bounds]:
    """First and last numbers of the intervals."""
    return bounds[::2], tuple(end - 1 for end in bounds[1::2])


def _show(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"


def _show_uuid(uuid: bytes) -> str:
    text = uuid.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _parse_source(piece: str) -> Iterator[Interval]:
    """One UUID's part: intervals, each under the tag named last before it."""
    head, *parts = (part.strip() for part in piece.split(":"))
    if not (match := _UUID.fullmatch(head)) or head.startswith("{") != head.endswith("}"):
        raise GtidSetError(f"GTID set: {_clip(head)} is no UUID, in {_clip(piece)}")
    uuid = bytes.fromhex(match[1].replace("-", ""))
    tag, pending = "", True
    for part in parts:
        if _TAG.fullmatch(part) and not (pending and tag):
            tag, pending = part, True
            continue
        yield uuid, tag, *_parse_interval(part, piece)
        pending = False
    if pending:
        raise GtidSetError(
            f"GTID set: no transaction number after {_clip(parts[-1] if parts else head)}, in {_clip(piece)}"
        )


def _parse_interval(part: str, piece: str) -> tuple[int, int]:
    if not (match := _INTERVAL.fullmatch(part)):
        raise GtidSetError(f"GTID set: {_clip(part)} is neither a number, an interval nor a tag, in {_clip(piece)}")
    # A number of more digits than the largest is refused unread: int() is quadratic in them.
    first, last = (int(digits.lstrip("0")[:40] or 0) for digits in (match[1], match[2] or match[1]))
    try:
        check_gno(first, last)
    except GtidSetError as error:
        raise GtidSetError(f"{error}, in {_clip(piece)}") from None
    return first, last


def _clip(piece: str) -> str:
    return repr(piece if len(piece) <= 120 else piece[:120] + "...")
