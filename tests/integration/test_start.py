"""Start positions on real servers. Expected places and sets are what the server itself said at that moment."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import cdcd.mysql.start
from cdcd.binlog.gtid import GtidSet
from cdcd.binlog.position import Position
from cdcd.config.start import Start, StartFile, StartGtidSet, StartTime
from cdcd.errors import Finding, FindingError, Stopped
from cdcd.mysql.connection import Connection, Endpoint, connect
from cdcd.mysql.dump_request import DumpRequest
from cdcd.mysql.server import binlog_files, check_grants, check_position, check_server, read_status
from cdcd.mysql.start import resolve_start
from tests.reading import binlog_end, endpoint_of, executed, opened, read_to_end
from tests.servers import MysqlFactory, MysqlServer

ELSEWHERE = "22222222-2222-2222-2222-222222222222"


@dataclass(frozen=True)
class Mark:
    """What the server said between two transactions."""

    time: datetime
    file: str
    offset: int
    executed: GtidSet


class Timeline:
    """A server with marks between its transactions, over several binlog files."""

    def __init__(self, server: MysqlServer) -> None:
        self.server = server
        self.marks: list[Mark] = []
        server.run("CREATE DATABASE line", "CREATE TABLE line.t (id INT PRIMARY KEY AUTO_INCREMENT)")
        for file in range(3):
            self.next_second()
            if file:
                server.query("FLUSH BINARY LOGS")
            for _ in range(3):
                server.query("INSERT INTO line.t VALUES ()")
                self.mark()

    def mark(self) -> None:
        time = self.server.query("SELECT NOW(6)")[0][0].replace(tzinfo=UTC)
        self.marks.append(Mark(time, *binlog_end(self.server), executed(self.server)))

    def next_second(self) -> None:
        self.server.query("SELECT SLEEP(1.001 - MICROSECOND(NOW(6)) / 1000000)")


@pytest.fixture(scope="module", params=["ON", "OFF"])
def line(request: pytest.FixtureRequest, mysql_server: MysqlFactory) -> Timeline:
    mode = request.param
    return Timeline(mysql_server(gtid_mode=mode, enforce_gtid_consistency=mode))


@pytest.fixture
def connection(line: Timeline) -> Iterator[Connection]:
    with connect(endpoint_of(line.server)) as made:
        yield made


def resolve(start: Start, connection: Connection) -> Position:
    return resolve_start(start, connection, read_status(connection))


def at_time(time: datetime) -> StartTime:
    return StartTime.model_validate({"time": time.isoformat()})


def refused(start: Start, connection: Connection) -> Finding:
    with pytest.raises(FindingError) as caught:
        resolve(start, connection)
    assert caught.value.finding.kind == "operator"
    assert str(connection.endpoint) in caught.value.finding.what
    return caught.value.finding


def place_of(mark: Mark, line: Timeline) -> Position:
    by_gtid = line.server.query("SELECT @@gtid_mode")[0][0] == "ON"
    return Position(
        server_uuid=line.server.query("SELECT @@server_uuid")[0][0],
        gtid_set=mark.executed if by_gtid else None,
        file=mark.file,
        start_offset=mark.offset,
        end_offset=mark.offset,
    )


def test_latest(line: Timeline, connection: Connection) -> None:
    assert resolve("latest", connection) == place_of(line.marks[-1], line)


def test_earliest(line: Timeline, connection: Connection) -> None:
    position = resolve("earliest", connection)
    assert (position.file, position.end_offset) == (binlog_files(connection)[0].name, 4)
    if position.gtid_set is not None:
        assert position.gtid_set == GtidSet()
    assert reads_on(line, position) == line.marks[-1].executed


def reads_on(line: Timeline, position: Position) -> GtidSet:
    """What a dump from `position` brings."""
    request = (
        DumpRequest(file=position.file, offset=position.end_offset, non_blocking=True)
        if position.gtid_set is None
        else DumpRequest(gtid_set=position.gtid_set, non_blocking=True)
    )
    with opened(endpoint_of(line.server), request) as dump:
        return read_to_end(dump).gtids


def test_file_and_position(line: Timeline, connection: Connection) -> None:
    for mark in line.marks:
        assert resolve(StartFile(file=mark.file, position=mark.offset), connection) == place_of(mark, line)


def test_start_of_a_file(line: Timeline, connection: Connection) -> None:
    before_it, first_in_it = line.marks[2], line.marks[3]
    position = resolve(StartFile(file=first_in_it.file), connection)
    assert position.file == first_in_it.file
    assert position.gtid_set in (None, before_it.executed)


def test_place_that_is_none(line: Timeline, connection: Connection) -> None:
    last = line.marks[-1]
    inside = refused(StartFile(file=last.file, position=last.offset - 1), connection)
    assert inside.code == "position-inside"
    assert str(last.offset) in inside.remedy
    beyond = refused(StartFile(file=last.file, position=last.offset + 10_000), connection)
    assert beyond.code == "position-beyond-file"
    assert refused(StartFile(file="binlog.000999"), connection).code == "position-purged"


def test_time_between_transactions(line: Timeline, connection: Connection) -> None:
    for mark in line.marks[:-1]:
        position = resolve(at_time(mark.time), connection)
        assert position.gtid_set == place_of(mark, line).gtid_set
        if mark.file == position.file:
            assert position.end_offset == mark.offset
        else:
            assert mark in (line.marks[2], line.marks[5])  # the next transaction is the first of the next file


def test_time_by_binary_search(line: Timeline, connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the margin for a clock set back, each file of this young server is told from the next."""
    monkeypatch.setattr(cdcd.mysql.start, "CLOCK_MARGIN", 0)
    for mark in (line.marks[1], line.marks[4], line.marks[7]):
        position = resolve(at_time(mark.time), connection)
        assert (position.file, position.end_offset) == (mark.file, mark.offset)
        assert position.gtid_set == place_of(mark, line).gtid_set


