"""The quick start of a dump: by place where that is proven to be the same, else by GTID; never a transaction more or less.

What is right is the server's own account: everything in @@gtid_executed that is not in the position's set, in the
binlog's order.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from cdcd.binlog.compression import inflate
from cdcd.binlog.core.native import CONTROL, END, NEED_BYTES, Decoder
from cdcd.binlog.gtid import GtidSet
from cdcd.binlog.position import Position
from cdcd.mysql.connection import connect
from cdcd.mysql.dump import BinlogDump
from cdcd.mysql.dump_request import FIRST_EVENT, DumpRequest
from cdcd.mysql.scan import BinlogScan, Transaction, own_reader
from cdcd.mysql.server import read_status
from tests.decoding import Catalog
from tests.instances import Figures
from tests.reading import endpoint_of, executed, opened
from tests.servers import MysqlFactory, MysqlServer

MIXED = (
    "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(1000))",
    "INSERT INTO t (v) VALUES ('a'), ('b'), ('c')",
    "BEGIN",
    "INSERT INTO t (v) VALUES ('d')",
    "UPDATE t SET v = 'x' WHERE id < 3",
    "COMMIT",
    "SET SESSION binlog_transaction_compression = ON",
    "INSERT INTO t (v) SELECT REPEAT('y', 900) FROM t",
    "SET SESSION binlog_transaction_compression = OFF",
    "CREATE TABLE copied AS SELECT * FROM t",
    "ALTER TABLE t ADD w INT",
    "DELETE FROM t WHERE id = 1",
    "SET gtid_next = 'AUTOMATIC:blue'",
    "INSERT INTO t (v) VALUES ('tagged')",
    "SET gtid_next = 'AUTOMATIC'",
    "FLUSH BINARY LOGS",
    "INSERT INTO t (v) VALUES ('in the next file')",
    "DROP TABLE copied",
)


@dataclass
class Got:
    """What a worker would have made of a dump."""

    quick: bool
    gtids: GtidSet
    order: list[str]
    passed: int


def uuid_of(server: MysqlServer) -> str:
    return str(server.query("SELECT @@server_uuid")[0][0])


def follow(server: MysqlServer, request: DumpRequest) -> Got:
    """All of a dump, through a decoder that passes over what is known, as a worker's does."""
    assert request.gtid_set is not None
    decoder = Decoder(Catalog(), inflate)
    decoder.pass_over(request.gtid_set.gap)
    order, gtids, deadline = [], GtidSet(), time.monotonic() + 60
    request = replace(request, server_uuid=request.server_uuid or uuid_of(server), non_blocking=True)
    with opened(endpoint_of(server), request) as dump:
        while (reason := decoder.decode(0, 1 << 20, True)) != END:
            assert time.monotonic() < deadline
            decoder.take_runs()
            if taken := decoder.take_gtids():
                order.append(decoder.transaction)
                gtids = gtids.add_all(taken)
            if reason == CONTROL:
                dump.show(decoder.control)
            elif reason == NEED_BYTES:
                decoder.feed(dump.read(1.0))
        assert dump.request is not None
        return Got(dump.request.gtid_set is None, gtids, order, decoder.passed)


def logged(server: MysqlServer, file: str = "") -> list[Transaction]:
    """All transactions of the binlog, from `file` or its beginning on."""
    first = file or server.query("SHOW BINARY LOGS")[0][0]
    return list(BinlogScan(endpoint_of(server), first).transactions())


def check(server: MysqlServer, request: DumpRequest, *, quick: bool) -> Got:
    assert isinstance(request.gtid_set, GtidSet)
    got = follow(server, request)
    assert got.gtids == executed(server).subtract(request.gtid_set)
    assert len(set(got.order)) == len(got.order)
    assert got.quick is quick
    return got


@pytest.fixture(scope="module")
def shared(mysql_server: MysqlFactory) -> Iterator[MysqlServer]:
    """A server whose binlog these tests only read: transactions of every shape in two files."""
    server = mysql_server()
    with server.database() as database:
        server.run(*MIXED, database=database)
        yield server


