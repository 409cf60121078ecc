"""A table as information_schema has it now, in the terms of a TABLE_MAP event, and whether the two agree."""

import re
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields, replace
from sys import intern
from typing import Any

import orjson

from cdcd.binlog.charsets import charset_of
from cdcd.binlog.declared import declared_type, geometry_kind
from cdcd.binlog.schema import UNSAID, Column, Form, TableSchema
from cdcd.errors import UnsupportedEvent

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
_ESCAPES = {"n": "\n", "r": "\r", "0": "\0", "t": "\t", "Z": "\x1a", "b": "\b"}
_BEYOND_UTF8MB3 = frozenset({"utf8mb4", "utf16", "utf16le", "utf32", "gb18030", "binary"})
_LABEL = re.compile(r"(x?)'((?:[^'\\]|''|\\.)*)'", re.DOTALL)
"""MySQL 9 shows labels of `CHARACTER SET binary` that are no text as x'ff'."""
_ESCAPED = re.compile(r"''|\\(.)", re.DOTALL)


_DEFAULTS = {each.name: each.default for each in fields(Column) if each.default is not MISSING}


@dataclass(frozen=True, slots=True)
class TableDefinition:
    """One reading of a table's columns and primary key."""

    columns: tuple[Column, ...]
    key: tuple[int, ...]
    unclear: str = ""
    """A column whose labels information_schema cannot say: it is utf8mb3, and puts question marks for what is not, or ends there."""

    def difference(self, schema: TableSchema) -> str:
        """The first thing in which `schema`, as a TABLE_MAP has it, is another table's than this; empty if none."""
        if self.unclear:
            return f"labels of {self.unclear} with question marks cannot be told from ones with bytes that are no character up to U+FFFF"
        if len(schema.columns) != len(self.columns):
            return f"the binlog has {len(schema.columns)} columns, the table has {len(self.columns)}"
        for number, (logged, present) in enumerate(zip(schema.columns, self.columns, strict=True), 1):
            if not _agree(logged, present, schema.signs):
                return f"binlog column {number} is {_differing(logged, present)} ({present.name})"
        return ""

    def name(self, schema: TableSchema) -> TableSchema:
        """`schema` with what it lacks of names, labels, key and digits from this definition; only where nothing differs."""
        pairs = zip(schema.columns, self.columns, strict=True)
        columns = tuple(_with_names(logged, present, signs=schema.signs) for logged, present in pairs)
        key = schema.key if schema.named else self.key
        return replace(schema, columns=columns, key=key, named=True, signs=True)

    def to_json(self) -> bytes:
        """`{"columns":[{...}, ...],"key":[indexes]}`; of each column what is not the default, but labels, which are in `declared`."""
        unclear = {"unclear": self.unclear} if self.unclear else {}
        return orjson.dumps({"columns": list(map(_members, self.columns)), "key": self.key, **unclear})

    @classmethod
    def from_json(cls, data: bytes) -> "TableDefinition":
        """Raises ValueError, LookupError, TypeError for what `to_json` has not made."""
        members = orjson.loads(data)
        return cls(tuple(map(_column_of, members["columns"])), tuple(members["key"]), members.get("unclear", ""))


def _members(column: Column) -> dict[str, Any]:
    given = {each.name: getattr(column, each.name) for each in fields(Column) if each.name != "labels"}
    return {name: value for name, value in given.items() if name not in _DEFAULTS or value != _DEFAULTS[name]}


def _column_of(members: dict[str, Any]) -> Column:
    labels = read_labels(members["declared"]) if members["type"] in {_ENUM, _SET} else ()
    # Thousands of tables have few types.
    return Column(**{**members, "declared": intern(members.get("declared", ""))}, labels=labels)


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
    """From records as readings.py selects them; `collations` gives the id of each name that occurs."""
    columns = tuple(_column(record, collations) for record in records)
    names = [column.name for column in columns]
    unclear = next((record["name"] for record in records if _labels_unclear(record)), "")
    return TableDefinition(columns, tuple(names.index(name) for name in key_names), unclear)


def _labels_unclear(record: dict[str, Any]) -> bool:
    if record["data"] not in {"enum", "set"} or str(record["collation"]).split("_")[0] not in _BEYOND_UTF8MB3:
        return False
    declared = str(record["declared"])
    return not declared.endswith(")") or any(b"?" in label for label in read_labels(declared))


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
    labels = _LABEL.findall(declared)
    return tuple(bytes.fromhex(text) if hex_ else _ESCAPED.sub(_unescape, text).encode() for hex_, text in labels)


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


def _with_names(logged: Column, present: Column, *, signs: bool) -> Column:
    return replace(
        logged,
        name=logged.name or present.name,
        meta=present.meta,
        unsigned=logged.unsigned if signs else present.unsigned,
        collation=logged.collation or present.collation,
        labels=logged.labels or present.labels,
        visible=present.visible,
        declared=present.declared,
        form=present.form,
    )


def _differing(logged: Column, present: Column) -> str:
    """`VARCHAR(80 bytes), the table has VARCHAR(200)`: with no more of each than it takes to tell them apart."""
    told = _alike_told(logged, present)
    return f"{told[0]}, the table has {told[1]}"


def _alike_told(logged: Column, present: Column) -> tuple[str, str]:
    texts = _type_text(logged), _type_text(present)
    if texts[0] != texts[1]:
        return _logged_text(logged, texts[0]), texts[1]
    charsets = _charset_text(logged), _charset_text(present)
    if charsets[0] != charsets[1]:
        return f"{texts[0]}{charsets[0]}", f"{texts[1]}{charsets[1]}"
    return f"{texts[0]}{_null_text(logged)}", f"{texts[1]}{_null_text(present)}"


def _logged_text(column: Column, text: str) -> str:
    """The binlog counts bytes, a declaration characters."""
    if column.type not in {_VARCHAR, _STRING} or column.collation == BINARY:
        return text
    return f"{'CHAR' if column.type == _STRING else 'VARCHAR'}({column.meta} bytes)"


def _charset_text(column: Column) -> str:
    charset = charset_of(column.collation) if column.type in _CHARACTER else None
    return f" COLLATION {column.collation}" if charset is None else f" {charset.name} (collation {column.collation})"


def _null_text(column: Column) -> str:
    return " NULL" if column.nullable else " NOT NULL"


def _type_text(column: Column) -> str:
    if column.type in {_ENUM, _SET}:
        return f"{'enum' if column.type == _ENUM else 'set'} in {column.meta} bytes"
    try:
        return declared_type(column).upper()
    except UnsupportedEvent:
        return f"of type {column.type}"
