"""Every kind of change that an ordinary server logs: what a consumer has in the end is what SELECT shows."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cdcd.binlog.gtid import GtidSet
from cdcd.binlog.statements import StatementClass, classify
from cdcd.config.start import StartGtidSet
from cdcd.config.tables import TableFilter
from cdcd.errors import UnsupportedEvent
from cdcd.formats.canal import CANAL_JSON
from cdcd.mysql.dump_request import Reader
from cdcd.worker.tail import Tail
from deploy.rig.topics import read_committed
from tests.instances import MakeInstance, source_of
from tests.kinds_of_change import SAVEPOINTS, SEVERAL_TABLES, TRIGGERS
from tests.published import canal, decoded, event_types, of_kind, since
from tests.reading import binlog_end, endpoint_of, executed
from tests.recording import dumped
from tests.servers import KafkaServer, MysqlFactory, MysqlServer
from tests.story import Script, Story, told

LOAD_BEGIN, LOAD_BLOCK, LOAD_EXECUTE, PAYLOAD = 17, 9, 18, 40
LARGE = 20_000_000

script = Script()


@pytest.fixture(scope="module")
def server(mysql_server: MysqlFactory) -> MysqlServer:
    return mysql_server(sync_binlog=1, max_allowed_packet="64M")


@pytest.fixture(scope="module")
def story(server: MysqlServer) -> Iterator[Story]:
    with told(server, script) as found:
        yield found


# ------------------------------------------------------------------ statements that change rows in unusual ways


@script(
    "CREATE TABLE parent (id INT PRIMARY KEY)",
    "CREATE TABLE child (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES parent (id) ON DELETE CASCADE ON UPDATE CASCADE)",
    "CREATE TABLE orphan (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES parent (id) ON DELETE SET NULL ON UPDATE SET NULL)",
    "INSERT INTO parent VALUES (1), (2), (3)",
    "INSERT INTO child VALUES (10, 1), (20, 2), (21, 2), (30, 3)",
    "INSERT INTO orphan VALUES (10, 1), (20, 2)",
    "DELETE FROM parent WHERE id = 2",
    "UPDATE parent SET id = 9 WHERE id = 1",
)
def test_cascades(story: Story) -> None:
    for table in ("parent", "child", "orphan"):
        story.agrees(table)
    assert len(story.rows("child")) == 2


@script(*TRIGGERS)
def test_rows_of_triggers(story: Story) -> None:
    story.agrees("watched")
    story.agrees("audit")
    assert len(story.rows("audit")) == 3


@script(*SEVERAL_TABLES)
def test_several_tables_replace_and_duplicates(story: Story) -> None:
    story.agrees("one")
    story.agrees("two")


@script(*SAVEPOINTS)
def test_savepoints(story: Story) -> None:
    story.agrees("saved")
    assert [row["id"] for row in story.rows("saved")] == ["1", "2", "4"]


@script(
    "CREATE TABLE emptied (id INT PRIMARY KEY)",
    "INSERT INTO emptied VALUES (1), (2)",
    "TRUNCATE TABLE emptied",
    "INSERT INTO emptied VALUES (3)",
)
def test_truncate_is_ddl(story: Story) -> None:
    """No row says that they are gone: the statement does."""
    assert [one["type"] for one in story.messages("emptied")] == ["INSERT"] * 3
    [told_] = [one for one in story.found.statements if b"TRUNCATE" in one.sql]
    assert (classify(told_.sql.decode()), told_.database) == (StatementClass.DDL, story.database)


@script(
    "CREATE TABLE origin (id INT PRIMARY KEY, c VARCHAR(20), v INT AS (id * 2) VIRTUAL, s INT AS (id * 3) STORED)",
    "INSERT INTO origin (id, c) VALUES (1, 'a'), (2, NULL)",
    "CREATE TABLE copied (PRIMARY KEY (id)) SELECT id, c, v FROM origin",
    "CREATE TABLE alike LIKE origin",
    "INSERT INTO alike (id, c) SELECT id, c FROM origin",
)
def test_create_table_select(story: Story) -> None:
    for table in ("origin", "copied", "alike"):
        story.agrees(table)


@script(
    "CREATE TABLE images (id INT PRIMARY KEY, a INT, b VARCHAR(20), c TEXT, d JSON)",
    "INSERT INTO images VALUES (1, 10, 'one', 'text', '[1]'), (2, 20, 'two', 'text', '[2]'), (3, NULL, NULL, NULL, NULL)",
    "SET SESSION binlog_row_image = MINIMAL",
    "INSERT INTO images VALUES (4, 40, 'four', 'text', '[4]')",
    "UPDATE images SET a = a + 1, c = 'changed' WHERE id < 3",
    "SET SESSION binlog_row_image = NOBLOB",
    "UPDATE images SET b = CONCAT(b, '!')",
    "UPDATE images SET c = 'again', d = JSON_ARRAY('new') WHERE id = 3",
    "SET SESSION binlog_row_image = FULL",
    "UPDATE images SET a = NULL WHERE id = 4",
)
def test_row_images(story: Story) -> None:
    """An update of half a row names the key and what changed: merged by key, that is the row."""
    story.agrees("images")
    minimal = story.messages("images")[4]
    assert (minimal["data"], minimal["old"]) == ([{"id": "1", "a": "11", "c": "changed"}], [{}])
    noblob = story.messages("images")[6]
    assert (noblob["data"], noblob["old"]) == ([{"id": "1", "a": "11", "b": "one!", "d": "[1]"}], [{"b": "one"}])


def test_half_a_row_under_a_new_key_is_refused(server: MysqlServer) -> None:
    known = executed(server)
    with server.database() as database:
        server.run(
            "CREATE TABLE moved (id INT PRIMARY KEY, c VARCHAR(9))",
            "INSERT INTO moved VALUES (1, 'a')",
            "SET SESSION binlog_row_image = MINIMAL",
            "UPDATE moved SET id = 2",
            database=database,
        )
        with pytest.raises(UnsupportedEvent, match="to another key or partition, but the row image lacks column c"):
            since(server, known, database)


# ------------------------------------------------------------------ compressed by the whole server


def test_every_transaction_compressed(server: MysqlServer) -> None:
    """But for CREATE TABLE ... SELECT, which the server leaves plain. Changes logged as statements are found inside, too."""
    server.query("SET GLOBAL binlog_transaction_compression = ON")
    try:
        with server.database() as database:
            known = executed(server)
            server.run(
                "CREATE TABLE t (id INT PRIMARY KEY, c VARCHAR(300))",
                "INSERT INTO t VALUES (1, REPEAT('a', 300)), (2, NULL)",
                "CREATE TABLE copied (PRIMARY KEY (id)) SELECT id, c FROM t",
                "BEGIN",
                "UPDATE copied SET c = REPEAT('b', 200) WHERE id = 1",
                "SAVEPOINT s",
                "DELETE FROM t WHERE id = 2",
                "COMMIT",
                database=database,
            )
            data = dumped(server, known)
            found = decoded(data, canal(database))
            story = Story(server, database, found.messages, known, data, found)
            story.agrees("t")
            story.agrees("copied")
            known = executed(server)
            server.run("SET SESSION binlog_format = STATEMENT", "DELETE FROM t", database=database)
            with pytest.raises(UnsupportedEvent, match="logged as text"):
                tailed(server, known, database)
    finally:
        server.query("SET GLOBAL binlog_transaction_compression = OFF")
    assert event_types(data)[PAYLOAD] == 2


def tailed(server: MysqlServer, known: GtidSet, database: str) -> None:
    """`cdcd tail` over everything since `known`."""
    start = StartGtidSet(gtid_set=str(known))
    tail = Tail(endpoint_of(server), TableFilter((f"{database}.*",)), start, CANAL_JSON, until_end=True)
    tail.run(lambda _: None, lambda _: None)


# ------------------------------------------------------------------ LOAD DATA


@pytest.fixture
def loaded(server: MysqlServer) -> Iterator[tuple[str, Path]]:
    """A database with a table, and a file of 3,000 rows for it."""
    path = server.endpoint.data_dir.parent / "files" / "rows.csv"
    path.write_text("".join(f"{n},text {n}\n" for n in range(3000)))
    path.chmod(0o644)
    with server.database() as database:
        server.run("CREATE TABLE t (id INT PRIMARY KEY, c VARCHAR(20))", database=database)
        yield database, path


def load(path: Path) -> str:
    return f"LOAD DATA INFILE '{path}' INTO TABLE t FIELDS TERMINATED BY ','"


def test_load_data(server: MysqlServer, loaded: tuple[str, Path]) -> None:
    database, path = loaded
    known = executed(server)
    server.run(load(path), database=database)
    inserted = of_kind(since(server, known, database), "INSERT")
    assert inserted == [{"id": str(n), "c": f"text {n}"} for n in range(3000)]


def test_load_data_logged_as_a_statement(server: MysqlServer, loaded: tuple[str, Path]) -> None:
    """The file's content comes in events of its own; it is a change by a statement like any other."""
    database, path = loaded
    known = executed(server)
    server.run("SET SESSION binlog_format = STATEMENT", load(path), database=database)
    types = event_types(dumped(server, known))
    assert types[LOAD_BEGIN] == types[LOAD_EXECUTE] == 1
    with pytest.raises(UnsupportedEvent, match="logged as text") as caught:
        tailed(server, known, database)
    assert caught.value.event_type == LOAD_EXECUTE