@pytest.fixture
def own(mysql_server: MysqlFactory) -> Iterator[MysqlServer]:
    """A server whose binlog begins anew with each test."""
    server = mysql_server(gtid_mode="ON", binlog_checksum="CRC32", max_connections=120)
    server.query("RESET BINARY LOGS AND GTIDS")
    with server.database():
        yield server


def fill(server: MysqlServer, count: int, size: int = 10) -> None:
    server.run(
        "CREATE DATABASE IF NOT EXISTS filled",
        "CREATE TABLE IF NOT EXISTS filled.t (id INT PRIMARY KEY AUTO_INCREMENT, v LONGBLOB)",
        *[f"INSERT INTO filled.t (v) VALUES (REPEAT('x', {size}))"] * count,
    )


# ------------------------------------------------------------------------------------------------ where it holds


def test_from_every_transaction_of_a_binlog(shared: MysqlServer) -> None:
    transactions = logged(shared)
    known = GtidSet.parse(shared.query("SELECT @@gtid_purged")[0][0])
    assert len(transactions) >= 11
    for n, transaction in enumerate(transactions):
        known = known.add_all(transaction.gtids)
        got = check(shared, DumpRequest(known, transaction.file, transaction.start), quick=True)
        assert len(got.order) == len(transactions) - n - 1
        assert got.passed == 1


def test_the_binlogs_order_is_kept(shared: MysqlServer) -> None:
    transactions = logged(shared)
    by_gtid = follow(shared, DumpRequest(GtidSet(transactions[0].gtids)))
    by_place = follow(shared, DumpRequest(GtidSet(transactions[0].gtids), transactions[0].file, transactions[0].start))
    assert by_place.quick
    assert by_gtid.order == by_place.order


def test_known_transactions_further_on_are_left_out(own: MysqlServer) -> None:
    """Several sources, or a replica that applies in parallel: numbers out of order, and gaps in the set."""
    other = "aaaaaaaa-0000-0000-0000-000000000001"
    fill(own, 1)
    for gtid in (f"{other}:5", f"{other}:2", f"{other}:9", f"{other}:3", f"{other}:1", f"{other}:4"):
        own.run(f"SET gtid_next = '{gtid}'", "INSERT INTO filled.t (v) VALUES ('o')", "SET gtid_next = 'AUTOMATIC'")
        fill(own, 1)
    transactions = logged(own)
    known = GtidSet()
    for n, transaction in enumerate(transactions):
        known = known.add_all(transaction.gtids)
        later = GtidSet([gtid for other in transactions[n + 2 :: 3] for gtid in other.gtids])
        check(own, DumpRequest(known, transaction.file, transaction.start), quick=True)
        check(own, DumpRequest(known.union(later), transaction.file, transaction.start), quick=True)


def test_the_first_file_may_end_right_there(own: MysqlServer) -> None:
    fill(own, 2)
    transactions, known = logged(own), executed(own)
    own.query("FLUSH BINARY LOGS")
    fill(own, 2)
    check(own, DumpRequest(known, transactions[-1].file, transactions[-1].start), quick=True)


def test_a_large_transaction_is_read_over(own: MysqlServer) -> None:
    fill(own, 1)
    own.run("BEGIN", *["INSERT INTO filled.t (v) VALUES (REPEAT('x', 3000000))"] * 4, "COMMIT")
    transactions, known = logged(own), executed(own)
    fill(own, 1)
    got = check(own, DumpRequest(known, transactions[-1].file, transactions[-1].start), quick=True)
    assert (got.passed, got.gtids.count()) == (1, 3)


def test_without_checksums(mysql_server: MysqlFactory) -> None:
    server = mysql_server(binlog_checksum="NONE")
    fill(server, 5)
    known = GtidSet()
    for transaction in logged(server):
        known = known.add_all(transaction.gtids)
        check(server, DumpRequest(known, transaction.file, transaction.start), quick=True)


# ------------------------------------------------------------------------------------------------ where it does not


