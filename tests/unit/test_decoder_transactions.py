"""GTIDs, the brackets of transactions, positions, and what must not be skipped in silence."""

import uuid

import pytest

from cdcd.binlog.core.native import BOUNDARY, NEED_BYTES, Decoder
from cdcd.errors import BinlogError, MalformedEvent, UnsupportedEvent
from tests.decoding import a_decoder, hear
from tests.events import (
    BEGIN,
    COMMIT,
    COMMITTED_US,
    IGNORABLE,
    INCIDENT,
    PREVIOUS_GTIDS,
    QUERY,
    ROWS_QUERY,
    SOURCE,
    STOP,
    WRITE,
    Dump,
    Event,
    anonymous,
    fde,
    gtid,
    image,
    prepared,
    query,
    rotate,
    rows,
    table_map,
    tagged,
    updated,
    xa_commit,
    xa_rollback,
)

ONE_ROW = (table_map(), rows(WRITE, image(1, "a")))
MESSAGE = '+orders "id":"1","name":"a"'
OTHER = uuid.UUID("ffeeddcc-bbaa-9988-7766-554433221100")


def refused(dump: Dump) -> BinlogError:
    with pytest.raises(BinlogError) as caught:
        hear(dump)
    return caught.value


# ------------------------------------------------------------------ GTIDs


@pytest.mark.parametrize("form", ["5.6", "5.7", "8.0"])
def test_gtid(form: str) -> None:
    decoder = hear(Dump().add(gtid(7, form=form), BEGIN, *ONE_ROW, COMMIT)).decoder
    assert (decoder.transaction, decoder.has_gtid) == (f"{SOURCE}:7", True)
    assert decoder.take_gtids() == [(SOURCE.bytes, "", 7, 7)]
    commit = COMMITTED_US if form == "8.0" else 1_700_000_000_000_000  # the header's seconds where there is no time
    assert (decoder.commit_us, decoder.logged_us) == (commit, commit)


def test_original_commit_time() -> None:
    """A replica's binlog: lag is told from the time of the original commit, order in this binlog from its own."""
    decoder = hear(Dump().add(gtid(7, original_us=1_600_000_000_000_001), BEGIN, COMMIT)).decoder
    assert (decoder.commit_us, decoder.logged_us) == (1_600_000_000_000_001, COMMITTED_US)


def test_tagged_gtid() -> None:
    dump = Dump().transaction(7, BEGIN, *ONE_ROW, COMMIT, tag=b"blue", original_us=1_600_000_000_000_001)
    decoder = hear(dump).decoder
    assert decoder.transaction == f"{SOURCE}:blue:7"
    assert decoder.take_gtids() == [(SOURCE.bytes, "blue", 7, 7)]
    assert (decoder.commit_us, decoder.logged_us) == (1_600_000_000_000_001, COMMITTED_US)
    assert decoder.transaction_length == dump.position - decoder.start_offset


def test_tagged_gtid_with_large_numbers() -> None:
    decoder = hear(Dump().add(tagged(2**62, b"t" * 32), BEGIN, COMMIT)).decoder
    assert decoder.take_gtids() == [(SOURCE.bytes, "t" * 32, 2**62, 2**62)]


def test_fields_of_newer_servers() -> None:
    assert hear(Dump().add(tagged(1, more=[(11, 5), (12, 9)]), BEGIN, COMMIT)).decoder.transactions == 1
    error = refused(Dump().add(tagged(1, must_know=12, more=[(12, 9)])))
    assert isinstance(error, UnsupportedEvent)
    assert "field 12 must be understood" in str(error)


@pytest.mark.parametrize(
    "event",
    [
        gtid(0),
        gtid(-1),
        gtid(2**63 - 1),
        tagged(0),
        tagged(1, b'a"b'),
        tagged(1, b"Blue"),
        tagged(1, b"1a"),
        tagged(1, b"\xc3\xa4"),
        tagged(1, b"t" * 33),
    ],
)
def test_impossible_gtids(event: Event) -> None:
    assert isinstance(refused(Dump().add(event)), MalformedEvent)


