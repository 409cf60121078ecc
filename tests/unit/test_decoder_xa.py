"""XA transactions: rows come at XA COMMIT with its identity, whatever lies between, or never (MySQL manual, "XA Transactions")."""

from collections.abc import Iterable

import pytest
import zstandard

from cdcd.binlog.compression import inflate
from cdcd.binlog.core.native import BOUNDARY, HELD, NEED_BYTES, Decoder, Plan
from cdcd.binlog.prepared import MOST_HELD, Place, Prepared
from cdcd.binlog.schema import TableSchema
from cdcd.errors import BinlogError, MalformedEvent, UnsupportedEvent
from tests.decoding import NOW_MS, Catalog, Heard, hear, plan_of
from tests.events import (
    BEGIN,
    COMMIT,
    COMMITTED_US,
    DELETE,
    SOURCE,
    UPDATE,
    WRITE,
    Dump,
    Event,
    image,
    inner,
    payload,
    prepare,
    prepared,
    query,
    rows,
    table_map,
    xa_commit,
    xa_rollback,
    xid,
)

CHANGES: tuple[Event, ...] = (
    table_map(),
    rows(WRITE, image(1, "a"), image(2, "b")),
    query("SAVEPOINT `s`"),
    rows(UPDATE, image(1, "a"), image(1, "z")),
    rows(DELETE, image(2, "b")),
)
SAID = [
    '+orders "id":"1","name":"a"',
    '+orders "id":"2","name":"b"',
    '~orders "id":"1","name":"a" > "id":"1","name":"z"',
    '-orders "id":"2","name":"b"',
]
OTHER = (BEGIN, table_map(7, "people"), rows(WRITE, image(5, "other")), COMMIT)
OTHER_SAID = '+people "id":"5","name":"other"'


class Source:
    """A binlog that can be read again."""

    def __init__(self, dump: Dump) -> None:
        self.dump = dump
        self.asked: list[tuple[str, Prepared | None, Place]] = []
        self.places: dict[str, Prepared] = {}
        """Found by searching."""

    def __call__(self, name: str, known: Prepared | None, before: Place) -> tuple[Prepared, Iterable[bytes]] | None:
        self.asked.append((name, known, before))
        found = known or self.places.get(name)
        return None if found is None else (found, self.pieces(found))

    def pieces(self, found: Prepared, feed: int = 1 << 20, limit: int = 1 << 20) -> Iterable[bytes]:
        decoder = Decoder(None, inflate)
        decoder.extract(found.gtid or f"{found.file}:{found.offset}")
        data = b"".join(self.packets(found))
        for at in range(0, len(data), feed):
            decoder.feed(data[at : at + feed])
            while (reason := decoder.decode(0, limit, True)) != NEED_BYTES:
                yield decoder.take_events()
                if reason == BOUNDARY:
                    return
            yield decoder.take_events()

    def packets(self, found: Prepared) -> Iterable[bytes]:
        """As a dump by place sends them: ROTATE, FDE, then from there on. They are numbered anew."""
        yield from self.dump.packets[:2]
        at, number = 4, 3
        for packet in self.dump.packets[1:]:
            if at >= found.offset:
                yield packet[:3] + bytes([number % 256]) + packet[4:]
                number += 1
            at += len(packet) - 5


def story(*second: Event, first: tuple[Event, ...] = prepared("a", *CHANGES)) -> Dump:
    """Prepared, something else, and then the second phase."""
    return Dump().transaction(1, *first).transaction(2, *OTHER).transaction(3, *second).transaction(4, *OTHER)


def first_of(events: tuple[Event, ...]) -> Prepared:
    """Of a story that begins with these."""
    return hear(Dump().transaction(1, *events)).decoder.held[0]


def forgetful(source: Source) -> Decoder:
    """Keeps nothing in memory."""
    decoder = Decoder(Catalog(), inflate, None, source)
    decoder.hold((), 1)
    return decoder


def test_rows_come_at_the_commit() -> None:
    heard = hear(story(xa_commit("a")), Decoder(Catalog(), inflate))
    assert heard.messages == [OTHER_SAID, *SAID, OTHER_SAID]
    assert heard.decoder.held == ()
    assert heard.decoder.take_gtids() == [(SOURCE.bytes, "", 1, 4)]


def test_identity_is_that_of_the_commit() -> None:
    decoder = Decoder(Catalog(), inflate, b"9")
    decoder.seq = 100
    decoder.feed(story(xa_commit("a")).data)
    while decoder.decode(NOW_MS) != NEED_BYTES:
        pass
    ids = [each for run in decoder.take_runs() for each in run[4]]
    assert ids == [
        f"9;{seq};{SOURCE}:{number}".encode() for seq, number in zip(range(101, 107), (2, 3, 3, 3, 3, 4), strict=True)
    ]


