"""The C cases of mysql-replication: how its connection behaves, and that ours does not. Their numbers are names that stay."""

import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pymysqlreplication.binlogstream
import pytest
from pymysqlreplication import BinLogStreamReader
from pymysqlreplication.packet import BinLogPacketWrapper

from cdcd.binlog.core.native import CONTROL, END, NEED_BYTES, Decoder
from cdcd.binlog.gtid import GtidSet
from cdcd.config.start import StartGtidSet
from cdcd.config.tables import TableFilter
from cdcd.errors import Finding, FindingError, MalformedEvent, Stopped, UnsupportedEvent
from cdcd.formats.canal import CANAL_JSON
from cdcd.mysql.dump import BinlogDump
from cdcd.mysql.dump_request import DumpRequest
from cdcd.mysql.scan import own_reader
from cdcd.worker.tail import Tail
from tests.decoding import hear
from tests.events import BEGIN, COMMIT, IGNORABLE, WRITE, Dump, gtid, image, rows, table_map
from tests.published import canal, decoded, event_types, since
from tests.reading import binlog_end, endpoint_of, executed, opened, read_to_end
from tests.recording import dumped
from tests.servers import MysqlFactory, MysqlServer
from tests.story import Script, Story, told
from tests.waiting import until

pytestmark = pytest.mark.must_show("5.2")

ROTATE, FDE, INCIDENT, WRITE_ROWS, ANONYMOUS, PAYLOAD, TAGGED = 4, 15, 26, 30, 34, 40, 42

script = Script(
    "CREATE TABLE t (id INT PRIMARY KEY, c VARCHAR(300))",
    "INSERT INTO t VALUES (1, 'plain')",
    "SET SESSION binlog_transaction_compression = ON",
    "INSERT INTO t VALUES (2, REPEAT('x', 300))",
    "SET SESSION binlog_transaction_compression = OFF",
    "SET gtid_next = 'AUTOMATIC:blue'",
    "INSERT INTO t VALUES (3, 'tagged')",
    "SET gtid_next = 'AUTOMATIC'",
    "FLUSH BINARY LOGS",
    "INSERT INTO t VALUES (4, 'in the next file')",
)


@pytest.fixture(scope="module")
def server(mysql_server: MysqlFactory) -> MysqlServer:
    return mysql_server(gtid_mode="ON")


@pytest.fixture(scope="module")
def story(server: MysqlServer) -> Iterator[Story]:
    with told(server, script) as found:
        yield found


def sessions(server: MysqlServer) -> set[int]:
    """Numbers of the connections that read the binlog; one that was closed stays until its second heartbeat."""
    return {row[0] for row in server.query("SHOW PROCESSLIST") if str(row[4]).startswith("Binlog Dump")}


def ended(dump: BinlogDump) -> Finding:
    """What ends a blocking dump."""
    decoder = Decoder(None)
    try:
        while (reason := decoder.decode(0)) != END:
            if reason == CONTROL:
                dump.show(decoder.control)
            elif reason == NEED_BYTES:
                decoder.feed(dump.read(10.0))
    except FindingError as error:
        return error.finding
    return dump.ended(decoder.control)


def test_c01_a_lost_connection_is_told_and_never_made_again_unseen(server: MysqlServer) -> None:
    before = sessions(server)
    with opened(endpoint_of(server), DumpRequest(gtid_set=executed(server))) as dump:
        dump.read(5.0)
        [session] = sessions(server) - before
        server.query(f"KILL {session}")
        assert ended(dump).code == "source-lost"
        assert not sessions(server) - before - {session}  # which the source may still be taking leave of


def test_c02_no_event_is_dropped(server: MysqlServer, story: Story) -> None:
    """Compressed and tagged transactions."""
    types = event_types(story.data)
    assert types[PAYLOAD]
    assert types[TAGGED]
    assert [row["id"] for row in story.rows("t")] == ["1", "2", "3", "4"]
    assert GtidSet(story.found.decoder.take_gtids()) == executed(server).subtract(story.known)


