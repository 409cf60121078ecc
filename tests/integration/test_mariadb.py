"""MariaDB as a source: where a position leads, what is checked before a dump, who evicts whom.

What is right is the server's own account: SHOW BINLOG EVENTS, @@gtid_binlog_pos, its error packets.
"""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from cdcd.binlog.compression import inflate
from cdcd.binlog.core.native import CONTROL, END, NEED_BYTES, Decoder
from cdcd.binlog.gtid import GtidSet
from cdcd.binlog.mariadb_gtid import MariadbPosition
from cdcd.binlog.position import Position
from cdcd.config.start import Start, StartFile, StartGtidSet, StartTime
from cdcd.errors import Finding, FindingError
from cdcd.mysql.connection import Endpoint, connect
from cdcd.mysql.dump import BinlogDump
from cdcd.mysql.dump_request import FIRST_EVENT, DumpRequest
from cdcd.mysql.scan import own_reader
from cdcd.mysql.server import check_grants, check_position, check_server, read_status
from cdcd.mysql.start import resolve_start
from tests.decoding import Catalog
from tests.reading import endpoint_of, opened
from tests.servers import MysqlFactory, MysqlServer
from tests.waiting import until

SHAPES = (
    "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(1000))",
    "INSERT INTO t (v) VALUES ('a'), ('b'), ('c')",
    "BEGIN",
    "INSERT INTO t (v) VALUES ('d')",
    "SAVEPOINT s",
    "UPDATE t SET v = 'x' WHERE id < 3",
    "ROLLBACK TO SAVEPOINT s",
    "COMMIT",
    "CREATE TABLE aria (id INT PRIMARY KEY) ENGINE=Aria TRANSACTIONAL=0",
    "INSERT INTO aria VALUES (1), (2)",
    "CREATE TABLE copied AS SELECT * FROM t",
    "ALTER TABLE t ADD w INT",
    "SET SESSION binlog_annotate_row_events = OFF",
    "DELETE FROM t WHERE id = 1",
    "SET SESSION binlog_annotate_row_events = ON",
    "FLUSH BINARY LOGS",
    "CREATE SEQUENCE numbers",
    "SELECT NEXTVAL(numbers)",
    "INSERT INTO t (v) VALUES ('in the next file')",
    "TRUNCATE t",
    "DROP TABLE copied",
    "DROP SEQUENCE numbers",
)


@dataclass(frozen=True)
class Logged:
    """A transaction as the server lists it."""

    gtid: str
    file: str
    start: int


def logged(server: MysqlServer) -> list[Logged]:
    found = []
    for file, *_ in server.query("SHOW BINARY LOGS"):
        for name, start, kind, _, _, info in server.query(f"SHOW BINLOG EVENTS IN '{file}'"):
            if kind == "Gtid":
                match = re.search(r"GTID (\d+-\d+-\d+)", info)
                assert match is not None, info
                found.append(Logged(match[1], name, int(start)))
    return found


def numbers(gtid: str) -> tuple[int, int, int]:
    domain, server, sequence = map(int, gtid.split("-"))
    return domain, server, sequence


def after(transactions: list[Logged]) -> MariadbPosition:
    return MariadbPosition([numbers(one.gtid) for one in transactions])


@dataclass
class Got:
    """What a worker would have made of a dump."""

    quick: bool
    gtids: list[str]
    passed: int


def follow(server: MysqlServer, request: DumpRequest) -> Got:
    """All of a dump, through a decoder that passes over what is known, as a worker's does."""
    assert request.gtid_set is not None
    decoder, gtids, deadline = Decoder(Catalog(), inflate), [], time.monotonic() + 60
    decoder.pass_over(request.gtid_set.gap)
    with opened(endpoint_of(server), replace(request, non_blocking=True)) as dump:
        while (reason := decoder.decode(0, 1 << 20, True)) != END:
            assert time.monotonic() < deadline
            decoder.take_runs()
            if decoder.take_gtids():
                gtids.append(decoder.transaction)
            if reason == CONTROL:
                dump.show(decoder.control)
            elif reason == NEED_BYTES:
                decoder.feed(dump.read(1.0))
        if decoder.control[0] == 0xFF:
            raise FindingError(dump.ended(decoder.control))
        assert dump.request is not None
        return Got(dump.request.gtid_set is None, gtids, decoder.passed)


def identity(server: MysqlServer) -> str:
    return f"server-id-{server.query('SELECT @@server_id')[0][0]}"


def position_at(server: MysqlServer, transactions: list[Logged]) -> Position:
    """Right behind the last of these, as a worker would have stored it."""
    last, following = transactions[-1], logged(server)[len(transactions) :]
    end = following[0].start if following and following[0].file == last.file else last.start + 1
    return Position(identity(server), after(transactions), last.file, last.start, end)