def test_any_other_place_is_left_for_the_gtids(shared: MysqlServer) -> None:
    """Inside events, between events of a transaction, before and behind the binlog."""
    transaction = logged(shared)[4]
    known = GtidSet([gtid for one in logged(shared)[:5] for gtid in one.gtids])
    places = [*range(transaction.start - 3, transaction.start), *range(transaction.start + 1, transaction.end, 13)]
    for offset in (*places, FIRST_EVENT, transaction.end + 100_000_000, 0xFFFFFFFF):
        check(shared, DumpRequest(known, transaction.file, offset), quick=False)


@pytest.mark.parametrize("mode", ["NONE", "CRC32"])
def test_no_place_inside_rows_that_look_like_events(mysql_server: MysqlFactory, mode: str) -> None:
    server = mysql_server(binlog_checksum=mode)
    fill(server, 1)
    gtid_event = "0000000021010000002a000000000000000000"
    server.query(f"INSERT INTO filled.t (v) VALUES (REPEAT(UNHEX('{gtid_event}'), 40))")
    transaction, known = logged(server)[-1], executed(server)
    fill(server, 2)
    for offset in range(transaction.start + 1, transaction.end, 11):
        check(server, DumpRequest(known, transaction.file, offset), quick=False)


def test_a_place_before_an_unpublished_transaction(shared: MysqlServer) -> None:
    """`latest`: the set is read before the place, so what was committed in between is behind one and before the other."""
    transactions = logged(shared)
    for n, transaction in enumerate(transactions[1:], 1):
        known = GtidSet([gtid for one in transactions[:n] for gtid in one.gtids])
        check(shared, DumpRequest(known, transaction.file, transaction.start), quick=False)


def test_a_file_that_is_gone(own: MysqlServer) -> None:
    fill(own, 3)
    transaction, known = logged(own)[-1], executed(own)
    own.query("FLUSH BINARY LOGS")
    fill(own, 3)
    own.query(f"PURGE BINARY LOGS TO '{own.query('SHOW BINARY LOG STATUS')[0][0]}'")
    check(own, DumpRequest(known, transaction.file, transaction.start), quick=False)
    check(own, DumpRequest(known, "binlog.000999", transaction.start), quick=False)


def test_a_server_that_was_set_up_anew_under_its_old_uuid(own: MysqlServer) -> None:
    """RESET, and everything once more with other contents: the same GTIDs stand elsewhere in files of the same names."""
    fill(own, 6, 50)
    known, transactions = executed(own), logged(own)
    uuid = own.query("SELECT @@server_uuid")[0][0]
    own.query("RESET BINARY LOGS AND GTIDS")
    own.query(f"SET GLOBAL gtid_purged = '{uuid}:1-3'")
    other = "aaaaaaaa-0000-0000-0000-000000000002"
    for number in range(1, 5):
        own.run(f"SET gtid_next = '{other}:{number}'", "INSERT INTO filled.t (v) VALUES (REPEAT('y', 137))")
    fill(own, 12, 77)
    assert executed(own).contains(known)
    for transaction in transactions:
        check(own, DumpRequest(known, transaction.file, transaction.start), quick=False)


def test_another_server_behind_the_same_address(shared: MysqlServer) -> None:
    transaction = logged(shared)[2]
    known = GtidSet([gtid for one in logged(shared)[:3] for gtid in one.gtids])
    other = "5f0c0000-0000-0000-0000-000000000001"
    check(shared, DumpRequest(known, transaction.file, transaction.start), quick=True)
    check(shared, DumpRequest(known, transaction.file, transaction.start, other), quick=False)


