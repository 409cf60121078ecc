"""The decoder on dumps and files of a real server, beside what `mysqlbinlog` and SELECT say of them."""

import ctypes
import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cdcd.binlog.compression import inflate
from cdcd.binlog.core.native import CONTROL, END, NEED_BYTES, Decoder, Route
from cdcd.binlog.gtid import GtidSet
from cdcd.binlog.statements import StatementClass, classify
from cdcd.config.start import StartGtidSet
from cdcd.config.tables import TableFilter
from cdcd.errors import MalformedEvent, UnsupportedEvent
from cdcd.formats.canal import CANAL_JSON
from cdcd.formats.plan import Keying, compile_plan
from cdcd.mysql.dump_request import DumpRequest
from cdcd.worker.tail import Tail
from tests.decoding import NOW_MS, hear
from tests.events import Dump
from tests.integration.type_corpus import CORPUS
from tests.published import canal, decoded, event_types, of_kind, since
from tests.reading import binlog_end, endpoint_of, executed, opened
from tests.recording import dumped, workload
from tests.servers import MysqlFactory, MysqlServer

LARGE = 20_000_000


@pytest.fixture(scope="module")
def server(mysql_server: MysqlFactory) -> MysqlServer:
    """Quiet: nobody else writes to its binlog."""
    return mysql_server(binlog_row_metadata="FULL", max_allowed_packet="64M")


# ------------------------------------------------------------------ beside mysqlbinlog


def binlogs(server: MysqlServer) -> list[Path]:
    return sorted(path for path in server.binlog_dir.iterdir() if re.fullmatch(r".*\.\d{6}", path.name))


def mysqlbinlog(server: MysqlServer, *arguments: str) -> str:
    done = subprocess.run(
        [server.bin_dir / "mysqlbinlog", *arguments], capture_output=True, check=True, text=True, errors="replace"
    )
    return done.stdout


@pytest.fixture(scope="module")
def worked(server: MysqlServer) -> Iterator[tuple[GtidSet, str, bytes]]:
    """(GTIDs before, database, the dump) of a workload with every kind of event."""
    known = executed(server)
    server.query("FLUSH BINARY LOGS")
    with server.database() as database:
        server.run(*workload(), database=database)
        yield known, database, dumped(server, known)


def test_transactions_are_those_mysqlbinlog_shows(server: MysqlServer, worked: tuple[GtidSet, str, bytes]) -> None:
    """GTID, file, start and end of each; the files are read from the server's own folder."""
    _, database, data = worked
    found = decoded(data, canal(database))
    shown: list[tuple[str, int]] = []
    for path in binlogs(server):
        text = mysqlbinlog(server, "-v", "--base64-output=DECODE-ROWS", str(path))
        at = 0
        for line in text.splitlines():
            if match := re.match(r"# at (\d+)", line):
                at = int(match[1])
            if match := re.match(r"SET @@SESSION\.GTID_NEXT= '([0-9a-f-]+:[a-z_:0-9]+)'", line):
                shown.append((match[1], at))
    ours = [(gtid, start) for gtid, start, _ in found.places]
    assert ours == shown[-len(ours) :]
    assert len(ours) > 100
    assert (found.decoder.file, found.decoder.end_offset) == binlog_end(server)


def test_row_changes_are_as_many_as_mysqlbinlog_shows(server: MysqlServer, worked: tuple[GtidSet, str, bytes]) -> None:
    """Of each table and kind; spatial ones it gives up on."""
    known, database, data = worked
    text = ""
    for path in binlogs(server):
        text += mysqlbinlog(server, "-v", "--base64-output=DECODE-ROWS", f"--exclude-gtids={known}", str(path))
    shown = Counter(
        re.findall(rf"^### (INSERT|UPDATE|DELETE)(?: INTO| FROM)? `{database}`\.`(\w+)`", text, re.MULTILINE)
    )
    found = Counter((one["type"], one["table"]) for one in decoded(data, canal(database)).messages)
    # The workload's one change of a key.
    found.update({("UPDATE", "plain"): 1})
    found.subtract({("DELETE", "plain"): 1, ("INSERT", "plain"): 1})
    spatial = {
        f"t{i}"
        for i, case in enumerate(case for case in CORPUS if case.on("mysql-9"))
        if "ST_GeomFromText" in case.values[0]
    }
    assert len(spatial) >= 8
    counted = {(kind, table): n for (kind, table), n in found.items() if table not in spatial and n}
    assert counted == {(kind, table): n for (kind, table), n in shown.items() if table not in spatial}
    assert len(counted) > 800