VERSIONS = [pytest.param("10.5", marks=pytest.mark.prove), pytest.param("10.11", marks=pytest.mark.prove), "11.8"]


@pytest.fixture(scope="module", params=VERSIONS)
def shared(request: pytest.FixtureRequest, mysql_server: MysqlFactory) -> Iterator[MysqlServer]:
    """A server whose binlog these tests only read: transactions of every shape in two files."""
    server = mysql_server(f"mariadb-{request.param}", gtid_strict_mode="ON", binlog_row_metadata="FULL")
    with server.database() as database:
        server.run(*SHAPES, database=database)
        # In a second of its own: the binlog knows whole seconds.
        next_second = "SELECT SLEEP(1.001 - MICROSECOND(NOW(6)) / 1000000)"
        server.run(next_second, "INSERT INTO t (v) VALUES (NOW())", next_second, database=database)
        yield server


@pytest.fixture
def own(mysql_server: MysqlFactory) -> Iterator[MysqlServer]:
    """A server whose binlog begins anew with each test, and which logs GTIDs in any order."""
    server = mysql_server("mariadb-11.8", gtid_strict_mode="OFF", max_connections=120)
    server.query("RESET MASTER")
    with server.database() as name:
        server.query(f"CREATE TABLE {name}.t (id INT PRIMARY KEY AUTO_INCREMENT)")
        server.query("SET GLOBAL gtid_domain_id = 0")
        yield server


def insert(server: MysqlServer, *settings: str) -> None:
    [(name,)] = server.query("SELECT table_schema FROM information_schema.tables WHERE table_schema LIKE 't\\_%'")
    server.run(*(f"SET SESSION {setting}" for setting in settings), f"INSERT INTO {name}.t VALUES ()")


# ------------------------------------------------------------------------------------------------ from a position on


def test_by_gtid_from_every_transaction(shared: MysqlServer) -> None:
    transactions = logged(shared)
    assert len(transactions) >= 14
    for n in range(len(transactions) + 1):
        got = follow(shared, DumpRequest(after(transactions[:n])))
        assert got.gtids == [one.gtid for one in transactions[n:]]


def test_quickly_from_every_transaction(shared: MysqlServer) -> None:
    transactions = logged(shared)
    with connect(endpoint_of(shared)) as connection:
        status = read_status(connection)
    for n in range(1, len(transactions) + 1):
        request = DumpRequest.after(position_at(shared, transactions[:n]), status)
        got = follow(shared, request)
        assert (got.quick, got.passed) == (True, 1)
        assert got.gtids == [one.gtid for one in transactions[n:]]


def test_any_other_place_is_left_for_the_gtids(shared: MysqlServer) -> None:
    transactions = logged(shared)
    known, here = after(transactions[:5]), transactions[4]
    for place in (
        transactions[3],
        transactions[6],
        replace(here, start=here.start + 1),
        replace(here, start=FIRST_EVENT),
    ):
        request = DumpRequest(known, place.file, place.start, identity(shared))
        got = follow(shared, request)
        assert not got.quick
        assert got.gtids == [one.gtid for one in transactions[5:]]


def test_another_server_is_no_place_for_a_quick_start(shared: MysqlServer) -> None:
    transactions = logged(shared)
    elsewhere = DumpRequest(after(transactions[:5]), transactions[4].file, transactions[4].start, "server-id-1")
    assert not follow(shared, elsewhere).quick


def test_several_domains(own: MysqlServer) -> None:
    """Another server may have had a domain further than this one: only the source may say what comes."""
    for domain in (0, 3, 0, 3, 3, 7, 0):
        insert(own, f"gtid_domain_id = {domain}")
    transactions = logged(own)
    with connect(endpoint_of(own)) as connection:
        status = read_status(connection)
    for n in range(1, len(transactions) + 1):
        position = position_at(own, transactions[:n])
        assert check_position(position, status) is None
        request = DumpRequest.after(position, status)
        assert request.quick is (len(after(transactions[:n]).last) == 1 and position.start_offset > FIRST_EVENT)
        assert follow(own, request).gtids == [one.gtid for one in transactions[n:]]
    ahead = MariadbPosition.parse(",".join(transactions[i].gtid for i in (-2, -3, 1)))
    behind = [one.gtid for one in transactions[2:] if one.gtid.startswith("0-")]
    assert follow(own, DumpRequest(ahead)).gtids == behind