def test_time_without_a_transaction_after_it(line: Timeline, connection: Connection) -> None:
    now = line.server.query("SELECT NOW(6)")[0][0].replace(tzinfo=UTC)
    assert resolve(at_time(now), connection) == place_of(line.marks[-1], line)


def test_time_to_come(line: Timeline, connection: Connection) -> None:
    assert line.marks
    assert refused(at_time(datetime.now(UTC) + timedelta(hours=1)), connection).code == "start-in-future"


def test_time_before_everything_is_the_beginning(line: Timeline, connection: Connection) -> None:
    position = resolve(at_time(datetime(2001, 1, 1, tzinfo=UTC)), connection)
    assert position.gtid_set in (None, GtidSet())
    assert reads_on(line, position) == line.marks[-1].executed


def test_gtid_set(line: Timeline, connection: Connection) -> None:
    mark = line.marks[4]
    wanted = StartGtidSet(gtid_set=str(mark.executed) or f"{ELSEWHERE}:1")
    if place_of(mark, line).gtid_set is None:
        assert refused(wanted, connection).code == "gtid-mode"
        return
    position = resolve(wanted, connection)
    assert position.gtid_set == mark.executed
    assert reads_on(line, position) == line.marks[-1].executed.subtract(mark.executed)


def test_a_search_can_be_given_up(line: Timeline, connection: Connection) -> None:
    def watch() -> None:
        raise Stopped

    with pytest.raises(Stopped):
        resolve_start(at_time(line.marks[4].time), connection, read_status(connection), watch)


