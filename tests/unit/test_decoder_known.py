"""Transactions that are published already and come again, as in a dump by place: they leave no trace but the position."""

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from cdcd.binlog.core.native import Decoder
from cdcd.binlog.gtid import GtidSet
from cdcd.errors import MalformedEvent
from tests.decoding import a_decoder, hear
from tests.events import (
    BEGIN,
    COMMIT,
    INCIDENT,
    SOURCE,
    WRITE,
    Dump,
    Event,
    gtid,
    image,
    inner,
    payload,
    prepared,
    query,
    rows,
    table_map,
    xa_commit,
)

ROWS = (table_map(), rows(WRITE, image(1, "a"), image(2, "b")))
KINDS: dict[str, tuple[Event, ...]] = {
    "rows": (BEGIN, *ROWS, COMMIT),
    "empty": (BEGIN, COMMIT),
    "statement": (query("ALTER TABLE orders ADD x INT"),),
    "statement inside": (BEGIN, query("CREATE TABLE t (id INT) START TRANSACTION"), *ROWS, COMMIT),
    "compressed": (payload(zstandard.compress(inner(BEGIN, *ROWS, COMMIT)), compression=0),),
    "XA, prepared": prepared("a", *ROWS),
    "XA, committed": (xa_commit("a"),),
    "an incident": ((INCIDENT, b"\x01\x00\x00"),),
    "garbage": (BEGIN, (WRITE, b"\xff" * 30), COMMIT),
}


def knowing(gtids: str, asked: list[int] | None = None) -> Decoder:
    known, decoder = GtidSet.parse(gtids), a_decoder()

    def gap(uuid: bytes, tag: str, number: int) -> tuple[int, int] | None:
        if asked is not None:
            asked.append(number)
        return known.gap(uuid, tag, number)

    decoder.pass_over(gap)
    return decoder


@pytest.mark.parametrize("kind", KINDS)
def test_a_known_transaction_is_passed_over(kind: str) -> None:
    dump = Dump().transaction(5, *KINDS[kind])
    start, end = dump.position, 0
    dump.transaction(6, BEGIN, *ROWS, COMMIT)
    end = dump.position
    heard = hear(dump, knowing(f"{SOURCE}:1-5"))
    decoder = heard.decoder
    assert (heard.statements, len(heard.messages), decoder.seq) == ([], 2, 2)
    assert (decoder.passed, decoder.transactions, decoder.inserts, decoder.filtered) == (1, 1, 2, 0)
    assert decoder.take_gtids() == [(SOURCE.bytes, "", 6, 6)]
    assert (decoder.start_offset, decoder.end_offset) == (start, end)


def test_the_position_moves_with_it() -> None:
    dump = Dump()
    start = dump.position
    dump.transaction(5, BEGIN, *ROWS, COMMIT)
    decoder = hear(dump, knowing(f"{SOURCE}:5")).decoder
    assert (decoder.in_transaction, decoder.start_offset, decoder.end_offset) == (False, start, dump.position)
    assert decoder.take_gtids() == []


def test_the_cut_transaction_comes_behind_the_known_one() -> None:
    dump = Dump().transaction(5, BEGIN, *ROWS, COMMIT).transaction(6, BEGIN, *ROWS, COMMIT)
    decoder = knowing(f"{SOURCE}:1-5")
    decoder.resume(f"{SOURCE}:6", 1)
    assert hear(dump, decoder).messages == ['+orders "id":"2","name":"b"']
    decoder = knowing(f"{SOURCE}:1-4")
    decoder.resume(f"{SOURCE}:6", 1)
    with pytest.raises(MalformedEvent, match=r"sends .*:5 first"):
        hear(dump, decoder)


def test_heartbeats_between_its_events_do_not_count() -> None:
    whole = Dump().transaction(5, BEGIN, *ROWS, COMMIT)
    for cut in range(3, len(whole.packets)):
        dump = Dump()
        dump.packets = whole.packets[:cut]
        dump.heartbeat(4000)
        dump.packets += [
            packet[:3] + bytes([n % 256]) + packet[4:] for n, packet in enumerate(whole.packets[cut:], cut + 2)
        ]
        decoder = hear(dump, knowing(f"{SOURCE}:5")).decoder
        assert (decoder.passed, decoder.end_offset) == (1, whole.position)


def test_an_announced_length_that_does_not_hold_is_an_error() -> None:
    dump = Dump().transaction(5, BEGIN, *ROWS, COMMIT)
    cut = Dump()
    cut.packets = dump.packets[:-1]
    cut.position = dump.position - dump.size_of(COMMIT)
    with pytest.raises(MalformedEvent, match="announces"):
        hear(cut.add((WRITE, b"longer than the end that was announced"), COMMIT), knowing(f"{SOURCE}:5"))


def test_one_of_unknown_length_is_refused() -> None:
    """Sources before MySQL 8.0.2: the first transaction of a quick start tells, and then there is none."""
    with pytest.raises(MalformedEvent, match="does not say how long"):
        hear(Dump().add(gtid(5), BEGIN, *ROWS, COMMIT), knowing(f"{SOURCE}:5"))


def test_python_is_asked_once_for_a_gap() -> None:
    asked: list[int] = []
    dump = Dump()
    for number in (5, 6, 7, 8, 10, 9, 11):
        dump.transaction(number, BEGIN, COMMIT)
    decoder = hear(dump, knowing(f"{SOURCE}:1-5:9", asked)).decoder
    assert (decoder.passed, decoder.transactions) == (2, 5)
    assert asked == [5, 6, 10, 9]


@settings(max_examples=80)
@given(
    st.lists(
        st.tuples(st.integers(1, 30), st.sampled_from(["", "blue", "bluer"])), min_size=1, max_size=25, unique=True
    ),
    st.sets(st.tuples(st.integers(1, 30), st.sampled_from(["", "blue", "bluer"]))),
)
def test_what_is_not_known_comes_once_and_in_order(logged: list[tuple[int, str]], known: set[tuple[int, str]]) -> None:
    """Whatever the order in which the source logged them, and whatever gaps the set has."""
    dump, kinds = Dump(), list(KINDS.values())
    for n, (number, tag) in enumerate(logged):
        wanted = (number, tag) not in known
        events = (BEGIN, table_map(), rows(WRITE, image(n, "x")), COMMIT) if wanted else kinds[n % len(kinds)]
        dump.transaction(number, *events, tag=tag.encode())
    gtids = GtidSet((SOURCE.bytes, tag, number, number) for number, tag in known)
    decoder = a_decoder()
    decoder.pass_over(gtids.gap)
    heard = hear(dump, decoder)
    expected = [n for n, one in enumerate(logged) if one not in known]
    assert heard.messages == [f'+orders "id":"{n}","name":"x"' for n in expected]
    assert decoder.passed == len(logged) - len(expected)
    assert GtidSet(decoder.take_gtids()) == GtidSet(
        (SOURCE.bytes, logged[n][1], logged[n][0], logged[n][0]) for n in expected
    )


def test_every_cut_of_the_bytes() -> None:
    dump = Dump()
    for number, events in enumerate(KINDS.values(), 5):
        dump.transaction(number, *events)
    dump.transaction(50, BEGIN, *ROWS, COMMIT)
    expected = hear(dump, knowing(f"{SOURCE}:1-40")).messages
    for at in range(0, len(dump.data), 7):
        assert hear([dump.data[:at], dump.data[at:]], knowing(f"{SOURCE}:1-40")).messages == expected
