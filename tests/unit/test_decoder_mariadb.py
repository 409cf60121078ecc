"""MariaDB's events: GTIDs in place of BEGIN, transactions whose events do not say where they end, compressed events."""

import struct

import pytest

from cdcd.binlog.core.native import Decoder
from cdcd.binlog.mariadb_gtid import MariadbPosition
from cdcd.errors import BinlogError, MalformedEvent, UnsupportedEvent
from tests.decoding import Catalog, a_decoder, hear
from tests.events import (
    ARTIFICIAL,
    COMMIT,
    DELETE_V1,
    UPDATE,
    UPDATE_V1,
    WRITE,
    WRITE_V1,
    XA_PREPARE,
    Event,
    image,
    query,
    rows,
    table_map,
)
from tests.mariadb_events import (
    ANNOTATE_ROWS,
    CHECKPOINT,
    COMMIT_ALTER,
    COMPLETED_XA,
    DDL,
    PACKED_WRITE_V1,
    ROLLBACK_ALTER,
    SERVER,
    STANDALONE,
    START_ALTER,
    START_ENCRYPTION,
    THREAD_ID,
    MariadbDump,
    compressed,
    gtid,
    gtid_list,
    packed_query,
    packed_rows,
)

ANNOTATED: Event = (ANNOTATE_ROWS, b"INSERT INTO orders VALUES (1, 'a')")
ONE_ROW = (ANNOTATED, table_map(), rows(WRITE_V1, image(1, "a")))
MESSAGE = '+orders "id":"1","name":"a"'
CHANGES = (
    table_map(),
    rows(WRITE_V1, image(1, "a"), image(2, "b")),
    rows(UPDATE_V1, image(1, "a"), image(1, "z")),
    rows(DELETE_V1, image(2, "b")),
)


def source(domain: int, server: int = SERVER) -> bytes:
    return struct.pack(">II", domain, server)


def refused(dump: MariadbDump) -> BinlogError:
    with pytest.raises(BinlogError) as caught:
        hear(dump)
    return caught.value


# ------------------------------------------------------------------ transactions


@pytest.mark.parametrize("checksums", [True, False])
@pytest.mark.parametrize("positions", [True, False])
def test_transaction(*, checksums: bool, positions: bool) -> None:
    dump = MariadbDump(checksums=checksums, positions=positions)
    start = dump.position
    heard = hear(dump.group(gtid(5, domain=3), *ONE_ROW, COMMIT))
    decoder = heard.decoder
    assert heard.messages == [MESSAGE]
    assert (decoder.mariadb, decoder.transaction, decoder.has_gtid) == (True, f"3-{SERVER}-5", True)
    assert (decoder.start_offset, decoder.end_offset, decoder.offset) == (start, dump.position, dump.position)
    assert decoder.take_gtids() == [(source(3), "", 5, 5)]
    assert decoder.commit_us == 1_700_000_000_000_000


@pytest.mark.parametrize(
    "head",
    [
        gtid(5, commit=99),
        gtid(5, more=struct.pack("<BI", THREAD_ID, 77)),
        gtid(5, commit=99, more=struct.pack("<BI", THREAD_ID, 77)),
        gtid(2**63 - 2, domain=2**32 - 1),
    ],
)
def test_gtid_forms(head: Event) -> None:
    heard = hear(MariadbDump().group(head, *ONE_ROW, COMMIT))
    assert heard.messages == [MESSAGE]
    assert MariadbPosition.parse(heard.decoder.transaction).add_all(
        heard.decoder.take_gtids()
    ) == MariadbPosition.parse(heard.decoder.transaction)


@pytest.mark.parametrize("number", [0, 2**63 - 1, 2**64 - 1])
def test_gtids_that_are_none(number: int) -> None:
    assert isinstance(refused(MariadbDump().group(gtid(number), *ONE_ROW, COMMIT)), MalformedEvent)


