"""The stored position: never behind what is published, never ahead of it."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from cdcd.binlog.core.native import NEED_BYTES, Decoder
from cdcd.binlog.gtid import GtidSet
from cdcd.binlog.position import Position, coordinate
from cdcd.binlog.prepared import Prepared
from cdcd.worker.tracker import Tracker
from tests.decoding import NOW_MS, a_decoder
from tests.events import (
    BEGIN,
    COMMIT,
    SOURCE,
    WRITE,
    Dump,
    anonymous,
    image,
    prepared,
    query,
    rows,
    table_map,
    xa_commit,
    xid,
)

SERVER = "5f0c0000-0000-0000-0000-000000000001"
START = Position(SERVER, GtidSet.parse(f"{SOURCE}:1-4"), "binlog.000001", 4, 4)
THREE = rows(WRITE, image(1, "a"), image(2, "b"), image(3, "c"))


def decoded(dump: Dump, upto: int | None = None, decoder: Decoder | None = None) -> Decoder:
    decoder = decoder or a_decoder()
    decoder.feed(b"".join(dump.packets[:upto]))
    while decoder.decode(NOW_MS) != NEED_BYTES:
        decoder.take_runs()
    return decoder


def test_a_transaction() -> None:
    dump = Dump().transaction(5, BEGIN, table_map(), THREE, COMMIT)
    decoder = decoded(dump)
    assert Tracker(START, SERVER).advance(decoder) == Position(
        SERVER, GtidSet.parse(f"{SOURCE}:1-5"), "binlog.000001", decoder.transaction_start, dump.position
    )


def test_what_is_held_is_listed_until_it_ends() -> None:
    tracker, dump = Tracker(START, SERVER), Dump()
    decoder = decoded(dump.transaction(5, *prepared("a", table_map(), THREE)))
    at = tracker.advance(decoder)
    assert [(each.xid, each.gtid, each.offset) for each in at.held] == [(xid("a"), f"{SOURCE}:5", decoder.start_offset)]
    assert (at.txn, at.gtid_set) == (None, GtidSet.parse(f"{SOURCE}:1-5"))
    read = len(dump.packets)
    decoder.feed(b"".join(dump.transaction(6, xa_commit("a")).packets[read:]))
    while decoder.decode(NOW_MS) != NEED_BYTES:
        pass
    assert tracker.advance(decoder).held == ()


def test_on_another_server_places_of_what_is_held_mean_nothing() -> None:
    held = Prepared(xid("a"), f"{SOURCE}:3", "binlog.000001", 77, 1000, 8)
    start = replace(START, held=(held,))
    assert Tracker(start, SERVER).position.held == (held,)
    assert Tracker(start, "another").position.held == (replace(held, file="", offset=0, created=0),)


def test_nothing_read_is_no_move() -> None:
    assert Tracker(START, SERVER).advance(a_decoder()) == START


def test_inside_a_transaction() -> None:
    dump = Dump().transaction(5, BEGIN, table_map(), THREE, COMMIT)
    at = Tracker(START, SERVER).advance(decoded(dump, -1))
    assert at == replace(START, start_offset=at.start_offset, end_offset=at.end_offset, txn=f"{SOURCE}:5", rows_done=3)
    assert at.end_offset <= dump.position - dump.transaction(6).size_of(COMMIT)


def test_before_the_first_row_of_a_transaction() -> None:
    dump = Dump().transaction(5, BEGIN, table_map(), THREE, COMMIT)
    at = Tracker(START, SERVER).advance(decoded(dump, 5))
    assert (at.txn, at.rows_done) == (None, 0)


def test_a_resumed_transaction_is_not_forgotten_before_it_is_reached() -> None:
    """A stop right after a take-over: what was published of it stays published."""
    begun = replace(START, txn=f"{SOURCE}:5", rows_done=2)
    dump = Dump().transaction(5, BEGIN, table_map(), rows(WRITE, image(1, "a")), THREE, COMMIT)
    for upto in range(len(dump.packets) + 1):
        decoder = a_decoder()
        decoder.resume(f"{SOURCE}:5", 2)
        at = Tracker(begun, SERVER).advance(decoded(dump, upto, decoder))
        expected = {7: (f"{SOURCE}:5", 4), 8: (None, 0)}.get(upto, (f"{SOURCE}:5", 2))
        assert (at.txn, at.rows_done) == expected, upto
        assert at.gtid_set == GtidSet.parse(f"{SOURCE}:1-{5 if upto == 8 else 4}")


def test_a_dump_by_gtid_begins_in_a_file_left_long_ago() -> None:
    start = replace(START, file="binlog.000007", start_offset=500, end_offset=900)
    tracker = Tracker(start, SERVER)
    dump = Dump("binlog.000003").heartbeat(8000).rotate("binlog.000007").heartbeat(700)
    decoder = a_decoder()
    for packet in dump.packets:
        decoder.feed(packet)
        decoder.decode(NOW_MS)
        assert tracker.advance(decoder) == start
    dump = Dump("binlog.000007").heartbeat(950)
    assert tracker.advance(decoded(dump)) == replace(start, end_offset=950)


def test_files_are_ordered_by_number() -> None:
    tracker = Tracker(replace(START, file="binlog.999999", start_offset=4, end_offset=4), SERVER)
    assert tracker.advance(decoded(Dump("binlog.1000000"))).file == "binlog.1000000"


def test_another_server_has_other_files() -> None:
    """File and offsets are void there, whatever their names: the GTID set alone goes on."""
    moved = Tracker(replace(START, file="binlog.000009", end_offset=9000), "other")
    assert (moved.position.server_uuid, moved.position.file) == ("other", "")
    at = moved.advance(decoded(Dump().transaction(5, BEGIN, table_map(), THREE, COMMIT)))
    assert (at.server_uuid, at.file, at.gtid_set) == ("other", "binlog.000001", GtidSet.parse(f"{SOURCE}:1-5"))


def test_without_gtids() -> None:
    start = replace(START, gtid_set=None)
    dump = Dump().add(anonymous(), BEGIN, table_map(), THREE, COMMIT)
    at = Tracker(start, SERVER).advance(decoded(dump))
    assert (at.gtid_set, at.end_offset) == (None, dump.position)
    decoder = decoded(dump, -1)
    at = Tracker(start, SERVER).advance(decoder)
    assert (at.txn, at.rows_done) == (f"binlog.000001:{decoder.transaction_start}", 3)


LENGTHS = st.lists(st.sampled_from(["rows", "ddl", "empty", "heartbeat", "rotate"]), min_size=1, max_size=8)


@settings(max_examples=60)
@given(LENGTHS, st.data())
def test_it_never_goes_back_and_never_runs_ahead(kinds: list[str], data: st.DataObject) -> None:
    """Advanced after any events, the position only grows, and holds just the transactions that have ended.

    Where the offsets differ, the first is a transaction's start: a quick start may begin there.
    """
    dump, number, ended, starts = Dump(), 4, {}, {(START.file, START.start_offset)}
    for at, kind in enumerate(kinds):
        if kind == "heartbeat":
            dump.heartbeat(dump.position)
        elif kind == "rotate":
            dump.rotate(f"binlog.{at + 2:06}")
        else:
            number += 1
            starts.add((dump.file, dump.position))
            events = {"rows": (BEGIN, table_map(), THREE, COMMIT), "ddl": (query("DROP TABLE x"),)}
            dump.transaction(number, *events.get(kind, (BEGIN, COMMIT)))
            ended[len(dump.packets)] = number
    decoder, tracker, before = a_decoder(), Tracker(START, SERVER), START
    for n, packet in enumerate(dump.packets, 1):
        decoder.feed(packet)
        while decoder.decode(NOW_MS) != NEED_BYTES:
            pass
        if data.draw(st.booleans()):
            now = tracker.advance(decoder)
            newest = max((number for packets, number in ended.items() if packets <= n), default=4)
            assert now.gtid_set == GtidSet.parse(f"{SOURCE}:1-{newest}")
            assert coordinate(now.file, now.end_offset) >= coordinate(before.file, before.end_offset)
            assert coordinate(now.file, now.end_offset) <= coordinate(decoder.file, decoder.offset)
            assert now.start_offset <= now.end_offset
            assert now.start_offset in {now.end_offset, 4} or (now.file, now.start_offset) in starts
            assert (now.txn is not None) is (now.rows_done > 0) is (decoder.in_transaction and decoder.rows_done > 0)
            before = now
