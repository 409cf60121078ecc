"""From mysqlbinlog's pseudo-SQL literals to the text a canal-json message should carry (compat `fixed`).

Covers the types the proofs' tables use; any other is refused, so that no value is compared by accident.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from deploy.rig.source import Table

Render = Callable[[str], str]

_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|.)", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "b": "\b", "f": "\f", "Z": "\x1a"}
_CONTROL = re.compile(r"\\x([01][0-9a-f])")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _unescape(match: re.Match[str]) -> str:
    code = match.group(1)
    return chr(int(code[1:], 16)) if code[0] == "x" and len(code) == 3 else _ESCAPED.get(code, code)


def text(literal: str) -> str:
    r"""`'it\'s'` -> `it's`."""
    inner = literal[1:-1]
    return _ESCAPE.sub(_unescape, inner) if "\\" in inner else inner


def mariadb_text(literal: str) -> str:
    r"""`'a\b\x0a'` -> `a\b` and a line feed: MariaDB's tool escapes control characters only."""
    return _CONTROL.sub(lambda match: chr(int(match[1], 16)), literal[1:-1])


def _signed(literal: str) -> str:
    return literal.partition(" ")[0]


def _unsigned(literal: str) -> str:
    """`-1 (18446744073709551615)`: mysqlbinlog does not know the sign and prints both readings."""
    first, _, second = literal.partition(" ")
    return second[1:-1] if second else first


def _date(literal: str) -> str:
    return text(literal).replace(":", "-")


def _number(literal: str) -> str:
    return repr(float(literal))


def _timestamp(literal: str) -> str:
    """`1704164645.123` -> UTC with as many digits as stored; 0 is the zero date."""
    seconds, dot, fraction = literal.partition(".")
    if int(seconds) == 0 and not fraction.strip("0"):
        return "0000-00-00 00:00:00" + dot + fraction
    moment = _EPOCH + timedelta(seconds=int(seconds))
    return moment.strftime("%Y-%m-%d %H:%M:%S") + dot + fraction


def _enum(declared: str) -> Render:
    labels = ["", *(label.replace("''", "'") for label in re.findall(r"'((?:[^']|'')*)'", declared))]
    return lambda literal: labels[int(_signed(literal))]


_INTEGERS = {"tinyint", "smallint", "mediumint", "int", "bigint"}
_PLAIN: dict[str, Render] = {
    "decimal": _signed,
    "year": _signed,
    "double": _number,
    "date": _date,
    "datetime": text,
    "time": text,
    "timestamp": _timestamp,
    "varchar": text,
    "char": text,
    "text": text,
    "mediumtext": text,
}


def render_for(declared: str, *, mariadb: bool = False) -> Render:
    """How literals of a column declared so become message text; raises LookupError for a type not covered."""
    family = re.split(r"[ (]", declared, maxsplit=1)[0]
    if family in _INTEGERS:
        return _unsigned if declared.endswith("unsigned") else _signed
    if mariadb and _PLAIN.get(family) is text:
        return mariadb_text
    return _enum(declared) if family == "enum" else _PLAIN[family]


class Layout:
    """Names and renderers of one table. Columns are only ever added at the end in the proofs, so an older row is shorter."""

    def __init__(self, table: Table, *, mariadb: bool = False) -> None:
        self.table = table
        self.names = tuple(column.name for column in table.columns)
        self.renders = tuple(render_for(column.declared, mariadb=mariadb) for column in table.columns)

    def row(self, literals: list[str]) -> tuple[str | None, ...]:
        """One row image; `NULL` is None."""
        return tuple(
            None if literal == "NULL" else render(literal)
            for literal, render in zip(literals, self.renders, strict=False)
        )

    def key(self, row: tuple[str | None, ...]) -> tuple[str | None, ...]:
        return tuple(row[index] for index in self.table.key)
