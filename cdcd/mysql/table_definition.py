"""A table as information_schema has it now, in the terms of a TABLE_MAP event, and whether the two agree."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from cdcd.binlog.charsets import charset_of
from cdcd.binlog.declared import declared_type, geometry_kind
from cdcd.binlog.schema import UNSAID, Column, Form, TableSchema
from cdcd.errors import FindingError, UnsupportedEvent
from cdcd.mysql.connection import Connection, quote_identifier
from cdcd.mysql.findings import error_code

BINARY = 63
UTF8MB4 = 255
"""utf8mb4_0900_ai_ci, for labels: information_schema has them in the connection's character set."""
_DECIMAL, _VARCHAR, _BIT, _VECTOR = 246, 15, 16, 242
_ENUM, _SET, _BLOB, _STRING, _GEOMETRY = 247, 248, 252, 254, 255
_FIXED = {
    "tinyint": (1, 0),
    "smallint": (2, 0),
    "mediumint": (9, 0),
    "int": (3, 0),
    "bigint": (8, 0),
    "float": (4, 4),
    "double": (5, 8),
    "date": (10, 0),
    "year": (13, 0),
    "json": (245, 4),
    "vector": (_VECTOR, 4),
    "enum": (_ENUM, 1),
    "set": (_SET, 1),
    **{
        f"{size}{kind}": (_BLOB, n)
        for kind in ("blob", "text")
        for n, size in enumerate(("tiny", "", "medium", "long"), 1)
    },
}
"""DATA_TYPE -> type code and metadata, where no length or precision matters."""
_OF_OCTETS = {"char": _STRING, "binary": _STRING, "varchar": _VARCHAR, "varbinary": _VARCHAR}
_FRACTIONAL = {"timestamp": 17, "datetime": 18, "time": 19}
_SIGNED = frozenset({1, 2, 3, 4, 5, 8, 9, _DECIMAL})
_CHARACTER = frozenset({_VARCHAR, _STRING, _BLOB, _VECTOR})
_FORMS: dict[str, tuple[Form, int]] = {"uuid": ("uuid", 16), "inet6": ("inet6", 16), "inet4": ("inet4", 4)}
"""MariaDB: DATA_TYPE -> what its bytes are and how many."""
_OLD_TEMPORALS = {7: 17, 12: 18, 11: 19}
"""Types of columns made before MySQL 5.6, which information_schema shows like the new ones; MariaDB tells them apart."""
_OLD_IN_MARIADB = " /* mariadb-5.3 */"
_OLD_FRACTIONAL = {"timestamp": 7, "datetime": 12, "time": 11}
_NO_SUCH_TABLE = frozenset({1049, 1146})
_ESCAPES = {"n": "\n", "r": "\r", "0": "\0", "t": "\t", "Z": "\x1a", "b": "\b"}
_LABEL = re.compile(r"'((?:[^'\\]|''|\\.)*)'", re.DOTALL)
_ESCAPED = re.compile(r"''|\\(.)", re.DOTALL)

_COLUMNS = """
SELECT column_name AS name, data_type AS data, column_type AS declared, character_octet_length AS octets,
       numeric_precision AS digits, numeric_scale AS scale, datetime_precision AS fraction,
       collation_name AS collation, is_nullable AS nullable, extra AS extra,
       VERSION() LIKE '%%MariaDB%%' AS mariadb
FROM information_schema.columns WHERE table_schema = %s AND table_name = %s ORDER BY ordinal_position
"""
_COLLATIONS = """
SELECT collation_name, id FROM information_schema.collations WHERE id IS NOT NULL
/*M!101001 UNION SELECT full_collation_name, id FROM information_schema.collation_character_set_applicability */
"""
"""MariaDB has had collations that are shared by character sets since 10.10.1: columns show full names."""
_SHOW_GENERATED_KEYS = "SET /*!80030 SESSION show_gipk_in_create_table_and_information_schema = ON, */ @cdcd = 1"
"""A server may hide generated invisible primary keys from information_schema; the binlog never does."""
_KEY = """
SELECT column_name FROM information_schema.statistics
WHERE table_schema = %s AND table_name = %s AND index_name = 'PRIMARY' ORDER BY seq_in_index
"""

