"""What the topics must hold, computed from the truth alone (formats.md: canal-json, `compat: fixed`, FULL images)."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from deploy.rig.truth import Change, Transaction
from deploy.rig.values import Layout

Row = tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Expected:
    """One message. Equal ones (a row changed there and back within a transaction) stand for each other in order."""

    table: str
    type: str
    key: bytes
    row: Row
    old: tuple[tuple[str, str | None], ...] | None
    gtid: str
    es: int

    def __str__(self) -> str:
        return f"{self.type} {self.table} {self.key.decode()} of {self.gtid}: {self.row}"


@dataclass(slots=True)
class Counted:
    """Sums of what was expected, filled while it is read."""

    transactions: int = 0
    changes: int = 0
    split: int = 0
    """Updates that change the key: one row change, two messages."""


def expected(
    transactions: Iterable[Transaction], layouts: dict[str, Layout], counted: Counted, *, wanted: set[str]
) -> Iterator[Expected]:
    """Messages of the tables `wanted` (`database.table`), in commit and statement order."""
    for transaction in transactions:
        counted.transactions += 1
        for change in transaction.changes:
            if change.table in wanted:
                counted.changes += 1
                messages = _of_change(change, layouts[change.table], transaction)
                counted.split += len(messages) - 1
                yield from messages


def _of_change(change: Change, layout: Layout, transaction: Transaction) -> list[Expected]:
    gtid, es = transaction.gtid, transaction.commit_us // 1000
    before, after = layout.row(change.before), layout.row(change.after)

    def message(kind: str, row: Row, old: tuple[tuple[str, str | None], ...] | None = None) -> Expected:
        return Expected(change.table, kind, message_key(layout, row), row, old, gtid, es)

    if change.operation == "INSERT":
        return [message("INSERT", after)]
    if change.operation == "DELETE":
        return [message("DELETE", before)]
    if layout.key(before) != layout.key(after):
        return [message("DELETE", before), message("INSERT", after)]
    return [message("UPDATE", after, _changed(layout, before, after))]


def _changed(layout: Layout, before: Row, after: Row) -> tuple[tuple[str, str | None], ...]:
    names = zip(layout.names, before, after, strict=False)
    return tuple((name, old) for name, old, new in names if old != new)


def message_key(layout: Layout, row: Row) -> bytes:
    """`{"id":"1004"}`: the primary key as compact JSON in key order (formats.md section 1)."""
    pairs = {layout.names[index]: row[index] for index in layout.table.key}
    return json.dumps(pairs, separators=(",", ":"), ensure_ascii=False).encode()
