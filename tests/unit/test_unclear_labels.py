"""Labels that information_schema may not say as they are: it is utf8mb3, and shows other characters as question marks."""

from typing import Any

import pytest

from cdcd.binlog.schema import Column, TableSchema
from cdcd.mysql.table_definition import definition_of, read_labels


def record(declared: str, collation: str) -> dict[str, Any]:
    kind = declared.partition("(")[0]
    return {
        "name": "e", "data": kind, "declared": declared, "octets": 8, "digits": None, "scale": None, "fraction": None,
        "collation": collation, "nullable": "YES", "extra": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("declared", "collation", "unclear"),
    [
        ("enum('a','?b')", "utf8mb4_0900_ai_ci", True),
        ("set('?')", "utf16le_bin", True),
        ("enum('?')", "gb18030_chinese_ci", True),
        ("enum('a','b')", "utf8mb4_0900_ai_ci", False),
        ("enum('why?')", "latin1_swedish_ci", False),
        ("set('?')", "utf8mb3_general_ci", False),
        ("enum('?','b')", "binary", True),
        ("enum('a','", "binary", True),
        ("enum(x'ff41','b')", "binary", False),
    ],
)
def test_question_marks(declared: str, collation: str, unclear: bool) -> None:
    definition = definition_of([record(declared, collation)], {}, [])
    logged = Column("", 247 if declared.startswith("enum") else 248, 1, nullable=True)
    schema = TableSchema("d", "t", (logged,), (), named=False, fingerprint=b"")
    assert ("question marks" in definition.difference(schema)) is unclear


def test_text_with_question_marks_is_no_label() -> None:
    definition = definition_of([record("varchar(2)", "utf8mb4_bin")], {"utf8mb4_bin": 46}, [])
    assert definition.unclear == ""


def test_labels_that_are_no_text() -> None:
    """As MySQL 9.7 shows ENUM(x'ff', 'x''41', 'b') CHARACTER SET binary."""
    assert read_labels("enum(x'ff','x''41','b')") == (b"\xff", b"x'41", b"b")