_HIDDEN_PERIODS = """
SELECT 1 FROM information_schema.tables AS t
WHERE table_schema = %s AND table_name = %s AND table_type = 'SYSTEM VERSIONED' /*M! AND NOT EXISTS (
  SELECT 1 FROM information_schema.columns AS c
  WHERE c.table_schema = t.table_schema AND c.table_name = t.table_name AND generation_expression = 'ROW START') */
"""


@dataclass(frozen=True, slots=True)
class TableDefinition:
    """One reading of a table's columns and primary key."""

    columns: tuple[Column, ...]
    key: tuple[int, ...]

    def difference(self, schema: TableSchema) -> str:
        """The first thing in which `schema`, as a TABLE_MAP has it, is another table's than this; empty if none."""
        if len(schema.columns) != len(self.columns):
            return f"the binlog has {len(schema.columns)} columns, the table has {len(self.columns)}"
        for number, (logged, present) in enumerate(zip(schema.columns, self.columns, strict=True), 1):
            if not _agree(logged, present, schema.signs):
                return f"binlog column {number} is {_show(logged)}, the table has {_show(present)} ({present.name})"
        return ""

    def name(self, schema: TableSchema) -> TableSchema:
        """`schema` with what it lacks of names, labels, key and digits from this definition; only where nothing differs."""
        columns = tuple(map(_with_names, schema.columns, self.columns))
        key = schema.key if schema.named else self.key
        return replace(schema, columns=columns, key=key, named=True, signs=True)


def read_definition(connection: Connection, database: str, table: str) -> TableDefinition | None:
    """None if there is no such table. Raises FindingError, also where the account may not SELECT from it."""
    connection.rows(_SHOW_GENERATED_KEYS)
    rows = connection.records(_COLUMNS, (database, table))
    if not rows:
        _refuse_unreadable(connection, database, table)
        return None
    collations: dict[str, int] = dict(connection.rows(_COLLATIONS))
    key = [name for (name,) in connection.rows(_KEY, (database, table))]
    found = definition_of(rows, collations, key)
    return with_periods(found) if connection.rows(_HIDDEN_PERIODS, (database, table)) else found


def with_periods(definition: TableDefinition) -> TableDefinition:
    """With the two columns that MariaDB adds to a table WITH SYSTEM VERSIONING, and hides, unless it names its own.

    The end of a row's time is part of the key.
    """
    start, end = (Column(name, _FRACTIONAL["timestamp"], 6, nullable=False) for name in ("row_start", "row_end"))
    columns = (*definition.columns, start, end)
    return TableDefinition(columns, (*definition.key, len(columns) - 1) if definition.key else ())


def definition_of(
    records: Sequence[dict[str, Any]], collations: dict[str, int], key_names: Sequence[str]
) -> TableDefinition:
    """From records as `_COLUMNS` selects them; `collations` gives the id of each name that occurs."""
    columns = tuple(_column(record, collations) for record in records)
    names = [column.name for column in columns]
    return TableDefinition(columns, tuple(names.index(name) for name in key_names))


def _refuse_unreadable(connection: Connection, database: str, table: str) -> None:
    """information_schema hides what an account may not read, so ask for the table. Raises FindingError for a refusal."""
    where = f"{quote_identifier(database)}.{quote_identifier(table)}"
    try:
        connection.rows(f"SELECT 1 FROM {where} LIMIT 0")  # noqa: S608 - quoted the line before
    except FindingError as error:
        if error_code(error.__cause__) not in _NO_SUCH_TABLE:
            raise


def _column(row: dict[str, Any], collations: dict[str, int]) -> Column:
    declared = str(row["declared"])
    kind, meta = _binlog_type(row)
    form = _form(row)
    labels = read_labels(declared) if kind in {_ENUM, _SET} else ()
    return Column(
        name=row["name"],
        type=kind,
        meta=_label_bytes(kind, len(labels)) if labels else meta,
        nullable=row["nullable"] == "YES",
        unsigned=" unsigned" in declared,
        collation=_collation(kind, row["collation"], collations),
        labels=labels,
        geometry=geometry_kind(row["data"]) if kind == _GEOMETRY else 0,
        dimension=(row["octets"] or 0) // 4 if kind == _VECTOR else 0,
        visible="INVISIBLE" not in row["extra"],
        declared=declared,
        compressed="COMPRESSED*/" in declared,
        form=form,
    )


