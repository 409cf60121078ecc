"""From the socket's bytes to events: however they are cut, whatever is wrong with them."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdcd.binlog.core.native import CONTROL, END, NEED_BYTES, OUTPUT_FULL, Decoder
from cdcd.errors import MalformedEvent
from tests.decoding import a_decoder, hear
from tests.events import BEGIN, COMMIT, GTID, WRITE, Dump, gtid, image, query, rows, table_map

STREAM = (
    Dump()
    .add(query("CREATE TABLE orders (id INT)"))
    .transaction(1, BEGIN, table_map(), rows(WRITE, image(1, "Anne"), image(2, None)), COMMIT)
    .transaction(2, BEGIN, table_map(), rows(WRITE, image(3, "x" * 80)), COMMIT, tag=b"blue")
    .heartbeat(9999)
)
WHOLE = hear(STREAM)


def state(decoder: Decoder) -> tuple[object, ...]:
    return (
        decoder.take_gtids(),
        decoder.file,
        decoder.offset,
        decoder.start_offset,
        decoder.end_offset,
        decoder.transactions,
        decoder.seq,
        decoder.buffered,
    )


EXPECTED = state(WHOLE.decoder)


def test_the_stream_itself() -> None:
    assert WHOLE.messages == [
        '+orders "id":"1","name":"Anne"',
        '+orders "id":"2","name":null',
        f'+orders "id":"3","name":"{"x" * 80}"',
    ]
    assert WHOLE.reasons.count(CONTROL) == 2
    assert EXPECTED[-4:] == (9999, 3, 3, 0)


@settings(max_examples=150)
@given(st.lists(st.integers(0, len(STREAM.data)), max_size=30))
def test_any_split_gives_the_same(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(STREAM.data)]
    heard = hear(STREAM.data[a:b] for a, b in itertools.pairwise(places))
    assert heard.messages == WHOLE.messages
    assert [statement.sql for statement in heard.statements] == [statement.sql for statement in WHOLE.statements]
    assert heard.controls == WHOLE.controls
    assert state(heard.decoder) == EXPECTED


def test_byte_by_byte() -> None:
    heard = hear(bytes([byte]) for byte in STREAM.data)
    assert heard.messages == WHOLE.messages
    assert state(heard.decoder) == EXPECTED


def test_output_limit_stops_after_each_rows_event() -> None:
    heard = hear(STREAM, limit=1)
    assert heard.reasons.count(OUTPUT_FULL) == 2
    assert heard.messages == WHOLE.messages


@pytest.mark.parametrize("lost", [1, 3, 5])
def test_a_lost_packet_is_noticed(lost: int) -> None:
    packets = list(STREAM.packets)
    del packets[lost]
    with pytest.raises(MalformedEvent, match=f"packet number {lost + 2} follows where {lost + 1} is due"):
        hear(packets)


def test_numbers_of_packets_go_round() -> None:
    dump = Dump()
    for number in range(1, 301):
        dump.transaction(number, BEGIN, COMMIT)
    assert len(dump.packets) > 3 * 256
    assert hear(dump).decoder.transactions == 300


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_continued_packets(extra: int) -> None:
    """An event that fills 16 MiB - 1, with one byte less and one more: in the middle case an empty packet ends it."""
    dump = Dump()
    frame = 1 + dump.size_of(query(b"", ""))
    sql = b"# " + b"x" * (0xFFFFFF + extra - frame - 2)
    before = len(dump.packets)
    dump.add(query(sql, ""))
    assert [len(packet) - 4 for packet in dump.packets[before:]] == {
        -1: [0xFFFFFE],
        0: [0xFFFFFF, 0],
        1: [0xFFFFFF, 1],
    }[extra]
    data = dump.transaction(1, BEGIN, COMMIT).data
    heard = hear(data[at : at + 1_000_003] for at in range(0, len(data), 1_000_003))
    assert [statement.sql for statement in heard.statements] == [sql]
    assert heard.decoder.transactions == 2


def test_end_of_dump() -> None:
    dump = Dump()
    dump.packet(b"\xfe\x00\x00\x02\x00")
    heard = hear(dump)
    assert (heard.reasons[-1], heard.decoder.control) == (END, b"\xfe\x00\x00\x02\x00")


def test_error_packet() -> None:
    dump = Dump()
    dump.packet(b"\xff\xd4\x04#HY000Could not find first log file name in binary log index file")
    heard = hear(dump)
    assert heard.reasons[-1] == END
    assert heard.decoder.control[:3] == b"\xff\xd4\x04"


def test_messages_before_the_end_are_there() -> None:
    dump = Dump().add(gtid(1), BEGIN, table_map(), rows(WRITE, image(1, "a")))
    dump.packet(b"\xfe\x00\x00\x02\x00")
    heard = hear(dump)
    assert (heard.messages, heard.reasons[-1]) == (['+orders "id":"1","name":"a"'], END)


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (b"", "an empty packet"),
        (b"\x01\x02", "starts with 0x01"),
        (b"\x00" + b"\x00" * 5, "19 bytes wanted, 5 left"),
        (b"\xfe" + b"\x00" * 30, "starts with 0xfe"),
    ],
)
def test_what_is_no_event(packet: bytes, reason: str) -> None:
    dump = Dump()
    dump.packet(packet)
    with pytest.raises(MalformedEvent, match=reason):
        hear(dump)


def test_header_with_another_size() -> None:
    dump = Dump()
    dump.packet(b"\0" + b"\0\0\0\0" + bytes([GTID]) + b"\x01\0\0\0" + b"\x63\0\0\0" + b"\0" * 6 + b"\0" * 30)
    with pytest.raises(MalformedEvent, match="announces 99 bytes, 49 came"):
        hear(dump)


def test_bytes_before_the_first_packet_are_awaited() -> None:
    decoder = a_decoder()
    assert decoder.decode(0) == NEED_BYTES
    decoder.feed(b"")
    decoder.feed(STREAM.data[:3])
    assert decoder.decode(0) == NEED_BYTES
    assert decoder.buffered == 3


@pytest.mark.parametrize("flag", [b"\0", b"\1"])
def test_semi_sync_headers_are_passed(flag: bytes) -> None:
    """Two bytes before each event ("Semi-synchronous replication", MySQL internals manual); errors and EOF have none."""
    dump = Dump()
    dump.packets.clear()
    for packet in STREAM.packets:
        dump.packet(b"\0\xef" + flag + packet[5:])
    heard = hear(dump)
    assert (heard.messages, state(heard.decoder)) == (WHOLE.messages, EXPECTED)
    assert heard.controls == WHOLE.controls


def test_a_time_stamp_is_no_semi_sync_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.events.SECONDS", 0x655F01EF)
    dump = Dump().transaction(1, BEGIN, table_map(), rows(WRITE, image(1, "Anne")), COMMIT)
    assert dump.packets[-1][5] == 0xEF
    assert hear(dump).messages == WHOLE.messages[:1]
