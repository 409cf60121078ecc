"""Columns by their numbers, for reading a binlog that names none with nothing else at hand."""

from collections.abc import Callable
from dataclasses import replace

from cdcd.binlog.schema import Column, TableSchema
from cdcd.binlog.spans import Place
from cdcd.errors import Finding, FindingError

_ENUM, _SET = 247, 248
_TEXTS = frozenset({15, 252, 253, 254})
_SIGNED = frozenset({1, 2, 3, 8, 9})
_INTEGERS = {1: 1, 2: 2, 3: 9, 4: 3, 8: 8}
"""Bytes of a value -> integer type of that size."""


class Ordinals:
    """Names columns `@1`, `@2` ..., as `mysqlbinlog -v` does. The labels of ENUM and SET are not known: their numbers are
    shown, as of an unsigned integer column.
    """

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note
        self._noted: set[str] = set()

    def names_for(self, schema: TableSchema, place: Place) -> TableSchema:
        """Raises FindingError (`schema-unknown`) where the binlog does not even say how values are to be read."""
        if not schema.measured:
            raise FindingError(_unmeasured(schema, place))
        if schema.named:
            return self._as_logged(schema)
        if any(map(_is_text, schema.columns)) or (not schema.signs and any(map(_is_integer, schema.columns))):
            raise FindingError(_undescribed(schema, place))
        if schema.name not in self._noted:
            self._noted.add(schema.name)
            self._note(
                f"{schema.name}: the binlog does not name its columns (binlog_row_metadata=MINIMAL): they are shown as "
                "@1, @2 ..., ENUM and SET as numbers, without a key. --schema or --host gives them names"
            )
        columns = tuple(_numbered(number, column) for number, column in enumerate(schema.columns, 1))
        return replace(schema, columns=columns, named=True)

    def _as_logged(self, schema: TableSchema) -> TableSchema:
        if schema.name not in self._noted:
            self._noted.add(schema.name)
            self._note(
                f"{schema.name}: MariaDB logs UUID, INET4, INET6 and VECTOR as BINARY and VARBINARY: columns that may be "
                "such are shown as bytes. --host tells which they are"
            )
        return schema


def _is_text(column: Column) -> bool:
    """Of an unknown character set."""
    return column.type in _TEXTS and not column.collation


def _is_integer(column: Column) -> bool:
    return column.type in _SIGNED


def _numbered(number: int, column: Column) -> Column:
    if column.type in {_ENUM, _SET} and column.meta in _INTEGERS:
        return Column(f"@{number}", _INTEGERS[column.meta], 0, column.nullable, unsigned=True)
    return replace(column, name=f"@{number}")


def _unmeasured(schema: TableSchema, place: Place) -> Finding:
    what = (
        f"{schema.name} at {place}: the binlog does not say how long values of its TIMESTAMP, DATETIME or TIME "
        "columns are (made by MariaDB before 10.1 or with mysql56_temporal_format=OFF)"
    )
    return Finding("schema-unknown", "operator", what, "Give its columns with --schema, or the server with --host")


def _undescribed(schema: TableSchema, place: Place) -> Finding:
    what = (
        f"{schema.name} at {place}: the binlog says neither what its columns are called nor in which character "
        "sets they are nor which numbers have a sign (no row metadata: MariaDB's default, and all that MySQL 5.6 and 5.7 "
        "write)"
    )
    return Finding("schema-unknown", "operator", what, "Give its columns with --schema, or the server with --host")