@pytest.mark.parametrize("mode", ["ON", "OFF"])
def test_purged_binlogs(mysql_server: MysqlFactory, mode: str) -> None:
    server = mysql_server(gtid_mode=mode, enforce_gtid_consistency=mode, binlog_row_metadata="MINIMAL")
    line = Timeline(server)
    old, kept = line.marks[1], line.marks[-2]
    server.query(f"PURGE BINARY LOGS TO '{kept.file}'")
    line.next_second()  # so that the earliest time left is not to come yet
    with connect(endpoint_of(server)) as connection:
        finding = refused(at_time(old.time), connection)
        assert finding.code == "start-purged"
        earliest_time = datetime.fromisoformat(finding.what.rpartition("begin at ")[2])
        assert line.marks[5].time < earliest_time < kept.time + timedelta(seconds=1)
        assert refused(StartFile(file=old.file, position=old.offset), connection).code == "position-purged"
        known = [mark.executed for mark in line.marks if mark.time < earliest_time][-1]
        assert resolve(at_time(earliest_time), connection).gtid_set in (None, known)
        status, position = read_status(connection), place_of(old, line)
        found = check_position(position, status, binlog_files(connection))
        assert found is not None
        assert (found.code, found.kind) == ("position-purged", "operator")
        assert check_position(place_of(kept, line), status, binlog_files(connection)) is None
        if mode == "ON":
            assert refused(StartGtidSet(gtid_set=f"{status.server_uuid}:1"), connection).code == "position-purged"
            assert resolve("earliest", connection).gtid_set == status.gtid_purged != GtidSet()


# ------------------------------------------------------------------------------------------------ status and rights


def test_status_of_a_good_server(mysql: MysqlServer) -> None:
    with connect(endpoint_of(mysql)) as connection:
        status = read_status(connection)
        assert check_server(status) == []
        assert check_grants(connection) == []
    version = mysql.query("SELECT @@version, @@server_uuid, @@binlog_expire_logs_seconds")[0]
    assert (status.version_text, status.server_uuid, status.expire_seconds) == version
    assert isinstance(status.gtid_executed, GtidSet)
    assert executed(mysql).contains(status.gtid_executed)
    assert status.row_metadata == "FULL"
    assert status.by_gtid


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"binlog_format": "STATEMENT"}, "binlog-format"),
        ({"skip_log_bin": "ON"}, "binlog-off"),
        ({"binlog_row_value_options": "PARTIAL_JSON", "binlog_row_image": "MINIMAL"}, "partial-json"),
    ],
)
def test_unreadable_server(mysql_server: MysqlFactory, options: dict[str, Any], code: str) -> None:
    with connect(endpoint_of(mysql_server(**options))) as connection:
        (finding,) = check_server(read_status(connection))
    assert (finding.code, finding.kind) == (code, "operator")


@pytest.mark.parametrize(
    ("granted", "missing"),
    [
        ("", "REPLICATION SLAVE, REPLICATION CLIENT, SELECT"),
        ("SELECT", "REPLICATION SLAVE, REPLICATION CLIENT"),
        ("REPLICATION SLAVE, REPLICATION CLIENT", "SELECT"),
        ("REPLICATION SLAVE, SELECT", "REPLICATION CLIENT"),
        ("REPLICATION SLAVE, REPLICATION CLIENT, SELECT", ""),
    ],
)
@pytest.mark.parametrize("by_role", [False, True])
def test_missing_rights(mysql: MysqlServer, granted: str, missing: str, *, by_role: bool) -> None:
    account, role = "'reader'@'127.0.0.1'", "'readers'@'%'"
    try:
        mysql.run(f"CREATE USER {account} IDENTIFIED BY 'x'", f"CREATE ROLE {role}", f"GRANT {role} TO {account}")
        mysql.query(f"SET DEFAULT ROLE {role} TO {account}")
        if granted:
            mysql.query(f"GRANT {granted} ON *.* TO {role if by_role else account}")
        with connect(Endpoint(mysql.host, mysql.port, "reader", "x")) as connection:
            findings = check_grants(connection)
        assert [finding.remedy for finding in findings] == (
            [f"Run as an administrator: GRANT {missing} ON *.* TO {account}"] if missing else []
        )
        for finding in findings:
            mysql.query(finding.remedy.partition(": ")[2])
    finally:
        mysql.run(f"DROP USER IF EXISTS {account}", f"DROP ROLE IF EXISTS {role}")


def test_position_of_another_server_without_gtids(mysql_server: MysqlFactory) -> None:
    server = mysql_server(gtid_mode="OFF", enforce_gtid_consistency="OFF")
    with connect(endpoint_of(server)) as connection:
        position = Position(ELSEWHERE, None, *binlog_end(server), 0)
        finding = check_position(position, read_status(connection))
    assert finding is not None
    assert (finding.code, finding.kind) == ("other-server", "operator")
