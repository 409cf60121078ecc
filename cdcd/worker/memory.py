"""What one instance remembers of tables whose names the binlog does not carry: from its schema topic, into its schema topic.

What is stored are facts of the source's binlog, in the same Kafka transaction as the position. So a take-over finds
exactly what was known at the position that it goes on from.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

import orjson

from cdcd.binlog.position import Position
from cdcd.binlog.spans import Place, Point, Span, Spans, Stretch
from cdcd.binlog.touching import Change, Table, Tables
from cdcd.errors import Finding, FindingError
from cdcd.kafka.sink import Sink

VERSION = 1
"""Of the records' form."""
_NOWHERE = "nowhere.0", 0
"""Where nothing is: before all files."""


class Facts(Protocol):
    """The schema topic."""

    @property
    def name(self) -> str: ...
    def exists(self) -> bool: ...
    def ensure(self) -> None: ...
    def peek(self) -> None: ...
    def take(self) -> dict[bytes, bytes]: ...


class SchemaMemory:
    """Of one instance. Everything is learnt anew from the topic by each take-over."""

    def __init__(self, topic: Facts) -> None:
        self._topic = topic
        self._found = False
        self.oldest_file: Callable[[], str] = lambda: _NOWHERE[0]
        """Asks the source which is the first of its binlog files that it still has; set by whoever can."""
        self._forget()

    def _forget(self) -> None:
        self._spans = Spans()
        self._open = Tables()
        self._pending: dict[bytes, bytes | None] = {}
        self._server_uuid = ""
        self._ensured = False

    # ---------------------------------------------------------------- take-over

    def prepare(self, partitions: dict[str, int] | None) -> None:
        """Read ahead of `resume`. `partitions`: of the position record, which names the topic if there is one; without a
        record (a new instance, or one whose positions were deleted) it is looked for.
        """
        self._found = self._topic.name in partitions if partitions is not None else self._topic.exists()
        if self._found:
            self._topic.ensure()
            self._topic.peek()

    def resume(self, partitions: dict[str, int], old: Position | None, server_uuid: str, *, continues: bool) -> None:
        """Go on from the position `old`, or with a gap; on a server with this UUID.

        Call it when no earlier owner can publish any more, and `store` with the claim: the next one must know of a gap.
        """
        self._forget()
        self._server_uuid = server_uuid
        if self._found or self._topic.name in partitions:
            for key, value in self._topic.take().items():
                self._read(key, value)
        for table in self._spans.open_tables():
            self._open.add(table)
        live = self._spans.live
        if live is None or (continues and live.server_uuid == server_uuid):
            return
        self._end(live, old)
        if continues:
            self._begin(carries=True)

    # ---------------------------------------------------------------- reading

    def entered(self, file: str, created: int) -> None:
        """The dump is in this file now; 0: the file does not say yet when it was made."""
        live = self._spans.live
        if live is None or not created or live.files.get(file) == created:
            return
        if not live.enter(file, created):
            # Another history under the same names (RESET BINARY LOGS): nothing of the one before can be relied on.
            self._end(live, None)
            return
        self._purge(live, self.oldest_file())

    def _purge(self, live: Stretch, oldest: str) -> None:
        """Forget what concerns files that the source does not have any more."""
        self._spans.stretches[live.number] = live.since(oldest)
        self._note_stretch(self._spans.stretches[live.number])
        spans, stretches = self._spans.forget(self._server_uuid, oldest)
        for span in spans:
            self._pending[_key(span)] = None
        for number in stretches:
            self._pending[_stretch_key(number)] = None

    def find(self, table: Table, fingerprint: bytes, place: Place, reading: Place) -> bytes | None:
        """The definition of a table's events with this fingerprint, if one is known to hold at `place`; the dump is at `reading`."""
        if self._spans.live is not None:
            self._live_at(reading)
        span = self._spans.find(table, fingerprint, self._server_uuid, place)
        if span is None:
            return None
        live = self._live_at(reading)
        if place == reading and span.start[0] != live.number:
            # In force here as well from now on, whatever becomes of the stretch that it was known in.
            self._put(replace(span, start=(live.number, place.file, place.offset), end=None))
        return span.definition

    def later(self, table: Table, place: Place) -> tuple[bytes, bytes, Place] | None:
        """Fingerprint, definition and beginning of the nearest span of the table behind `place`."""
        found = self._spans.later(table, self._server_uuid, place)
        return None if found is None else (found[0].fingerprint, found[0].definition, found[1])

    def learn(self, table: Table, fingerprint: bytes, place: Place, definition: bytes) -> None:
        """It holds from `place` on, where the dump is."""
        live = self._live_at(place)
        self._put(Span(table, fingerprint, (live.number, place.file, place.offset), None, definition))

    def passed(self, change: Change, place: Place) -> None:
        """A statement in the transaction at `place` may have changed tables: what held so far ends there."""
        if self._spans.live is None:
            return
        point: Point = (self._live_at(place).number, place.file, place.offset)
        for table in self._open.touched(change):
            for span in self._spans.open_at(table, point):
                self._put(replace(span, end=point))

    # ---------------------------------------------------------------- storing

    def store(self, sink: Sink, partitions: dict[str, int]) -> None:
        """Hand over what is new, to be stored with the next checkpoint; `partitions` will name the topic."""
        if not self._pending:
            return
        if not self._ensured:
            self._topic.ensure()
            self._ensured = True
        partitions[self._topic.name] = 1
        pending, self._pending = self._pending, {}
        sink.keep(self._topic.name, list(pending.items()))

    def _live_at(self, place: Place) -> Stretch:
        """The stretch that is being read, which has come to `place`."""
        live = self._spans.live or self._begin(carries=False)
        if live.files.get(place.file) != place.created or live.start is None:
            live.enter(place.file, place.created)
            live.start = live.start or (place.file, place.offset)
            self._note_stretch(live)
        return live

    def _begin(self, *, carries: bool) -> Stretch:
        newest = self._spans.newest
        stretch = Stretch(newest.number + 1 if newest else 1, self._server_uuid, carries)
        self._spans.stretches[stretch.number] = stretch
        self._note_stretch(stretch)
        return stretch

    def _end(self, live: Stretch, at: Position | None) -> None:
        """At a stored position; without one that it lies in, where it is known to have been read to."""
        if at is not None and at.server_uuid == live.server_uuid and at.file in live.files:
            live.end = at.file, at.end_offset
        else:
            live.end = self._spans.farthest(live.number) or live.start or _NOWHERE
        self._note_stretch(live)

    def _put(self, span: Span) -> None:
        self._spans.put(span)
        if span.end is None:
            self._open.add(span.table)
        elif not any(each.end is None for each in self._spans.of(span.table)):
            self._open.discard(span.table)
        value = {"v": VERSION, "end": span.end, "definition": orjson.Fragment(span.definition)}
        self._pending[_key(span)] = orjson.dumps(value)

    def _note_stretch(self, stretch: Stretch) -> None:
        members = {
            "v": VERSION,
            "server_uuid": stretch.server_uuid,
            "carries": stretch.carries,
            "start": stretch.start,
            "end": stretch.end,
            "files": stretch.files,
        }
        self._pending[_stretch_key(stretch.number)] = orjson.dumps(members)

    # ---------------------------------------------------------------- the records

    def _read(self, key: bytes, value: bytes) -> None:
        try:
            named, members = orjson.loads(key), orjson.loads(value)
            if members["v"] != VERSION:
                raise _unreadable(self._topic.name, f"a record of version {members['v']}")
            if "stretch" in named:
                stretch = _stretch(named, members)
                self._spans.stretches[stretch.number] = stretch
            else:
                self._spans.put(_span(named, members))
        except (ValueError, LookupError, TypeError) as error:
            raise _unreadable(self._topic.name, f"a record with the key {key!r:.100} ({error})") from None