def test_any_split_of_a_real_dump(worked: tuple[GtidSet, str, bytes]) -> None:
    _, database, data = worked
    whole = decoded(data, canal(database))
    for piece in (1 << 16, 4099, 977):
        found = decoded(data, canal(database), piece)
        assert found.messages == whole.messages
        assert found.places == whole.places


def test_an_insert_of_defaults_with_minimal_images(worked: tuple[GtidSet, str, bytes]) -> None:
    """`INSERT INTO keyless VALUES ()` is logged without any column; the row is there all the same."""
    _, database, data = worked
    inserts = [
        one for one in decoded(data, canal(database)).messages if one["type"] == "INSERT" and one["table"] == "keyless"
    ]
    assert [one["data"][0] for one in inserts][-1] == {}
    assert len(inserts) == 4


# ------------------------------------------------------------------ events over 16 MiB


@dataclass
class Memory:
    """Resident memory of this process, MB, without what its allocator keeps for later (malloc_trim(3))."""

    @staticmethod
    def now() -> float:
        ctypes.CDLL(None).malloc_trim(0)
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def test_a_row_of_20_mb(server: MysqlServer) -> None:
    known = executed(server)
    with server.database() as database:
        server.run(
            "CREATE TABLE big (id INT PRIMARY KEY, b LONGBLOB)",
            f"INSERT INTO big VALUES (1, REPEAT('x', {LARGE}))",
            "INSERT INTO big VALUES (2, 'small')",
            database=database,
        )
        route = Route("t", 1)
        decoder = Decoder(lambda schema: compile_plan(schema, CANAL_JSON, route, Keying(shared=False)), inflate)
        sizes: list[int] = []
        before = Memory.now()
        with opened(endpoint_of(server), DumpRequest(gtid_set=known, non_blocking=True)) as dump:
            reason = NEED_BYTES
            while reason != END:
                if reason == CONTROL:
                    dump.show(decoder.control)
                if reason == NEED_BYTES:
                    decoder.feed(dump.read(1.0))
                reason = decoder.decode(NOW_MS)
                sizes += [len(value) for _, _, _, values, _ in decoder.take_runs() for value in values]
        assert [size > LARGE for size in sizes] == [True, False]
        # Base64 of it, and nothing kept: the buffers of a giant are given back.
        assert sizes[0] < LARGE * 4 / 3 + 1000
        assert decoder.buffered == 0
        assert Memory.now() - before < 60


# ------------------------------------------------------------------ shapes of transactions


def test_compressed_by_the_session(server: MysqlServer) -> None:
    known = executed(server)
    with server.database() as database:
        server.run(
            "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, s VARCHAR(200))",
            "SET SESSION binlog_transaction_compression = ON",
            "INSERT INTO t (s) VALUES " + ", ".join(f"(REPEAT('a{n}', 50))" for n in range(50)),
            "UPDATE t SET s = 'changed' WHERE id % 10 = 0",
            "SET SESSION binlog_transaction_compression = OFF",
            "DELETE FROM t WHERE id > 48",
            database=database,
        )
        data = dumped(server, known)
        assert event_types(data)[40]
        found = decoded(data, canal(database))
        assert len(of_kind(found, "INSERT")) == 50
        assert len(of_kind(found, "UPDATE")) == 5
        assert len(of_kind(found, "DELETE")) == 2
        state: dict[str, str] = {}
        for one in found.messages:
            row = one["data"][0]
            if one["type"] == "DELETE":
                del state[row["id"]]
            else:
                state[row["id"]] = row["s"]
        assert state == {str(id_): s for id_, s in server.query(f"SELECT id, s FROM {database}.t")}


