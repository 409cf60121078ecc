"""What is remembered of names, and where it holds: over take-overs, orders to go back, other servers and a binlog begun anew."""

import json
from typing import Any, cast

import pytest

from cdcd.binlog.position import Position
from cdcd.binlog.spans import Place
from cdcd.binlog.touching import Change, Table
from cdcd.errors import FindingError
from cdcd.worker.memory import SchemaMemory
from tests.memory import MemorySink

A, B = "a" * 36, "b" * 36
"""Servers."""
T, U = ("shop", "t"), ("shop", "u")
OLD, NEW = b'["old"]', b'["new"]'
PRINT = b"fingerprint"


class Topic:
    """What was stored, as a take-over would find it."""

    name = "__cdcd_schemas.test.orders"

    def __init__(self) -> None:
        self.facts: dict[bytes, bytes] = {}
        self.made = self.taken = 0

    def exists(self) -> bool:
        return bool(self.facts)

    def ensure(self) -> None:
        self.made += 1

    def peek(self) -> None:
        """Nothing to connect."""

    def take(self) -> dict[bytes, bytes]:
        self.taken += 1
        return dict(self.facts)


class Life:
    """An instance over its take-overs."""

    def __init__(self) -> None:
        self.topic = Topic()
        self.partitions: dict[str, int] = {}
        self.memory = SchemaMemory(self.topic)

    def take_over(self, server: str = A, old: Position | None = None, *, continues: bool = True) -> "Life":
        self.memory = SchemaMemory(self.topic)
        self.memory.prepare(self.partitions)
        self.memory.resume(self.partitions, old, server, continues=continues)
        return self.commit()

    def commit(self) -> "Life":
        sink = MemorySink()
        self.memory.store(sink, self.partitions)
        sink.checkpoint(cast(Any, None))
        for _, key, value in sink.kept:
            if value is None:
                del self.topic.facts[key]
            else:
                self.topic.facts[key] = value
        return self

    def entered(self, place: Place, oldest: int) -> "Life":
        self.memory.oldest_file = lambda: at(0, oldest).file
        self.memory.entered(place.file, place.created)
        return self

    def learn(self, place: Place, definition: bytes, table: Table = T) -> "Life":
        self.memory.learn(table, PRINT, place, definition)
        return self

    def ddl(self, place: Place, sql: str = "ALTER TABLE t RENAME COLUMN a TO b") -> "Life":
        self.memory.passed(Change(sql, "shop", ("shop",)), place)
        return self

    def known(self, place: Place, table: Table = T, reading: Place | None = None) -> bytes | None:
        """`reading`: where the dump is, if not at `place`."""
        reading = reading or place
        self.memory.entered(reading.file, reading.created)
        return self.memory.find(table, PRINT, place, reading)


def at(offset: int, file: int = 1, created: int = 0) -> Place:
    return Place(f"binlog.{file:06}", offset, created or 1000 + file)


def stored(offset: int, file: int = 1, server: str = A) -> Position:
    return Position(server, None, f"binlog.{file:06}", offset, offset)


@pytest.fixture
def life() -> Life:
    return Life().take_over(continues=False)


@pytest.fixture
def altered(life: Life) -> Life:
    """Old names from 100 on, a DDL at 200, new names from 300 on; stored at 400."""
    return life.learn(at(100), OLD).ddl(at(200)).learn(at(300), NEW).commit()


def test_nothing_is_stored_or_asked_for_without_need() -> None:
    life = Life().take_over(continues=False).take_over().ddl(at(100))
    assert (life.topic.facts, life.topic.made, life.topic.taken, life.partitions) == ({}, 0, 0, {})


def test_what_is_known_holds_from_there_on_over_a_take_over(life: Life) -> None:
    assert life.known(at(50)) is None
    life.learn(at(100), OLD).commit().take_over()
    assert life.partitions == {life.topic.name: 1}
    assert life.known(at(500)) == OLD
    assert life.known(at(4, file=2)) == OLD
    assert life.memory.find(T, b"another shape", at(500), at(500)) is None
    assert life.known(at(500), U) is None


