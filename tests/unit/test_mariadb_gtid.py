"""GTID positions of MariaDB against a naive model: the list of all GTIDs in the order of a binlog."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdcd.binlog.gtid import Interval
from cdcd.binlog.gtid_wire import GtidSetError
from cdcd.binlog.mariadb_gtid import LARGEST_SEQUENCE, BinlogState, MariadbPosition

Gtid = tuple[int, int, int]

_gtids = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3), st.integers(1, 20)), max_size=30)


def last_of(gtids: list[Gtid]) -> dict[int, Gtid]:
    return {gtid[0]: gtid for gtid in gtids}


def runs(gtids: list[Gtid]) -> list[Interval]:
    """As the decoder hands them over: one stream's numbers that follow each other are one run."""
    merged: list[Interval] = []
    for domain, server, number in gtids:
        source = struct.pack(">II", domain, server)
        if merged and merged[-1][0] == source and merged[-1][3] + 1 == number:
            merged[-1] = (source, "", merged[-1][2], number)
        else:
            merged.append((source, "", number, number))
    return merged


def text(gtids: list[Gtid]) -> str:
    return ",".join("-".join(map(str, gtid)) for gtid in gtids)


@given(_gtids, _gtids)
def test_is_the_last_of_each_domain_in_binlog_order(first: list[Gtid], then: list[Gtid]) -> None:
    """Without gtid_strict_mode numbers go down as well: the order of the binlog counts, not theirs."""
    position = MariadbPosition(first).add_all(runs(then))
    assert str(position) == text(sorted(last_of(first + then).values()))
    assert position == MariadbPosition(first + then)
    assert MariadbPosition.parse(str(position)) == position
    assert hash(MariadbPosition.parse(str(position))) == hash(position)
    assert bool(position) == bool(first or then)


@given(_gtids, st.tuples(st.integers(0, 3), st.integers(1, 3), st.integers(1, 20)))
def test_passes_over_nothing_but_the_last_ones(gtids: list[Gtid], asked: Gtid) -> None:
    position = MariadbPosition(gtids)
    domain, server, number = asked
    known = last_of(gtids).get(domain) == asked
    gap = position.gap(struct.pack(">II", domain, server), "", number)
    assert (gap is None) == known == position.is_last(text([asked]))
    if gap is not None:
        first, end = gap
        assert first <= number < end
        for other in range(1, 22):
            if first <= other < end:
                assert last_of(gtids).get(domain) != (domain, server, other)


@given(_gtids)
def test_reads_a_gtid_list_event(gtids: list[Gtid]) -> None:
    body = struct.pack("<I", len(gtids) | 1 << 29) + b"".join(struct.pack("<IIQ", *gtid) for gtid in gtids)
    body = body.ljust(6, b"\0")
    assert MariadbPosition.decode(body) == MariadbPosition(gtids)
    with pytest.raises(GtidSetError):
        MariadbPosition.decode(body + b"\0")


@given(_gtids, _gtids)
def test_what_a_binlog_lacks(known: list[Gtid], logged: list[Gtid]) -> None:
    newest = {(domain, server): number for domain, server, number in logged}
    of_state = sorted(newest, key=lambda stream: last_of(logged)[stream[0]][1] == stream[1])
    state = BinlogState(text([(*stream, newest[stream]) for stream in of_state]))
    assert state.position == MariadbPosition(logged)
    position = MariadbPosition(known)
    lacks = [gtid for gtid in last_of(known).values() if newest.get(gtid[:2], 0) < gtid[2]]
    assert state.lacks(position) == MariadbPosition(lacks)
    passed = [gtid for gtid in lacks if last_of(logged).get(gtid[0], (0, 0, 0))[2] >= gtid[2]]
    assert state.has_passed(state.lacks(position)) == MariadbPosition(passed)


@pytest.mark.parametrize(
    ("known", "later", "count"), [("", "0-1-5", 5), ("0-1-5", "0-2-9,1-1-2", 6), ("0-1-9", "0-1-5", 0), ("", "", 0)]
)
def test_lag_by_numbers(known: str, later: str, count: int) -> None:
    assert MariadbPosition.parse(known).behind(MariadbPosition.parse(later)) == count


@pytest.mark.parametrize("ok", ["", " 0-1-2 , 1-1-2", "4294967295-4294967295-9223372036854775806", "0-0-1"])
def test_texts_it_reads(ok: str) -> None:
    assert MariadbPosition.parse(ok) == MariadbPosition.parse(str(MariadbPosition.parse(ok)))


@pytest.mark.parametrize(
    "bad",
    [
        "0-1",
        "0-1-0",
        "0-1-2,0-3-4",
        "4294967296-1-1",
        "0-4294967296-1",
        f"0-1-{LARGEST_SEQUENCE + 1}",
        "0-1-18446744073709551616",
        "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5",
        "0-1-2'",
        "0-1-٣",
    ],
)
def test_texts_it_refuses(bad: str) -> None:
    with pytest.raises(GtidSetError):
        MariadbPosition.parse(bad)


def test_sources_of_mysql_are_refused() -> None:
    with pytest.raises(GtidSetError):
        MariadbPosition().add_all([(bytes(16), "", 1, 1)])
