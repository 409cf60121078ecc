"""The source is asked only for names that are not remembered."""

from dataclasses import dataclass, field

import pytest

from cdcd.binlog.schema import Column, TableSchema
from cdcd.binlog.spans import Place
from cdcd.binlog.touching import Change, Table
from cdcd.mysql.table_definition import TableDefinition
from cdcd.worker.names import RememberedNames
from tests.unit.test_worker_memory import A, B, Life, at, stored

LOGGED = TableSchema(
    "shop",
    "t",
    (
        Column("", 3, 0, nullable=False, unsigned=True),
        Column("", 15, 80, nullable=True, collation=255),
        Column("", 247, 1, nullable=True),
    ),
    (),
    False,
    b"fingerprint",
)
READ = TableDefinition(
    (
        Column("id", 3, 0, nullable=False, unsigned=True, declared="int unsigned"),
        Column("name", 15, 80, nullable=True, collation=255, visible=False, declared="varchar(20)"),
        Column("state", 247, 1, nullable=True, collation=255, labels=(b"it's", b"off"), declared="enum('it''s','off')"),
    ),
    (0,),
)


@dataclass
class Lookup:
    """Knows one table; a search of the binlog between two places finds nothing, or something."""

    clear: bool = True
    asked: list[Place] = field(default_factory=list)
    searched: list[tuple[Place, Place]] = field(default_factory=list)

    def definition_for(self, schema: TableSchema, place: Place) -> TableDefinition:
        assert schema is LOGGED
        self.asked.append(place)
        return READ

    def holds(self, table: Table, place: Place, later: Place) -> bool:
        assert table == ("shop", "t")
        self.searched.append((place, later))
        return self.clear

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def life() -> Life:
    return Life().take_over(continues=False)


def names_at(life: Life, lookup: Lookup, place: Place, reading: Place | None = None) -> TableSchema:
    """`reading`: where the dump is, if not at `place`."""
    return RememberedNames(life.memory, lookup, lambda: reading or place).names_for(LOGGED, place)


def test_asked_once(life: Life) -> None:
    lookup = Lookup()
    first = names_at(life, lookup, at(100))
    assert first == READ.name(LOGGED)
    assert [column.labels for column in first.columns] == [(), (), (b"it's", b"off")]
    for server, place in ((A, at(900)), (B, at(77, file=9)), (B, at(99, file=9))):
        old = stored(80, 9, B) if place.offset == 99 else stored(400)
        life.commit().take_over(server, old)
        life.memory.entered(place.file, place.created)
        again = names_at(life, lookup, place)
        assert again == first
    assert lookup.asked == [at(100)]
    assert lookup.searched == []


def test_asked_again_after_a_statement(life: Life) -> None:
    lookup = Lookup()
    names_at(life, lookup, at(100))
    life.memory.passed(Change("ALTER TABLE t RENAME COLUMN a TO b", "shop", ("shop",)), at(200))
    names_at(life, lookup, at(300))
    assert lookup.asked == [at(100), at(300)]


@pytest.mark.parametrize("clear", [True, False])
def test_from_further_on_if_nothing_came_between(life: Life, clear: bool) -> None:
    lookup = Lookup(clear=clear)
    life.learn(at(500), READ.to_json()).commit().take_over(A, stored(600), continues=False)
    life.memory.entered("binlog.000001", 1001)
    assert names_at(life, lookup, at(100)) == READ.name(LOGGED)
    assert lookup.searched == [(at(100), at(500))]
    assert lookup.asked == ([] if clear else [at(100)])


def test_of_an_earlier_place_they_are_learnt_where_the_dump_is(life: Life) -> None:
    """Rows of an XA transaction: what was proven from its first phase to its second one holds from there on."""
    lookup = Lookup()
    names_at(life, lookup, at(100), reading=at(500))
    assert lookup.searched == [(at(100), at(500))]
    life.ddl(at(700)).commit()
    assert life.known(at(600)) == READ.to_json()
    assert life.known(at(800)) is None
    life.take_over(A, stored(900), continues=False)
    names_at(life, lookup, at(100), reading=at(500))
    assert lookup.asked == [at(100)], "after an order to go back it is found from further on"


def test_of_an_earlier_place_they_are_not_learnt_if_a_statement_came_between(life: Life) -> None:
    lookup = Lookup(clear=False)
    names_at(life, lookup, at(100), reading=at(500))
    assert life.known(at(600)) is None