def test_create_table_select(server: MysqlServer) -> None:
    known = executed(server)
    with server.database() as database:
        server.run(
            "CREATE TABLE a (id INT PRIMARY KEY)",
            "INSERT INTO a VALUES (1), (2), (3)",
            "CREATE TABLE b SELECT id FROM a",
            database=database,
        )
        found = since(server, known, database)
        assert [(one["table"], one["data"]) for one in found.messages][3:] == [
            ("b", [{"id": str(n)}]) for n in (1, 2, 3)
        ]
        told = [statement for statement in found.statements if b"CREATE TABLE `b`" in statement.sql]
        assert [(statement.in_transaction, statement.database) for statement in told] == [(True, database)]
        assert classify(told[0].sql.decode()) is StatementClass.DDL


def test_rolled_back_rows_are_not_in_the_binlog(server: MysqlServer) -> None:
    known = executed(server)
    with server.database() as database:
        server.run(
            "CREATE TABLE t (id INT PRIMARY KEY)",
            "BEGIN",
            "INSERT INTO t VALUES (1)",
            "SAVEPOINT s",
            "INSERT INTO t VALUES (2)",
            "CREATE TEMPORARY TABLE x (id INT)",
            "ROLLBACK TO s",
            "INSERT INTO t VALUES (3)",
            "COMMIT",
            "BEGIN",
            "INSERT INTO t VALUES (4)",
            "ROLLBACK",
            database=database,
        )
        assert of_kind(since(server, known, database), "INSERT") == [{"id": "1"}, {"id": "3"}]


def test_tagged_gtids(server: MysqlServer) -> None:
    known = executed(server)
    with server.database() as database:
        server.run(
            "CREATE TABLE t (id INT PRIMARY KEY)",
            "SET gtid_next = 'AUTOMATIC:a_tag_of_thirty_two_characters__'",
            "INSERT INTO t VALUES (1)",
            "INSERT INTO t VALUES (2)",
            database=database,
        )
        found = since(server, known, database)
    gtids = GtidSet(found.decoder.take_gtids())
    new = server.query("SELECT GTID_SUBTRACT(@@global.gtid_executed, %s)", (str(known),))[0][0]
    dropped = server.query("SELECT GTID_SUBTRACT(%s, %s)", (new, str(gtids)))[0][0]
    assert ":a_tag_of_thirty_two_characters__:1-2" in str(gtids)
    assert GtidSet.parse(dropped).count() == 1, "only the DROP DATABASE came later"
    inserts = [one for one in found.messages if one["type"] == "INSERT"]
    assert [one["gtid"].split(":")[1:] for one in inserts] == [["a_tag_of_thirty_two_characters__", n] for n in "12"]


def test_xa_is_published_and_scanned_past(server: MysqlServer) -> None:
    known = executed(server)
    with server.database() as database:
        server.run(
            "CREATE TABLE t (id INT PRIMARY KEY)",
            "XA START 'one'", "INSERT INTO t VALUES (1)", "XA END 'one'", "XA PREPARE 'one'", "XA COMMIT 'one'",
            "XA START 'two'", "INSERT INTO t VALUES (2)", "XA END 'two'", "XA COMMIT 'two' ONE PHASE",
            "INSERT INTO t VALUES (3)",
            database=database,
        )  # fmt: skip
        data, now = dumped(server, known), executed(server)
        assert of_kind(decoded(data, canal(database)), "INSERT") == [{"id": "1"}, {"id": "2"}, {"id": "3"}]
    scan = hear(data, Decoder(None)).decoder
    assert known.union(GtidSet(scan.take_gtids())) == now