def test_nothing_stands_there_yet(own: MysqlServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cdcd.mysql.dump.QUICK_SECONDS", 0.2)
    fill(own, 2)
    file, offset = own.query("SHOW BINARY LOG STATUS")[0][:2]
    dump = BinlogDump(endpoint_of(own), own_reader())
    try:
        dump.begin(DumpRequest(executed(own), file, offset, uuid_of(own)))
        assert dump.request == DumpRequest(executed(own))
        fill(own, 1)
        assert dump.read(20.0)
    finally:
        dump.close()


def test_what_is_read_to_look_comes_again(own: MysqlServer) -> None:
    """A dump that was given up leaves none of its bytes to the next."""
    fill(own, 4)
    transactions = logged(own)
    known = GtidSet([gtid for one in transactions[:-1] for gtid in one.gtids])
    got = check(own, DumpRequest(known, transactions[-1].file, transactions[-1].start), quick=False)
    assert (got.passed, len(got.order)) == (0, 1)


# ------------------------------------------------------------------------------------------------ what it saves

MIB = 1 << 20


def seconds_to_the_first_new_event(server: MysqlServer, request: DumpRequest) -> float:
    """From the dump command to the bytes of a transaction that is not known yet."""
    assert request.gtid_set is not None
    decoder = Decoder(Catalog(), inflate)
    decoder.pass_over(request.gtid_set.gap)
    dump = BinlogDump(endpoint_of(server), own_reader())
    try:
        dump.prepare()
        request = replace(request, server_uuid=uuid_of(server))
        began = time.monotonic()
        dump.begin(request)
        while not decoder.transactions:
            if decoder.decode(0) == NEED_BYTES and not decoder.transactions:
                decoder.feed(dump.read(1.0))
        seconds = time.monotonic() - began
        assert dump.request is not None
        assert (dump.request.gtid_set is None) is request.quick
        return seconds
    finally:
        dump.close()


def at_the_end_of_a_file(server: MysqlServer, size: int) -> dict[str, float | int]:
    """Both ways from the last but one transaction of a binlog file of `size` bytes, each the best of five."""
    server.run(
        "CREATE DATABASE IF NOT EXISTS big",
        "CREATE TABLE IF NOT EXISTS big.t (v LONGBLOB) ENGINE = BLACKHOLE",
        *["INSERT INTO big.t VALUES (REPEAT('x', 16000000))"] * (size // 16_000_000),
        "INSERT INTO big.t VALUES ('the last one that is known')",
    )
    transaction, known = logged(server)[-1], executed(server)
    server.query("INSERT INTO big.t VALUES ('new')")
    assert server.query("SHOW BINARY LOG STATUS")[0][0] == transaction.file
    quick = DumpRequest(known, transaction.file, transaction.start)
    both = {}
    for name, request in (("by_place", quick), ("by_gtid", quick.by_gtid)):
        best = min(seconds_to_the_first_new_event(server, request) for _ in range(5))
        both[f"{name}_ms"] = round(best * 1000, 1)
    return {"file_mib": transaction.end // MIB, **both}


@pytest.mark.must_show("4.3")
def test_it_does_not_read_up_to_its_place(own: MysqlServer, figures: Figures) -> None:
    took = at_the_end_of_a_file(own, 64 * MIB)
    figures(took)
    assert took["by_place_ms"] < took["by_gtid_ms"]


@pytest.mark.prove
@pytest.mark.must_show("4.3")
def test_it_does_not_read_a_file_of_1_gib(own: MysqlServer, figures: Figures) -> None:
    took = at_the_end_of_a_file(own, 1000 * MIB)
    figures(took)
    assert took["by_place_ms"] < took["by_gtid_ms"] / 10


# ------------------------------------------------------------------------------------------------ what is asked for


def test_which_positions_allow_it(own: MysqlServer) -> None:
    fill(own, 2)
    with connect(endpoint_of(own)) as connection:
        status = read_status(connection)
    known, uuid = executed(own), status.server_uuid
    at = Position(uuid, known, status.file, 500, 900)
    assert DumpRequest.after(at, status) == DumpRequest(known, status.file, 500, uuid)
    inside = replace(at, txn=f"{uuid}:9", rows_done=3)
    assert DumpRequest.after(inside, status).quick
    for position in (
        replace(at, start_offset=900),
        replace(at, start_offset=FIRST_EVENT),
        replace(at, file=""),
        replace(at, server_uuid="5f0c0000-0000-0000-0000-000000000001"),
        replace(at, start_offset=1 << 32, end_offset=(1 << 32) + 9),
    ):
        assert DumpRequest.after(position, status) == DumpRequest(known)
    assert DumpRequest.after(at, replace(status, gtid_mode="ON_PERMISSIVE")) == DumpRequest(None, status.file, 900)
    assert DumpRequest.after(replace(at, gtid_set=None), status) == DumpRequest(None, status.file, 900)