# ------------------------------------------------------------------ files


def test_a_row_of_20_mb_in_a_compressed_transaction(server: MysqlServer) -> None:
    """The event is larger than a packet, its transaction is not."""
    known = executed(server)
    with server.database() as database:
        server.run(
            "CREATE TABLE big (id INT PRIMARY KEY, c LONGTEXT)",
            "SET SESSION binlog_transaction_compression = ON",
            f"INSERT INTO big VALUES (1, REPEAT('ü', {LARGE // 2})), (2, 'small')",
            database=database,
        )
        data = dumped(server, known)
        assert event_types(data)[PAYLOAD] == 1
        rows = of_kind(decoded(data, canal(database)), "INSERT")
    assert [row["c"] == expected for row, expected in zip(rows, ("ü" * (LARGE // 2), "small"), strict=True)] == [
        True,
        True,
    ]


def write_owned(path: Path, content: dict[str, Any], mode: int) -> None:
    owner = path.parent.stat()
    path.write_text(json.dumps(content))
    os.chown(path, owner.st_uid, owner.st_gid)
    path.chmod(mode)


def test_encrypted_binlogs(mysql_server: MysqlFactory) -> None:
    """The source decrypts what it sends. Switched on and off, and over a restart, which begins table ids anew."""
    server = mysql_server()
    data = server.endpoint.data_dir
    write_owned(data / "mysqld.my", {"components": "file://component_keyring_file"}, 0o444)
    write_owned(data / "component_keyring_file.cnf", {"path": str(data / "keyring"), "read_only": False}, 0o444)
    server.restart()
    known = executed(server)
    with server.database() as database:
        server.run(
            "CREATE TABLE t (id INT PRIMARY KEY, c VARCHAR(9))", "INSERT INTO t VALUES (1, 'plain')", database=database
        )
        server.query("SET GLOBAL binlog_encryption = ON")
        server.run("CREATE TABLE u (id INT PRIMARY KEY)", "INSERT INTO t VALUES (2, 'secret')", database=database)
        first = binlog_end(server)[0]
        server.restart()
        server.query("SET GLOBAL binlog_encryption = ON")
        server.run("INSERT INTO u VALUES (3)", "INSERT INTO t VALUES (4, 'again')", database=database)
        head = (server.binlog_dir / first).read_bytes()
        server.query("SET GLOBAL binlog_encryption = OFF")
        server.run("INSERT INTO t VALUES (5, 'open')", database=database)
        found = since(server, known, database)
    assert head.startswith(b"\xfdbin")
    assert b"secret" not in head
    assert [(one["table"], *one["data"][0].values()) for one in found.messages] == [
        ("t", "1", "plain"), ("t", "2", "secret"), ("u", "3"), ("t", "4", "again"), ("t", "5", "open"),
    ]  # fmt: skip


def test_semi_sync_headers_are_passed(server: MysqlServer, story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a source that takes us for a semi-synchronous replica, which we never say we are."""
    server.run(
        "INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so'",
        "SET GLOBAL rpl_semi_sync_source_timeout = 100, GLOBAL rpl_semi_sync_source_enabled = ON",
    )
    variables = Reader.variables
    monkeypatch.setattr(Reader, "variables", lambda reader: f"{variables(reader)}, @rpl_semi_sync_replica = 1")
    try:
        data = dumped(server, story.known)
    finally:
        server.run("SET GLOBAL rpl_semi_sync_source_enabled = OFF", "UNINSTALL PLUGIN rpl_semi_sync_source")
    assert data[5:6] == b"\xef"
    assert decoded(data, canal(story.database)).messages[: len(story.published)] == story.published


# ------------------------------------------------------------------ published as statements


def test_statements_in_place_of_rows(make_instance: MakeInstance, server: MysqlServer, kafka: KafkaServer) -> None:
    """`sink.statements: ddl-topic`, on a server that is refused without it."""
    with server.database() as database:
        server.run("CREATE TABLE t (id INT PRIMARY KEY, c DOUBLE)", database=database)
        overrides = {"sink": {"statements": "ddl-topic"}, "start": {"gtid_set": str(executed(server))}}
        options: Any = {"source": source_of(server), "database": database, "tables": ("t",)}
        instance = make_instance("statements", overrides=overrides, **options)
        server.run(
            "INSERT INTO t VALUES (1, 1)",
            "SET SESSION binlog_format = STATEMENT",
            "INSERT INTO t VALUES (2, 2)",
            "SET SESSION binlog_format = ROW",
            "INSERT INTO t VALUES (3, 3)",
            "SET GLOBAL binlog_format = MIXED",
            database=database,
        )
        try:
            worker = instance.run(until_end=True)
            assert worker.wait() == 0, worker.said()
        finally:
            server.query("SET GLOBAL binlog_format = ROW")
    topics = [instance.ddl_topic, instance.topic.format(database=database, table="t")]
    told_ = [json.loads(record.value) for record in read_committed(kafka.bootstrap, topics)]
    ordered = sorted(told_, key=lambda one: int(one["id"]))
    assert [(one["type"], one["isDdl"], one["sql"] or one["data"][0]["id"]) for one in ordered] == [
        ("INSERT", False, "1"),
        ("QUERY", False, "INSERT INTO t VALUES (2, 2)"),
        ("INSERT", False, "3"),
    ]
