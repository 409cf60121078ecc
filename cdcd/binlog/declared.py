"""A column's type as it would be declared, spelled as MySQL's COLUMN_TYPE spells it (canal's `mysqlType`)."""

import re

from cdcd.binlog.charsets import charset_of
from cdcd.binlog.schema import Column
from cdcd.errors import UnsupportedEvent

_PLAIN = {10: "date", 13: "year", 14: "date", 245: "json"}
_NUMBERS = {1: "tinyint", 2: "smallint", 3: "int", 4: "float", 5: "double", 8: "bigint", 9: "mediumint"}
_FRACTIONAL = {7: "timestamp", 12: "datetime", 11: "time", 17: "timestamp", 18: "datetime", 19: "time"}
_TEXT = {15: "varchar", 253: "varchar", 254: "char"}
_BYTES = {15: "varbinary", 253: "varbinary", 254: "binary"}
_SIZES = {1: "tiny", 2: "", 3: "medium", 4: "long"}
GEOMETRIES = (
    "geometry",
    "point",
    "linestring",
    "polygon",
    "multipoint",
    "multilinestring",
    "multipolygon",
    "geomcollection",
)
_COLLECTION = "geometrycollection"
"""As MySQL before 8.0 and MariaDB spell the last of them."""
_DECIMAL, _BIT, _VECTOR, _ENUM, _SET, _BLOB, _SPATIAL = 246, 16, 242, 247, 248, 252, 255

# As the server writes a label into COLUMN_TYPE (MySQL source, sql/unireg.cc, append_unescaped).
_ESCAPES = str.maketrans({"\0": r"\0", "\n": r"\n", "\r": r"\r", "\\": r"\\", "'": "''"})

_WIDTH = re.compile(r"^(tinyint|smallint|mediumint|int|bigint|year|float|double)\([0-9]+(,[0-9]+)?\)")


def geometry_kind(data_type: str) -> int:
    """Index in `GEOMETRIES` of a spatial DATA_TYPE; -1 for any other."""
    name = "geomcollection" if data_type == _COLLECTION else data_type
    return GEOMETRIES.index(name) if name in GEOMETRIES else -1


def declared_type(column: Column) -> str:
    """`int unsigned`, `varchar(20)`, `decimal(10,2)`, `enum('a','b')`.

    Built from the binlog. Where `column.declared` says the same in more words (display widths, ZEROFILL), its words are
    taken; where it says something else the column has changed since, and the binlog is right. Raises UnsupportedEvent for a type cdcd does not know.
    """
    built = _built(column)
    return column.declared if column.declared and _same_shape(column, built) else built


def _built(column: Column) -> str:
    if column.form:
        return f"vector({column.meta // 4})" if column.form == "vector" else column.form
    if column.type in _PLAIN:
        return _PLAIN[column.type]
    if column.type in _NUMBERS:
        return _NUMBERS[column.type] + _sign(column)
    if column.type in _FRACTIONAL:
        return _FRACTIONAL[column.type] + (f"({column.meta})" if column.meta else "")
    if column.type in _TEXT:
        return _text(column)
    return _special(column)


def _special(column: Column) -> str:
    if column.type == _DECIMAL:
        return f"decimal({column.meta >> 8},{column.meta & 0xFF}){_sign(column)}"
    if column.type == _BIT:
        return f"bit({column.meta})"
    if column.type == _VECTOR:
        return f"vector({column.dimension})"
    if column.type in (_ENUM, _SET):
        return _members(column)
    if column.type == _BLOB:
        return _SIZES.get(column.meta, "") + ("blob" if _is_binary(column) else "text")
    if column.type == _SPATIAL and column.geometry < len(GEOMETRIES):
        return GEOMETRIES[column.geometry]
    raise UnsupportedEvent(f"column {column.name!r}: type {column.type} is not known")


def _sign(column: Column) -> str:
    return " unsigned" if column.unsigned else ""


def _is_binary(column: Column) -> bool:
    charset = charset_of(column.collation)
    return charset is not None and charset.name == "binary"


def _text(column: Column) -> str:
    """The binlog has the longest value's bytes; COLUMN_TYPE counts characters."""
    charset = charset_of(column.collation)
    names = _BYTES if _is_binary(column) else _TEXT
    return f"{names[column.type]}({column.meta // (charset.max_bytes if charset else 1)})"


def _members(column: Column) -> str:
    charset = charset_of(column.collation)
    decoded = [charset.decode(label)[0] if charset else label.decode("utf-8", "replace") for label in column.labels]
    quoted = ",".join(f"'{label.translate(_ESCAPES)}'" for label in decoded)
    return f"{'enum' if column.type == _ENUM else 'set'}({quoted})"


def _same_shape(column: Column, built: str) -> bool:
    declared = _WIDTH.sub(r"\1", column.declared.removesuffix(" zerofill"))
    if declared == built:
        return True
    if column.type in (_ENUM, _SET) and not column.labels:
        return declared.startswith(built.removesuffix(")"))
    if column.type != _SPATIAL:
        return False
    return geometry_kind(declared) == column.geometry or (built == "geometry" and geometry_kind(declared) >= 0)
