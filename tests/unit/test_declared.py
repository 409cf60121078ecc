"""Declared types, as INFORMATION_SCHEMA.COLUMNS.COLUMN_TYPE of MySQL 9.7 spells them."""

import dataclasses

import pytest

from cdcd.binlog.declared import declared_type
from cdcd.binlog.schema import Column
from cdcd.errors import UnsupportedEvent


def column(type_: int, meta: int = 0, collation: int = 0, **more: object) -> Column:
    return dataclasses.replace(Column("c", type_, meta, nullable=True, collation=collation), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("what", "text"),
    [
        (column(1), "tinyint"),
        (column(2, unsigned=True), "smallint unsigned"),
        (column(9), "mediumint"),
        (column(3, unsigned=True), "int unsigned"),
        (column(8), "bigint"),
        (column(4, 4), "float"),
        (column(5, 8, unsigned=True), "double unsigned"),
        (column(246, 10 << 8 | 2), "decimal(10,2)"),
        (column(246, 65 << 8 | 30, unsigned=True), "decimal(65,30) unsigned"),
        (column(16, 8), "bit(8)"),
        (column(13, unsigned=True), "year"),
        (column(10), "date"),
        (column(17, 0), "timestamp"),
        (column(18, 6), "datetime(6)"),
        (column(19, 3), "time(3)"),
        (column(15, 80, 255), "varchar(20)"),
        (column(15, 20, 8), "varchar(20)"),
        (column(15, 20, 63), "varbinary(20)"),
        (column(254, 30, 33), "char(10)"),
        (column(254, 16, 63), "binary(16)"),
        (column(252, 1, 255), "tinytext"),
        (column(252, 2, 255), "text"),
        (column(252, 3, 63), "mediumblob"),
        (column(252, 4, 63), "longblob"),
        (column(247, 1, 255, labels=(b"a", b"it's", "é".encode())), "enum('a','it''s','é')"),
        (column(247, 1, 255, labels=(b"x\\y", b"a\nb")), r"enum('x\\y','a\nb')"),
        (column(248, 1, 8, labels=(b"a", b"\xe9")), "set('a','é')"),
        (column(245, 4), "json"),
        (column(255, 4, geometry=0), "geometry"),
        (column(255, 4, geometry=1), "point"),
        (column(255, 4, geometry=7), "geomcollection"),
        (column(242, 4, 63, dimension=3), "vector(3)"),
    ],
)
def test_built_from_the_binlog(what: Column, text: str) -> None:
    assert declared_type(what) == text


@pytest.mark.parametrize(
    ("what", "declared"),
    [
        (column(1), "tinyint(1)"),
        (column(3, unsigned=True), "int(10) unsigned zerofill"),
        (column(4, 4), "float(7,3)"),
        (column(13), "year(4)"),
        (column(247, 1, 255), "enum('a','b')"),  # MINIMAL metadata: labels come from information_schema alone
        (column(255, 4), "polygon"),
    ],
)
def test_the_declared_text_where_it_says_the_same_and_more(what: Column, declared: str) -> None:
    assert declared_type(dataclasses.replace(what, declared=declared)) == declared


@pytest.mark.parametrize(
    ("what", "declared", "built"),
    [
        (column(3), "bigint(20)", "int"),
        (column(3), "int(10) unsigned", "int"),
        (column(15, 80, 255), "varchar(200)", "varchar(20)"),
        (column(247, 1, 255, labels=(b"a",)), "enum('b')", "enum('a')"),
    ],
)
def test_the_binlog_is_right_where_they_differ(what: Column, declared: str, built: str) -> None:
    assert declared_type(dataclasses.replace(what, declared=declared)) == built


def test_unknown_type() -> None:
    with pytest.raises(UnsupportedEvent, match="99"):
        declared_type(column(99))


@pytest.mark.parametrize("declared", ["geometrycollection", "geomcollection"])
@pytest.mark.parametrize("geometry", [0, 7])
def test_both_spellings_of_a_geometry_collection(declared: str, geometry: int) -> None:
    found = declared_type(dataclasses.replace(column(255, 4, geometry=geometry), declared=declared))
    assert found == declared


def test_digits_of_old_types_without_the_comment() -> None:
    found = declared_type(dataclasses.replace(column(11, 3), declared="time(3) /* mariadb-5.3 */"))
    assert found == "time(3)"
