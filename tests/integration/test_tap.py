"""The tap on mysql-replication, against real servers; fails loudly when a library changed what the tap relies on."""

import gc
import os
import signal
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import uuid4

import pymysqlreplication.binlogstream
import pytest
from pymysql.connections import Connection
from pymysqlreplication import BinLogStreamReader
from pymysqlreplication.packet import BinLogPacketWrapper

from cdcd.binlog.core.native import CONTROL, END, NEED_BYTES, Decoder
from cdcd.binlog.gtid import GtidSet
from cdcd.errors import Finding, FindingError, Stopped
from cdcd.mysql.connection import Endpoint, Tls, connect
from cdcd.mysql.dump import BinlogDump
from cdcd.mysql.dump_request import DumpRequest, Reader
from cdcd.mysql.scan import own_reader
from cdcd.mysql.tap import KEPT_SECONDS, Session, TapBrokenError
from tests.reading import binlog_end, endpoint_of, executed, opened, read_to_end
from tests.servers import MysqlFactory, MysqlServer
from tests.waiting import until

FDE, ROTATE = 15, 4


@pytest.fixture(scope="module")
def own(mysql_server: MysqlFactory) -> MysqlServer:
    """A server that may be stopped, purged and given tags."""
    return mysql_server()


def some_transactions(server: MysqlServer, database: str, count: int = 5) -> None:
    server.run(
        "CREATE TABLE IF NOT EXISTS t (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(100))",
        *["INSERT INTO t (v) VALUES ('x')"] * count,
        database=database,
    )


def finding_of(action: Callable[[], Any]) -> Finding:
    with pytest.raises(FindingError) as caught:
        action()
    return caught.value.finding


def read_until_it_fails(dump: BinlogDump, seconds: float = 20.0) -> Finding:
    """The finding that ends a blocking dump."""
    decoder, deadline = Decoder(None), time.monotonic() + seconds
    try:
        while time.monotonic() < deadline:
            reason = decoder.decode(0)
            if reason == END:
                return dump.ended(decoder.control)
            if reason == CONTROL:
                dump.show(decoder.control)
            elif reason == NEED_BYTES:
                decoder.feed(dump.read(0.2))
    except FindingError as error:
        return error.finding
    raise AssertionError("the dump goes on")


def session_of(dump: BinlogDump) -> Session:
    assert dump._session is not None
    return dump._session


def session_id(dump: BinlogDump) -> int:
    """Number of its connection at the source."""
    stream = session_of(dump)._stream
    assert stream is not None
    return stream.server_thread_id[0]


# ------------------------------------------------------------------------------------------------ the contract


def test_versions_are_the_pinned_ones() -> None:
    pinned = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]["dependencies"]
    for name in ("mysql-replication", "PyMySQL"):
        assert f"{name}=={version(name)}" in pinned


def test_private_names_exist() -> None:
    for name in ("_write_bytes", "_read_packet", "_force_close"):
        assert callable(getattr(Connection, name))
    assert hasattr(Connection, "_sock")
    reader = BinLogStreamReader({}, 1, enable_logging=False)
    assert hasattr(reader, "_BinLogStreamReader__use_checksum")


