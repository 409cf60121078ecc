"""What a message format declares: steps that the native core executes for each row.

A step is a pair (code, operand): LITERAL takes bytes, COLUMN takes a column's index, MEMBERS and TYPE_CODES take what
stands for each column, the others take b"".
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

import orjson

from cdcd.binlog.core.native import (
    AFTER,
    BATCH,
    BEFORE,
    CHANGED,
    COLUMN,
    COMMIT_MS,
    EVENT_MS,
    GTID,
    LITERAL,
    MEMBERS,
    NOW_MS,
    SEQ,
    TYPE_CODES,
    Zone,
)
from cdcd.binlog.schema import TableSchema

Codes = tuple[int, int, int]
"""Of NULL, of a value, of an unsigned integer with the top bit set."""
Step = tuple[int, bytes | int | tuple[bytes, ...] | tuple[tuple[bytes, Codes], ...]]
Steps = tuple[Step, ...]

AFTER_COLUMNS: Step = (AFTER, b"")
BEFORE_COLUMNS: Step = (BEFORE, b"")
CHANGED_COLUMNS: Step = (CHANGED, b"")
SEQ_NUMBER: Step = (SEQ, b"")
BUILT_MS: Step = (NOW_MS, b"")
COMMITTED_MS: Step = (COMMIT_MS, b"")
TRANSACTION_GTID: Step = (GTID, b"")
BATCH_NUMBER: Step = (BATCH, b"")
STATEMENT_MS: Step = (EVENT_MS, b"")


@dataclass(frozen=True, slots=True)
class RowTemplate:
    """One table's messages, by kind of row change."""

    insert: Steps
    update: Steps
    delete: Steps


@dataclass(frozen=True, slots=True)
class DdlMessage:
    """What a format needs to know of a DDL statement, or of one that changes rows and is logged as text."""

    database: str
    sql: str
    kind: str
    """CREATE, ALTER, DROP, TRUNCATE, RENAME, CREATE INDEX, DROP INDEX; OTHER for what is no DDL."""
    gtid: str
    seq: int
    batch: int
    statement_ms: int
    """When the statement began, by the event's header; whole seconds."""
    commit_ms: int
    built_ms: int


@dataclass(frozen=True, slots=True)
class Format:
    """A message format: declared here, executed by the core."""

    name: str
    rows: Callable[[TableSchema], RowTemplate]
    ddl: Callable[[DdlMessage], bytes]
    splits_updates: bool = True
    """An update of the key or the partition becomes a delete and an insert, so that the order of each key is kept."""
    strict: Zone | None = None
    """Values as canal shows them, TIMESTAMP in this zone."""


@lru_cache(maxsize=1024)
def literal(text: str) -> Step:
    """One object for equal ones: most are the same for all tables."""
    return (LITERAL, text.encode())


def value_of(column: int) -> Step:
    return (COLUMN, column)


def members(texts: Iterable[str]) -> Step:
    """Of the columns in the message's image, the texts that stand for them."""
    return (MEMBERS, tuple(text.encode() for text in texts))


def type_codes(codes: Iterable[tuple[str, Codes]]) -> Step:
    """`"name":code` of the columns in the message's image; by name, for each column."""
    return (TYPE_CODES, tuple(((json_text(name) + ":").encode(), of) for name, of in codes))


def json_text(value: object) -> str:
    """Compact JSON, UTF-8 unescaped."""
    return orjson.dumps(value).decode()


def steps(*parts: str | Step) -> Steps:
    """Steps from texts and steps; neighbouring texts become one literal."""
    joined: list[Step] = []
    for part in parts:
        step = literal(part) if isinstance(part, str) else part
        if joined and step[0] == LITERAL and joined[-1][0] == LITERAL:
            step = (LITERAL, joined.pop()[1] + step[1])  # type: ignore[operator]
        joined.append(step)
    return tuple(joined)