def test_a_ddl_ends_it(life: Life) -> None:
    life.learn(at(100), OLD).learn(at(100), OLD, U).ddl(at(200))
    for _ in range(2):
        assert life.known(at(199)) == OLD
        assert life.known(at(200)) is None
        assert life.known(at(300)) is None
        assert life.known(at(300), U) == OLD
        life.commit().take_over()


def test_what_is_not_stored_is_forgotten(altered: Life) -> None:
    altered.ddl(at(450)).take_over()
    assert altered.known(at(460)) == NEW


def test_rows_of_an_earlier_place_have_its_names(altered: Life) -> None:
    """As those of an XA transaction, in its own file and from the next one, and what is read then is not touched."""
    for reading in (at(500), at(77, file=2)):
        assert altered.known(at(150), reading=reading) == OLD
        assert altered.known(reading) == NEW
        assert altered.known(at(150, created=7), reading=reading) is None


def test_what_is_known_of_an_earlier_place_is_not_in_force_where_the_dump_is(altered: Life) -> None:
    """Between the two is what was not read."""
    altered.take_over(A, stored(400), continues=False)
    assert altered.known(at(150), reading=at(4, file=9)) == OLD
    for _ in range(2):
        assert altered.known(at(100, file=9)) is None
        altered.commit().take_over()


def test_going_back_finds_the_names_of_the_time(altered: Life) -> None:
    altered.take_over(A, stored(400), continues=False)
    assert altered.known(at(150)) == OLD
    altered.ddl(at(200))
    assert altered.known(at(250)) is None
    assert altered.known(at(350)) == NEW
    altered.commit().take_over(A, stored(380))
    assert altered.known(at(600)) == NEW, "read on without a gap, and used in this reading"


def test_going_back_and_on_beyond_what_was_read(altered: Life) -> None:
    """The second reading has not met the table before: whether nothing happened behind the end of the first is unknown."""
    altered.take_over(A, stored(400), continues=False)
    assert altered.known(at(450)) is None


def test_going_forward_leaves_a_gap(altered: Life) -> None:
    altered.take_over(A, stored(400), continues=False)
    assert altered.known(at(5000)) is None
    assert altered.learn(at(5000), OLD).known(at(6000)) == OLD
    assert altered.known(at(350)) == NEW


def test_a_gap_is_known_to_the_next_take_over_too(altered: Life) -> None:
    """Also if nothing was read in between."""
    altered.take_over(A, stored(400), continues=False).take_over(A, stored(5000))
    assert altered.known(at(5000)) is None


def test_another_server_goes_on(altered: Life) -> None:
    altered.take_over(B, stored(400))
    assert altered.known(at(77, file=9)) == NEW
    altered.commit().take_over(B, stored(80, 9, B))
    assert altered.known(at(99, file=9)) == NEW
    altered.ddl(at(100, file=9)).commit().take_over(A, stored(200, 9, B), continues=False)
    assert altered.known(at(350)) == NEW, "read on the first server before"
    assert altered.known(at(150)) == OLD


def test_another_server_where_a_ddl_comes_first(altered: Life) -> None:
    altered.take_over(B, stored(400))
    altered.ddl(at(50, file=9))
    assert altered.known(at(77, file=9)) is None


def test_another_server_and_back(altered: Life) -> None:
    altered.take_over(B, stored(400)).take_over(A, stored(70, 9, B))
    assert altered.known(at(900)) == NEW


def test_the_other_server_before_the_arrival(altered: Life) -> None:
    """What came before is in its binlog as well, at places that were not read there."""
    altered.take_over(B, stored(400))
    assert altered.known(at(77, file=9)) == NEW
    altered.commit().take_over(B, stored(80, 9, B), continues=False)
    assert altered.known(at(50, file=9)) is None
    assert altered.known(at(78, file=9)) == NEW


def test_another_server_after_a_gap(altered: Life) -> None:
    altered.take_over(B, stored(400), continues=False)
    assert altered.known(at(77, file=9)) is None


def test_a_binlog_that_was_begun_anew(altered: Life) -> None:
    """RESET BINARY LOGS: the same server, the same names."""
    altered.take_over(A, stored(400), continues=False)
    assert altered.known(at(350, created=7777)) is None
    altered.take_over(A, stored(400))
    altered.memory.entered("binlog.000001", 7777)
    assert altered.known(at(350, created=7777)) is None
    assert altered.learn(at(360, created=7777), OLD).known(at(370, created=7777)) == OLD


