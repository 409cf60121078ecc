"""Every story of tests/stories.py, live and read once more, with each `binlog_row_metadata` that each server knows.

Here without a broker, so that each can be read in every way; test_schema_memory has the whole worker.
"""

import json
import time
from collections.abc import Iterator
from typing import Any, cast

import pytest

from cdcd.binlog.compression import inflate
from cdcd.binlog.core.native import Decoder, Route
from cdcd.binlog.position import Position
from cdcd.binlog.prepared import Prepared
from cdcd.binlog.spans import Place
from cdcd.config.start import StartFile
from cdcd.config.tables import TableFilter
from cdcd.errors import FindingError
from cdcd.formats.canal import CANAL_JSON
from cdcd.formats.plan import Keying
from cdcd.mysql.connection import connect
from cdcd.mysql.dump import BinlogDump
from cdcd.mysql.dump_request import DumpRequest
from cdcd.mysql.held_rows import HeldRows
from cdcd.mysql.scan import own_reader
from cdcd.mysql.schema import SchemaLookup
from cdcd.mysql.server import read_status
from cdcd.worker.catalog import Catalog
from cdcd.worker.memory import SchemaMemory
from cdcd.worker.names import RememberedNames
from cdcd.worker.pump import End
from cdcd.worker.stream import Step, Stream
from cdcd.worker.tail import Tail
from deploy.stack.mysql import NEWEST
from tests.memory import MemorySink
from tests.reading import binlog_end, endpoint_of
from tests.servers import MysqlServer, Stacks
from tests.stories import Published, Row, Teller, stories_of

IN_BRIEF = ("swap columns", "swap tables", "enum labels", "gh-ost", "pt-online-schema-change")
"""Told in `make test`, by MySQL 9.7 alone; all of them in `make prove`."""
SERVERS = (
    (NEWEST, "FULL"),
    (NEWEST, "MINIMAL"),
    ("mysql-5.6", ""),
    *(
        (f"mariadb-{version}", metadata)
        for version in ("10.5", "10.11", "11.8")
        for metadata in ("FULL", "MINIMAL", "NO_LOG")
    ),
)
"""Flavours, each with the `binlog_row_metadata` that it knows."""
CASES = [
    pytest.param(
        server,
        story,
        id="-".join(filter(None, (*server, story))),
        marks=() if server[0] == NEWEST and story in IN_BRIEF else pytest.mark.prove,
    )
    for server in SERVERS
    for story in stories_of(server[0])
]
KNOWN_TO_ALL = {"truncate", "view and trigger beside"}
"""Anybody can tell the names, also where the binlog does not: no statement changed a column."""


class Topic:
    """A schema topic in memory."""

    name = "__cdcd_schemas.test.story"

    def __init__(self) -> None:
        self.facts: dict[bytes, bytes] = {}

    def exists(self) -> bool:
        return True

    def ensure(self) -> None:
        """It is there."""

    def peek(self) -> None:
        """Nothing to connect."""

    def take(self) -> dict[bytes, bytes]:
        return dict(self.facts)

    def store(self, memory: SchemaMemory) -> None:
        sink = MemorySink()
        memory.store(sink, {})
        sink.checkpoint(cast(Any, None))
        for _, key, value in sink.kept:
            if value is not None:
                self.facts[key] = value


