"""What a TABLE_MAP event says of a table, with or without names (`binlog_row_metadata` FULL or MINIMAL)."""

from dataclasses import dataclass
from typing import Final, Literal

UNSAID: Final = -1
"""A column's `meta` that the binlog does not carry, though values cannot be read without it."""

Form = Literal["", "uuid", "inet4", "inet6", "vector"]
"""Column types that MariaDB logs as BINARY and VARBINARY."""

_VARCHAR, _STRING, _BINARY = 15, 254, 63
_FORM_SIZES = frozenset({4, 16})
_VECTORS = (11, 7)


@dataclass(frozen=True, slots=True)
class Column:
    """One column as the binlog describes it."""

    name: str
    """Empty where the binlog does not say (MINIMAL)."""
    type: int
    """Binlog type code; a CHAR-like column is told apart: 247 ENUM, 248 SET, 254 CHAR/BINARY."""
    meta: int
    """The type's metadata: VARCHAR, VAR_STRING, CHAR: longest value in bytes; BLOB, JSON, GEOMETRY, VECTOR: bytes of
    the length prefix; TIMESTAMP2, DATETIME2, TIME2 and, of old tables of MariaDB, TIMESTAMP, DATETIME, TIME: fractional
    digits (of the old ones UNSAID until information_schema was asked); NEWDECIMAL: precision << 8 | scale;
    BIT: number of bits; ENUM, SET: bytes of a value; FLOAT, DOUBLE: bytes of a value; else 0."""
    nullable: bool
    unsigned: bool = False
    """Of a number; not known where `TableSchema.signs` is false."""
    collation: int = 0
    """Collation id; 63 is binary; 0 where the type has none or the binlog does not say."""
    labels: tuple[bytes, ...] = ()
    """ENUM and SET members in definition order, in the column's character set."""
    geometry: int = 0
    dimension: int = 0
    visible: bool = True
    declared: str = ""
    """COLUMN_TYPE of information_schema where it was read, as the binlog does not carry it; or how the server spells the type."""
    compressed: bool = False
    """MariaDB's COMPRESSED: `type` and `meta` are those of the column without it."""
    form: Form = ""
    """MariaDB: what the bytes of a binary column are; only information_schema tells, where `TableSchema.complete` is false."""


@dataclass(frozen=True, slots=True)
class TableSchema:
    """One distinct table map."""

    database: str
    table: str
    columns: tuple[Column, ...]
    key: tuple[int, ...]
    """Indexes of the primary key's columns in key order; empty without a key, or where `named` is false."""
    named: bool
    """Whether column names, labels and the key are known."""
    fingerprint: bytes
    """Hash of everything of the TABLE_MAP but its id."""
    signs: bool = True
    """Whether it says which numbers are unsigned: MySQL before 8.0 and MariaDB's `binlog_row_metadata=NO_LOG` say nothing."""
    mariadb: tuple[int, ...] = ()
    """Version of the MariaDB that wrote it; empty for MySQL."""

    @property
    def complete(self) -> bool:
        """Whether nothing that is needed has to be looked up in information_schema."""
        return self.named and self.measured and not (self.mariadb and any(map(self._ambiguous, self.columns)))

    def _ambiguous(self, column: Column) -> bool:
        """MariaDB does not tell UUID, INET4 and INET6 from BINARY, nor VECTOR from VARBINARY."""
        if column.form or column.collation != _BINARY:
            return False
        vector = column.type == _VARCHAR and column.meta % 4 == 0 and self.mariadb >= _VECTORS
        return vector or (column.type == _STRING and column.meta in _FORM_SIZES)

    @property
    def measured(self) -> bool:
        """Whether the length of each value is known."""
        return all(column.meta != UNSAID for column in self.columns)

    @property
    def name(self) -> str:
        return f"{self.database}.{self.table}"