def test_numbers_out_of_order(own: MysqlServer) -> None:
    """gtid_strict_mode=OFF: a lower number of another server behind a higher one is another transaction."""
    for server, number in ((900, 500), (901, 20), (900, 501), (901, 21)):
        insert(own, f"server_id = {server}", f"gtid_seq_no = {number}")
    insert(own)
    transactions = logged(own)
    with connect(endpoint_of(own)) as connection:
        status = read_status(connection)
    for n in range(3, len(transactions) + 1):
        position = position_at(own, transactions[:n])
        assert check_position(position, status) is None
        got = follow(own, DumpRequest.after(position, status))
        assert (got.quick, got.gtids) == (True, [one.gtid for one in transactions[n:]])


# ------------------------------------------------------------------------------------------------ where to begin


def resolve(start: Start, server: MysqlServer) -> Position:
    with connect(endpoint_of(server)) as connection:
        return resolve_start(start, connection, read_status(connection))


def refused(start: Start, server: MysqlServer) -> Finding:
    with pytest.raises(FindingError) as caught:
        resolve(start, server)
    assert f"{server.host}:{server.port}" in caught.value.finding.what
    return caught.value.finding


def test_latest_and_earliest(shared: MysqlServer) -> None:
    end = shared.query("SHOW MASTER STATUS")[0]
    latest = resolve("latest", shared)
    assert (str(latest.gtid_set), latest.file, latest.end_offset) == (
        shared.query("SELECT @@gtid_binlog_pos")[0][0],
        end[0],
        end[1],
    )
    assert latest.server_uuid == identity(shared)
    earliest = resolve("earliest", shared)
    assert (earliest.gtid_set, earliest.file, earliest.end_offset) == (MariadbPosition(), logged(shared)[0].file, 4)


def test_file_and_position(shared: MysqlServer) -> None:
    transactions = logged(shared)
    for n, one in enumerate(transactions):
        position = resolve(StartFile(file=one.file, position=one.start), shared)
        assert position.gtid_set == after(transactions[:n])
        said = shared.query(f"SELECT BINLOG_GTID_POS('{one.file}', {one.start})")[0][0]
        assert str(position.gtid_set) == said
    inside = refused(StartFile(file=transactions[3].file, position=transactions[3].start + 1), shared)
    assert inside.code == "position-inside"


def test_gtid(shared: MysqlServer) -> None:
    transactions = logged(shared)
    position = resolve(StartGtidSet(gtid_set=transactions[4].gtid), shared)
    assert (position.gtid_set, position.file) == (after(transactions[:5]), "")
    of_mysql = StartGtidSet(gtid_set="3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5")
    assert refused(of_mysql, shared).code == "gtid-mode"


def test_time(shared: MysqlServer) -> None:
    transactions = logged(shared)
    [(name,)] = shared.query("SELECT table_schema FROM information_schema.tables WHERE table_name = 't'")
    last = datetime.fromisoformat(shared.query(f"SELECT v FROM {name}.t")[0][0]).replace(tzinfo=UTC)

    def known(time: datetime) -> object:
        return resolve(StartTime.model_validate({"time": time.isoformat()}), shared).gtid_set

    assert known(last) == after(transactions[:-1])
    assert known(last + timedelta(microseconds=300_000)) == after(transactions[:-1])
    assert known(last - timedelta(hours=1)) == MariadbPosition()
    assert known(last + timedelta(seconds=1)) == after(transactions)


# ------------------------------------------------------------------------------------------------ what is checked


def checked(server: MysqlServer, known: str) -> tuple[str, str] | None:
    with connect(endpoint_of(server)) as connection:
        position = Position(identity(server), MariadbPosition.parse(known), "", 0, 0)
        finding = check_position(position, read_status(connection))
    return None if finding is None else (finding.code, finding.kind)


def answered(server: MysqlServer, known: str) -> tuple[str, str]:
    """What the server itself says to a dump from there."""
    with pytest.raises(FindingError) as caught:
        follow(server, DumpRequest(MariadbPosition.parse(known)))
    return caught.value.finding.code, caught.value.finding.kind


def test_purged(own: MysqlServer) -> None:
    insert(own, "gtid_domain_id = 5")
    insert(own)
    own.query("FLUSH BINARY LOGS")
    insert(own)
    kept, purged = logged(own)[-1], logged(own)[:-1]
    own.query("SET GLOBAL slave_connections_needed_for_purge = 0")

    def gone() -> bool:
        """The server keeps a file until InnoDB has stored what is in it."""
        own.query(f"PURGE BINARY LOGS TO '{kept.file}'")
        return len(own.query("SHOW BINARY LOGS")) == 1

    until(gone, 30)
    server = own.query("SELECT @@server_id")[0][0]
    with connect(endpoint_of(own)) as connection:
        assert read_status(connection).gtid_purged == after(purged)
    assert checked(own, str(after(purged))) is None
    assert resolve("earliest", own).gtid_set == after(purged)
    for known in ("", f"0-{server}-1,5-{server}-1", str(after([purged[-1]]))):
        assert checked(own, known) == ("position-purged", "operator")
        assert answered(own, known) == ("position-purged", "operator")
    assert refused(StartTime.model_validate({"time": "2001-01-01T00:00:00Z"}), own).code == "start-purged"