def test_anonymous() -> None:
    dump = Dump().add(anonymous(), BEGIN, *ONE_ROW, COMMIT)
    heard = hear(dump)
    assert (heard.messages, heard.decoder.take_gtids()) == ([MESSAGE], [])
    assert (heard.decoder.has_gtid, heard.decoder.commit_us) == (False, COMMITTED_US)
    assert heard.decoder.transaction == f"binlog.000001:{heard.decoder.start_offset}"


def test_gtids_merge_where_they_follow_each_other() -> None:
    dump = Dump()
    for event in [gtid(1), gtid(2), gtid(4), gtid(5, source=OTHER), gtid(6, source=OTHER), gtid(5), gtid(6)]:
        dump.add(event, BEGIN, COMMIT)
    for event in [tagged(7), tagged(8), tagged(9, b"red"), gtid(10)]:
        dump.add(event, BEGIN, COMMIT)
    decoder = hear(dump).decoder
    assert decoder.take_gtids() == [
        (SOURCE.bytes, "", 1, 2),
        (SOURCE.bytes, "", 4, 4),
        (OTHER.bytes, "", 5, 6),
        (SOURCE.bytes, "", 5, 6),
        (SOURCE.bytes, "blue", 7, 8),
        (SOURCE.bytes, "red", 9, 9),
        (SOURCE.bytes, "", 10, 10),
    ]
    assert decoder.take_gtids() == []


def test_a_gtid_counts_only_when_its_transaction_has_ended() -> None:
    dump = Dump().add(gtid(1), BEGIN, *ONE_ROW)
    heard = hear(dump)
    assert (heard.messages, heard.decoder.take_gtids(), heard.decoder.in_transaction) == ([MESSAGE], [], True)


# ------------------------------------------------------------------ nothing is missing


@pytest.mark.parametrize("missing", [3, 4, 5, 6])
def test_a_gap_inside_a_transaction(missing: int) -> None:
    """A source that skipped an event, with packet numbers in order: the positions tell."""
    whole = [gtid(1), BEGIN, table_map(), rows(WRITE, image(1, "a")), rows(WRITE, image(2, "b")), COMMIT]
    dump = Dump()
    for at, event in enumerate(whole, 2):
        if at == missing:
            dump.position += dump.size_of(event)
        else:
            dump.add(event)
    error = refused(dump)
    assert isinstance(error, MalformedEvent)
    assert (
        f"the one before ended at {error.position - dump.size_of(whole[missing - 2])}: events are missing"
        in error.reason
    )


def test_a_lost_commit() -> None:
    assert "begins inside another" in str(refused(Dump().add(gtid(1), BEGIN, gtid(2))))


@pytest.mark.parametrize("off_by", [-1, 1])
def test_announced_length(off_by: int) -> None:
    events = (BEGIN, *ONE_ROW, COMMIT)
    dump = Dump()
    right = sum(map(dump.size_of, events)) + dump.size_of(gtid(1, length=300))
    assert right > 250
    assert hear(Dump().add(gtid(1, length=right), *events)).decoder.transactions == 1
    error = refused(Dump().add(gtid(1, length=right + off_by), *events))
    assert f"announces {right + off_by} bytes, {right} came" in error.reason


def test_progress_of_the_open_transaction() -> None:
    dump = Dump().transaction(1, BEGIN, *ONE_ROW, COMMIT)
    decoder = hear(dump.packets[:-1]).decoder
    commit = dump.size_of(COMMIT)
    assert decoder.transaction_done == decoder.transaction_length - commit
    assert decoder.transaction_start + decoder.transaction_done == decoder.offset


def test_rows_outside_a_transaction() -> None:
    assert "outside a transaction" in str(refused(Dump().add(*ONE_ROW)))


def test_commit_outside_a_transaction() -> None:
    assert "never began" in str(refused(Dump().add(COMMIT)))


# ------------------------------------------------------------------ shapes of transactions


def test_without_gtids() -> None:
    """MySQL 5.6 and older: BEGIN is the first event."""
    heard = hear(Dump().add(BEGIN, *ONE_ROW, COMMIT, query("DROP TABLE t")))
    assert (heard.messages, heard.decoder.transactions) == ([MESSAGE], 2)
    assert heard.decoder.commit_us == 1_700_000_000_000_000


