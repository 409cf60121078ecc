"""`cdcd decode` of a real server's files: what `cdcd tail` says of the same server, what the server's SELECT says, and what
`mysqlbinlog -v` prints.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cdcd.cli.cdcd import main
from tests.integration.type_corpus import CORPUS
from tests.servers import MariadbFactory, MysqlFactory, MysqlServer

COMMAND = (sys.executable, "-c", "from cdcd.cli.cdcd import main; main()")
TEXT = re.compile(
    r"^# at (\d+)$|^### (INSERT INTO|UPDATE|DELETE FROM) `(\w+)`\.`(\w+)`$|^###   @(\d+)=(.*)$", re.MULTILINE
)


@dataclass
class Written:
    """A server whose binlog has two files of changes, the first with names of columns, the second without."""

    server: MysqlServer
    database: str
    named: Path
    unnamed: Path

    def source(self) -> tuple[str, ...]:
        return (
            "--host",
            self.server.host,
            "--port",
            str(self.server.port),
            "--user",
            self.server.user,
            "--password-env",
            "PWD_",
        )

    def cdcd(self, *arguments: str, code: int = 0) -> tuple[list[dict[str, Any]], str]:
        """Lines and messages."""
        done = CliRunner().invoke(main, arguments, env={"PWD_": self.server.password})
        assert done.exit_code == code, done.stderr
        return parsed(done.stdout_bytes), done.stderr

    def process(self, *arguments: str, data: bytes = b"") -> list[dict[str, Any]]:
        """Lines of a process of its own: one with real standard streams and signals."""
        environment = os.environ | {"PWD_": self.server.password}
        done = subprocess.run(
            (*COMMAND, *arguments), input=data, env=environment, capture_output=True, check=True, timeout=120
        )
        return parsed(done.stdout)


def parsed(lines: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.splitlines()]


def changes() -> Iterator[str]:
    for i, case in enumerate(case for case in CORPUS[::6] if case.on("mysql-9")):
        yield f"CREATE TABLE c{i} (id INT PRIMARY KEY AUTO_INCREMENT, c {case.type} NULL)"
        yield f"INSERT INTO c{i} (c) VALUES " + ", ".join(f"({value})" for value in (*case.values[:5], "NULL"))
        yield f"UPDATE c{i} SET c = NULL WHERE id = 1"
        yield f"DELETE FROM c{i} WHERE id = 2"
    yield "SET SESSION binlog_transaction_compression = ON"
    yield "CREATE TABLE plain (id INT PRIMARY KEY, name VARCHAR(40), n BIGINT UNSIGNED, kind ENUM('a','b'), flags SET('x','y'))"
    yield "INSERT INTO plain VALUES (1, 'Anne', 18446744073709551615, 'b', 'x,y'), (2, NULL, 0, 'a', '')"
    yield "SET SESSION binlog_transaction_compression = OFF"


@pytest.fixture(scope="module")
def written(mysql_server: MysqlFactory) -> Iterator[Written]:
    server = mysql_server()
    with server.database() as database:
        server.run("FLUSH BINARY LOGS")
        named = server.query("SHOW BINARY LOG STATUS")[0][0]
        server.run("SET sql_mode = 'ALLOW_INVALID_DATES', time_zone = '+00:00'", *changes(), database=database)
        server.run("SET GLOBAL binlog_row_metadata = MINIMAL", "FLUSH BINARY LOGS")
        unnamed = server.query("SHOW BINARY LOG STATUS")[0][0]
        server.run(
            "INSERT INTO plain VALUES (3, 'minimal', 7, 'b', 'y')",
            "UPDATE plain SET name = 'it is', flags = 'x,y' WHERE id = 3",
            "DELETE FROM plain WHERE id = 2",
            "FLUSH BINARY LOGS",
            database=database,
        )
        yield Written(server, database, server.binlog_dir / named, server.binlog_dir / unnamed)


def told(lines: list[dict[str, Any]], *without: str) -> list[dict[str, Any]]:
    """What does not depend on when, and behind how many others, a line was made."""
    return [{name: value for name, value in line.items() if name not in {"ts", "id", *without}} for line in lines]


def test_lines_are_those_of_tail(written: Written) -> None:
    tables = ("--tables", f"{written.database}.*")
    start = ("--start", f"file:{written.named.name}:4")
    live = written.process("tail", *written.source(), *tables, *start, "--until-end")
    # Decode asks the same server for what the second file does not name.
    lines = written.process("decode", *written.source(), *tables, str(written.named), str(written.unnamed))
    assert told(lines) == told(live)
    assert len(lines) > 100


def test_rows_are_those_that_select_gives(written: Written) -> None:
    tables = ("--tables", f"{written.database}.plain")
    lines = written.process("decode", *tables, *written.source(), str(written.named), str(written.unnamed))
    rows: dict[str, dict[str, str | None]] = {}
    for line in lines:
        [row] = line["data"]
        rows.pop(row["id"], None)
        if line["type"] != "DELETE":
            rows[row["id"]] = row
    names = ("id", "name", "n", "kind", "flags")
    selected = written.server.query(
        f"SELECT CONCAT(id), name, CONCAT(n), CONCAT(kind), CONCAT(flags) FROM {written.database}.plain"
    )
    assert sorted(map(tuple, (row.values() for row in rows.values()))) == sorted(selected)
    assert {tuple(row) for row in rows.values()} == {names}


def by_mysqlbinlog(server: MysqlServer, path: Path, database: str) -> list[tuple[str, str, dict[str, str]]]:
    """(type, table, values by @number; of an update the after image), in order."""
    done = subprocess.run((server.bin_dir / "mysqlbinlog", "-v", path), capture_output=True, text=True, check=True)
    found: list[tuple[str, str, dict[str, str]]] = []
    for match in TEXT.finditer(done.stdout):
        _, verb, schema, table, number, value = match.groups()
        if verb and schema == database:
            found.append((verb.split()[0], table, {}))
        elif number:
            found[-1][2]["@" + number] = value
    return found


def as_mysqlbinlog(row: dict[str, str | None]) -> Iterator[tuple[str, str]]:
    """Its forms of the values of `plain`: a SET as bits, NULL, text between quotes, BIGINT also without sign."""
    for name, value in row.items():
        if value is None:
            yield name, "NULL"
        elif name == "@5":
            yield name, f"b'{int(value):08b}'"
        else:
            yield name, f"'{value}'" if name == "@2" else value


def test_numbers_of_columns_and_values_are_those_of_mysqlbinlog(written: Written) -> None:
    lines, messages = written.cdcd("decode", str(written.unnamed))
    shown = [(line["type"], line["table"], dict(as_mysqlbinlog(line["data"][0]))) for line in lines]
    assert shown == by_mysqlbinlog(written.server, written.unnamed, written.database)
    assert f"note: {written.database}.plain: the binlog does not name its columns" in messages


def columns_of(server: MysqlServer, folder: Path) -> Path:
    """The answer to `--schema-query`, as the server's own client prints it."""
    query = CliRunner().invoke(main, ("decode", "--schema-query")).stdout_bytes
    account = (f"-h{server.host}", f"-P{server.port}", f"-u{server.user}", f"-p{server.password}")
    client = (server.bin_dir / "mysql", *account, "--batch", "--default-character-set=utf8mb4")
    columns = folder / "columns.tsv"
    columns.write_bytes(subprocess.run(client, input=query, capture_output=True, check=True).stdout)
    return columns


