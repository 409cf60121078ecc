"""The checks are checked: a right topic passes, and each planted bug fails the V that is there for it."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest
from confluent_kafka import murmur2

from deploy.rig.checks import Checker, Report, State
from deploy.rig.expect import Counted, Expected, expected
from deploy.rig.source import Column, Table
from deploy.rig.topics import Record
from deploy.rig.truth import Change, Transaction
from deploy.rig.values import Layout

TABLE = Table("d", "t", (Column("id", "int"), Column("ver", "int"), Column("note", "varchar(20)")), (0,))
LAYOUTS = {"d.t": Layout(TABLE)}
DDL = "ALTER TABLE `d`.t COMMENT 'x'"
PARTITIONS = 4


def _row(key: int, ver: int, note: str) -> list[str]:
    return [str(key), str(ver), f"'{note}'"]


def _truth() -> list[Transaction]:
    """Twenty inserts, ten updates in two transactions, a change of key, a delete, a statement."""
    inserts = [Change("d.t", "INSERT", [], _row(key, 1, "new")) for key in range(20)]
    first = [Change("d.t", "UPDATE", _row(key, 1, "new"), _row(key, 2, "mid")) for key in range(10)]
    second = [Change("d.t", "UPDATE", _row(key, 2, "mid"), _row(key, 3, "end")) for key in range(10)]
    moved = Change("d.t", "UPDATE", _row(3, 3, "end"), _row(30, 4, "end"))
    deleted = Change("d.t", "DELETE", _row(4, 3, "end"), [])
    return [
        Transaction("u:1", 1_000_000, inserts),
        Transaction("u:2", 2_000_000, first),
        Transaction("u:3", 3_000_000, [], [DDL]),
        Transaction("u:4", 4_000_000, [*second, moved, deleted]),
    ]


TABLES: dict[str, State] = {"d.t": {(str(key),): (str(key), "3", "end") for key in range(10) if key not in {3, 4}}}
TABLES["d.t"] |= {(str(key),): (str(key), "1", "new") for key in range(10, 20)}
TABLES["d.t"][("30",)] = ("30", "4", "end")


def _body(number: int, message: Expected) -> bytes:
    """canal-json as formats.md shows it, written here by hand."""
    return json.dumps(
        {
            "data": [dict(zip(("id", "ver", "note"), message.row, strict=True))],
            "database": "d",
            "es": message.es,
            "gtid": message.gtid,
            "id": number,
            "isDdl": False,
            "old": None if message.old is None else [dict(message.old)],
            "table": "t",
            "type": message.type,
        }
    ).encode()


def _statement(number: int) -> Record:
    body = {"data": None, "database": "d", "id": number, "isDdl": True, "sql": DDL, "type": "ALTER"}
    return Record("ddl", 0, 0, None, json.dumps(body).encode())


def _right() -> list[Record]:
    """What a faultless worker publishes: the statement is message 31."""
    messages = list(expected(_truth(), LAYOUTS, Counted(), wanted={"d.t"}))
    numbers = [*range(1, 31), *range(32, 32 + len(messages) - 30)]
    records = [
        Record("t", murmur2(message.key, PARTITIONS), number, message.key, _body(number, message))
        for number, message in zip(numbers, messages, strict=True)
    ]
    return [*records, _statement(31)]


def _judge(records: list[Record], *, repeats: bool = False) -> Report:
    counted = Counted()
    truth = expected(_truth(), LAYOUTS, counted, wanted={"d.t"})
    checker = Checker(truth, LAYOUTS, counted, statements=Counter([DDL]), required=Counter([DDL]), repeats=repeats)
    checker.partitions("t", PARTITIONS)
    for record in records:
        checker.take(record)
    return checker.finish(TABLES)


def test_a_right_topic_passes() -> None:
    report = _judge(_right())
    assert report.passed, report.account()
    assert (report.counted.changes, report.counted.split, report.messages) == (42, 1, 44)


def _drop_one(records: list[Record]) -> list[Record]:
    return records[:5] + records[6:]


def _drop_the_last(records: list[Record]) -> list[Record]:
    """No gap in the numbers shows it: the truth must."""
    return [*records[:-2], records[-1]]


def _drop_the_statement(records: list[Record]) -> list[Record]:
    return records[:-1]


def _repeat_a_batch(records: list[Record]) -> list[Record]:
    return records[:15] + records[5:15] + records[15:]


def _repeat_renumbered(records: list[Record]) -> list[Record]:
    """A repeat that took fresh numbers: only the content tells."""
    again = json.loads(records[5].value) | {"id": 45}
    return [*records, replace(records[5], value=json.dumps(again).encode())]


def _swap_two_of_a_key(records: list[Record]) -> list[Record]:
    """Key 5 is updated at index 25 and again at 35."""
    records[25], records[35] = records[35], records[25]
    return records


def _swap_within_a_transaction(records: list[Record]) -> list[Record]:
    """Two keys of one partition, one transaction: only the statement order tells."""
    mates = [index for index in range(20) if records[index].partition == records[0].partition]
    first, second = mates[0], mates[1]
    records[first], records[second] = records[second], records[first]
    return records


def _alter_a_value(records: list[Record]) -> list[Record]:
    body = json.loads(records[12].value)
    body["data"][0]["note"] = "New"
    records[12] = replace(records[12], value=json.dumps(body).encode())
    return records


def _alter_an_old_value(records: list[Record]) -> list[Record]:
    body = json.loads(records[25].value)
    body["old"][0]["note"] = "other"
    records[25] = replace(records[25], value=json.dumps(body).encode())
    return records


def _misplace(records: list[Record]) -> list[Record]:
    records[0] = replace(records[0], partition=(records[0].partition + 1) % PARTITIONS)
    return records


def _skip_a_number(records: list[Record]) -> list[Record]:
    body = json.loads(records[-2].value) | {"id": 99}
    return [*records[:-2], replace(records[-2], value=json.dumps(body).encode()), records[-1]]


@pytest.mark.parametrize(
    ("plant", "failing"),
    [
        (_drop_one, {"V1", "V3"}),
        (_drop_the_last, {"V1", "V4"}),
        (_drop_the_statement, {"V1", "V3"}),
        (_repeat_a_batch, {"V3"}),
        (_repeat_renumbered, {"V2", "V3", "V4"}),
        (_swap_two_of_a_key, {"V2", "V4"}),
        (_swap_within_a_transaction, {"V2"}),
        (_alter_a_value, {"V1", "V4"}),
        (_alter_an_old_value, {"V1"}),
        (_misplace, {"V2"}),
        (_skip_a_number, {"V3"}),
    ],
)
def test_a_planted_bug_fails_its_check(plant: Callable[[list[Record]], list[Record]], failing: set[str]) -> None:
    report = _judge(plant(_right()))
    assert {name for name, passed in report.verdicts.items() if not passed} == failing, report.account()


def test_the_account_shows_examples() -> None:
    account = _judge(_drop_one(_right())).account()
    assert "1 missing:" in account
    assert 'INSERT d.t {"id":"5"} of u:1' in account


def test_repeats_are_passed_over_where_they_are_allowed() -> None:
    right = _right()
    report = _judge(right[:15] + right[5:15] + right[15:], repeats=True)
    assert report.passed, report.account()
    assert (report.messages, report.repeated) == (44, 10)


def test_a_repeat_with_other_content_is_none() -> None:
    right = _right()
    altered = _alter_a_value(_right())[12]
    assert not _judge([*right, altered], repeats=True).verdicts["V3"]
