"""Statements run once by one session, and what is published of them beside what SELECT shows: many small tests share one dump."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from cdcd.binlog.gtid import GtidSet
from cdcd.config.start import StartGtidSet
from cdcd.config.tables import TableFilter
from cdcd.formats.canal import CANAL_JSON
from cdcd.worker.tail import Tail
from tests.published import Found, canal, decoded
from tests.reading import endpoint_of, executed
from tests.recording import dumped
from tests.servers import MysqlServer

Test = TypeVar("Test", bound=Callable[..., None])
Row = dict[str, str | None]


class Script:
    """Collects the statements of a module's tests: `@script("CREATE TABLE d06 ...", "INSERT ...")`."""

    def __init__(self, *first: str) -> None:
        self.statements = list(first)

    def __call__(self, *statements: str) -> Callable[[Test], Test]:
        def keep(test: Test) -> Test:
            self.statements += statements
            return test

        return keep


@dataclass
class Told:
    """Messages about the tables of a database, to be held against them."""

    server: MysqlServer
    database: str
    published: list[dict[str, Any]] = field(repr=False)

    def messages(self, table: str) -> list[dict[str, Any]]:
        return [one for one in self.published if one["table"] == table]

    def rows(self, table: str) -> list[Row]:
        """What a consumer has at the end, by primary key. Former values have to be those it had."""
        state: dict[tuple[str, ...], Row] = {}
        for message in self.messages(table):
            [row] = message["data"]
            key = tuple(row[name] for name in message["pkNames"])
            if message["type"] == "UPDATE":
                changed = message["old"][0]
                assert {name: state[key][name] for name in changed} == changed
            if message["type"] == "DELETE":
                assert state.pop(key) == row
            else:
                state[key] = state.get(key, {}) | row
        return [state[key] for key in sorted(state)]

    def select(self, sql: str) -> list[tuple[str | None, ...]]:
        """Each value as the server prints it."""
        options: Any = {"database": self.database, "charset": "utf8mb4", "conv": {}}
        with self.server.connect(**options) as connection, connection.cursor() as cursor:
            cursor.execute("SET time_zone = '+00:00', group_concat_max_len = 1000000")
            cursor.execute(sql)
            return list(cursor.fetchall())

    def agrees(self, table: str, **shown: str) -> None:
        """What was published is what SELECT shows. `shown`: a column's text as an expression, where that is not its value."""
        found = self.rows(table)
        columns = list(found[0])
        listed = ", ".join(f"{shown.get(name, f'`{name}`')} AS `{name}`" for name in columns)
        selected = [dict(zip(columns, row, strict=True)) for row in self.select(f"SELECT {listed} FROM `{table}`")]
        assert found == sorted(selected, key=lambda row: str(row["id"]))


@dataclass
class Story(Told):
    """A script that has been run, and all that came of it."""

    known: GtidSet
    """Before it."""
    data: bytes = field(repr=False)
    found: Found = field(repr=False)


@contextmanager
def told(server: MysqlServer, script: Script) -> Iterator[Story]:
    with server.database() as database:
        known = executed(server)
        server.run(*script.statements, database=database)
        data = dumped(server, known)
        found = decoded(data, canal(database))
        yield Story(server, database, found.messages, known, data, found)


@contextmanager
def told_by_tail(server: MysqlServer, statements: Sequence[str]) -> Iterator[Told]:
    """The same of a MariaDB, by what `cdcd tail` is made of."""
    with server.database() as database:
        [(known,)] = server.query("SELECT @@global.gtid_binlog_pos")
        server.run(*statements, database=database)
        lines: list[bytes] = []
        start = StartGtidSet(gtid_set=known)
        tail = Tail(endpoint_of(server), TableFilter((f"{database}.*",)), start, CANAL_JSON, until_end=True)
        tail.run(lines.extend, lambda _: None)
        yield Told(server, database, [json.loads(line) for line in lines])