def test_commit_by_query() -> None:
    """Of tables without transactions."""
    assert hear(Dump().transaction(1, BEGIN, *ONE_ROW, query("COMMIT"))).decoder.transactions == 1


def test_empty_transaction() -> None:
    heard = hear(Dump().transaction(1, BEGIN, query("COMMIT")))
    assert (heard.messages, heard.decoder.take_gtids()) == ([], [(SOURCE.bytes, "", 1, 1)])


def test_a_ddl_is_a_transaction() -> None:
    dump = Dump().transaction(3, query("ALTER TABLE orders ADD x INT", "shop", status=updated("shop")))
    heard = hear(dump)
    [statement] = heard.statements
    assert (statement.database, statement.sql) == ("shop", b"ALTER TABLE orders ADD x INT")
    assert (statement.databases, statement.in_transaction, statement.error) == (("shop",), False, 0)
    assert heard.decoder.take_gtids() == [(SOURCE.bytes, "", 3, 3)]
    assert heard.decoder.end_offset == dump.position
    assert not heard.decoder.in_transaction


def test_create_table_select() -> None:
    ctas = query("CREATE TABLE `orders` (`id` int) START TRANSACTION")
    heard = hear(Dump().transaction(3, BEGIN, ctas, *ONE_ROW, COMMIT))
    assert [(statement.in_transaction, statement.sql[:12]) for statement in heard.statements] == [
        (True, b"CREATE TABLE")
    ]
    assert (heard.messages, heard.decoder.transactions) == ([MESSAGE], 1)


def test_savepoints_are_passed() -> None:
    heard = hear(Dump().transaction(1, BEGIN, query("SAVEPOINT `s`"), *ONE_ROW, query("RELEASE SAVEPOINT `s`"), COMMIT))
    assert (heard.messages, heard.statements) == ([MESSAGE], [])


@pytest.mark.parametrize("sql", ["ROLLBACK", "ROLLBACK TO `s`"])
def test_a_rollback_after_rows_is_refused(sql: str) -> None:
    """Logged where tables without transactions took part: some of these rows were never made."""
    error = refused(Dump().add(gtid(1), BEGIN, *ONE_ROW, query(sql)))
    assert isinstance(error, UnsupportedEvent)
    assert "ROLLBACK" in error.reason


def test_a_rollback_of_nothing() -> None:
    assert hear(Dump().transaction(1, BEGIN, query("ROLLBACK"))).decoder.transactions == 1


@pytest.mark.parametrize(
    ("status", "databases"),
    [
        (b"", ()),
        (updated("a"), ("a",)),
        (updated("a", "ü"), ("a", "ü")),
        (bytes([12, 254]), None),
        (bytes([0]) + bytes(4) + bytes([1]) + bytes(8) + updated("a"), ("a",)),
        (bytes([6, 3]) + b"std" + bytes([3]) + bytes(4) + bytes([4]) + bytes(6) + updated("a"), ("a",)),
        (bytes([11, 2]) + b"me" + bytes([4]) + b"host" + updated("a"), ("a",)),
        (bytes([5, 6]) + b"Europe" + bytes([7]) + bytes(2) + bytes([8]) + bytes(2) + updated("a"), ("a",)),
        (bytes([200, 1, 2, 3]), None),
    ],
)
def test_databases_that_a_statement_changes(status: bytes, databases: tuple[str, ...] | None) -> None:
    """None: they cannot be known, as where there are more than the source lists."""
    [statement] = hear(Dump().add(query("DROP TABLE t", "shop", status=status))).statements
    assert statement.databases == databases


def test_statement_with_odd_bytes() -> None:
    [statement] = hear(Dump().add(query(b"ALTER TABLE t COMMENT '\xff\x00'", "d\u00e4"))).statements
    assert (statement.database, statement.sql) == ("dä", b"ALTER TABLE t COMMENT '\xff\x00'")


def test_stops_at_boundaries_when_asked() -> None:
    decoder = a_decoder()
    decoder.feed(Dump().transaction(1, BEGIN, *ONE_ROW, COMMIT).transaction(2, BEGIN, *ONE_ROW, COMMIT).data)
    for _ in range(2):
        decoder.decode(0, stop_at_boundary=True)
    reasons = [decoder.decode(0, stop_at_boundary=True) for _ in range(3)]
    assert reasons == [BOUNDARY, BOUNDARY, NEED_BYTES]


