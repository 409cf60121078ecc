"""Where in a source's binlog a table's column names are known to hold (docs/architecture.md, "Schema memory").

A *stretch* is a piece of one server's binlog that an instance reads without a gap. A *span* says that a definition holds
from the first event it was proven for until a statement may have changed the table. A span that no statement has ended
holds to the end of its stretch: nothing was missed up to there.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from cdcd.binlog.position import coordinate, file_number
from cdcd.binlog.touching import Table


@dataclass(frozen=True, slots=True)
class Place:
    """Where a transaction starts."""

    file: str
    offset: int
    created: int
    """When the file was created, seconds since 1970, by its FDE: tells it from one of the same name after a RESET."""

    @property
    def order(self) -> tuple[int, int]:
        """Among the places of one stretch."""
        return coordinate(self.file, self.offset)

    def __str__(self) -> str:
        return f"{self.file}:{self.offset}"


@dataclass(slots=True)
class Stretch:
    """Read from `start` to `end` without a gap."""

    number: int
    server_uuid: str
    carries: bool
    """It begins where the one before it ended, on another server: what held there holds here."""
    start: tuple[str, int] | None = None
    """None: no transaction of it was looked at yet."""
    end: tuple[str, int] | None = None
    """None: it is being read."""
    files: dict[str, int] = field(default_factory=dict)
    """Those it lies in, and when they were created."""

    def contains(self, server_uuid: str, place: Place) -> bool:
        if server_uuid != self.server_uuid or self.start is None or self.files.get(place.file) != place.created:
            return False
        return coordinate(*self.start) <= place.order and (self.end is None or place.order <= coordinate(*self.end))

    def enter(self, file: str, created: int) -> bool:
        """Reading has come to this file; False if that is one of another history than the stretch's."""
        return self.files.setdefault(file, created) == created

    def since(self, oldest: str) -> "Stretch":
        """Without the files before `oldest`; its start counts as in that."""
        kept = {name: created for name, created in self.files.items() if file_number(name) >= file_number(oldest)}
        if len(kept) == len(self.files) or self.start is None:
            return self
        return replace(self, start=max(self.start, (oldest, 0), key=lambda place: coordinate(*place)), files=kept)


Point = tuple[int, str, int]
"""(number of a stretch, file, offset): these are in one order, which is that of reading."""


@dataclass(frozen=True, slots=True)
class Span:
    """Where one definition of a table holds, for the events whose TABLE_MAP has this fingerprint."""

    table: Table
    fingerprint: bytes
    start: Point
    end: Point | None
    """The statement that may have changed the table; not part of the span. None: there was none yet."""
    definition: bytes
    """Names, labels and key; what they mean is for the reader of the table's definition to know."""

    def covers(self, point: Point) -> bool:
        return _order(self.start) <= _order(point) and (self.end is None or _order(point) < _order(self.end))


def _order(point: Point) -> tuple[int, int, int]:
    number, file, offset = point
    return number, *coordinate(file, offset)