def test_runs_of_gtids_keep_their_order() -> None:
    dump = MariadbDump()
    for sequence, server, domain in ((1, 7, 0), (2, 7, 0), (9, 8, 0), (3, 7, 0), (4, 7, 0), (5, 7, 1)):
        dump.server = server
        dump.group(gtid(sequence, domain=domain), *ONE_ROW, COMMIT)
    taken = hear(dump).decoder.take_gtids()
    assert taken == [
        (source(0), "", 1, 2),
        (source(0, 8), "", 9, 9),
        (source(0), "", 3, 4),
        (source(1), "", 5, 5),
    ]
    assert str(MariadbPosition().add_all(taken)) == "0-7-4,1-7-5"


def test_statement_that_is_a_transaction() -> None:
    dump = MariadbDump().add(gtid(1, flags=STANDALONE | DDL), query("CREATE TABLE x (a int)"))
    heard = hear(dump.group(gtid(2), *ONE_ROW, COMMIT))
    [statement] = heard.statements
    assert (statement.sql, statement.in_transaction) == (b"CREATE TABLE x (a int)", False)
    assert heard.decoder.transactions == 2
    assert heard.decoder.take_gtids() == [(source(0), "", 1, 2)]


def test_tables_without_transactions_end_by_a_query() -> None:
    heard = hear(MariadbDump().add(gtid(1, flags=0), *ONE_ROW, query("COMMIT"), (CHECKPOINT, b"\0\0\0\0")))
    assert (heard.messages, heard.decoder.transactions, heard.statements) == ([MESSAGE], 1, [])


def test_create_table_select_has_no_begin() -> None:
    dump = MariadbDump().add(gtid(1, flags=0), query("CREATE TABLE orders (id int)"), *ONE_ROW, query("COMMIT"))
    heard = hear(dump)
    assert [statement.in_transaction for statement in heard.statements] == [True]
    assert (heard.messages, heard.decoder.transactions) == ([MESSAGE], 1)


@pytest.mark.parametrize(("flag", "told"), [(START_ALTER, False), (COMMIT_ALTER, True), (ROLLBACK_ALTER, False)])
def test_an_alter_in_two_phases_counts_where_it_is_committed(flag: int, *, told: bool) -> None:
    head = gtid(1, flags=STANDALONE | DDL, more=struct.pack("<BQ", flag, 1))
    heard = hear(MariadbDump().add(head, query("ALTER TABLE orders ADD x int")).group(gtid(2), *ONE_ROW, COMMIT))
    assert len(heard.statements) == told
    assert (heard.messages, heard.decoder.transactions) == ([MESSAGE], 2)


@pytest.mark.parametrize(
    "events",
    [
        (gtid(1, xid=b"x"), *ONE_ROW, query("XA END X'78',X'',1"), (XA_PREPARE, b"\0" + bytes(12))),
        (gtid(1, flags=STANDALONE | COMPLETED_XA, xid=b"x"), query("XA COMMIT X'78',X'',1")),
    ],
)
def test_scan_steps_over_xa(events: tuple[Event, ...]) -> None:
    dump = MariadbDump().add(*events).group(gtid(2), *ONE_ROW, COMMIT)
    assert hear(dump, Decoder(None)).decoder.take_gtids() == [(source(0), "", 1, 2)]


# ------------------------------------------------------------------ nothing is skipped in silence


@pytest.mark.parametrize("positions", [True, False])
@pytest.mark.parametrize("lost", [1, 2, 3])
def test_a_missing_event_is_found(lost: int, *, positions: bool) -> None:
    """Without positions only where the transaction ends; nothing of it is stored before."""
    dump = MariadbDump(positions=positions).group(gtid(5), *ONE_ROW, COMMIT)
    del dump.packets[2 + lost]
    packets = [packet[:3] + bytes([n]) + packet[4:] for n, packet in enumerate(dump.packets, 1)]
    with pytest.raises(MalformedEvent):
        hear(packets)


def test_gtid_inside_a_transaction() -> None:
    assert "events are missing" in str(refused(MariadbDump().add(gtid(1), *ONE_ROW, gtid(2))))


def test_encrypted_file_is_refused() -> None:
    error = refused(MariadbDump().add((START_ENCRYPTION, b"\1" + bytes(16))))
    assert isinstance(error, UnsupportedEvent)
    assert "encrypted" in str(error)
    assert error.event_type == START_ENCRYPTION


def test_rows_in_pieces_are_refused() -> None:
    assert isinstance(refused(MariadbDump().add(gtid(1), (172, bytes(20)))), UnsupportedEvent)