def test_names_from_the_answer_of_the_query(written: Written, tmp_path: Path) -> None:
    columns = columns_of(written.server, tmp_path)
    by_file, _ = written.cdcd("decode", "--schema", str(columns), str(written.unnamed))
    by_server = written.process("decode", *written.source(), str(written.unnamed))
    assert told(by_file) == told(by_server)
    assert by_file[0]["data"][0] == {"id": "3", "name": "minimal", "n": "7", "kind": "b", "flags": "y"}
    assert by_file[0]["pkNames"] == ["id"]


def test_names_from_the_answer_of_mariadb(mariadb: MariadbFactory, tmp_path: Path) -> None:
    """Its collations are shared by character sets, its types UUID and VECTOR are logged as bytes."""
    server = mariadb("11.8")
    uuid = "123e4567-e89b-12d3-a456-426614174000"
    with server.database() as database:
        file = server.query("SHOW MASTER STATUS")[0][0]
        server.run(
            "SET NAMES utf8mb4",
            "CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(9) COLLATE utf8mb4_uca1400_ai_ci, e ENUM('x','ü'), u UUID, v VECTOR(1) NOT NULL)",
            f"INSERT INTO t VALUES (1, 'für', 'ü', '{uuid}', VEC_FromText('[1.5]'))",
            "FLUSH BINARY LOGS",
            database=database,
        )
        path = server.binlog_dir / file
        options = ("decode", "--tables", f"{database}.t", "--schema", str(columns_of(server, tmp_path)), str(path))
        done = CliRunner().invoke(main, options)
    assert done.exit_code == 0, done.stderr
    [line] = parsed(done.stdout_bytes)
    assert line["data"] == [{"id": "1", "a": "für", "e": "ü", "u": uuid, "v": "[1.5]"}]


def test_a_raw_copy_on_standard_input(written: Written, tmp_path: Path) -> None:
    server = written.server
    account = (f"-h{server.host}", f"-P{server.port}", f"-u{server.user}", f"-p{server.password}")
    copy = ("--read-from-remote-server", "--raw", f"--result-file={tmp_path}/", written.named.name)
    subprocess.run((server.bin_dir / "mysqlbinlog", *account, *copy), capture_output=True, check=True)
    lines = written.process("decode", "--ddl", "-", data=(tmp_path / written.named.name).read_bytes())
    expected, _ = written.cdcd("decode", "--ddl", str(written.named))
    assert told(lines) == told(expected)
    assert {line["type"] for line in lines} >= {"CREATE", "INSERT", "UPDATE", "DELETE"}


def test_halves_by_time_make_the_whole(written: Written) -> None:
    whole, _ = written.cdcd("decode", "--ddl", str(written.named))
    times = sorted({line["es"] for line in whole})
    middle = f"time:{datetime.fromtimestamp(times[len(times) // 2] / 1000, UTC).isoformat(timespec='milliseconds')}"
    before, _ = written.cdcd("decode", "--ddl", "--to", middle, str(written.named))
    after, messages = written.cdcd("decode", "--ddl", "--from", middle, str(written.named))
    assert told(before + after) == told(whole)
    assert before
    assert after
    assert "transactions before --from left out" in messages


def test_exit_statuses(written: Written, tmp_path: Path) -> None:
    cut = tmp_path / "binlog.000009"
    cut.write_bytes(written.named.read_bytes()[:-60])
    lines, messages = written.cdcd("decode", str(cut), code=1)
    assert lines
    assert re.search(rf"error: the file ends inside .*event type \d+ at {re.escape(str(cut))}:\d+\)", messages)
    _, messages = written.cdcd("decode", str(tmp_path / "missing"), code=3)
    assert "does not exist" in messages
    _, messages = written.cdcd("decode", "--from", "latest", str(cut), code=2)
    assert "must be file:NAME:POS" in messages
    _, messages = written.cdcd("decode", "--schema", str(cut), str(cut), code=5)
    assert "must begin with the columns" in messages
