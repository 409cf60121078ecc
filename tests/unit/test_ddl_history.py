"""Which statements may have changed a table, and the labels of a COLUMN_TYPE."""

import pytest

from cdcd.binlog.touching import Change, changes_columns
from cdcd.mysql.table_definition import read_labels


@pytest.mark.parametrize(
    ("database", "databases", "sql", "touches"),
    [
        ("shop", ("shop",), "ALTER TABLE orders ADD c INT", True),
        ("shop", None, "ALTER TABLE orders ADD c INT", True),
        ("", ("shop",), "ALTER TABLE `Shop`.`ORDERS` ADD c INT", True),
        ("", ("SHOP",), "ALTER TABLE orders ADD c INT", True),
        ("shop", ("shop",), "RENAME TABLE orders TO o, o2 TO orders", True),
        ("shop", ("shop",), "DROP TABLE /* orders */ other", True),
        ("shop", ("shop",), "ALTER TABLE other ADD c INT", False),
        ("shop", ("shop",), "ALTER TABLE orders_2 ADD c INT", False),
        ("shop", ("shop",), "ALTER TABLE\torders/**/ADD c INT", True),
        ("shop", ("shop",), "RENAME TABLE x TO orders", True),
        ("shop", ("shop",), "ALTER TABLE /*!50100orders*/ ADD c INT", True),
        ("shop", None, "ALTER TABLE /*M!100100orders*/ ADD c INT", True),
        ("shop", None, "SET STATEMENT max_statement_time=9 FOR ALTER TABLE orders ADD c INT", True),
        ("crm", ("crm",), "ALTER TABLE orders ADD c INT", False),
        ("crm", None, "ALTER TABLE orders ADD c INT", True),
        ("", ("shop",), "DROP DATABASE shop", True),
        ("shop", ("shop",), "DROP SCHEMA IF EXISTS `shop`", True),
        ("", ("shop", "crm"), "DROP DATABASE crm", False),
    ],
)
def test_may_touch(database: str, databases: tuple[str, ...] | None, sql: str, touches: object) -> None:
    assert changes_columns(sql)
    assert Change(sql, database, databases).may_touch(("shop", "orders")) is touches


@pytest.mark.parametrize("table", ["bücher", "a`b", "a.b"])
def test_names_that_a_text_search_may_miss_are_always_touched(table: str) -> None:
    assert Change("ALTER TABLE x ADD c INT", "shop", ("shop",)).may_touch(("shop", table))


@pytest.mark.parametrize(
    ("declared", "labels"),
    [
        ("enum('a','b')", ["a", "b"]),
        ("enum('')", [""]),
        ("set('it''s','a,b','(')", ["it's", "a,b", "("]),
        (r"enum('c\\d','n\nl','%_')", ["c\\d", "n\nl", "%_"]),
        ("enum('ü','日本')", ["ü", "日本"]),
    ],
)
def test_labels(declared: str, labels: list[str]) -> None:
    assert read_labels(declared) == tuple(label.encode() for label in labels)