# ------------------------------------------------------------------ positions


@pytest.mark.parametrize("v2", [False, True])
def test_heartbeats_move_the_position_between_transactions(v2: bool) -> None:
    dump = Dump().transaction(1, BEGIN, *ONE_ROW, COMMIT)
    end = dump.position
    start = hear(dump).decoder.start_offset
    decoder = hear(dump.heartbeat(end + 500, v2=v2)).decoder
    assert (decoder.offset, decoder.start_offset, decoder.end_offset) == (end + 500, start, end + 500)


@pytest.mark.parametrize("v2", [False, True])
def test_heartbeats_do_not_move_it_inside_one(v2: bool) -> None:
    """Nor do they count towards its length."""
    whole = Dump().transaction(1, BEGIN, *ONE_ROW, COMMIT)
    cut = Dump()
    cut.packets[2:], cut.position = whole.packets[2:5], whole.position - cut.size_of(COMMIT)
    cut.add()
    before = cut.position - cut.size_of(ONE_ROW[1])
    cut.position = before
    cut.heartbeat(before, v2=v2).heartbeat(before + 5000, v2=v2).add(ONE_ROW[1], COMMIT)
    decoder = hear(cut).decoder
    assert (decoder.transactions, decoder.end_offset) == (1, whole.position)


@pytest.mark.parametrize("v2", [False, True])
def test_heartbeats_do_not_move_it_back_or_to_another_file(v2: bool) -> None:
    dump = Dump().transaction(1, BEGIN, *ONE_ROW, COMMIT)
    end = dump.position
    dump.heartbeat(5, v2=v2)
    dump.file = "binlog.000777"
    assert hear(dump.heartbeat(end + 1, v2=v2)).decoder.end_offset == end


@pytest.mark.parametrize("real", [True, False])
def test_rotation(real: bool) -> None:
    dump = Dump().transaction(1, BEGIN, *ONE_ROW, COMMIT).rotate("binlog.000002", real=real)
    decoder = hear(dump).decoder
    assert (decoder.file, decoder.offset, decoder.end_offset) == ("binlog.000002", dump.position, 4)
    decoder = hear(dump.transaction(2, BEGIN, *ONE_ROW, COMMIT)).decoder
    assert (decoder.end_offset, decoder.transactions) == (dump.position, 2)


def test_rotation_inside_a_transaction() -> None:
    assert "changes inside a transaction" in str(refused(Dump().add(gtid(1), BEGIN, rotate("binlog.000002"))))


def test_dump_from_the_middle_of_a_file() -> None:
    """An artificial ROTATE says where it begins; the FDE has no position then."""
    dump = Dump()
    dump.packets.clear()
    dump._artificial(rotate("binlog.000009", 123_456))
    dump.event(*fde(), log_pos=0)
    dump.position = 123_456
    decoder = hear(dump.transaction(1, BEGIN, *ONE_ROW, COMMIT)).decoder
    assert (decoder.start_offset, decoder.end_offset) == (123_456, dump.position)


def test_files_beyond_4_gib() -> None:
    """Positions have 32 bits; one transaction may write more than that. One event ends exactly there."""
    dump = Dump()
    dump.position = (1 << 32) - 1000
    room = 1000 - dump.size_of(gtid(1)) - dump.size_of(BEGIN) - dump.size_of(query("SAVEPOINT ``"))
    dump.heartbeat(dump.position).add(gtid(1), BEGIN, query(f"SAVEPOINT `{'x' * room}`"))
    assert dump.position == 1 << 32
    decoder = hear(dump.add(*ONE_ROW, COMMIT)).decoder
    assert (decoder.transactions, decoder.start_offset) == (1, (1 << 32) - 1000)
    assert decoder.end_offset == dump.position > 1 << 32


def test_previous_gtids() -> None:
    assert hear(Dump().add((PREVIOUS_GTIDS, b"\0" * 8))).decoder.previous_gtids == b"\0" * 8


# ------------------------------------------------------------------ other events


