"""What setting a position would send again or skip; GTID sets counted by hand."""

import pytest

from cdcd.binlog.gtid import GtidSet
from cdcd.binlog.position import Position, PositionRecord
from cdcd.config.start import parse_start
from cdcd.fleet.repositioning import preview

A = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
B = "4e11fa47-71ca-11e1-9e33-c80aa9429562"


def _record(gtid_set: str | None = f"{A}:1-100", txn: str | None = None, rows_done: int = 0) -> PositionRecord:
    gtids = None if gtid_set is None else GtidSet.parse(gtid_set)
    position = Position(A, gtids, "binlog.000009", 400, 500, txn, rows_done)
    return PositionRecord(7, "n", position, 12, ts_ms=1_795_000_000_000)


def test_back_sends_again() -> None:
    seen = preview(_record(), parse_start(f"gtid:{A}:1-97"))
    assert (seen.again, seen.skipped, seen.remark) == (f"3 transactions: {A}:98-100", "", "")


def test_forward_skips() -> None:
    seen = preview(_record(), parse_start(f"gtid:{A}:1-101"))
    assert (seen.again, seen.skipped) == ("", f"1 transaction: {A}:101")


def test_sideways_does_both() -> None:
    seen = preview(_record(), parse_start(f"gtid:{A}:1-50:52-100,{B}:1-2"))
    assert (seen.again, seen.skipped) == (f"1 transaction: {A}:51", f"2 transactions: {B}:1-2")


def test_the_same_place_is_nothing() -> None:
    assert preview(_record(), parse_start(f"gtid:{A}:1-100")).nothing
    assert preview(_record(), parse_start("file:binlog.000009:500")).nothing


@pytest.mark.parametrize(
    ("there", "said"), [("1-100", "first 8 row changes are published again"), ("1-101", "the others are skipped")]
)
def test_inside_a_transaction(there: str, said: str) -> None:
    assert said in preview(_record(txn=f"{A}:101", rows_done=8), parse_start(f"gtid:{A}:{there}")).remark


def test_files_compare_as_numbers() -> None:
    assert (
        "between binlog.000009:500 and binlog.000010:4"
        in preview(_record(), parse_start("file:binlog.000010:4")).skipped
    )
    seen = preview(_record(), parse_start("file:binlog.000009:4"))
    assert seen.skipped == ""
    assert f"between binlog.000009:4 and binlog.000009:500 (496 bytes), if the source is still server {A}" in seen.again
    assert "cannot be compared" not in preview(_record(), parse_start("file:binlog.1000000:4")).remark


def test_words_and_times() -> None:
    assert preview(_record(), "earliest").again
    assert preview(_record(), "latest").skipped
    assert preview(_record(), parse_start("time:2026-11-01T00:00:00Z")).again
    assert preview(_record(), parse_start("time:2027-01-01T00:00:00Z")).skipped


def test_what_cannot_be_compared_is_said() -> None:
    assert "no position is known" in preview(None, "latest").remark
    assert "no GTID set" in preview(_record(None), parse_start(f"gtid:{A}:1")).remark