class Spans:
    """All that one instance remembers, in memory. Knows no topic."""

    def __init__(self) -> None:
        self.stretches: dict[int, Stretch] = {}
        self._by_table: dict[Table, list[Span]] = {}
        self._definitions: dict[bytes, bytes] = {}
        """One object for equal ones: thousands of tables may be alike."""

    @property
    def newest(self) -> Stretch | None:
        return self.stretches[max(self.stretches)] if self.stretches else None

    @property
    def live(self) -> Stretch | None:
        """The one that is being read."""
        newest = self.newest
        return newest if newest is not None and newest.end is None else None

    def put(self, span: Span) -> None:
        """Add it, or put it in the place of the one with its table, fingerprint and start."""
        definition = self._definitions.setdefault(span.definition, span.definition)
        if definition is not span.definition:
            span = replace(span, definition=definition)
        spans = self._by_table.setdefault(span.table, [])
        spans[:] = [each for each in spans if (each.fingerprint, each.start) != (span.fingerprint, span.start)]
        spans.append(span)

    def find(self, table: Table, fingerprint: bytes, server_uuid: str, place: Place) -> Span | None:
        """One that holds there."""
        numbers = [each.number for each in self.stretches.values() if each.contains(server_uuid, place)]
        for number in sorted(numbers, reverse=True):
            point = number, place.file, place.offset
            for span in reversed(self.of(table)):
                if span.fingerprint == fingerprint and span.covers(point) and self._carried(span.start[0], number):
                    return span
        return None

    def later(self, table: Table, server_uuid: str, place: Place) -> tuple[Span, Place] | None:
        """The nearest one that begins after `place` on this server, whatever its fingerprint, and where."""
        found = [(span, start) for span in self.of(table) if (start := self._start(span, server_uuid))]
        behind = [(span, start) for span, start in found if start.order > place.order]
        return min(behind, key=lambda each: each[1].order, default=None)

    def open_at(self, table: Table, point: Point) -> list[Span]:
        """Those of the live stretch, and those carried into it, that hold before `point` and that nothing has ended."""
        return [
            span
            for span in self.of(table)
            if span.end is None and _order(span.start) < _order(point) and self._carried(span.start[0], point[0])
        ]

    def of(self, table: Table) -> list[Span]:
        return self._by_table.get(table, [])

    def open_tables(self) -> Iterator[Table]:
        """Tables with a span that nothing has ended."""
        return (table for table, spans in self._by_table.items() if any(span.end is None for span in spans))

    def farthest(self, number: int) -> tuple[str, int] | None:
        """The last place in a stretch that any span names: up to there it was read."""
        points = [
            point
            for span in self._all()
            for point in (span.start, span.end)
            if point is not None and point[0] == number
        ]
        return max(points, key=_order)[1:] if points else None

    def forget(self, server_uuid: str, oldest: str) -> tuple[list[Span], list[int]]:
        """Take out, and give, the spans and numbers of stretches that hold only for events in this server's files before
        `oldest`, which it has purged.
        """
        gone = [span for span in self._all() if self._purged_with(span, server_uuid, oldest)]
        for span in gone:
            self._by_table[span.table].remove(span)
            if not self._by_table[span.table]:
                del self._by_table[span.table]
        used = {number for span in self._all() for number in range(span.start[0], self._last(span)[0] + 1)}
        newest = max(self.stretches, default=0)
        passed = [
            number
            for number, stretch in self.stretches.items()
            if number not in used and number != newest and _purged(stretch, server_uuid, oldest)
        ]
        for number in passed:
            del self.stretches[number]
        return gone, passed

    def _all(self) -> Iterator[Span]:
        return (span for spans in self._by_table.values() for span in spans)

    def _purged_with(self, span: Span, server_uuid: str, oldest: str) -> bool:
        last, file = self._last(span)
        before = (self.stretches[number] for number in range(span.start[0], last) if number in self.stretches)
        final = self.stretches.get(last)
        return (
            all(_purged(stretch, server_uuid, oldest) for stretch in before)
            and (final is None or final.server_uuid == server_uuid)
            and file is not None
            and file_number(file) < file_number(oldest)
        )

    def _last(self, span: Span) -> tuple[int, str | None]:
        """Stretch and file in which it ends; no file while that is being read."""
        if span.end is not None:
            return span.end[:2]
        number = span.start[0]
        while number + 1 in self.stretches and self.stretches[number + 1].carries:
            number += 1
        stretch = self.stretches.get(number)
        return number, stretch.end[0] if stretch is not None and stretch.end is not None else None

    def _start(self, span: Span, server_uuid: str) -> Place | None:
        number, file, offset = span.start
        stretch = self.stretches.get(number)
        if stretch is None or stretch.server_uuid != server_uuid or file not in stretch.files:
            return None
        return Place(file, offset, stretch.files[file])

    def _carried(self, start: int, number: int) -> bool:
        """Whether what holds at the end of stretch `start` holds in stretch `number`."""
        return start <= number and all(
            each in self.stretches and self.stretches[each].carries for each in range(start + 1, number + 1)
        )


def _purged(stretch: Stretch, server_uuid: str, oldest: str) -> bool:
    if stretch.server_uuid != server_uuid or stretch.end is None:
        return False
    return file_number(stretch.end[0]) < file_number(oldest)