def test_c02_unknown_events() -> None:
    """Passed and counted if the source marks them as ignorable, else an error."""
    known = Dump().add(gtid(1), BEGIN, table_map(), rows(WRITE, image(1, "a")), COMMIT)
    heard = hear(known.add((199, b"new"), flags=IGNORABLE))
    assert (len(heard.messages), heard.decoder.ignored) == (1, {199: 1})
    with pytest.raises(UnsupportedEvent, match="unknown type 199") as caught:
        hear(known.add((199, b"new")))
    assert (caught.value.event_type, caught.value.file) == (199, "binlog.000001")


def test_c03_a_dump_starts_where_it_is_told_to(server: MysqlServer, story: Story) -> None:
    """By file and position, and by a set with tags."""
    transaction, start, _ = story.found.places[1]
    file = server.query("SHOW BINARY LOGS")[0][0]
    with opened(endpoint_of(server), DumpRequest(file=file, offset=start, non_blocking=True)) as dump:
        found = decoded(read_to_end(dump).data, canal(story.database))
    assert found.places[0][:2] == (transaction, start)
    known = executed(server)
    assert ":blue:" in str(known)
    server.run("DELETE FROM t WHERE id = 4", "INSERT INTO t VALUES (4, 'again')", database=story.database)
    found = since(server, known, story.database)
    assert [one["type"] for one in found.messages] == ["DELETE", "INSERT"]


def test_c04_one_connection(server: MysqlServer) -> None:
    """None beside it to information_schema."""
    before = {row[0] for row in server.query("SHOW PROCESSLIST")}
    with opened(endpoint_of(server), DumpRequest(gtid_set=GtidSet())) as dump:
        dump.read(5.0)
        ours = [row for row in server.query("SHOW PROCESSLIST") if row[0] not in before]
        assert sum(str(row[4]).startswith("Binlog Dump") for row in ours) == 1
        assert sum(row[4] == "Sleep" for row in ours) == 0