@pytest.mark.parametrize(
    ("statement", "default"),
    [
        ("INSERT INTO {db}.t VALUES (10)", "{db}"),
        ("INSERT INTO {db}.t VALUES (10)", "mysql"),
        ("/*My app*/ DELETE FROM {db}.t", "mysql"),
        ("SELECT {db}.f()", "mysql"),
        ("INSERT INTO {db}.counted (x) VALUES (RAND()), (@u)", "mysql"),
    ],
)
def test_changes_logged_as_statements(server: MysqlServer, statement: str, default: str) -> None:
    """Whatever the session's default database: the source tells which it changes. Others are none of our business."""
    with server.database() as database, server.database() as other:
        server.run(
            "CREATE TABLE t (id INT PRIMARY KEY)",
            "CREATE TABLE counted (id INT PRIMARY KEY AUTO_INCREMENT, x DOUBLE)",
            "INSERT INTO t VALUES (1)",
            "CREATE FUNCTION f() RETURNS INT DETERMINISTIC MODIFIES SQL DATA"
            f" BEGIN INSERT INTO {database}.t VALUES (99); RETURN 1; END",
            database=database,
        )
        server.run(f"CREATE TABLE {other}.t (id INT PRIMARY KEY)")
        known = executed(server)
        server.run(
            "SET SESSION binlog_format = STATEMENT, @u = 4",
            f"USE {default.format(db=database)}",
            statement.format(db=database),
        )
        found = since(server, known, database)
        told = [one for one in found.statements if classify(one.sql.decode()) is StatementClass.DML]
        assert len(told) == 1
        assert told[0].databases is not None
        assert database in (told[0].databases or (told[0].database,))
        tail = Tail(endpoint_of(server), TableFilter([f"{other}.*"]), start_at(known), CANAL_JSON, until_end=True)
        tail.run(lambda _: None, lambda _: None)
        tail = Tail(endpoint_of(server), TableFilter([f"{database}.*"]), start_at(known), CANAL_JSON, until_end=True)
        with pytest.raises(UnsupportedEvent, match="logged as text"):
            tail.run(lambda _: None, lambda _: None)


def start_at(known: GtidSet) -> StartGtidSet:
    return StartGtidSet(gtid_set=str(known))


# ------------------------------------------------------------------ files and checksums


def test_checksums_switched_off_and_on(mysql_server: MysqlFactory) -> None:
    server = mysql_server(binlog_row_metadata="FULL", binlog_checksum="NONE")
    known = executed(server)
    with server.database() as database:
        server.run(
            "CREATE TABLE t (id INT PRIMARY KEY)",
            "INSERT INTO t VALUES (1)",
            "SET GLOBAL binlog_checksum = CRC32",
            "INSERT INTO t VALUES (2)",
            "SET GLOBAL binlog_checksum = NONE",
            "INSERT INTO t VALUES (3)",
            database=database,
        )
        assert of_kind(since(server, known, database), "INSERT") == [{"id": "1"}, {"id": "2"}, {"id": "3"}]


def test_table_ids_start_again_after_a_crash(mysql_server: MysqlFactory) -> None:
    """The file ends without a ROTATE, and other tables get the ids."""
    server = mysql_server(binlog_row_metadata="FULL", sync_binlog=1)
    known = executed(server)
    with server.database() as database:
        server.run("CREATE TABLE a (id INT PRIMARY KEY)", "CREATE TABLE b (id INT PRIMARY KEY)", database=database)
        server.run("INSERT INTO a VALUES (1)", "INSERT INTO b VALUES (2)", database=database)
        server.restart(kill=True)
        server.run("INSERT INTO b VALUES (3)", "INSERT INTO a VALUES (4)", database=database)
        found = since(server, known, database)
        assert [(one["table"], one["data"][0]["id"]) for one in found.messages] == [
            ("a", "1"),
            ("b", "2"),
            ("b", "3"),
            ("a", "4"),
        ]


def test_a_damaged_file_is_named(server: MysqlServer, worked: tuple[GtidSet, str, bytes]) -> None:
    """A byte of a real file, fed with the frame the source puts around it."""
    _, database, _ = worked
    path = binlogs(server)[1]
    content = bytearray(path.read_bytes())
    dump, at, sound = Dump(path.name), 4, []
    dump.packets[1:] = []
    while at < len(content):
        size = int.from_bytes(content[at + 9 : at + 13], "little")
        sound.append((at, size))
        at += size
    place, size = sound[len(sound) // 2]
    content[place + size - 6] ^= 1
    for at, length in sound:
        dump.packet(b"\0" + bytes(content[at : at + length]))
    with pytest.raises(MalformedEvent, match="CRC32") as caught:
        decoded(dump.data, canal(database))
    assert (caught.value.file, caught.value.position) == (path.name, place)
    assert caught.value.event_type == content[place + 4]
