"""`cdcd tail` against the server's own SELECT, for every column type (tests/integration/type_corpus.py).

Each value is inserted twice: one row is then deleted, the other set to NULL, so that it must show in an INSERT, as the
before image of a DELETE, and as the old value of an UPDATE.
"""

import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from pymysql.cursors import Cursor

from tests.instances import Figures
from tests.integration.type_corpus import CORPUS, Case
from tests.servers import MysqlFactory, MysqlServer

pytestmark = pytest.mark.must_show("3.3")

COMMAND = (sys.executable, "-c", "from cdcd.cli.cdcd import main; main()")


@dataclass
class Table:
    """What the server says of one column's table, and what was published of it."""

    declared: str
    selected: dict[str, str | None]
    """id -> the server's text, before rows were changed."""
    messages: list[dict[str, Any]] = field(default_factory=list)


def table_name(i: int) -> str:
    """None is part of another's: with MINIMAL metadata every DDL text that may name a table casts doubt on it."""
    return f"case_{i:03d}"


def fill(cursor: Cursor, name: str, case: Case) -> dict[str, str | None]:
    cursor.execute(f"CREATE TABLE {name} (id INT PRIMARY KEY, c {case.type} NULL)")
    rows = [f"({2 * i + copy}, {value})" for i, value in enumerate((*case.values, "NULL")) for copy in (0, 1)]
    for row in rows:
        cursor.execute(f"INSERT INTO {name} VALUES {row}")
    cursor.execute(f"SELECT id, {case.shown} FROM {name}")
    selected = dict(cursor.fetchall())
    cursor.execute(f"DELETE FROM {name} WHERE id % 2 = 1")
    cursor.execute(f"UPDATE {name} SET c = NULL")
    return selected


def column_types(server: MysqlServer, database: str) -> dict[str, str]:
    rows = server.query(
        "SELECT TABLE_NAME, COLUMN_TYPE FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s AND COLUMN_NAME = 'c'",
        (database,),
    )
    return dict(rows)


def tail(server: MysqlServer, database: str) -> list[dict[str, Any]]:
    arguments = ("--host", server.host, "--port", str(server.port), "--user", server.user, "--password-env", "TAIL_PWD")
    done = subprocess.run(
        (*COMMAND, "tail", *arguments, "--tables", f"{database}.*", "--start", "earliest", "--until-end"),
        env=os.environ | {"TAIL_PWD": server.password},
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr.decode()
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module", params=["FULL", "MINIMAL"])
def tables(request: pytest.FixtureRequest, mysql_server: MysqlFactory) -> Iterator[dict[str, Table]]:
    """Every case's table, written, changed and read back through the binlog."""
    mysql = mysql_server(binlog_row_metadata=request.param)
    with mysql.database() as database, mysql.connect(database=database, charset="utf8mb4", conv={}) as connection:
        with connection.cursor() as cursor:
            cursor.execute("SET sql_mode = 'ALLOW_INVALID_DATES', time_zone = '+00:00', group_concat_max_len = 1000000")
            selected = {table_name(i): fill(cursor, table_name(i), case) for i, case in enumerate(CORPUS)}
        declared = column_types(mysql, database)
        found = {name: Table(declared[name], rows) for name, rows in selected.items()}
        for message in tail(mysql, database):
            found[message["table"]].messages.append(message)
        yield found


def published(table: Table) -> dict[str, dict[str, str | None]]:
    """Row id -> the value as the INSERT, the DELETE and the UPDATE's old image show it."""
    values: dict[str, dict[str, str | None]] = defaultdict(dict)
    for message in table.messages:
        [row] = message["data"]
        if message["type"] == "UPDATE":
            values[row["id"]]["UPDATE"] = message["old"][0]["c"]
            assert row["c"] is None
        else:
            values[row["id"]][message["type"]] = row["c"]
    return values


@pytest.mark.parametrize("i", range(len(CORPUS)), ids=[f"{i}-{case.type[:40]}" for i, case in enumerate(CORPUS)])
def test_values_are_those_select_gives(tables: dict[str, Table], i: int) -> None:
    case, table = CORPUS[i], tables[table_name(i)]
    shown = published(table)
    assert sorted(shown) == sorted(table.selected)
    for id_, text in table.selected.items():
        expected = None if text is None else case.expected(text)
        changed = "DELETE" if int(id_) % 2 else "UPDATE"
        kinds = {"INSERT"} if text is None and changed == "UPDATE" else {"INSERT", changed}
        assert set(shown[id_]) == kinds
        for kind, value in shown[id_].items():
            assert (None if value is None else case.published(value)) == expected, (kind, text, value)


def test_types_are_as_declared(tables: dict[str, Table], figures: Figures) -> None:
    """The binlog does not carry the one display width that MySQL 9.7 still shows."""
    shown = [published(table) for table in tables.values()]
    figures({"types": len(tables), "values_compared": sum(len(kinds) for rows in shown for kinds in rows.values())})
    wrong = {
        name: (table.declared, message["mysqlType"]["c"])
        for name, table in tables.items()
        for message in table.messages[:1]
        if message["mysqlType"]["c"] not in (table.declared, table.declared.replace("tinyint(1)", "tinyint"))
    }
    assert not wrong
