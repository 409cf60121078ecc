"""Random tables, rows and changes: what is published is what the server shows before and after, whatever the types."""

import json
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pymysql.cursors import Cursor

from tests.instances import Figures
from tests.integration.random_tables import RandomTable, random_table
from tests.integration.type_matrix import new_file, tail
from tests.servers import MariadbFactory, MysqlFactory, MysqlServer

pytestmark = pytest.mark.must_show("5.3")

SEED = 20261123
BATCH = 250
"""Tables of one database, which is read back at once."""
ROWS = 6

Row = dict[str, str | None]
Shown = dict[str, dict[str, Row]]
"""Table -> id -> its columns as the server shows them."""


def row_of(table: RandomTable, selected: tuple[Any, ...]) -> tuple[str, Row]:
    id_, *values = selected
    return id_, {column.name: value for column, value in zip(table.columns, values, strict=True)}


def shown(cursor: Cursor, table: RandomTable) -> dict[str, Row]:
    cursor.execute(table.select)
    return dict(row_of(table, row) for row in cursor.fetchall())


def write(cursor: Cursor, tables: list[RandomTable], random_: random.Random) -> tuple[Shown, Shown]:
    """Rows, and changes of some of them; what the server shows after each. Row 0 is deleted at last."""
    first, second = {}, {}
    for table in tables:
        cursor.execute(table.create)
        cursor.execute(table.insert(random_, range(ROWS)))
        first[table.name] = shown(cursor, table)
        for id_ in random_.sample(range(ROWS), 3):
            cursor.execute(table.update(random_, id_))
        second[table.name] = shown(cursor, table)
        cursor.execute(f"DELETE FROM {table.name} WHERE id = 0")
    return first, second


def alike(table: RandomTable, published: Row, expected: Row) -> bool:
    def read(column: int, value: str | None) -> object:
        return None if value is None else table.columns[column].read(value)

    return all(
        read(i, published[column.name]) == read(i, expected[column.name]) for i, column in enumerate(table.columns)
    )


def wrong(table: RandomTable, messages: list[dict[str, Any]], first: Shown, second: Shown) -> Iterator[tuple[str, ...]]:
    """Messages whose row is not the server's; tables that are not the server's once all is applied."""
    state: dict[str, Row] = {}
    for message in messages:
        row = dict(message["data"][0])
        id_ = row.pop("id")
        if message["type"] == "UPDATE" and not alike(table, {**state[id_], **message["old"][0]}, state[id_]):
            yield table.create, "old", json.dumps(message), str(state[id_])
        expected = first if message["type"] == "INSERT" else second
        if not alike(table, row, expected[table.name][id_]):
            yield table.create, message["type"], json.dumps(message), str(expected[table.name][id_])
        state[id_] = row
        if message["type"] == "DELETE":
            del state[id_]
    left = {id_: row for id_, row in second[table.name].items() if id_ != "0"}
    if state.keys() != left.keys() or not all(alike(table, state[id_], left[id_]) for id_ in left):
        yield table.create, "in the end", str(state), str(left)


def round_trip(server: MysqlServer, seed: int, count: int) -> tuple[int, list[tuple[str, ...]]]:
    """Messages compared, and what was wrong. No name is another's, in whichever database: it would cast doubt on its columns."""
    random_ = random.Random(seed)
    tables = [random_table(random_, f"random_{seed}_{i}", server.flavour) for i in range(count)]
    with server.database() as database, server.connect(database=database, charset="utf8mb4", conv={}) as connection:
        start = new_file(server)
        with connection.cursor() as cursor:
            cursor.execute("SET sql_mode = 'ALLOW_INVALID_DATES', time_zone = '+00:00'")
            first, second = write(cursor, tables, random_)
        messages: dict[str, list[dict[str, Any]]] = {table.name: [] for table in tables}
        for line in tail(server, database, start):
            message = json.loads(line)
            messages[message["table"]].append(message)
    found = [one for table in tables for one in wrong(table, messages[table.name], first, second)]
    return sum(map(len, messages.values())), found


def proven(server: MysqlServer, count: int, figures: Figures) -> None:
    """Two batches at a time: most of it is waiting for CREATE TABLE."""

    def batch(first: int) -> int:
        seed = SEED + first
        messages, found = round_trip(server, seed, min(BATCH, count - first))
        assert not found[:3], f"{server.flavour}, seed {seed}: {len(found)} wrong"
        return messages

    with ThreadPoolExecutor(2) as pool:
        compared = sum(pool.map(batch, range(0, count, BATCH)))
    print(f"{server.flavour}: {count} random tables from seed {SEED} on, {compared} messages")
    figures({"server": server.flavour, "seed": SEED, "tables": count, "rows": count * ROWS, "messages": compared})


def test_some_on_mysql(mysql: MysqlServer, figures: Figures) -> None:
    proven(mysql, 150, figures)


def test_some_on_mariadb(mariadb: MariadbFactory, figures: Figures) -> None:
    proven(mariadb("11.8"), 150, figures)


@pytest.mark.prove
@pytest.mark.timeout(3600)
def test_all_on_mysql(mysql_server: MysqlFactory, figures: Figures) -> None:
    proven(mysql_server(), 10_000, figures)


@pytest.mark.prove
@pytest.mark.timeout(3600)
def test_all_on_mariadb(mysql_server: MysqlFactory, figures: Figures) -> None:
    proven(mysql_server("mariadb-11.8", sync_frm="OFF"), 10_000, figures)