def test_a_rollback_discards() -> None:
    heard = hear(story(xa_rollback("a")))
    assert heard.messages == [OTHER_SAID, OTHER_SAID]
    assert heard.decoder.held == ()


def test_one_phase() -> None:
    dump = Dump().transaction(1, *prepared("a", *CHANGES, one_phase=True)).transaction(2, *OTHER)
    heard = hear(dump)
    assert heard.messages == [*SAID, OTHER_SAID]
    assert heard.decoder.held == ()


def test_what_is_held_has_a_place() -> None:
    dump = Dump().transaction(1, *OTHER)
    at = dump.position
    heard = hear(dump.transaction(2, *prepared("a", *CHANGES)))
    assert heard.messages == [OTHER_SAID]
    assert heard.decoder.held == (
        Prepared(xid("a"), f"{SOURCE}:2", "binlog.000001", at, heard.decoder.file_created, COMMITTED_US // 1000),
    )
    assert heard.decoder.rows_done == 0


def test_several_end_in_another_order_and_an_xid_is_used_again() -> None:
    dump = Dump()
    one = {name: (table_map(), rows(WRITE, image(n, name))) for n, name in enumerate("abc")}
    for number, name in enumerate("abc", 1):
        dump.transaction(number, *prepared(name, *one[name]))
    dump.transaction(4, xa_commit("c")).transaction(5, xa_commit("a")).transaction(6, xa_rollback("b"))
    dump.transaction(7, *prepared("b", *one["b"])).transaction(8, xa_commit("b"))
    assert [message[-2] for message in hear(dump).messages] == ["c", "a", "b"]


@pytest.mark.parametrize("one_phase", [False, True])
def test_compressed(one_phase: bool) -> None:
    events = prepared("a", *CHANGES, one_phase=one_phase)
    first = (payload(zstandard.compress(inner(*events)), compression=0),)
    dump = Dump().transaction(1, *first).transaction(2, *OTHER)
    if not one_phase:
        dump.transaction(3, xa_commit("a"))
    said = [*SAID, OTHER_SAID] if one_phase else [OTHER_SAID, *SAID]
    assert hear(dump).messages == said
    assert hear(dump, forgetful(Source(dump))).messages == said


# ------------------------------------------------------------------ read again


def test_what_is_not_in_memory_is_read_again() -> None:
    source = Source(story(xa_commit("a")))
    decoder = forgetful(source)
    heard = hear(source.dump, decoder)
    assert heard.messages == [OTHER_SAID, *SAID, OTHER_SAID]
    assert heard.reasons.count(HELD) == 1
    [(asked, known, before)] = source.asked
    assert (asked, known and known.gtid) == (xid("a"), f"{SOURCE}:1")
    assert before[1] > (known.offset if known else 0)


def test_it_is_told_before_it_is_read_again() -> None:
    """So that nothing that is open waits for it."""
    source = Source(story(xa_commit("a")))
    decoder = forgetful(source)
    decoder.feed(source.dump.data)
    while decoder.decode(NOW_MS) != HELD:
        pass
    assert (source.asked, decoder.rows_done, decoder.transaction) == ([], 0, f"{SOURCE}:3")
    assert len(decoder.held) == 1


def test_held_since_before_reading_began() -> None:
    source = Source(story(xa_commit("a")))
    known = Prepared(xid("a"), f"{SOURCE}:1", "binlog.000001", first_of(prepared("a", *CHANGES)).offset, 0, 7)
    later = Dump().transaction(3, xa_commit("a"))
    decoder = Decoder(Catalog(), inflate, None, source)
    decoder.hold([known])
    assert list(decoder.held) == [known]
    assert hear(later, decoder).messages == SAID
    assert decoder.held == ()


def test_unknown_and_found() -> None:
    source = Source(story(xa_commit("a")))
    source.places[xid("a")] = first_of(prepared("a", *CHANGES))
    assert hear(Dump().transaction(3, xa_commit("a")), forgetful(source)).messages == SAID
    assert source.asked[0][1] is None


def test_a_second_commit_publishes_nothing() -> None:
    """A source may log it twice around a crash; `reread` says that it has ended."""
    dump = Dump().transaction(3, xa_commit("a")).transaction(4, *OTHER)
    heard = hear(dump, forgetful(Source(dump)))
    assert heard.messages == [OTHER_SAID]
    assert heard.decoder.take_gtids() == [(SOURCE.bytes, "", 3, 4)]


@pytest.mark.parametrize("feed", [1, 7, 100])
@pytest.mark.parametrize("compress", [False, True])
def test_extracted_in_any_pieces(feed: int, compress: bool) -> None:
    first = prepared("a", *CHANGES)
    if compress:
        first = (payload(zstandard.compress(inner(*first)), compression=0),)
    source = Source(story(xa_commit("a"), first=first))
    found = first_of(first)
    whole = b"".join(source.pieces(found))
    assert b"".join(source.pieces(found, feed)) == whole
    assert len(whole) == len(inner(*prepared("a", *CHANGES)[1:]))
    assert len([piece for piece in source.pieces(found, 1 << 20, 1) if piece]) >= len(CHANGES)


@pytest.mark.parametrize("done", range(5))
def test_going_on_inside(done: int) -> None:
    """Row changes of the part that was published are not published again."""
    source = Source(story(xa_commit("a")))
    decoder = forgetful(source)
    decoder.hold([first_of(prepared("a", *CHANGES))])
    decoder.resume(f"{SOURCE}:3", done)
    heard = hear(Dump().transaction(3, xa_commit("a")).transaction(4, *OTHER), decoder)
    assert heard.messages == [*SAID[done:], OTHER_SAID]


def test_going_on_inside_of_one_phase() -> None:
    decoder = Decoder(Catalog(), inflate)
    decoder.resume(f"{SOURCE}:1", 2)
    dump = Dump().transaction(1, *prepared("a", *CHANGES, one_phase=True))
    assert hear(dump, decoder).messages == SAID[2:]


def test_parts_of_a_large_one() -> None:
    """Messages are handed out while rows are still to come, and the transaction is that of the commit."""
    many = (table_map(), *(rows(WRITE, *(image(i, "x" * 50) for i in range(20))) for _ in range(20)))
    source = Source(story(xa_commit("a"), first=prepared("a", *many)))
    decoder = forgetful(source)
    decoder.feed(source.dump.data)
    parts = []
    while decoder.decode(NOW_MS, 4096) != NEED_BYTES:
        decoder.take_runs()
        if decoder.in_transaction and decoder.rows_done:
            parts.append((decoder.transaction, decoder.rows_done, len(decoder.held)))
    assert len(parts) > 5
    assert {(transaction, held) for transaction, _, held in parts} == {(f"{SOURCE}:3", 1)}
    assert [done for _, done, _ in parts] == sorted(done for _, done, _ in parts)


# ------------------------------------------------------------------ names, bounds


def test_rows_have_the_place_of_their_preparation() -> None:
    places = []
    decoder: Decoder

    def catalog(schema: TableSchema) -> Plan | None:
        places.append((decoder.place, decoder.reading[1]))
        return plan_of(schema, Catalog().route)

    decoder = Decoder(catalog, inflate)
    dump = Dump()
    start = dump.position
    dump.transaction(1, *prepared("a", *CHANGES)).transaction(2, *OTHER)
    commit = dump.position
    hear(dump.transaction(3, xa_commit("a")), decoder)
    assert places[-1] == (("binlog.000001", start, decoder.file_created), commit)


def test_of_another_file_too() -> None:
    """Also of when that was created."""
    known = Prepared(xid("a"), f"{SOURCE}:1", "binlog.000009", 77, 1234, 0)
    places = []
    decoder: Decoder

    def catalog(schema: TableSchema) -> Plan | None:
        places.append(decoder.place)
        return plan_of(schema, Catalog().route)

    def reread(_: str, found: Prepared | None, __: Place) -> tuple[Prepared, Iterable[bytes]]:
        assert found == known
        return found, [inner(*prepared("a", *CHANGES))]

    decoder = Decoder(catalog, inflate, None, reread)
    decoder.hold([known])
    hear(Dump().transaction(2, xa_commit("a")).transaction(3, *OTHER), decoder)
    assert places == [("binlog.000009", 77, 1234), decoder.reading]


def test_names_that_became_doubtful_are_asked_for_again() -> None:
    """Before and behind the rows of one that was prepared earlier."""
    catalog = Catalog()
    heard = Heard(Decoder(catalog, inflate))
    same = (BEGIN, table_map(), rows(WRITE, image(7, "c")), COMMIT)
    dump = Dump()

    def read(number: int, *events: Event) -> int:
        """Times that the catalog was asked."""
        before, asked = len(dump.packets), len(catalog.asked)
        heard.decoder.feed(b"".join(dump.transaction(number, *events).packets[0 if number == 1 else before :]))
        heard.listen()
        return len(catalog.asked) - asked

    assert read(1, *same) == 1
    assert [read(2, *prepared("a", *CHANGES)), read(3, xa_commit("a")), read(4, *same)] == [0, 0, 0]
    assert read(5, *prepared("b", *CHANGES)) == 0
    assert read(6, query("ALTER TABLE orders RENAME COLUMN name TO title")) == 0
    heard.decoder.forget("shop", "orders")
    assert [read(7, *same), read(8, xa_commit("b")), read(9, *same)] == [1, 1, 1]
    assert [read(10, *same), read(11, *same)] == [0, 0]


def test_names_that_nobody_knew_to_be_doubtful_are_asked_for_again() -> None:
    """A table is renamed and another one made under its name, before any row of either was published."""
    catalog = Catalog()
    dump = Dump().transaction(1, *prepared("a", *CHANGES))
    dump.transaction(2, query("RENAME TABLE orders TO old")).transaction(
        3, query("CREATE TABLE orders (name INT, id INT)")
    )
    dump.transaction(4, BEGIN, table_map(), rows(WRITE, image(7, "c")), COMMIT).transaction(5, xa_commit("a"))
    hear(dump, Decoder(catalog, inflate))
    assert len(catalog.asked) == 2


def test_only_so_many_are_remembered() -> None:
    """The oldest are forgotten: they are found again by reading backwards."""
    dump = Dump()
    for number in range(1, MOST_HELD + 3):
        dump.transaction(number, *prepared(f"x{number}", table_map(), rows(WRITE, image(number, "x"))))
    held = hear(dump).decoder.held
    assert (len(held), held[0].xid, held[-1].xid) == (MOST_HELD, xid("x3"), xid(f"x{MOST_HELD + 2}"))


def test_memory_is_bounded() -> None:
    """12 transactions of 900 KiB are held, 8 MiB are kept: the oldest are read again."""
    big = tuple(rows(WRITE, image(1, "x" * 250)) for _ in range(3000))
    dump = Dump()
    for number in range(1, 13):
        dump.transaction(number, *prepared(f"x{number}", table_map(), *big))
    for number in range(1, 13):
        dump.transaction(100 + number, xa_commit(f"x{number}"))
    source = Source(dump)
    heard = hear(dump, Decoder(Catalog(), inflate, None, source), limit=1 << 30)
    assert len(heard.messages) == 12 * 3000
    again = [asked for asked, _, _ in source.asked]
    assert again == [xid(f"x{number}") for number in range(1, len(again) + 1)]
    assert 2 <= len(again) <= 5


# ------------------------------------------------------------------ scans, and what is wrong


def test_a_scan_tells_xids() -> None:
    seen = []
    decoder = Decoder(None)
    decoder.feed(story(xa_commit("a")).transaction(5, *prepared("b", one_phase=True)).data)
    while decoder.decode(0, 1 << 60, True) != NEED_BYTES:
        if not decoder.in_transaction and decoder.transactions:
            seen.append(decoder.xa)
    assert seen == [("PREPARE", xid("a")), None, ("COMMIT", xid("a")), None, None]


def test_format_ids_are_compared_by_what_both_events_have() -> None:
    """The statement has 64 bits of it, the event 32."""
    dump = Dump().transaction(1, query("XA START X'61',X'',3000000000"), *CHANGES, prepare("a", format_id=3000000000))
    assert hear(dump.transaction(2, query("XA COMMIT X'61',X'',3000000000"))).messages == SAID


@pytest.mark.parametrize(
    ("events", "kind", "says"),
    [
        ((BEGIN, *CHANGES, prepare("a")), MalformedEvent, "did not begin with XA START"),
        ((query("XA START X'61',X'',1"), *CHANGES, query("COMMIT")), UnsupportedEvent, "without XA PREPARE"),
        ((query("XA COMMIT 'a'"),), MalformedEvent, "no source writes"),
        ((xa_commit("b"),), UnsupportedEvent, "cannot read it again"),
        ((query("XA START X'61',X'',1"), (38, bytes(20))), MalformedEvent, "is due|wanted|first phase|bytes"),
    ],
)
def test_what_is_wrong(events: tuple[Event, ...], kind: type[BinlogError], says: str) -> None:
    dump = Dump().transaction(1, *events)
    if events[-1][0] == 38 and events[0] != BEGIN:
        dump = Dump().transaction(1, events[0], (38, b"\0" * 5 + b"\xff" * 8))
    with pytest.raises(kind, match=says):
        hear(dump)


def test_rows_of_another_transaction_are_refused() -> None:
    dump = Dump().transaction(2, xa_commit("a"))

    def reread(name: str, _: Prepared | None, before: Place) -> tuple[Prepared, Iterable[bytes]]:
        return Prepared(name, None, *before, 0, 0), [inner(*prepared("b", *CHANGES))]

    with pytest.raises(
        MalformedEvent, match=r"those of X'61'.* are due, in XA transaction X'61',X'',1 that was prepared at"
    ):
        hear(dump, Decoder(Catalog(), inflate, None, reread))


def test_rows_that_end_too_early_are_refused() -> None:
    dump = Dump().transaction(2, xa_commit("a"))

    def reread(name: str, _: Prepared | None, before: Place) -> tuple[Prepared, Iterable[bytes]]:
        return Prepared(name, None, *before, 0, 0), [inner(*CHANGES)]

    with pytest.raises(MalformedEvent, match="holds no commit"):
        hear(dump, Decoder(Catalog(), inflate, None, reread))
