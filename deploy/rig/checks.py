"""Checks V1 to V4: what a read_committed consumer saw against what the binlog and the tables say.

V1 nothing lost, nothing invented, no value altered; V2 order; V3 `id` counts 1..N without gap or repeat;
V4 the topics replayed give the tables.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import orjson
from confluent_kafka import murmur2

from deploy.rig.expect import Counted, Expected, Row
from deploy.rig.topics import Record
from deploy.rig.values import Layout

_SHOWN = 5
"""Examples kept of each kind of trouble."""

Key = tuple[str | None, ...]
State = dict[Key, Row]


@dataclass(slots=True)
class Trouble:
    """How often something went wrong, and the first examples."""

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, example: str) -> None:
        self.count += 1
        if len(self.examples) < _SHOWN:
            self.examples.append(example)


@dataclass(slots=True)
class Report:
    """The verdict on one run."""

    counted: Counted
    messages: int = 0
    statements: int = 0
    """Messages about statements (DDL)."""
    repeated: int = 0
    """Messages that came again under the same `id`, where that is allowed (at-least-once); not counted above."""
    missing: Trouble = field(default_factory=Trouble)
    """V1: in the binlog, not in the topics."""
    unexpected: Trouble = field(default_factory=Trouble)
    """V1: in the topics, not so in the binlog (an altered value shows as one missing and one unexpected)."""
    duplicated: Trouble = field(default_factory=Trouble)
    """V3: a message that was there before, or an `id` seen before."""
    gaps: Trouble = field(default_factory=Trouble)
    """V3: an `id` between 1 and the highest that nobody carries."""
    disordered: Trouble = field(default_factory=Trouble)
    """V2: earlier in the binlog but later in its partition, `ver` falling, or a key outside its partition."""
    unequal: Trouble = field(default_factory=Trouble)
    """V4: rows that differ between the replayed topics and the tables."""

    @property
    def verdicts(self) -> dict[str, bool]:
        return {
            "V1": not self.missing.count and not self.unexpected.count,
            "V2": not self.disordered.count,
            "V3": not self.duplicated.count and not self.gaps.count,
            "V4": not self.unequal.count,
        }

    @property
    def passed(self) -> bool:
        return all(self.verdicts.values())

    def account(self) -> str:
        """What was found, one line a kind of trouble; for people."""
        first = (
            f"{self.counted.transactions} transactions, {self.counted.changes} row changes"
            f" ({self.counted.split} of them change the key: two messages each), {self.statements} DDL messages,"
            f" {self.messages} messages"
        )
        lines = [first]
        for name in ("missing", "unexpected", "duplicated", "gaps", "disordered", "unequal"):
            trouble: Trouble = getattr(self, name)
            if trouble.count:
                lines += [f"{trouble.count} {name}:", *(f"  {example}" for example in trouble.examples)]
        return "\n".join(lines)


class Checker:
    """Takes the truth once and then every record, each partition's in offset order.

    `statements`: every statement of the binlog (any of them may be published); `required`: those that must be.
    `base`: the tables' rows where the truth starts, empty tables if left out. `repeats`: an `id` may come again with
    the same content (delivery at_least_once); such a message is counted and otherwise passed over.
    """

    def __init__(
        self,
        truth: Iterable[Expected],
        layouts: dict[str, Layout],
        counted: Counted,
        *,
        statements: Counter[str] | None = None,
        required: Counter[str] | None = None,
        base: dict[str, State] | None = None,
        repeats: bool = False,
    ) -> None:
        self.report = Report(counted)
        self._layouts = layouts
        self._waiting: dict[Expected, list[int]] = {}
        for index, message in enumerate(truth):
            self._waiting.setdefault(message, []).append(index)
        self._statements = statements if statements is not None else Counter()
        self._required = required if required is not None else Counter()
        self._published: Counter[str] = Counter()
        self._last: dict[tuple[str, int], int] = {}
        self._versions: dict[tuple[str, bytes | None], int] = {}
        self._partitions: dict[str, int] = {}
        self._ids: dict[int, int] = {}
        """Number -> hash of what it stood for."""
        self._repeats = repeats
        self._state: dict[str, State] = {name: dict((base or {}).get(name, {})) for name in layouts}

    def partitions(self, topic: str, count: int) -> None:
        """Tell how many partitions a topic has, so that each key's place can be checked."""
        self._partitions[topic] = count

    def take(self, record: Record) -> None:
        """Judge one record against the truth."""
        body = orjson.loads(record.value)
        if self._known(body, record):
            self.report.repeated += 1
            return
        self.report.messages += 1
        if body["isDdl"]:
            self._statement(body["sql"], record)
        else:
            self._row(body, record)

    def finish(self, tables: dict[str, State]) -> Report:
        """After the last record; `tables` are the source's rows by key."""
        for message, indexes in self._waiting.items():
            for _ in indexes:
                self.report.missing.add(str(message))
        for sql, times in (self._required - self._published).items():
            self.report.missing.add(f"statement {sql!r} ({times} times)")
        self._count_gaps()
        for name, rows in tables.items():
            self._compare(name, self._state[name], rows)
        return self.report

    def _known(self, body: dict[str, object], record: Record) -> bool:
        """Whether it is an allowed repeat; another one is reported."""
        number, content = _integer(body["id"]), hash((record.topic, record.key, str({**body, "ts": 0})))
        before = self._ids.setdefault(number, -1)
        self._ids[number] = content
        if before == -1:
            return False
        if self._repeats and before == content:
            return True
        self.report.duplicated.add(f"id {number} again at {_place(record)}")
        return False

    def _count_gaps(self) -> None:
        highest, previous = max(self._ids, default=0), 0
        if len(self._ids) == highest and min(self._ids, default=1) == 1:
            return
        for number in sorted(self._ids):
            for absent in range(previous + 1, number):
                self.report.gaps.add(f"id {absent}")
            previous = number

    def _statement(self, sql: str, record: Record) -> None:
        self.report.statements += 1
        self._published[sql] += 1
        if sql not in self._statements:
            self.report.unexpected.add(f"statement {sql!r} at {_place(record)}")
        elif self._published[sql] > self._statements[sql]:
            self.report.duplicated.add(f"statement {sql!r} at {_place(record)}")

    def _row(self, body: dict[str, object], record: Record) -> None:
        message = self._parse(body, record)
        if message is None:
            return
        waiting = self._waiting.get(message)
        if waiting is None:
            self.report.unexpected.add(f"{message} at {_place(record)}")
        elif not waiting:
            self.report.duplicated.add(f"{message} at {_place(record)}")
        else:
            self._in_order(waiting.pop(0), message, record)
        self._version(message, record)
        self._placed(record)
        self._replay(message)

    def _parse(self, body: dict[str, object], record: Record) -> Expected | None:
        """The message as it would stand in the truth; None (and reported) when its shape is wrong."""
        table = f"{body['database']}.{body['table']}"
        layout, data = self._layouts.get(table), body["data"]
        if layout is None or not isinstance(data, list) or len(data) != 1:
            self.report.unexpected.add(f"a message of {table} at {_place(record)}: {record.value[:200]!r}")
            return None
        row = data[0]
        if tuple(row) != layout.names[: len(row)]:
            self.report.unexpected.add(f"columns {tuple(row)} at {_place(record)}")
            return None
        old = body["old"]
        changed = tuple(old[0].items()) if isinstance(old, list) else None
        return Expected(
            table,
            str(body["type"]),
            record.key or b"",
            tuple(row.values()),
            changed,
            str(body["gtid"]),
            _integer(body["es"]),
        )

    def _in_order(self, index: int, message: Expected, record: Record) -> None:
        place = record.topic, record.partition
        if index < self._last.get(place, -1):
            self.report.disordered.add(f"{message} at {_place(record)} belongs before what stands before it")
        else:
            self._last[place] = index

    def _version(self, message: Expected, record: Record) -> None:
        names = self._layouts[message.table].names
        if "ver" not in names:
            return
        version = int(message.row[names.index("ver")] or 0)
        key = record.topic, record.key
        if version < self._versions.get(key, 0):
            self.report.disordered.add(f"ver falls to {version}: {message} at {_place(record)}")
        self._versions[key] = version

    def _placed(self, record: Record) -> None:
        """Every key where a Java client would put it: murmur2 modulo the partitions."""
        count = self._partitions.get(record.topic)
        if count and record.key is not None and murmur2(record.key, count) != record.partition:
            self.report.disordered.add(f"key {record.key!r} is not in its partition at {_place(record)}")

    def _replay(self, message: Expected) -> None:
        layout, state = self._layouts[message.table], self._state[message.table]
        key = layout.key(message.row)
        if message.type == "DELETE":
            state.pop(key, None)
        else:
            state[key] = message.row

    def _compare(self, name: str, replayed: State, rows: State) -> None:
        """Columns added later are not in older messages: compared as far as the message goes."""
        for key in rows.keys() - replayed.keys():
            self.report.unequal.add(f"{name} {key} is only in the table")
        for key in replayed.keys() - rows.keys():
            self.report.unequal.add(f"{name} {key} is only in the topics")
        for key in rows.keys() & replayed.keys():
            if rows[key][: len(replayed[key])] != replayed[key]:
                self.report.unequal.add(f"{name} {key}: table {rows[key]}, topics {replayed[key]}")


def _place(record: Record) -> str:
    return f"{record.topic}[{record.partition}]@{record.offset}"


def _integer(value: object) -> int:
    return value if isinstance(value, int) else -1