class Reader:
    """The reading side of a worker from one take-over to the next, with its memory."""

    def __init__(
        self,
        server: MysqlServer,
        database: str,
        topic: Topic,
        start: tuple[str, int],
        *,
        stored: tuple[str, int] | None = None,
        held: tuple[Prepared, ...] = (),
    ) -> None:
        """`stored`: the position that was left for `start`; None: goes on. `held`: of the position at `start`."""
        uuid, (file, offset) = identity(server), stored or start
        self.memory = SchemaMemory(topic)
        self.memory.prepare(None)
        old = Position(uuid, None, file, offset, offset)
        self.memory.resume({}, old, uuid, continues=stored is None)
        file, offset = start
        self._lookup = SchemaLookup(endpoint_of(server))
        route = Route("all", 1)
        held_rows = HeldRows(endpoint_of(server), uuid)
        self._decoder = decoder = Decoder(lambda _: None, inflate, None, held_rows)
        decoder.hold(held, 1)  # so that they are read again
        catalog = Catalog(
            TableFilter([f"{database}.*"]),
            CANAL_JSON,
            Keying(shared=True),
            lambda _: route,
            RememberedNames(self.memory, self._lookup, lambda: Place(*decoder.reading)),
        )
        catalog.place = lambda: Place(*decoder.place)
        catalog.passed = self.memory.passed
        decoder.use(catalog)
        self._catalog = catalog
        self._dump = BinlogDump(endpoint_of(server), own_reader())
        self._dump.begin(DumpRequest(file=file, offset=offset))
        self._stream = Stream(self._dump, decoder)
        self._topic = topic

    def read_to(self, file: str, offset: int) -> list[Published]:
        end, found, deadline = End(file, offset), list[Published](), time.monotonic() + 60
        while not end.reached(self._decoder):
            assert time.monotonic() < deadline
            step = self._stream.step(0.1, stop_at_boundary=end.near(self._decoder))
            self.memory.entered(self._decoder.file, self._decoder.file_created)
            for _, _, _, values, _ in self._decoder.take_runs():
                found += map(inserted, values)
            if step is Step.STATEMENT:
                for table in self._catalog.doubtful(self._decoder.statement):
                    self._decoder.forget(*table)
        self._topic.store(self.memory)
        return [row for row in found if row[0]]

    @property
    def held(self) -> tuple[Prepared, ...]:
        return self._decoder.held

    def close(self) -> None:
        self._lookup.close()
        self._dump.close()


def inserted(message: bytes) -> Published:
    read = json.loads(message)
    return (read["table"], read["data"][0]) if read["type"] == "INSERT" else ("", {})


def identity(server: MysqlServer) -> str:
    with connect(endpoint_of(server)) as connection:
        return read_status(connection).server_uuid


class OneByOne:
    """Servers of which one runs at a time."""

    def __init__(self) -> None:
        self._stacks, self._asked = Stacks(), ("", "")

    def server(self, flavour: str, metadata: str) -> MysqlServer:
        if (flavour, metadata) != self._asked:
            self.destroy()
            self._stacks, self._asked = Stacks(), (flavour, metadata)
        return self._stacks.mysql(flavour, **({"binlog_row_metadata": metadata} if metadata else {}))

    def destroy(self) -> None:
        self._stacks.destroy()


@pytest.fixture(scope="module")
def one_by_one(stacks: Stacks) -> Iterator[OneByOne]:
    del stacks  # asked for its sweep
    made = OneByOne()
    yield made
    made.destroy()


@pytest.fixture
def server(one_by_one: OneByOne, request: pytest.FixtureRequest) -> MysqlServer:
    """Of MySQL 9.7 the shared ones."""
    flavour, metadata = request.param
    if flavour != NEWEST:
        return one_by_one.server(flavour, metadata)
    shared: MysqlServer = request.getfixturevalue("mysql" if metadata == "FULL" else "minimal")
    return shared


@pytest.fixture
def database(server: MysqlServer) -> Iterator[str]:
    with server.database() as name:
        yield name


def only(published: list[Published], expected: list[Published]) -> list[Published]:
    """Without rows that the story does not look at."""
    wanted = {(table, row.get("id")) for table, row in expected}
    return [(table, row) for table, row in published if (table, row.get("id")) in wanted]