def test_the_library_sees_nothing_but_fde_and_rotate(
    mysql: MysqlServer, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    class Recording(BinLogPacketWrapper):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            seen.append(self.event_type)

    monkeypatch.setattr(pymysqlreplication.binlogstream, "BinLogPacketWrapper", Recording)
    some_transactions(mysql, database)
    mysql.query("FLUSH BINARY LOGS")
    some_transactions(mysql, database)
    with opened(endpoint_of(mysql), DumpRequest(gtid_set=GtidSet(), non_blocking=True)) as dump:
        read = read_to_end(dump)
        assert read.decoder.transactions >= 10
        assert set(seen) == {FDE, ROTATE}
        assert len(seen) >= 4
        assert dump.log_file == read.decoder.file == binlog_end(mysql)[0]


def test_a_second_dump_command_is_refused(mysql: MysqlServer) -> None:
    with opened(endpoint_of(mysql), DumpRequest(gtid_set=GtidSet())) as dump:
        stream = session_of(dump)._stream
        assert stream is not None
        with pytest.raises(TapBrokenError):
            stream._write_bytes(b"\x0b\0\0\0\x12" + bytes(10))
        with pytest.raises(TapBrokenError):
            session_of(dump).dump(DumpRequest(gtid_set=GtidSet()))


def test_the_library_cannot_reconnect(mysql: MysqlServer) -> None:
    with opened(endpoint_of(mysql), DumpRequest(gtid_set=GtidSet())) as dump:
        reader = session_of(dump)._reader
        assert reader is not None
        reader._BinLogStreamReader__connected_stream = False  # type: ignore[attr-defined]
        with pytest.raises(TapBrokenError):
            reader.fetchone()


def test_one_connection_is_all_it_takes(mysql: MysqlServer) -> None:
    """The library's control connection (information_schema) never reaches the server."""
    before = len(mysql.query("SHOW PROCESSLIST"))
    with opened(endpoint_of(mysql), DumpRequest(gtid_set=GtidSet())) as dump:
        dump.read(5.0)
        assert len(mysql.query("SHOW PROCESSLIST")) <= before + 1


def test_it_registers_as_a_replica(mysql: MysqlServer) -> None:
    reader = own_reader()
    with opened(endpoint_of(mysql), DumpRequest(gtid_set=GtidSet()), reader), connect(endpoint_of(mysql)) as connection:
        replicas = {row["replica_uuid"]: row["server_id"] for row in connection.records("SHOW REPLICAS")}
        assert replicas[str(reader.server_uuid)] == reader.server_id


def command_of(server: MysqlServer, dump: BinlogDump) -> str:
    """What the source believes the dump's session to be doing."""
    return str(
        server.query("SELECT command FROM information_schema.processlist WHERE id = %s", [session_id(dump)])[0][0]
    )


def test_no_dump_command_but_ours_reaches_the_source(mysql: MysqlServer, database: str) -> None:
    """The library has given its own and believes that it is reading; the source waits for the one that counts."""
    dump = BinlogDump(endpoint_of(mysql), own_reader())
    try:
        dump.prepare()
        session, at = session_id(dump), mysql.query("SELECT @@gtid_executed")[0][0]
        assert command_of(mysql, dump) in {"Sleep", "Register Slave"}
        some_transactions(mysql, database, 2)
        dump.prepare()
        assert session_id(dump) == session
        dump.begin(DumpRequest(gtid_set=GtidSet.parse(at)))
        assert session_id(dump) == session
        assert dump.read(5.0)
        assert command_of(mysql, dump) == "Binlog Dump GTID"
    finally:
        dump.close()


@pytest.mark.parametrize("mode", ["disabled", "verify-ca"])
@pytest.mark.parametrize("how", ["killed", "idle", "old"])
def test_a_prepared_session_that_is_gone_is_replaced(
    own: MysqlServer, how: str, mode: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    dump = BinlogDump(endpoint_of(own, Tls(mode, ca=str(own.ca))), own_reader())
    try:
        own.query(f"SET GLOBAL wait_timeout = {1 if how == 'idle' else 28800}")
        dump.prepare()
        first = session_id(dump)
        if how == "killed":
            own.query(f"KILL {first}")
        if how == "old":
            monkeypatch.setattr(session_of(dump), "_opened_at", time.monotonic() - KEPT_SECONDS - 1)
        until(lambda: not session_of(dump).usable())
        own.query("SET GLOBAL wait_timeout = 28800")
        dump.begin(DumpRequest(gtid_set=executed(own)))
        assert session_id(dump) != first
        own.query("FLUSH BINARY LOGS")
        assert dump.read(5.0)
    finally:
        own.query("SET GLOBAL wait_timeout = 28800")
        dump.close()


def test_a_session_that_waits_is_good(own: MysqlServer) -> None:
    """Also with TLS 1.3, whose tickets come after the handshake."""
    dump = BinlogDump(endpoint_of(own, Tls("verify-ca", ca=str(own.ca))), own_reader())
    try:
        dump.prepare()
        assert session_of(dump).usable()
    finally:
        dump.close()


# ------------------------------------------------------------------------------------------------ where it starts


def test_from_an_empty_set_everything_comes(mysql: MysqlServer, database: str) -> None:
    some_transactions(mysql, database)
    expected = executed(mysql)
    with opened(endpoint_of(mysql), DumpRequest(gtid_set=GtidSet(), non_blocking=True)) as dump:
        assert read_to_end(dump).gtids.contains(expected)


def test_resume_by_gtid_set(mysql: MysqlServer, database: str) -> None:
    some_transactions(mysql, database)
    known = executed(mysql)
    some_transactions(mysql, database)
    expected = executed(mysql).subtract(known)
    with opened(endpoint_of(mysql), DumpRequest(gtid_set=known, non_blocking=True)) as dump:
        got = read_to_end(dump).gtids
    assert got.contains(expected)
    assert not known.subtract(known.subtract(got))


def test_resume_by_tagged_gtid_set(own: MysqlServer) -> None:
    with own.database() as database:
        some_transactions(own, database, 2)
        own.run("SET gtid_next = 'AUTOMATIC:blue'", f"INSERT INTO {database}.t (v) VALUES ('a')")
        known = executed(own)
        assert ":blue:" in str(known)
        own.run("SET gtid_next = 'AUTOMATIC:blue'", f"INSERT INTO {database}.t (v) VALUES ('b')")
        some_transactions(own, database, 1)
        expected = executed(own).subtract(known)
        with opened(endpoint_of(own), DumpRequest(gtid_set=known, non_blocking=True)) as dump:
            assert read_to_end(dump).gtids == expected


def test_resume_by_file_and_offset(mysql: MysqlServer, database: str) -> None:
    file, offset = binlog_end(mysql)
    known = executed(mysql)
    some_transactions(mysql, database)
    expected = executed(mysql).subtract(known)
    with opened(endpoint_of(mysql), DumpRequest(file=file, offset=offset, non_blocking=True)) as dump:
        read = read_to_end(dump)
    assert read.gtids.contains(expected)
    assert read.decoder.offset > offset


def test_offset_beyond_4_gib_is_refused(mysql: MysqlServer) -> None:
    dump = BinlogDump(endpoint_of(mysql), own_reader())
    finding = finding_of(lambda: dump.begin(DumpRequest(file="binlog.000001", offset=1 << 32)))
    dump.close()
    assert finding.code == "position-beyond-4-gib"


def test_the_source_refuses(own: MysqlServer) -> None:
    own_uuid = own.query("SELECT @@server_uuid")[0][0]
    known = executed(own)
    own.run("FLUSH BINARY LOGS", "FLUSH BINARY LOGS")
    file, offset = binlog_end(own)
    own.query(f"PURGE BINARY LOGS TO '{file}'")
    for request, code in (
        (DumpRequest(gtid_set=GtidSet()), "position-purged"),
        (DumpRequest(gtid_set=known.union(GtidSet.parse(f"{own_uuid}:1-999999"))), "position-ahead"),
        (DumpRequest(file="binlog.000001"), "binlog-file-missing"),
        (DumpRequest(file=file, offset=offset + 100_000), "position-beyond-file"),
    ):
        with opened(endpoint_of(own), request) as dump:
            finding = read_until_it_fails(dump)
        assert (finding.code, finding.kind) == (code, "operator")
        assert f"{own.host}:{own.port}" in finding.what


def test_file_without_checksums(mysql_server: MysqlFactory) -> None:
    server = mysql_server(binlog_checksum="NONE")
    with server.database() as database:
        some_transactions(server, database)
        server.query("FLUSH BINARY LOGS")
        some_transactions(server, database)
        with opened(endpoint_of(server), DumpRequest(gtid_set=GtidSet(), non_blocking=True)) as dump:
            assert read_to_end(dump).gtids.contains(executed(server))
            assert dump.log_file == binlog_end(server)[0]


# ------------------------------------------------------------------------------------------------ stop, silence, loss


@contextmanager
def timed(most: float) -> Iterator[None]:
    start = time.monotonic()
    yield
    assert time.monotonic() - start < most


@pytest.mark.parametrize("mode", ["disabled", "verify-ca"])
def test_stop_ends_a_blocked_read_within_100_ms(mysql: MysqlServer, mode: Any) -> None:
    """The best of some attempts: on a busy machine one may be late by itself."""
    assert any(seconds_to_stop(mysql, Tls(mode, ca=str(mysql.ca))) < 0.1 for _ in range(5))


def seconds_to_stop(mysql: MysqlServer, tls: Tls) -> float:
    with opened(endpoint_of(mysql, tls), DumpRequest(gtid_set=executed(mysql))) as dump:
        while dump.read(0.2):
            pass
        stopped_at = []

        def stop() -> None:
            stopped_at.append(time.monotonic())
            dump.stop()

        timer = threading.Timer(0.3, stop)
        timer.start()
        with suppress(Stopped):
            while True:
                dump.read(30.0)
        seconds = time.monotonic() - stopped_at[0]
        with pytest.raises(Stopped):
            dump.read(0.0)
    dump.stop()
    dump.close()
    return seconds


def test_stopped_before_it_is_opened(mysql: MysqlServer) -> None:
    dump = BinlogDump(endpoint_of(mysql), own_reader())
    dump.stop()
    with pytest.raises(Stopped):
        dump.begin(DumpRequest(gtid_set=GtidSet()))
    dump.close()


def test_heartbeats_keep_an_idle_dump(own: MysqlServer) -> None:
    with opened(endpoint_of(own), DumpRequest(gtid_set=executed(own)), own_reader(0.3)) as dump:
        while dump.read(0.1):  # what it begins with
            pass
        heard, deadline = 0, time.monotonic() + 30
        while heard < 5:
            assert time.monotonic() < deadline
            heard += bool(dump.read(0.1))


def test_a_silent_source_is_noticed_within_3_heartbeats(own: MysqlServer) -> None:
    """SIGSTOP: the kernel keeps the connection, nothing comes any more, as with a half-open socket."""
    pid = int((own.endpoint.data_dir / "mysqld.pid").read_text())
    with opened(endpoint_of(own), DumpRequest(gtid_set=executed(own)), own_reader(0.5)) as dump:
        while dump.read(0.1):
            pass
        os.kill(pid, signal.SIGSTOP)
        try:
            finding = read_until_it_fails(dump)
            with timed(10):  # it waits for nobody
                dump.close()
        finally:
            os.kill(pid, signal.SIGCONT)
    assert (finding.code, finding.kind) == ("source-lost", "retry")
    assert "not even a heartbeat in 1.5 seconds" in finding.what


def test_a_dump_evicts_its_zombie_and_no_other(mysql: MysqlServer) -> None:
    uuid = uuid4()
    endpoint, known = endpoint_of(mysql), executed(mysql)
    request, first, other = DumpRequest(gtid_set=known), Reader(700_001, uuid), Reader(700_001, uuid4())
    with opened(endpoint, request, first) as zombie, opened(endpoint, request, other) as stranger:
        stranger.read(5.0)
        with opened(endpoint, request, first) as successor:
            finding = read_until_it_fails(zombie)
            assert (finding.code, finding.kind) == ("dump-evicted", "retry")
            mysql.query("FLUSH BINARY LOGS")
            assert successor.read(5.0)
            assert stranger.read(5.0)


def test_killed_dump_thread(mysql: MysqlServer) -> None:
    request = DumpRequest(gtid_set=executed(mysql))
    with opened(endpoint_of(mysql), request) as dump:
        while dump.read(0.2):
            pass
        mysql.query(f"KILL {session_id(dump)}")
        finding = read_until_it_fails(dump)
    assert (finding.code, finding.kind) == ("source-lost", "retry")


def test_killed_server_and_reconnect(own: MysqlServer) -> None:
    endpoint = endpoint_of(own)
    with opened(endpoint, DumpRequest(gtid_set=executed(own))) as dump:
        own.stop(kill=True)
        finding = read_until_it_fails(dump)
    assert (finding.code, finding.kind) == ("source-lost", "retry")
    again = BinlogDump(endpoint, own_reader())
    finding = finding_of(again.prepare)
    again.close()
    assert (finding.code, finding.kind) == ("source-unreachable", "retry")
    own.start()
    with opened(endpoint, DumpRequest(gtid_set=executed(own))) as dump:
        assert dump.read(5.0)


def test_nothing_leaks(mysql: MysqlServer) -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    def once() -> None:
        with opened(endpoint_of(mysql), DumpRequest(gtid_set=GtidSet())) as dump:
            dump.read(5.0)

    once()
    gc.collect()
    before, threads = descriptors(), threading.active_count()
    for _ in range(20):
        once()
    # Those of earlier tests may go meanwhile.
    until(lambda: descriptors() <= before and threading.active_count() <= threads)


# ------------------------------------------------------------------------------------------------ TLS and rights


def test_tls_brings_the_same_bytes(mysql: MysqlServer, database: str) -> None:
    file, offset = binlog_end(mysql)
    mysql.run(
        "CREATE TABLE big (b LONGBLOB)",
        *["INSERT INTO big VALUES (REPEAT('0123456789', 300000))"] * 3,
        database=database,
    )
    end = binlog_end(mysql)[1]
    request = DumpRequest(file=file, offset=offset, non_blocking=True)
    data = []
    for tls in (None, Tls("verify-ca", ca=str(mysql.ca))):
        with opened(endpoint_of(mysql, tls), request) as dump:
            read = read_to_end(dump)
            assert read.decoder.offset >= end
            data.append(read.data[: end - offset])
    assert data[0] == data[1]
    assert len(data[0]) > 9_000_000


@pytest.fixture
def account(mysql: MysqlServer) -> Iterator[Endpoint]:
    """A new account without any right."""
    name = f"u_{uuid4().hex[:8]}"
    mysql.query(f"CREATE USER '{name}'@'127.0.0.1' IDENTIFIED BY 'pä$$ wörd €'")
    yield Endpoint(mysql.host, mysql.port, name, "pä$$ wörd €")
    mysql.query(f"DROP USER '{name}'@'127.0.0.1'")


def test_missing_right_to_replicate(mysql: MysqlServer, account: Endpoint) -> None:
    dump = BinlogDump(account, own_reader())
    finding = finding_of(dump.prepare)
    dump.close()
    assert (finding.code, finding.kind) == ("privilege-missing", "operator")
    mysql.query(f"GRANT REPLICATION SLAVE ON *.* TO '{account.user}'@'127.0.0.1'")
    with opened(account, DumpRequest(gtid_set=GtidSet(), non_blocking=True)) as granted:
        assert granted.read(5.0)


def test_wrong_password(mysql: MysqlServer) -> None:
    wrong = Endpoint(mysql.host, mysql.port, mysql.user, "not-the-password")
    dump = BinlogDump(wrong, own_reader())
    for action in (dump.prepare, lambda: connect(wrong)):
        finding = finding_of(action)
        assert (finding.code, finding.kind) == ("access-denied", "operator")
        assert f"{mysql.host}:{mysql.port}" in finding.what
        assert "not-the-password" not in str(finding)
    dump.close()
