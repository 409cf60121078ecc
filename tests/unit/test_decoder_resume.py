"""Going on inside a transaction: what was published before and what comes after are the whole, once."""

from collections.abc import Callable
from typing import NamedTuple

import pytest
import zstandard

from cdcd.binlog.core.native import NEED_BYTES, STATEMENT, Decoder
from cdcd.errors import MalformedEvent
from tests.decoding import NOW_MS, Catalog, a_decoder, hear
from tests.events import (
    BEGIN,
    COMMIT,
    DELETE,
    SOURCE,
    UPDATE,
    WRITE,
    Dump,
    Event,
    image,
    inner,
    payload,
    query,
    rows,
    table_map,
)

CTAS = query("CREATE TABLE `orders` (`id` int) START TRANSACTION")
STATEMENT_CHANGE = query("DELETE FROM people")
CHANGES: tuple[Event, ...] = (
    table_map(),
    table_map(8, "people"),
    rows(WRITE, image(1, "a"), image(2, "b"), image(3, "c")),
    rows(WRITE, image(9, "left out"), image(10, "left out"), table_id=8),
    rows(UPDATE, image(1, "a"), image(1, "z"), image(2, "b"), image(20, "b")),
    rows(DELETE, image(3, "c")),
    rows(WRITE, image(4, "d")),
)


class Part(NamedTuple):
    """A place where a worker could have stored its position, and what was published up to there."""

    transaction: str
    rows_done: int
    seq: int
    published: list[tuple[int, bytes]]
    statements: int


def numbered(decoder: Decoder, before: int) -> list[tuple[int, bytes]]:
    values = [value for _, _, _, values, _ in decoder.take_runs() for value in values]
    return list(enumerate(values, before + 1))


def parts_of(data: bytes) -> list[Part]:
    """Every stop of a decoder that hands out as little as it can, where a part may be stored."""
    decoder = a_decoder(Catalog(left_out=frozenset({"people"})))
    decoder.feed(data)
    parts: list[Part] = []
    published: list[tuple[int, bytes]] = []
    statements = 0
    while (reason := decoder.decode(NOW_MS, limit=1)) != NEED_BYTES:
        published += numbered(decoder, len(published))
        statements += reason == STATEMENT
        if decoder.in_transaction and decoder.rows_done:
            parts.append(Part(decoder.transaction, decoder.rows_done, decoder.seq, list(published), statements))
    published += numbered(decoder, len(published))
    parts.append(Part(decoder.transaction, 0, decoder.seq, published, statements))
    return parts


def plain(*events: Event) -> Dump:
    return Dump().transaction(5, BEGIN, *events, COMMIT)


def squeezed(*events: Event) -> Dump:
    return Dump().transaction(5, payload(zstandard.compress(inner(BEGIN, *events, COMMIT)), compression=0))


@pytest.mark.parametrize("made", [plain, squeezed])
def test_every_cut(made: Callable[..., Dump]) -> None:
    """`seq` goes on without a gap, and each message has its number of the uncut run again."""
    dump = made(CTAS, *CHANGES, STATEMENT_CHANGE, *CHANGES[:3])
    dump.transaction(6, BEGIN, table_map(), rows(WRITE, image(7, "g")), COMMIT)
    *parts, whole = parts_of(dump.data)
    assert sorted({part.rows_done for part in parts if part.transaction == f"{SOURCE}:5"}) == [1, 4, 8, 9, 10, 11, 14]
    assert len(whole.published) == 12
    for part in parts:
        decoder = a_decoder(Catalog(left_out=frozenset({"people"})))
        decoder.seq = part.seq
        decoder.resume(part.transaction, part.rows_done)
        if part.transaction != f"{SOURCE}:5":
            continue
        decoder.feed(dump.data)
        published, statements = list(part.published), part.statements
        while (reason := decoder.decode(NOW_MS, limit=1)) != NEED_BYTES:
            published += numbered(decoder, len(published))
            statements += reason == STATEMENT
        published += numbered(decoder, len(published))
        assert published == whole.published
        assert (decoder.seq, statements) == (whole.seq, 2)
        assert decoder.take_gtids() == [(SOURCE.bytes, "", 5, 6)]


def test_counters_leave_out_what_was_published_before() -> None:
    decoder = a_decoder()
    decoder.resume(f"{SOURCE}:5", 4)
    hear(plain(*CHANGES), decoder)
    assert (decoder.inserts, decoder.updates, decoder.deletes) == (2, 2, 1)


def test_rows_done_counts_from_the_start_of_the_transaction() -> None:
    decoder = a_decoder()
    decoder.resume(f"{SOURCE}:5", 4)
    dump = plain(*CHANGES)
    hear(dump.packets[:-1], decoder)
    assert decoder.rows_done == 9


def test_another_transaction_first() -> None:
    decoder = a_decoder()
    decoder.resume(f"{SOURCE}:6", 3)
    with pytest.raises(MalformedEvent, match=f"transaction {SOURCE}:6 is due, but the source sends {SOURCE}:5 first"):
        hear(plain(*CHANGES), decoder)


def test_a_transaction_that_is_too_short() -> None:
    decoder = a_decoder()
    decoder.resume(f"{SOURCE}:5", 12)
    with pytest.raises(MalformedEvent, match="3 row changes before the stored position"):
        hear(plain(*CHANGES), decoder)


def test_without_gtids_a_transaction_is_its_place() -> None:
    dump = Dump().add(query("DROP TABLE x"))
    start = dump.position
    dump.add(BEGIN, *CHANGES, COMMIT)
    decoder = a_decoder()
    decoder.feed(dump.data)
    while decoder.rows_done < 3:
        decoder.decode(NOW_MS, limit=1)
    assert decoder.transaction == f"binlog.000001:{start}"
    resumed = a_decoder()
    resumed.resume(decoder.transaction, 3)
    with pytest.raises(MalformedEvent, match=r"sends binlog\.000001:"):
        hear(dump, resumed)  # from the file's beginning: the DROP comes first


def test_tagged_transactions() -> None:
    decoder = a_decoder()
    decoder.resume(f"{SOURCE}:blue:5", 3)
    assert len(hear(Dump().transaction(5, BEGIN, *CHANGES, COMMIT, tag=b"blue"), decoder).messages) == 7