@pytest.mark.must_show("5.5")
@pytest.mark.parametrize(("server", "story"), CASES, indirect=["server"])
def test_story(server: MysqlServer, database: str, story: str) -> None:
    """Live, with a take-over after every row; once more from the start; and by one that has not seen it."""
    start = binlog_end(server)
    teller = Teller(server, database)
    topic, place, live = Topic(), start, list[Published]()
    for step in stories_of(server.flavour)[story]:
        teller.tell(step)
        if isinstance(step, Row) or step == "COMMIT":
            end = binlog_end(server)
            live += read(Reader(server, database, topic, place), end)
            place = end
    teller.close()
    expected, end = teller.expected, binlog_end(server)
    assert only(live, expected) == expected
    assert only(read(Reader(server, database, topic, start, stored=place), end), expected) == expected

    fresh, trouble = read_by_a_stranger(server, database, start)
    found = only(fresh, expected)
    assert found == expected[: len(found)]
    named = metadata(server) == "FULL"
    assert bool(topic.facts) is not named
    if named or story in KNOWN_TO_ALL:
        assert found == expected
        return
    assert trouble is not None
    assert trouble.finding.code == "schema-unknown"
    assert trouble.finding.what.startswith(f"{database}.{expected[len(found)][0]} at {end[0]}:")


def metadata(server: MysqlServer) -> str:
    """Empty where the server knows no such setting."""
    return "".join(value for _, value in server.query("SHOW GLOBAL VARIABLES LIKE 'binlog_row_metadata'"))


def read(reader: Reader, end: tuple[str, int]) -> list[Published]:
    try:
        return reader.read_to(*end)
    finally:
        reader.close()


def read_by_a_stranger(
    server: MysqlServer, database: str, start: tuple[str, int]
) -> tuple[list[Published], FindingError | None]:
    lines: list[bytes] = []
    tail = Tail(
        endpoint=endpoint_of(server),
        tables=TableFilter([f"{database}.*"]),
        start=StartFile(file=start[0], position=start[1]),
        template=CANAL_JSON,
        until_end=True,
    )
    trouble = None
    try:
        tail.run(lines.extend, lambda _: None)
    except FindingError as error:
        trouble = error
    return [row for row in map(inserted, lines) if row[0]], trouble


SWAP = "ALTER TABLE t RENAME COLUMN a TO b, RENAME COLUMN b TO a"


@pytest.mark.must_show("5.2")
@pytest.mark.timeout(60)
def test_rows_of_an_xa_transaction_have_the_names_of_their_time(minimal: MysqlServer) -> None:
    """Prepared in one file, committed in another, with a statement between that may be about the table for all its text says."""
    with minimal.database() as database:

        def tell(*statements: str) -> tuple[str, int]:
            minimal.run(*statements, database=database)
            return binlog_end(minimal)

        start = binlog_end(minimal)
        topic = Topic()
        tell("CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT)")
        known = tell("INSERT INTO t VALUES (1, 10, 20)")
        first = Reader(minimal, database, topic, start)
        live = read(first, known)
        xa = ("XA START 'x'", "INSERT INTO t VALUES (2, 11, 21)", "XA END 'x'", "XA PREPARE 'x'")
        # The files are told apart by the second in which they were made.
        next_second = "DO SLEEP(1.001 - MICROSECOND(NOW(6)) / 1000000)"
        prepared = tell(*xa, next_second, "FLUSH BINARY LOGS", "CREATE TABLE u LIKE t")
        second = Reader(minimal, database, topic, known)
        live += read(second, prepared)
        assert [each.file for each in second.held] == [known[0]]
        place, held = prepared, second.held
        for statements in (
            ("XA COMMIT 'x'",),
            (SWAP, "INSERT INTO t VALUES (3, 22, 12)"),
            (SWAP, "INSERT INTO t VALUES (4, 13, 23)"),
        ):
            end = tell(*statements)
            live += read(Reader(minimal, database, topic, place, held=held), end)
            place, held = end, ()
        told = [("t", {"id": str(n), "a": str(9 + n), "b": str(19 + n)}) for n in (1, 2, 3, 4)]
        assert [row for row in live if row[0] == "t"] == told
        assert [row for row in read(Reader(minimal, database, topic, start, stored=end), end) if row[0] == "t"] == told
