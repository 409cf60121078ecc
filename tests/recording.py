"""A workload whose dump holds every kind of event an ordinary server sends, and that dump as bytes.

`python -m tests.recording` makes tests/unit/recorded/mysql-9.7.packets.zst anew, on a server of its own.
"""

import sys
from pathlib import Path

import zstandard

from cdcd.binlog.gtid import GtidSet
from cdcd.mysql.dump_request import DumpRequest
from tests.integration.type_corpus import CORPUS
from tests.reading import endpoint_of, executed, opened, read_to_end
from tests.servers import MysqlServer, Stacks

RECORDED = Path(__file__).parent / "unit" / "recorded" / "mysql-9.7.packets.zst"


def recorded() -> bytes:
    """The packets, headers included, that a source sent after the dump command."""
    return zstandard.decompress(RECORDED.read_bytes())


def every_type() -> list[str]:
    """A table for each type: inserted, changed, deleted."""
    statements = []
    for i, case in enumerate(case for case in CORPUS if case.on("mysql-9")):
        values = [f"({row}, {value})" for row, value in enumerate((*case.values[:12], "NULL"))]
        statements += [
            f"CREATE TABLE t{i} (id INT PRIMARY KEY, c {case.type} NULL)",
            f"INSERT INTO t{i} VALUES {', '.join(values)}",
            f"UPDATE t{i} SET c = NULL WHERE id < 2",
            f"DELETE FROM t{i} WHERE id IN (0, 3)",
        ]
    return statements


def workload() -> list[str]:
    """Statements of one session, in an empty database."""
    return [
        "SET sql_mode = 'ALLOW_INVALID_DATES', time_zone = '+00:00'",
        *every_type(),
        "CREATE TABLE plain (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(80), note TEXT)",
        "CREATE TABLE keyless (a INT DEFAULT 5, b VARCHAR(300))",
        "BEGIN",
        *(f"INSERT INTO plain (name, note) VALUES ('name {n}', REPEAT('x', {n * 40}))" for n in range(8)),
        "SAVEPOINT s",
        "INSERT INTO keyless VALUES (1, 'a'), (NULL, NULL), (3, 'ü€😀')",
        "UPDATE plain SET name = CONCAT(name, '!') WHERE id % 2",
        "COMMIT",
        "CREATE TABLE copied AS SELECT id, name FROM plain",
        "SET SESSION binlog_row_image = MINIMAL",
        "UPDATE plain SET note = 'short' WHERE id < 4",
        "INSERT INTO keyless VALUES ()",
        "DELETE FROM plain WHERE id = 7",
        "SET SESSION binlog_row_image = FULL",
        "CREATE TABLE documents (id INT PRIMARY KEY, d JSON)",
        "INSERT INTO documents VALUES (1, JSON_OBJECT('a', 1, 'b', JSON_ARRAY(1, 'two', 3.5), 'long', REPEAT('x', 400)))",
        "SET SESSION binlog_row_value_options = PARTIAL_JSON",
        "UPDATE documents SET d = JSON_SET(d, '$.a', 'one', '$.c', JSON_OBJECT('k', 2.50))",
        "UPDATE documents SET d = JSON_REMOVE(JSON_REPLACE(d, '$.b[1]', 2), '$.b[0]')",
        "SET SESSION binlog_row_value_options = ''",
        "SET SESSION binlog_rows_query_log_events = ON",
        "SET gtid_next = 'AUTOMATIC:blue'",
        "UPDATE plain SET id = id + 1000 WHERE id = 1",
        "SET SESSION binlog_transaction_compression = ON",
        "INSERT INTO plain (name, note) SELECT name, REPEAT('y', 3000) FROM copied",
        "DELETE FROM keyless",
        "SET SESSION binlog_transaction_compression = OFF",
        "SET gtid_next = 'AUTOMATIC'",
        "ALTER TABLE plain DROP COLUMN note",
        "INSERT INTO plain (name) VALUES ('after')",
        "FLUSH BINARY LOGS",
        "INSERT INTO plain (name) VALUES ('in the next file')",
        "TRUNCATE TABLE copied",
        "DROP TABLE plain, keyless, copied, documents",
    ]


def dumped(server: MysqlServer, known: GtidSet) -> bytes:
    """Everything that a server sends of what is not `known`, up to its present end."""
    with opened(endpoint_of(server), DumpRequest(gtid_set=known, non_blocking=True)) as dump:
        return read_to_end(dump).data


def main() -> int:
    stacks = Stacks()
    try:
        server = stacks.mysql(binlog_row_metadata="FULL")
        with server.database() as database:
            known = executed(server)
            server.run(*workload(), database=database)
            data = dumped(server, known)
    finally:
        stacks.destroy()
    RECORDED.write_bytes(zstandard.compress(data, 19))
    print(f"{RECORDED.name}: {len(data)} bytes, {RECORDED.stat().st_size} packed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