def test_what_is_known_further_on(altered: Life) -> None:
    altered.take_over(A, stored(400), continues=False)
    assert altered.memory.later(T, at(50)) == (PRINT, OLD, at(100))
    assert altered.memory.later(T, at(250)) == (PRINT, NEW, at(300))
    assert altered.memory.later(T, at(300)) is None


def test_positions_that_were_deleted_by_hand(altered: Life) -> None:
    """How far it had come is then known by what is remembered."""
    altered.partitions = {}
    altered.memory = SchemaMemory(altered.topic)
    altered.memory.prepare(None)
    altered.memory.resume({}, None, A, continues=False)
    altered.commit()
    assert altered.known(at(150)) == OLD
    assert altered.ddl(at(200)).known(at(300)) == NEW
    assert altered.known(at(301)) == NEW, "used in this reading"
    altered.take_over(A, stored(301), continues=False)
    assert altered.known(at(390)) is None


def test_purged_files_are_forgotten(altered: Life) -> None:
    """Old names end in the first file; new ones hold from there on, in all that follow."""
    for file in range(2, 12):
        altered.entered(at(4, file), oldest=max(1, file - 5))
    altered.commit()
    [stretch, *spans] = altered.topic.facts.values()
    assert list(json.loads(stretch)["files"]) == [f"binlog.{file:06}" for file in range(6, 12)]
    assert [json.loads(span)["definition"] for span in spans] == [json.loads(NEW)]
    altered.take_over(A, stored(50, 11))
    assert altered.known(at(100)) is None
    assert altered.known(at(100, file=6)) == NEW
    assert altered.known(at(100, file=11)) == NEW


def test_what_ends_in_a_file_that_is_there_stays(altered: Life) -> None:
    altered.entered(at(4, file=2), oldest=1).commit().take_over(A, stored(400), continues=False)
    assert altered.known(at(150)) == OLD


def test_a_former_reading_is_forgotten_with_its_files(altered: Life) -> None:
    """Its spans without an end held to where it ended."""
    altered.take_over(A, stored(400), continues=False).learn(at(5, file=3), NEW)
    assert len(altered.commit().topic.facts) == 5, "two stretches"
    altered.entered(at(4, file=4), oldest=2).commit()
    assert {json.loads(key).get("stretch") or tuple(json.loads(key)["start"]) for key in altered.topic.facts} == {
        2,
        (2, "binlog.000003", 5),
    }
    assert altered.take_over(A, stored(9, 4)).known(at(10, file=4)) == NEW


def test_what_another_server_holds_is_not_forgotten(altered: Life) -> None:
    """Which files that one still has is not known here; what was carried over from it is needed here."""
    altered.take_over(B, stored(400)).entered(at(4, file=9), oldest=8).entered(at(4, file=10), oldest=9).commit()
    assert altered.known(at(77, file=10)) == NEW
    altered.take_over(A, stored(80, 10, B), continues=False)
    assert (altered.known(at(150)), altered.ddl(at(200)).known(at(350))) == (OLD, NEW)


def test_a_way_back_over_another_server(altered: Life) -> None:
    """What holds now was learnt in files that are gone by now: it is needed all the same."""
    altered.take_over(B, stored(400)).entered(at(4, file=9), oldest=9).take_over(A, stored(70, 9, B))
    altered.entered(at(4, file=5), oldest=5).commit()
    assert altered.take_over(A, stored(70, 5)).known(at(99, file=5)) == NEW


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b'{"stretch":1}', b'{"v":2}'),
        (b'{"stretch":1}', b'{"v":1}'),
        (b"nonsense", b"{}"),
        (b'{"table":["d","t"],"fingerprint":"00","start":[1,"f.1"]}', b'{"v":1,"end":null,"definition":{}}'),
    ],
)
def test_records_that_cannot_be_read(key: bytes, value: bytes) -> None:
    life = Life()
    life.partitions = {life.topic.name: 1}
    life.topic.facts[key] = value
    with pytest.raises(FindingError) as caught:
        life.take_over()
    assert caught.value.finding.code == "schema-topic-unreadable"
