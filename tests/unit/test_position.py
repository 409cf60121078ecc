"""The position record: its exact form, and refusal of everything that is not certain."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdcd.binlog.gtid import GtidSet
from cdcd.binlog.mariadb_gtid import MariadbPosition
from cdcd.binlog.position import Position, PositionRecord, PositionRecordError, coordinate, file_number
from cdcd.binlog.prepared import Prepared

UUID = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
POSITION = Position(UUID, GtidSet.parse(f"{UUID}:1-5:9"), "binlog.000007", 157, 410)
RECORD = PositionRecord(epoch=3, nonce="n1", position=POSITION, seq=77, partitions={"cdc.shop": 4}, ts_ms=1700000000000)


def fields(**changes: Any) -> bytes:
    return json.dumps({**json.loads(RECORD.to_json()), **changes}).encode()


def test_form_is_that_of_the_format_description() -> None:
    assert RECORD.to_json() == (
        b'{"v":1,"epoch":3,"nonce":"n1","server_uuid":"3e11fa47-71ca-11e1-9e33-c80aa9429562",'
        b'"gtid_set":"3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:9","file":"binlog.000007","start_offset":157,'
        b'"end_offset":410,"txn":null,"rows_done":0,"seq":77,"held":[],"partitions":{"cdc.shop":4},"ts_ms":1700000000000}'
    )


@given(
    st.builds(
        PositionRecord,
        epoch=st.integers(0, 2**53),
        nonce=st.text(max_size=20),
        position=st.builds(
            Position,
            server_uuid=st.text(max_size=40),
            gtid_set=st.sampled_from(
                [
                    None,
                    GtidSet(),
                    POSITION.gtid_set,
                    GtidSet.parse(f"{UUID}:blue:1"),
                    MariadbPosition(),
                    MariadbPosition.parse("0-1-100,4294967295-2-7"),
                ]
            ),
            file=st.text(max_size=40),
            start_offset=st.integers(0, 2**63 - 1),
            end_offset=st.integers(0, 2**63 - 1),
            txn=st.text(min_size=1, max_size=60),
            rows_done=st.integers(0, 2**53),
            held=st.lists(
                st.builds(
                    Prepared,
                    xid=st.text(max_size=40),
                    gtid=st.none() | st.text(max_size=40),
                    file=st.text(max_size=40),
                    offset=st.integers(0, 2**63 - 1),
                    created=st.integers(0, 2**32 - 1),
                    since_ms=st.integers(0, 2**53),
                ),
                max_size=3,
            ).map(tuple),
        ),
        seq=st.integers(0, 2**53),
        partitions=st.dictionaries(st.text(max_size=10), st.integers(1, 1000), max_size=4),
        ts_ms=st.integers(0, 2**53),
    )
)
def test_round_trip(record: PositionRecord) -> None:
    assert PositionRecord.from_json(record.to_json()) == record


def test_form_of_mariadb() -> None:
    """`flavour` tells an empty position from an empty set."""
    position = replace(POSITION, server_uuid="server-id-3", gtid_set=MariadbPosition.parse("1-2-7,0-1-100"))
    members = json.loads(replace(RECORD, position=position).to_json())
    assert (members["gtid_set"], members["flavour"], members["server_uuid"]) == (
        "0-1-100,1-2-7",
        "mariadb",
        "server-id-3",
    )
    assert "flavour" not in json.loads(RECORD.to_json())


@pytest.mark.parametrize(
    "changes", [{"gtid_set": "0-1-100"}, {"flavour": "mariadb"}, {"flavour": "mariadb", "gtid_set": None}]
)
def test_flavours_are_not_mixed(changes: dict[str, Any]) -> None:
    with pytest.raises(PositionRecordError) as caught:
        PositionRecord.from_json(fields(**changes))
    assert caught.value.finding.code == "position-record-damaged"


def test_flavour_of_tomorrow() -> None:
    with pytest.raises(PositionRecordError) as caught:
        PositionRecord.from_json(fields(flavour="tidb"))
    assert caught.value.finding.code == "position-record-newer"


def test_without_gtids_and_inside_a_transaction() -> None:
    position = replace(POSITION, gtid_set=None, txn="binlog.000007:410", rows_done=12)
    record = replace(RECORD, position=position)
    assert PositionRecord.from_json(record.to_json()) == record


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"v": 2}, "version 2, this cdcd knows version 1"),
    ],
)
def test_a_newer_record_is_refused_as_such(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(PositionRecordError, match=named) as refused:
        PositionRecord.from_json(fields(**changes))
    assert refused.value.finding.code == "position-record-newer"
    assert refused.value.finding.kind == "operator"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"v": "1"}, "v is '1', expected int"),
        ({"v": True}, "v is True"),
        ({"epoch": None}, "epoch is None"),
        ({"epoch": -1}, "epoch is -1"),
        ({"nonce": 5}, "nonce is 5, expected str"),
        ({"gtid_set": "rubbish"}, "gtid_set: GTID set: 'rubbish' is no UUID"),
        ({"gtid_set": 7}, "gtid_set is 7, expected str or NoneType"),
        ({"start_offset": 1.5}, "start_offset is 1.5"),
        ({"rows_done": 5}, "rows_done is 5 and txn is None"),
        ({"txn": "", "rows_done": 5}, "rows_done is 5 and txn is ''"),
        ({"partitions": {"t": 0}}, "partitions.t is 0"),
        ({"partitions": []}, "partitions is"),
        ({"held": None}, "held is None"),
    ],
)
def test_damage_is_named(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(PositionRecordError, match=named) as refused:
        PositionRecord.from_json(fields(**changes))
    assert refused.value.finding.code == "position-record-damaged"


@pytest.mark.parametrize("name", sorted(json.loads(RECORD.to_json())))
def test_every_field_is_needed(name: str) -> None:
    members = json.loads(RECORD.to_json())
    del members[name]
    with pytest.raises(PositionRecordError, match=f"{name} is missing"):
        PositionRecord.from_json(json.dumps(members).encode())


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b'"x"', b"\xff", RECORD.to_json()[:-1]])
def test_what_is_no_object_is_damaged(data: bytes) -> None:
    with pytest.raises(PositionRecordError):
        PositionRecord.from_json(data)


def test_a_later_additive_field_does_not_hinder() -> None:
    assert PositionRecord.from_json(fields(note="added in a later version")) == RECORD


def test_files_compare_by_number() -> None:
    assert file_number("binlog.000042") == 42
    assert file_number("mysql-bin.v2.1000000") == 1_000_000
    assert coordinate("binlog.999999", 900) < coordinate("binlog.1000000", 4) < coordinate("binlog.1000000", 5)
    for name in ("binlog", "binlog.", "binlog.index", "", "binlog.\N{ARABIC-INDIC DIGIT FOUR}"):
        with pytest.raises(ValueError, match="no binlog file name"):
            file_number(name)
