"""GTID sets against a naive model: plain Python sets of (uuid, tag, number)."""

import hashlib
import struct
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdcd.binlog.gtid import GtidSet, GtidSetError, Interval

U = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
V = "0a11fa47-71ca-11e1-9e33-c80aa9429562"
U_BYTES = bytes.fromhex(U.replace("-", ""))
LAST = 2**63 - 2

_sources = st.tuples(st.sampled_from([bytes(16), U_BYTES, b"\xff" * 16]), st.sampled_from(["", "a", "blue", "_x"]))
_numbers = st.integers(1, 30)


@st.composite
def _interval(draw: st.DrawFn) -> Interval:
    uuid, tag = draw(_sources)
    first, last = sorted((draw(_numbers), draw(_numbers)))
    return uuid, tag, first, last


_intervals = st.lists(_interval(), max_size=12)
_Model = set[tuple[bytes, str, int]]


def model(intervals: list[Interval]) -> _Model:
    return {(uuid, tag, n) for uuid, tag, first, last in intervals for n in range(first, last + 1)}


def members(gtids: GtidSet) -> _Model:
    return model(list(gtids.intervals()))


def assert_canonical(gtids: GtidSet) -> None:
    for (uuid, tag, _, last), (next_uuid, next_tag, first, _) in pairwise(gtids.intervals()):
        same = (uuid, tag) == (next_uuid, next_tag)
        assert (uuid, tag) <= (next_uuid, next_tag)
        assert not same or last + 1 < first, "intervals of one source neither overlap nor touch"


@given(_intervals)
def test_holds_exactly_what_was_added(intervals: list[Interval]) -> None:
    gtids = GtidSet(intervals)
    assert members(gtids) == model(intervals)
    assert_canonical(gtids)
    assert gtids.count() == len(model(intervals))
    assert bool(gtids) == bool(intervals)


@given(_intervals, _intervals)
def test_algebra_agrees_with_plain_sets(a: list[Interval], b: list[Interval]) -> None:
    x, y = GtidSet(a), GtidSet(b)
    for made, expected in (
        (x.union(y), model(a) | model(b)),
        (x.add_all(b), model(a) | model(b)),
        (x.subtract(y), model(a) - model(b)),
    ):
        assert members(made) == expected
        assert_canonical(made)
    assert x.contains(y) == (model(b) <= model(a))
    assert x.is_subset(y) == (model(a) <= model(b))
    assert (x == y) == (model(a) == model(b))
    assert members(x) == model(a), "operations leave their operands alone"


@given(_intervals, _interval())
def test_single_gtid_and_single_interval(intervals: list[Interval], one: Interval) -> None:
    gtids = GtidSet(intervals)
    uuid, tag, first, last = one
    assert gtids.contains_gtid(uuid, tag, first) == ((uuid, tag, first) in model(intervals))
    assert members(gtids.add(uuid, tag, first, last)) == model([*intervals, one])


@given(_intervals, _interval())
def test_the_gap_around_a_number(intervals: list[Interval], one: Interval) -> None:
    """Nothing of it is in the set, and what stands at its ends is."""
    gtids, (uuid, tag, number, _) = GtidSet(intervals), one
    gap = gtids.gap(uuid, tag, number)
    if gap is None:
        assert gtids.contains_gtid(uuid, tag, number)
        return
    first, end = gap
    assert first <= number < end
    assert not any(gtids.contains_gtid(uuid, tag, n) for n in (*range(first, min(end, number + 100)), end - 1))
    assert first == 1 or gtids.contains_gtid(uuid, tag, first - 1)
    assert end == (1 << 63) - 1 or gtids.contains_gtid(uuid, tag, end)


@given(_intervals)
def test_text_and_wire_round_trip(intervals: list[Interval]) -> None:
    gtids = GtidSet(intervals)
    assert GtidSet.parse(str(gtids)) == gtids
    assert GtidSet.decode(gtids.encode()) == gtids
    assert hash(GtidSet.parse(str(gtids))) == hash(gtids)


@given(_intervals, st.data())
def test_a_cut_wire_form_is_an_error(intervals: list[Interval], data: st.DataObject) -> None:
    wire = GtidSet(intervals).encode()
    cut = data.draw(st.integers(0, len(wire) - 1))
    with pytest.raises(GtidSetError):
        GtidSet.decode(wire[:cut])


@given(st.binary(max_size=100))
def test_any_bytes_decode_or_raise_the_typed_error(data: bytes) -> None:
    try:
        gtids = GtidSet.decode(data)
    except GtidSetError:
        return
    assert_canonical(gtids)


@given(st.text(alphabet="0123456789abcdef-:, \n_xyz", max_size=90))
def test_any_text_parses_or_raises_the_typed_error(text: str) -> None:
    try:
        gtids = GtidSet.parse(text)
    except GtidSetError:
        return
    assert_canonical(gtids)