def _form(row: dict[str, Any]) -> Form:
    """MariaDB logs these types as bytes. A UUID column of before 10.11.5 says so (`uuid /* old */`) and is none of them."""
    if row["data"] == "vector" and row.get("mariadb"):
        return "vector"
    return _FORMS[row["data"]][0] if row["data"] in _FORMS and row["declared"] == row["data"] else ""


def _binlog_type(row: dict[str, Any]) -> tuple[int, int]:
    """Type code and metadata as cdcd.binlog.schema.Column has them (binlog.md section 7); (-1, 0) for an unknown type."""
    data = row["data"]
    if form := _form(row):
        return (_VARCHAR, row["octets"]) if form == "vector" else (_STRING, _FORMS[data][1])
    if data in _FIXED:
        return _FIXED[data]
    if data in _FRACTIONAL:
        kinds = _OLD_FRACTIONAL if str(row["declared"]).endswith(_OLD_IN_MARIADB) else _FRACTIONAL
        return kinds[data], row["fraction"]
    if data in _OF_OCTETS:
        return _OF_OCTETS[data], row["octets"]
    if data in {"decimal", "bit"}:
        return (_BIT, row["digits"]) if data == "bit" else (_DECIMAL, row["digits"] << 8 | row["scale"])
    return (_GEOMETRY, 4) if geometry_kind(data) >= 0 else (-1, 0)


def _label_bytes(kind: int, count: int) -> int:
    """Bytes of an ENUM's or SET's value in a row."""
    if kind == _ENUM:
        return 1 if count < 256 else 2
    return (count + 7) // 8 if count <= 32 else 8


def read_labels(declared: str) -> tuple[bytes, ...]:
    r"""Members of `enum('a','it''s','line\\nbreak')` in UTF-8."""
    return tuple(_ESCAPED.sub(_unescape, label).encode() for label in _LABEL.findall(declared))


def _unescape(match: re.Match[str]) -> str:
    escaped: str | None = match[1]
    return "'" if escaped is None else _ESCAPES.get(escaped, escaped)


def _collation(kind: int, name: str | None, collations: dict[str, int]) -> int:
    if kind in {_ENUM, _SET}:
        return UTF8MB4
    if kind not in _CHARACTER:
        return 0
    return BINARY if name is None else collations.get(name, 0)


def _agree(logged: Column, present: Column, signs: bool) -> bool:
    kind = present.type
    return (
        logged.name in {"", present.name}
        and (logged.type == kind or _OLD_TEMPORALS.get(logged.type) == kind)
        and logged.meta in ({UNSAID, present.meta} if logged.type == kind else {present.meta})
        and logged.nullable == present.nullable
        and (not signs or kind not in _SIGNED or logged.unsigned == present.unsigned)
        and (kind not in _CHARACTER or logged.collation in {0, present.collation})
        and logged.geometry in {0, present.geometry}
        and logged.dimension in {0, present.dimension}
        and logged.compressed == present.compressed
    )


def _with_names(logged: Column, present: Column) -> Column:
    return replace(
        logged,
        name=logged.name or present.name,
        meta=present.meta,
        unsigned=present.unsigned,
        collation=logged.collation or present.collation,
        labels=logged.labels or present.labels,
        visible=present.visible,
        declared=present.declared,
        form=present.form,
    )


def _show(column: Column) -> str:
    """`varchar(20) utf8mb4 not null`."""
    charset = charset_of(column.collation) if column.type in _CHARACTER else None
    null = "null" if column.nullable else "not null"
    return " ".join([_type_text(column), *([charset.name] if charset else []), null])


def _type_text(column: Column) -> str:
    if column.type in {_ENUM, _SET}:
        return f"{'enum' if column.type == _ENUM else 'set'} in {column.meta} bytes"
    try:
        return declared_type(column).upper()
    except UnsupportedEvent:
        return f"of type {column.type}"
