"""Compressed transactions (TRANSACTION_PAYLOAD): zstd by the reference library, events by hand."""

import re

import pytest
import zstandard

from cdcd.binlog.core.native import Decoder
from cdcd.errors import BinlogError, MalformedEvent, UnsupportedEvent
from tests.decoding import Catalog, a_decoder, hear
from tests.events import (
    BEGIN,
    COMMIT,
    PAYLOAD,
    SOURCE,
    WRITE,
    Dump,
    Event,
    fde,
    gtid,
    header,
    image,
    inner,
    payload,
    query,
    rotate,
    rows,
    table_map,
)

NONE, ZSTD = 255, 0
CHANGES = inner(BEGIN, table_map(), rows(WRITE, image(1, "a"), image(2, "b")), COMMIT)
MESSAGES = ['+orders "id":"1","name":"a"', '+orders "id":"2","name":"b"']


def squeezed(events: bytes) -> Event:
    return payload(zstandard.compress(events), compression=ZSTD, plain=len(events))


def refused(*events: Event) -> BinlogError:
    with pytest.raises(BinlogError) as caught:
        hear(Dump().add(gtid(1), *events))
    error = caught.value
    assert error.file == "binlog.000001"
    return error


@pytest.mark.parametrize("packed", [squeezed(CHANGES), payload(CHANGES)], ids=["zstd", "none"])
def test_compressed_transaction(packed: Event) -> None:
    dump = Dump().transaction(1, packed).transaction(2, BEGIN, table_map(), rows(WRITE, image(3, "c")), COMMIT)
    heard = hear(dump)
    assert heard.messages == [*MESSAGES, '+orders "id":"3","name":"c"']
    decoder = heard.decoder
    assert (decoder.take_gtids(), decoder.transactions) == ([(SOURCE.bytes, "", 1, 2)], 2)
    assert decoder.end_offset == dump.position


def test_positions_are_those_of_the_whole() -> None:
    dump = Dump().transaction(1, squeezed(CHANGES))
    decoder = a_decoder()
    decoder.feed(dump.data)
    seen = set()
    while decoder.decode(0, limit=1) != 1:
        seen.add((decoder.in_transaction, decoder.offset, decoder.rows_done))
    assert (True, dump.position, 2) in seen
    assert (decoder.start_offset, decoder.end_offset) == (dump.position - decoder.transaction_length, dump.position)


def test_output_limit_stops_inside() -> None:
    changes = inner(BEGIN, table_map(), *(rows(WRITE, image(n, "a" * 50)) for n in range(500)), COMMIT)
    heard = hear(Dump().transaction(1, squeezed(changes)), limit=1000)
    assert len(heard.messages) == 500
    assert len(heard.reasons) > 30


def test_larger_than_a_piece() -> None:
    """Pieces of 256 KiB: events lie across their borders."""
    changes = inner(
        BEGIN, table_map(), *(rows(WRITE, *(image(n, "a" * 70) for _ in range(100))) for n in range(150)), COMMIT
    )
    assert len(changes) > 1 << 20
    assert len(hear(Dump().transaction(1, squeezed(changes))).messages) == 15_000


def test_create_table_select_inside() -> None:
    ctas = query("CREATE TABLE `orders` (`id` int) START TRANSACTION")
    heard = hear(Dump().transaction(1, squeezed(inner(BEGIN, ctas, COMMIT))))
    assert [statement.in_transaction for statement in heard.statements] == [True]
    assert heard.decoder.transactions == 1


@pytest.mark.parametrize(
    ("packed", "says"),
    [
        (payload(b"\x28\xb5\x2f\xfd" + b"\xff" * 40, compression=ZSTD), "cannot be unpacked"),
        (payload(b"no zstd at all", compression=ZSTD), "cannot be unpacked"),
        (payload(zstandard.compress(CHANGES)[:-9], compression=ZSTD), "bytes into an event|holds no commit|cannot be"),
        (payload(b"", compression=ZSTD), "holds no commit"),
        (payload(CHANGES[:-3]), "bytes into an event"),
        (payload(inner(BEGIN)), "holds no commit"),
        (payload(CHANGES, announced=len(CHANGES) + 1), f"announces {len(CHANGES) + 1} bytes, {len(CHANGES)} came"),
        (payload(inner(BEGIN, COMMIT, BEGIN)), "goes on after its end"),
        (payload(CHANGES + CHANGES), "goes on after its end"),
        (payload(inner(BEGIN, gtid(2))), "type 33 in a compressed"),
        (payload(inner(BEGIN, rotate("binlog.000002"))), "type 4 in a compressed"),
        (payload(inner(BEGIN, fde())), "type 15 in a compressed"),
        (payload(inner(BEGIN, payload(CHANGES))), "type 40 in a compressed"),
        (payload(bytes(19)), "event of 0 bytes"),
        (payload(header(30, b"", log_pos=0, size=(1 << 31) - 1)), "event of 2147483647 bytes"),
        ((PAYLOAD, b"\x01\x05\x01"), "5 bytes wanted, 1 left"),
    ],
)
def test_malformed(packed: Event, says: str) -> None:
    error = refused(packed)
    assert isinstance(error, MalformedEvent)
    assert error.position > 4
    assert re.search(says, error.reason), error.reason


def test_unknown_algorithm() -> None:
    error = refused(payload(CHANGES, compression=7))
    assert isinstance(error, UnsupportedEvent)
    assert "algorithm 7" in error.reason


def test_a_scan_does_not_look_inside() -> None:
    heard = hear(Dump().transaction(1, payload(b"anything", compression=ZSTD)), Decoder(None))
    assert heard.decoder.take_gtids() == [(SOURCE.bytes, "", 1, 1)]


def test_rows_need_something_to_unpack_with() -> None:
    """Stepped over they would be lost in silence."""
    with pytest.raises(UnsupportedEvent, match="nothing to unpack"):
        hear(Dump().add(gtid(1), squeezed(CHANGES)), Decoder(Catalog()))
