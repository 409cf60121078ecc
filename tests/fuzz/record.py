"""`python -m tests.fuzz.record`: tests/fuzz/corpus anew, a binlog file of each older flavour; MySQL 9.7 is in tests/recording.py.

A server refuses statements that it does not know yet: what the others leave is what it can do.
"""

import sys
from contextlib import suppress
from pathlib import Path

import pymysql
import zstandard

from tests.fuzz.inputs import CORPUS as FOLDER
from tests.integration.type_corpus import CORPUS
from tests.servers import MysqlServer, Stacks

FLAVOURS = ("mysql-5.6", "mariadb-10.5", "mariadb-11.8")


def types() -> list[str]:
    statements = []
    for i, case in enumerate(CORPUS):
        statements += [f"CREATE TABLE t{i} (id INT PRIMARY KEY, c {case.type} NULL)"]
        statements += [f"INSERT INTO t{i} VALUES ({row}, {value})" for row, value in enumerate(case.values[:3])]
        statements += [f"UPDATE t{i} SET c = NULL WHERE id = 1", f"DELETE FROM t{i} WHERE id = 0"]
    return statements


def workload() -> list[str]:
    """Statements of one session, in an empty database."""
    return [
        "SET time_zone = '+00:00'",
        *types(),
        "CREATE TABLE plain (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(80), note TEXT)",
        "BEGIN",
        "INSERT INTO plain (name, note) VALUES ('a', REPEAT('x', 300)), ('b', NULL)",
        "SAVEPOINT s",
        "UPDATE plain SET name = CONCAT(name, '!')",
        "COMMIT",
        "CREATE TABLE copied AS SELECT id, name FROM plain",
        "SET SESSION binlog_row_image = MINIMAL",
        "UPDATE plain SET note = 'short' WHERE id = 1",
        "SET SESSION binlog_row_image = FULL",
        "XA START 'x'",
        "DELETE FROM plain WHERE id = 2",
        "XA END 'x'",
        "XA PREPARE 'x'",
        "XA COMMIT 'x'",
        "CREATE TABLE packed (id INT, t TEXT COMPRESSED, b VARBINARY(900) COMPRESSED, u UUID, i INET6, j JSON)",
        "INSERT INTO packed VALUES (1, REPEAT('y', 500), REPEAT('z', 400), UUID(), '2001:db8::', '{\"a\": [1, null]}')",
        "CREATE TABLE kept (id INT PRIMARY KEY, v INT) WITH SYSTEM VERSIONING",
        "INSERT INTO kept VALUES (1, 1)",
        "UPDATE kept SET v = 2",
        "SET GLOBAL log_bin_compress = 1, GLOBAL log_bin_compress_min_len = 10",
        "INSERT INTO plain (name, note) SELECT name, REPEAT('w', 900) FROM copied",
        "UPDATE plain SET note = REPEAT('v', 800)",
        "DELETE FROM plain",
        "DROP TABLE copied",
        "SET GLOBAL log_bin_compress = 0",
    ]


def binlog(server: MysqlServer) -> bytes:
    """The file that holds the workload; the next one has begun."""
    server.run("FLUSH BINARY LOGS")
    (name, *_), *_ = server.query("SHOW MASTER STATUS")
    with server.database() as database, server.connect(database=database) as connection, connection.cursor() as cursor:
        for statement in workload():
            with suppress(pymysql.Error):
                cursor.execute(statement)
    server.run("FLUSH BINARY LOGS")
    return (server.binlog_dir / str(name)).read_bytes()


def main() -> int:
    FOLDER.mkdir(exist_ok=True)
    for flavour in FLAVOURS:
        stacks = Stacks()
        try:
            options = {"binlog_row_metadata": "FULL"} if flavour.startswith("mariadb") else {}
            data = binlog(stacks.mysql(flavour, **options))
        finally:
            stacks.destroy()
        path = Path(FOLDER / f"{flavour}.zst")
        path.write_bytes(zstandard.compress(data, 19))
        print(f"{path.name}: {len(data)} bytes, {path.stat().st_size} packed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