def test_c05_no_password_is_printed_and_no_setting_changed(
    server: MysqlServer, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[dict[str, Any]] = []
    original = BinLogStreamReader.__init__

    def recording(self: BinLogStreamReader, connection_settings: dict[str, Any], *rest: Any, **options: Any) -> None:
        given.append(connection_settings)
        original(self, connection_settings, *rest, **options)

    monkeypatch.setattr(BinLogStreamReader, "__init__", recording)
    endpoint = endpoint_of(server)
    for _ in range(2):
        with opened(endpoint, DumpRequest(gtid_set=executed(server), non_blocking=True)) as dump:
            read_to_end(dump)
    assert endpoint == endpoint_of(server)
    assert len({id(settings) for settings in given}) == 2, "each gets a copy of its own"
    said = capfd.readouterr()
    assert server.password not in said.out + said.err


def test_c06_a_blocked_reader_ends_when_told_to(server: MysqlServer) -> None:
    before = sessions(server)
    with opened(endpoint_of(server), DumpRequest(gtid_set=executed(server)), own_reader(0.2)) as dump:
        while dump.read(0.05):
            pass
        threading.Timer(0.2, dump.stop).start()
        with pytest.raises(Stopped):
            follow(dump)
    until(lambda: not sessions(server) - before)


def follow(dump: BinlogDump) -> None:
    while True:
        dump.read(60.0)


def test_c07_a_source_that_falls_silent_is_noticed(server: MysqlServer) -> None:
    pid = int((server.endpoint.data_dir / "mysqld.pid").read_text())
    with opened(endpoint_of(server), DumpRequest(gtid_set=executed(server)), own_reader(0.2)) as dump:
        while dump.read(0.05):
            pass
        os.kill(pid, signal.SIGSTOP)
        try:
            finding = ended(dump)
        finally:
            os.kill(pid, signal.SIGCONT)
    assert finding.code == "source-lost"
    assert "heartbeat" in finding.what


def test_c08_a_damaged_event_is_an_error(story: Story) -> None:
    """One bit of a value: nothing but the checksum can tell."""
    at = story.data.index(b"plain")
    damaged = story.data[:at] + b"q" + story.data[at + 1 :]
    with pytest.raises(MalformedEvent, match="CRC32"):
        decoded(damaged, canal(story.database))


def test_c09_a_table_is_chosen_together_with_its_database(server: MysqlServer) -> None:
    known = executed(server)
    with server.database() as one, server.database() as two:
        for name in (one, two):
            server.run("CREATE TABLE a (id INT)", "CREATE TABLE b (id INT)", database=name)
            server.run("INSERT INTO a VALUES (1)", "INSERT INTO b VALUES (2)", database=name)
        lines: list[bytes] = []
        tables = TableFilter((f"{one}.a", f"{two}.b"))
        Tail(endpoint_of(server), tables, StartGtidSet(gtid_set=str(known)), CANAL_JSON, until_end=True).run(
            lines.extend, lambda _: None
        )
    seen = Counter(
        table for line in lines for table in ((one, "a"), (one, "b"), (two, "a"), (two, "b")) if named(line, *table)
    )
    assert seen == {(one, "a"): 1, (two, "b"): 1}


def named(line: bytes, database: str, table: str) -> bool:
    return f'"database":"{database}"'.encode() in line and f'"table":"{table}"'.encode() in line


def test_c10_the_library_sees_no_row(server: MysqlServer, story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own decoding is slow: only FDE and ROTATE reach it."""
    seen = []

    class Recording(BinLogPacketWrapper):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            seen.append(self.event_type)

    monkeypatch.setattr(pymysqlreplication.binlogstream, "BinLogPacketWrapper", Recording)
    assert event_types(dumped(server, story.known))[WRITE_ROWS] >= 3
    assert set(seen) == {FDE, ROTATE}


def test_c02_an_incident_stops(server: MysqlServer, story: Story) -> None:
    """What MySQL itself logs where it had to leave out changes: a statement on MyISAM that its cache could not hold.

    Here at the end, as it stops whoever reads past it.
    """
    del story
    with server.database() as database:
        server.run("CREATE TABLE m (c LONGTEXT) ENGINE=MyISAM", database=database)
        known = executed(server)
        server.query("SET GLOBAL max_binlog_stmt_cache_size = 4096")
        try:
            with pytest.raises(Exception, match="max_binlog_stmt_cache_size"):
                server.run("INSERT INTO m SELECT REPEAT('x', 100000)", database=database)
        finally:
            server.query("SET GLOBAL max_binlog_stmt_cache_size = DEFAULT")
        data = dumped(server, known)
        assert event_types(data)[INCIDENT] == 1
        with pytest.raises(UnsupportedEvent, match="INCIDENT") as caught:
            decoded(data, canal(database))
        assert caught.value.event_type == INCIDENT
        # Whoever has looked after it by hand and goes on behind it, gets past it.
        behind = canal(database)
        behind.pass_over(executed(server).gap)
        assert decoded(data, behind).decoder.passed == 1


def test_c02_anonymous_transactions(server: MysqlServer, story: Story) -> None:
    """Last, as no dump by GTID can pass them."""
    del story
    modes = ("ON_PERMISSIVE", "OFF_PERMISSIVE", "OFF")
    for mode in modes:
        server.query(f"SET GLOBAL gtid_mode = {mode}")
    try:
        with server.database() as database:
            file, offset = binlog_end(server)
            server.run("CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1), (2)", database=database)
            end = binlog_end(server)[1]
            with opened(endpoint_of(server), DumpRequest(file=file, offset=offset, non_blocking=True)) as dump:
                data = read_to_end(dump).data
            found = decoded(data, canal(database))
    finally:
        for mode in (*reversed(modes[:-1]), "ON"):
            server.query(f"SET GLOBAL gtid_mode = {mode}")
    assert event_types(data)[ANONYMOUS] == 2
    assert [(one["data"][0]["id"], one["gtid"]) for one in found.messages] == [("1", ""), ("2", "")]
    assert found.places[-1] == (
        f"{file}:{found.decoder.start_offset}",
        found.decoder.start_offset,
        end,
    )