def test_events_without_meaning_for_us() -> None:
    dump = Dump().add((36, b"x" * 20), (37, b"y"))
    heard = hear(dump.transaction(1, BEGIN, (ROWS_QUERY, b"\x06INSERT"), *ONE_ROW, COMMIT).add((STOP, b"")))
    assert (heard.messages, heard.decoder.ignored) == ([MESSAGE], {})


def test_unknown_events() -> None:
    heard = hear(Dump().add((77, b"?"), flags=IGNORABLE).add((77, b"?"), flags=IGNORABLE))
    assert heard.decoder.ignored == {77: 2}
    error = refused(Dump().add((77, b"?")))
    assert isinstance(error, UnsupportedEvent)
    assert error.event_type == 77


@pytest.mark.parametrize(
    ("event", "says"),
    [
        ((INCIDENT, b"\x01\x00\x02hm"), "INCIDENT"),
    ],
)
def test_what_cannot_be_published(event: Event, says: str) -> None:
    dump = Dump("binlog.000003").add(gtid(1))
    at = dump.position
    error = refused(dump.add(event))
    assert isinstance(error, UnsupportedEvent)
    assert says in error.reason
    assert (error.file, error.position, error.event_type) == ("binlog.000003", at, event[0])


def test_statement_changes_are_told_to_the_worker() -> None:
    """INTVAR, RAND, USER_VAR come before the statement they belong to; it alone says which databases it changes."""
    insert = query("INSERT INTO t VALUES (1)", "shop", status=updated("shop"))
    dump = Dump().transaction(1, BEGIN, (5, bytes(9)), (13, bytes(16)), (14, bytes(9)), insert, COMMIT)
    [statement] = hear(dump).statements
    assert (statement.sql, statement.databases) == (b"INSERT INTO t VALUES (1)", ("shop",))


def test_load_data_is_told_to_the_worker() -> None:
    kind, body = query("LOAD DATA INFILE 'x' INTO TABLE t", "shop", status=updated("shop"))
    assert kind == QUERY
    load = (18, body[:13] + bytes(13) + body[13:])
    dump = Dump().transaction(1, BEGIN, (17, bytes(9)), (9, bytes(9)), load, COMMIT)
    [statement] = hear(dump).statements
    assert (statement.sql, statement.databases) == (b"LOAD DATA INFILE 'x' INTO TABLE t", ("shop",))


# ------------------------------------------------------------------ scans


def test_a_scan_steps_over_rows() -> None:
    scan = Decoder(None)
    dump = Dump().transaction(1, BEGIN, *ONE_ROW, COMMIT).transaction(2, query("DROP TABLE orders"))
    heard = hear(dump, scan)
    assert (heard.messages, scan.transactions, scan.rows_done) == ([], 2, 0)
    assert scan.take_gtids() == [(SOURCE.bytes, "", 1, 2)]
    assert [statement.sql for statement in heard.statements] == [b"DROP TABLE orders"]


def test_a_scan_passes_what_cannot_be_published() -> None:
    dump = Dump().transaction(1, *prepared("x", *ONE_ROW)).transaction(2, xa_commit("x"))
    dump.transaction(3, *prepared("x", *ONE_ROW)).transaction(4, xa_rollback("x"))
    heard = hear(dump, Decoder(None))
    assert heard.decoder.take_gtids() == [(SOURCE.bytes, "", 1, 4)]
    assert heard.decoder.end_offset == dump.position
    assert heard.statements == []


def test_a_scan_passes_an_incident() -> None:
    """A transaction of its own on 9.7, without GTID and end on 5.6."""
    incident = (INCIDENT, b"\x01\x00\x02hm")
    dump = Dump().transaction(1, incident).add(incident).rotate("binlog.000002").transaction(2, BEGIN, *ONE_ROW, COMMIT)
    assert hear(dump, Decoder(None)).decoder.take_gtids() == [(SOURCE.bytes, "", 1, 2)]


def test_a_scan_forgets_nothing_and_resumes_nowhere() -> None:
    Decoder(None).forget("shop", "orders")
    with pytest.raises(ValueError, match="without catalog"):
        Decoder(None).resume(f"{SOURCE}:1", 1)