def test_ahead_and_behind(shared: MysqlServer) -> None:
    domain, server, number = numbers(logged(shared)[-1].gtid)
    assert checked(shared, f"{domain}-{server}-{number + 1}") == ("position-ahead", "operator")
    assert checked(shared, f"{domain}-77-{number + 1}") == ("source-behind", "retry")
    assert checked(shared, f"{domain}-{server}-{number},9-1-1") == ("source-behind", "retry")
    assert checked(shared, f"{domain}-77-{number - 1}") == ("position-ahead", "operator")
    assert answered(shared, f"{domain}-77-{number + 1}") == ("source-behind", "retry")
    assert answered(shared, f"{domain}-77-{number - 1}") == ("position-ahead", "operator")


def test_positions_of_mysql(shared: MysqlServer) -> None:
    position = Position("3e11fa47-71ca-11e1-9e33-c80aa9429562", GtidSet(), "binlog.000001", 4, 4)
    with connect(endpoint_of(shared)) as connection:
        finding = check_position(position, read_status(connection))
    assert finding is not None
    assert (finding.code, finding.kind) == ("other-server", "operator")


def test_status(shared: MysqlServer) -> None:
    with connect(endpoint_of(shared)) as connection:
        status = read_status(connection)
        assert (check_server(status), check_grants(connection)) == ([], [])
    assert (status.flavour, status.by_gtid, status.row_metadata) == ("mariadb", True, "FULL")
    assert status.version_text == shared.query("SELECT VERSION()")[0][0]


@pytest.mark.parametrize(
    ("granted", "missing"),
    [
        ("SELECT", "REPLICATION SLAVE, REPLICATION CLIENT"),
        ("REPLICATION SLAVE ADMIN, REPLICATION CLIENT, SELECT", "REPLICATION SLAVE"),
        ("REPLICATION SLAVE, SELECT", "REPLICATION CLIENT"),
        ("REPLICATION SLAVE, REPLICATION CLIENT, SELECT", ""),
    ],
)
def test_missing_rights(shared: MysqlServer, granted: str, missing: str) -> None:
    account = "'reader'@'127.0.0.1'"
    try:
        shared.run(f"CREATE USER {account} IDENTIFIED BY 'x'", f"GRANT {granted} ON *.* TO {account}")
        reader = Endpoint(shared.host, shared.port, "reader", "x")
        with connect(reader) as connection:
            findings = check_grants(connection)
            if not missing:
                assert read_status(connection).by_gtid
                dump = BinlogDump(reader, own_reader())
                dump.prepare()
                dump.close()
        assert [finding.remedy for finding in findings] == (
            [f"Run as an administrator: GRANT {missing} ON *.* TO {account}"] if missing else []
        )
    finally:
        shared.query(f"DROP USER {account}")


# ------------------------------------------------------------------------------------------------ who evicts whom


def lives(dump: BinlogDump) -> bool:
    """Whether a heartbeat comes, or anything else."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if dump.read(1.0):
            return True
    return False


def ending(dump: BinlogDump) -> Finding:
    """Of a dump that has nothing else to say: its last packet is an error, or the connection ends."""
    deadline = time.monotonic() + 20
    try:
        while time.monotonic() < deadline:
            dump.read(1.0)
    except FindingError as error:
        return error.finding
    raise AssertionError("the dump was not ended")


def test_only_an_equal_server_id_evicts(shared: MysqlServer) -> None:
    """MariaDB knows no UUIDs of replicas."""
    request = DumpRequest(after(logged(shared)))
    first, second = own_reader(1.0), replace(own_reader(1.0), server_id=1 << 30)
    with opened(endpoint_of(shared), request, first) as dump, opened(endpoint_of(shared), request, second) as other:
        assert lives(dump)
        assert lives(other)
        assert lives(dump)
        zombie = replace(own_reader(1.0), server_id=first.server_id)
        prepared = BinlogDump(endpoint_of(shared), zombie)
        prepared.prepare()  # disturbs nobody
        assert lives(dump)
        prepared.begin(request)
        assert ending(dump).kind == "retry"
        assert lives(other)
        assert lives(prepared)
        prepared.close()