def _key(span: Span) -> bytes:
    return orjson.dumps({"table": span.table, "fingerprint": span.fingerprint.hex(), "start": span.start})


def _stretch_key(number: int) -> bytes:
    return orjson.dumps({"stretch": number})


def _stretch(named: dict[str, Any], members: dict[str, Any]) -> Stretch:
    start, end = members["start"], members["end"]
    return Stretch(
        int(named["stretch"]),
        str(members["server_uuid"]),
        bool(members["carries"]),
        None if start is None else (str(start[0]), int(start[1])),
        None if end is None else (str(end[0]), int(end[1])),
        {str(name): int(created) for name, created in members["files"].items()},
    )


def _span(named: dict[str, Any], members: dict[str, Any]) -> Span:
    database, table = named["table"]
    return Span(
        (str(database), str(table)),
        bytes.fromhex(named["fingerprint"]),
        _point(named["start"]),
        None if members["end"] is None else _point(members["end"]),
        orjson.dumps(members["definition"]),
    )


def _point(members: list[Any]) -> Point:
    number, file, offset = members
    return int(number), str(file), int(offset)


def _unreadable(topic: str, what: str) -> FindingError:
    return FindingError(
        Finding(
            "schema-topic-unreadable",
            "operator",
            f"schema topic {topic} holds {what}, which this cdcd cannot read",
            "Run this instance with the newer cdcd that wrote it. If nothing else helps, delete the topic: cdcd makes it "
            "anew, and looks names up again",
        )
    )
