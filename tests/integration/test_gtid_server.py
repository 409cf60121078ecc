"""GTID sets against MySQL's own arithmetic, text and binary form."""

import random
import struct
from collections.abc import Iterator

import pymysql
import pytest

from cdcd.binlog.gtid import GtidSet, GtidSetError, Interval
from tests.servers import MysqlFactory, MysqlServer

PAIRS = 150
SOURCES = [(bytes([n]) * 16, tag) for n in (0x00, 0x3E, 0xFF) for tag in ("", "a", "a1", "a_b", "_a", "z" * 32)]
PREVIOUS_GTIDS = 35


@pytest.fixture(scope="module")
def server(mysql_server: MysqlFactory) -> MysqlServer:
    """One of its own: GTIDs with tags stay in a server for good."""
    return mysql_server()


def some_intervals(rng: random.Random) -> list[Interval]:
    chosen = []
    for uuid, tag in rng.choices(SOURCES, k=rng.randint(0, 8)):
        first, last = sorted(rng.choices(range(1, 25), k=2))
        chosen.append((uuid, tag, first, last))
    if rng.random() < 0.1:
        chosen.append((*rng.choice(SOURCES), 2**63 - rng.randint(3, 5), 2**63 - 2))
    return chosen


def as_somebody_writes_it(rng: random.Random, intervals: list[Interval]) -> str:
    """Not canonical: any order, repeated UUIDs, white space, upper case."""
    space = rng.choice(["", " ", "\n", " \t"])
    pieces = []
    for uuid, tag, first, last in intervals:
        numbers = f"{first}{space}-{space}{last}" if first != last or rng.random() < 0.2 else f"{first}"
        text = uuid.hex()
        if rng.random() < 0.8:
            text = "-".join([text[:8], text[8:12], text[12:16], text[16:20], text[20:]])
        pieces.append(f"{space}:{space}".join([text, *([tag] if tag else []), numbers]))
    text = f"{space},{space}".join(pieces)
    return text.upper() if rng.random() < 0.3 else text


def test_arithmetic_and_canonical_text_are_the_servers(server: MysqlServer) -> None:
    rng = random.Random(8134)
    with server.connect() as connection, connection.cursor() as cursor:
        for _ in range(PAIRS):
            a, b = some_intervals(rng), some_intervals(rng)
            texts = as_somebody_writes_it(rng, a), as_somebody_writes_it(rng, b)
            cursor.execute(
                "SELECT GTID_SUBTRACT(CONCAT(%(a)s, ',', %(b)s), ''), GTID_SUBTRACT(%(a)s, %(b)s), GTID_SUBSET(%(a)s, %(b)s)",
                {"a": texts[0], "b": texts[1]},
            )
            row = cursor.fetchone()
            assert row is not None
            x, y = map(GtidSet.parse, texts)
            ours = str(x.union(y)), str(x.subtract(y)), int(y.contains(x))
            assert ours == (row[0].replace("\n", ""), row[1].replace("\n", ""), row[2]), texts
            assert GtidSet.parse(row[0]) == x.union(y)


@pytest.mark.parametrize(
    "rest",
    [
        ":",
        "::1",
        ":1:",
        ":1-",
        ":+1",
        ":0",
        ":9223372036854775807",
        ":1a",
        ":b-1:1",
        f":{'a' * 33}:1",
        ":1;",
        ":1 blue:1",
    ],
)
def test_what_the_server_refuses_is_refused(server: MysqlServer, rest: str) -> None:
    text = f"3e11fa47-71ca-11e1-9e33-c80aa9429562{rest}"
    with pytest.raises(pymysql.err.OperationalError, match="1772"):
        server.query("SELECT GTID_SUBTRACT(%s, '')", (text,))
    with pytest.raises(GtidSetError):
        GtidSet.parse(text)


def commit_with(server: MysqlServer, *gtid_nexts: str) -> None:
    commits = [(f"SET gtid_next = '{gtid}'", "BEGIN", "COMMIT") for gtid in gtid_nexts]
    server.run(*(statement for commit in commits for statement in commit), "SET gtid_next = 'AUTOMATIC'")


def last_previous_gtids(server: MysqlServer) -> bytes:
    """Body of the PREVIOUS_GTIDS event that begins a new binlog file, without its checksum."""
    server.query("FLUSH BINARY LOGS")
    name = server.query("SHOW BINARY LOGS")[-1][0]
    data = (server.binlog_dir / name).read_bytes()
    return next(body for kind, body in events(data) if kind == PREVIOUS_GTIDS)


def events(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 4
    while at < len(data):
        kind, size = struct.unpack_from("<4xB4xI", data, at)
        yield kind, data[at + 19 : at + size - 4]
        at += size


def test_binary_form_is_the_servers(server: MysqlServer) -> None:
    def agree() -> None:
        body = last_previous_gtids(server)
        executed = GtidSet.parse(server.query("SELECT @@global.gtid_executed")[0][0])
        assert GtidSet.decode(body) == executed
        assert executed.encode() == body

    foreign = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
    commit_with(server, f"{foreign}:1", f"{foreign}:2", f"{foreign}:9")
    agree()
    commit_with(server, f"{foreign}:blue:1", f"{foreign}:{'_' * 32}:9223372036854775806", f"0{foreign[1:]}:red:5")
    agree()
