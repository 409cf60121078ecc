"""What a message format declares: steps that the native core executes for each row.

A step is a pair (code, operand): LITERAL takes bytes, COLUMN takes a column's index, the others take b"".
"""

from collections.abc import Callable
from dataclasses import dataclass

import orjson

from cdcd.binlog.core.native import AFTER, BEFORE, CHANGED, COLUMN, COMMIT_MS, GTID, LITERAL, NOW_MS, SEQ
from cdcd.binlog.schema import TableSchema

Step = tuple[int, bytes | int]
Steps = tuple[Step, ...]

AFTER_COLUMNS: Step = (AFTER, b"")
BEFORE_COLUMNS: Step = (BEFORE, b"")
CHANGED_COLUMNS: Step = (CHANGED, b"")
SEQ_NUMBER: Step = (SEQ, b"")
BUILT_MS: Step = (NOW_MS, b"")
COMMITTED_MS: Step = (COMMIT_MS, b"")
TRANSACTION_GTID: Step = (GTID, b"")


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
    commit_ms: int
    built_ms: int


@dataclass(frozen=True, slots=True)
class Format:
    """A message format: declared here, executed by the core."""

    name: str
    rows: Callable[[TableSchema], RowTemplate]
    ddl: Callable[[DdlMessage], bytes]


def literal(text: str) -> Step:
    return (LITERAL, text.encode())


def value_of(column: int) -> Step:
    return (COLUMN, column)


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
