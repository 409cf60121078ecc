"""Another catalog from one transaction to the next: tables, topics or format were changed."""

import json
from collections.abc import Callable

import pytest

from cdcd.binlog.compression import inflate
from cdcd.binlog.core.native import BOUNDARY, CONTROL, END, NEED_BYTES, Decoder, Plan, Route
from cdcd.binlog.schema import TableSchema
from cdcd.formats.canal import CANAL_JSON
from cdcd.formats.plan import Keying, compile_plan
from tests.decoding import NOW_MS, Catalog, a_decoder, hear, plan_of
from tests.events import BEGIN, COMMIT, SOURCE, WRITE, Dump, image, rows, table_map
from tests.recording import recorded

ONE_ROW = (BEGIN, table_map(), rows(WRITE, image(1, "a")), COMMIT)


def test_every_table_is_asked_for_again() -> None:
    dump = Dump()
    for number in range(5, 8):
        dump.transaction(number, *ONE_ROW)
    catalog = Catalog()
    decoder = a_decoder(catalog)
    heard = hear([dump.data], decoder)
    assert (catalog.asked, len(heard.messages)) == (["orders"], 3)
    catalog = Catalog()
    decoder.use(catalog)
    before = (decoder.seq, decoder.offset, decoder.start_offset, decoder.end_offset, decoder.inserts, decoder.file)
    assert before == (3, dump.position, decoder.start_offset, dump.position, 3, "binlog.000001")
    at = len(dump.packets)
    hear([b"".join(dump.transaction(8, *ONE_ROW).packets[at:])], decoder)
    assert (catalog.asked, decoder.seq, decoder.transactions) == (["orders"], 4, 4)


def test_not_inside_a_transaction() -> None:
    """A statement's rows refer to a map that came before."""
    dump = Dump().transaction(5, *ONE_ROW)
    decoder = a_decoder()
    hear(b"".join(dump.packets[:-2]), decoder)
    with pytest.raises(ValueError, match="between two transactions"):
        decoder.use(Catalog())
    hear(b"".join(dump.packets[-2:]), decoder)
    decoder.use(Catalog())


def test_messages_that_wait_are_those_of_the_old_answer() -> None:
    dump = Dump().transaction(5, *ONE_ROW)
    old, new = Route("old", 1), Route("new", 1)
    decoder = Decoder(lambda schema: plan_of(schema, old), inflate, b"7")
    decoder.feed(dump.data)
    while decoder.decode(NOW_MS) != NEED_BYTES:
        pass
    decoder.use(lambda schema: plan_of(schema, new))
    at = len(dump.packets)
    decoder.feed(b"".join(dump.transaction(6, *ONE_ROW).packets[at:]))
    while decoder.decode(NOW_MS) != NEED_BYTES:
        pass
    runs = [(topic, ids) for topic, _, _, _, ids in decoder.take_runs()]
    assert runs == [("old", [f"7;1;{SOURCE}:5".encode()]), ("new", [f"7;2;{SOURCE}:6".encode()])]


def test_an_open_transaction_that_was_cut_is_still_expected() -> None:
    dump = Dump().transaction(5, BEGIN, table_map(), rows(WRITE, image(1, "a"), image(2, "b")), COMMIT)
    decoder = a_decoder()
    decoder.resume(f"{SOURCE}:5", 1)
    decoder.use(Catalog())
    assert len(hear(dump, decoder).messages) == 1


def publishing_to(topic: str) -> Callable[[TableSchema], Plan]:
    route = Route(topic, 3)
    return lambda schema: compile_plan(schema, CANAL_JSON, route, Keying(shared=True))


@pytest.mark.parametrize("every", [1, 2, 7])
def test_changed_at_boundaries_of_a_real_dump(every: int) -> None:
    """Each row once, numbered without a gap, and in the topic that was in force when its transaction began."""
    decoder, in_force = Decoder(publishing_to("a"), inflate), "a"
    decoder.feed(recorded())
    ended = 0
    published: dict[int, str] = {}
    expected: dict[int, str] = {}
    while (reason := decoder.decode(NOW_MS, 1 << 30, True)) not in {NEED_BYTES, END}:
        for topic, _, _, values, _ in decoder.take_runs():
            published |= {json.loads(value)["id"]: topic for value in values}
        expected |= dict.fromkeys(range(len(expected) + 1, decoder.seq + 1), in_force)
        if reason == CONTROL or (reason != BOUNDARY and decoder.in_transaction):
            continue
        ended += 1
        if ended % every == 0:
            in_force = "b" if in_force == "a" else "a"
            decoder.use(publishing_to(in_force))
    assert published == expected
    assert set(published.values()) == {"a", "b"}
    assert len(published) == decoder.seq > 500