# What MySQL 9.7.4 answers to `SELECT GTID_SUBTRACT(text, '')`; tests/integration asks a live one.
@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("", ""),
        (f"{U}:5:1-3:blue:1-2:9", f"{U}:1-3:5:blue:1-2:9"),
        (f"{U}:zed:1:blue:1-2,{V}:7, {U}:4", f"{V}:7,{U}:4:blue:1-2:zed:1"),
        (f" {U} : 1 - 3 : 5 : blue : 1 - 2 ", f"{U}:1-3:5:blue:1-2"),
        (f"{U}:1-3:4-5", f"{U}:1-5"),
        (f"{U}:1-7:9-10", f"{U}:1-7:9-10"),
        (f"{U.upper()}:BLUE:1", f"{U}:blue:1"),
        (f"{U}:_a1:1:a_b:2:a1:3", f"{U}:_a1:1:a1:3:a_b:2"),
        (f"{U}:blue:1:1-3", f"{U}:blue:1-3"),
        (f",,{U}:1,,", f"{U}:1"),
        (f"{V}:1,\n{U}:2", f"{V}:1,{U}:2"),
        (f"{{{U}}}:1", f"{U}:1"),
        (f"{U.replace('-', '')}:01", f"{U}:1"),
        (f"{U}:1-{LAST}", f"{U}:1-{LAST}"),
    ],
)
def test_canonical_text(text: str, canonical: str) -> None:
    assert str(GtidSet.parse(text)) == canonical


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("nonsense", "'nonsense' is no UUID"),
        (f"{{{U}:1", "is no UUID"),
        (U, "no transaction number after"),
        (f"{U}:blue", "no transaction number after 'blue'"),
        (f"{U}:blue:red:1", "'red' is neither"),
        (f"{U}:1:", "'' is neither"),
        (f"{U}:1-", "'1-' is neither"),
        (f"{U}:+1", r"'\+1' is neither"),
        (f"{U}:b-1:1", "'b-1' is neither"),
        (f"{U}:{'a' * 33}:1", "is neither"),
        (f"{U}:3-1", "3-1 runs backwards"),
        (f"{U}:0", "0-0 is out of range"),
        (f"{U}:{LAST + 1}", "is out of range"),
        (f"{U}:1-{'9' * 5000}", "is out of range"),
        (f"{U}:1 {V}:1", "is neither"),
        (f"{U}:\N{ARABIC-INDIC DIGIT ONE}", "is neither"),
    ],
)
def test_bad_text_names_the_piece(text: str, named: str) -> None:
    with pytest.raises(GtidSetError, match=named):
        GtidSet.parse(f"{V}:1,{text}")


def test_bad_intervals_are_refused() -> None:
    for bad in ((b"short", "", 1, 1), (U_BYTES, "Blue", 1, 1), (U_BYTES, "", 2, 1), (U_BYTES, "", 0, 1)):
        with pytest.raises(GtidSetError):
            GtidSet([bad])


def test_wire_form_is_the_old_one_until_a_tag_exists() -> None:
    untagged = GtidSet.parse(f"{U}:1-3:5")
    old = struct.pack("<Q16sQqqqq", 1, U_BYTES, 2, 1, 4, 5, 6)
    assert untagged.encode() == old
    assert GtidSet().encode() == bytes(8)
    tagged = b"\1\2\0\0\0\0\0\1" + U_BYTES + b"\0" + struct.pack("<Qqqqq", 2, 1, 4, 5, 6)
    tagged += U_BYTES + b"\x08blue" + struct.pack("<Qqq", 1, 7, 8)
    assert untagged.add(U_BYTES, "blue", 7, 7).encode() == tagged


@pytest.mark.parametrize(
    "intervals",
    [(4, 1), (1, 1), (0, 2), (1, 4, 3, 5), (1, 4, 4, 5), (1, 2**63 - 1, 2**63 - 1, 5), (-3, 2)],
)
def test_decode_refuses_intervals_that_do_not_ascend(intervals: tuple[int, ...]) -> None:
    wire = struct.pack(f"<Q16sQ{len(intervals)}q", 1, U_BYTES, len(intervals) // 2, *intervals)
    with pytest.raises(GtidSetError, match="do not ascend"):
        GtidSet.decode(wire)


def test_decode_refuses_trailing_bytes_repeats_and_lying_counts() -> None:
    entry = U_BYTES + struct.pack("<Qqq", 1, 1, 2)
    for wire in (
        struct.pack("<Q", 1) + entry + b"\0",
        struct.pack("<Q", 2) + entry + entry,
        struct.pack("<Q", 2**60) + entry,
        struct.pack("<Q", 1) + U_BYTES + struct.pack("<Q", 2**60),
        b"\1\1\0\0\0\0\0\1" + U_BYTES + b"\x08Blue" + struct.pack("<Qqq", 1, 1, 2),
        b"\1\1\0\0\0\0\0\1" + U_BYTES + b"\xff" + struct.pack("<Qqq", 1, 1, 2),
    ):
        with pytest.raises(GtidSetError):
            GtidSet.decode(wire)


def test_adding_nothing_new_returns_the_same_set() -> None:
    gtids = GtidSet.parse(f"{U}:1-9")
    assert gtids.add(U_BYTES, "", 3, 4) is gtids
    assert gtids.add_all([]) is gtids


def test_many_sources_and_intervals() -> None:
    def everything() -> Iterator[Interval]:
        for i in range(20):
            uuid = hashlib.md5(str(i).encode()).digest()
            yield from ((uuid, "", n, n + 1) for n in range(1, 15_000, 3))

    gtids = GtidSet(everything())
    assert gtids.count() == 20 * 10_000
    assert GtidSet.decode(gtids.encode()) == GtidSet.parse(str(gtids)) == gtids
    assert not gtids.subtract(gtids)