# ------------------------------------------------------------------ lists of GTIDs, and what is known


def test_gtid_list_says_what_is_before_the_file() -> None:
    dump = MariadbDump().add(gtid_list((0, 8, 9), (0, 7, 3), (1, 7, 2)))
    decoder = hear(dump.group(gtid(5), *ONE_ROW, COMMIT)).decoder
    assert str(MariadbPosition.decode(decoder.previous_gtids)) == "0-7-3,1-7-2"


def test_artificial_gtid_list_says_nothing_of_the_file() -> None:
    dump = MariadbDump().add(gtid_list((0, 7, 3)))
    kind, body = gtid_list((0, 7, 99), flags=2)
    dump.event(kind, body, log_pos=0, flags=ARTIFICIAL)
    assert str(MariadbPosition.decode(hear(dump).decoder.previous_gtids)) == "0-7-3"


@pytest.mark.parametrize(
    "known",
    [
        (gtid(4), *ONE_ROW, COMMIT),
        (gtid(4, flags=0), *ONE_ROW, query("COMMIT")),
        (gtid(4, flags=0), *ONE_ROW, packed_query(query("ROLLBACK"))),
        (gtid(4, flags=STANDALONE | DDL), query("DROP TABLE gone")),
        (gtid(4, flags=STANDALONE | DDL), packed_query(query("DROP TABLE gone"))),
    ],
)
def test_known_transaction_is_passed_over(known: tuple[Event, ...]) -> None:
    dump = MariadbDump().group(*known)
    start = dump.position
    dump.group(gtid(3), *ONE_ROW, COMMIT).group(gtid(5), *ONE_ROW, COMMIT)
    decoder = a_decoder()
    decoder.pass_over(MariadbPosition.parse(f"0-{SERVER}-4").gap)
    heard = hear(dump, decoder)
    assert (decoder.passed, decoder.transactions, heard.statements) == (1, 2, [])
    assert heard.messages == [MESSAGE, MESSAGE]  # a lower number, which follows, is none that is known
    assert decoder.take_gtids() == [(source(0), "", 3, 3), (source(0), "", 5, 5)]
    assert decoder.start_offset > start


# ------------------------------------------------------------------ compressed events


@pytest.mark.parametrize("left_out", [frozenset[str](), frozenset({"orders"})])
def test_compressed_rows(left_out: frozenset[str]) -> None:
    def heard(changes: tuple[Event, ...]) -> tuple[list[str], int]:
        decoder = a_decoder(Catalog(left_out=left_out))
        return hear(MariadbDump().group(gtid(1), *changes, COMMIT), decoder).messages, decoder.filtered

    packed = (CHANGES[0], *map(packed_rows, CHANGES[1:]))
    assert [kind for kind, _ in packed[1:]] == [166, 167, 168]
    assert heard(packed) == heard(CHANGES)
    second = (table_map(), rows(WRITE, image(1, "a")), rows(UPDATE, image(1, "a"), image(1, "b")))
    assert [kind for kind, _ in map(packed_rows, second[1:])] == [169, 170]
    assert heard((second[0], *map(packed_rows, second[1:]))) == heard(second)


def test_compressed_statement() -> None:
    dump = MariadbDump().add(gtid(1, flags=STANDALONE | DDL), packed_query(query("ALTER TABLE orders ADD x int")))
    assert [statement.sql for statement in hear(dump).statements] == [b"ALTER TABLE orders ADD x int"]


_HEAD = rows(WRITE_V1)[1]


@pytest.mark.parametrize(
    "body",
    [
        compressed(image(1, "a"), announced=3),
        compressed(image(1, "a"), announced=300),
        compressed(image(1, "a"))[:-1],
        compressed(image(1, "a"), head=0x91),
        compressed(image(1, "a"), head=0x01),
        compressed(image(1, "a"), head=0x80),
        b"\x84\xff\xff\xff\xff" + bytes(20),
        b"\x81\x05garbage",
        b"\x81",
        b"",
    ],
)
def test_damaged_compression(body: bytes) -> None:
    error = refused(MariadbDump().add(gtid(1), table_map(), (PACKED_WRITE_V1, _HEAD + body)))
    assert error.event_type == PACKED_WRITE_V1
