"""binlog_row_value_options=PARTIAL_JSON: published are whole documents, as the server's own SELECT prints them."""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from cdcd.errors import UnsupportedEvent
from tests.instances import Figures
from tests.published import Found, canal, decoded, event_types, since
from tests.reading import executed
from tests.recording import dumped
from tests.servers import MysqlFactory, MysqlServer

pytestmark = pytest.mark.must_show("5.1")

SEED = 5
DOCUMENTS = 80
CHANGES = 8
"""Of each document."""

NAMES = ("a", "b", "long name", "ключ", 'quo"te', "back\\slash", "dot.ted", "line\nbreak", "€uro", "$id", "", "x" * 300)
SCALARS = (
    "NULL", "CAST('null' AS JSON)", "CAST('true' AS JSON)", "0", "-32769", "65536", "4294967296", "18446744073709551615",
    "1.5e0", "1e300", "CAST(12.3400 AS DECIMAL(10,4))", "CAST('2024-02-29 01:02:03.5' AS DATETIME(6))",
    "CAST('-838:59:59' AS TIME)", "CAST('2024-02-29' AS DATE)", "'text'", "REPEAT('ü😀', 90)", "CAST(x'00FF' AS BINARY)",
)  # fmt: skip


@pytest.fixture(scope="module")
def server(mysql_server: MysqlFactory) -> MysqlServer:
    return mysql_server(binlog_row_metadata="FULL", binlog_row_value_options="PARTIAL_JSON")


def document(words: random.Random, depth: int = 0, members: int = 0) -> Any:
    """Something nested, with so many more members at the top."""
    if depth == 3 or (depth and words.random() < 0.4):
        return words.choice([None, True, 7, -70000, 2**40, 1.25, "s", "ü" * 40])
    if depth and words.random() < 0.4:
        return [document(words, depth + 1) for _ in range(words.randrange(6))]
    names = [*words.sample(NAMES, words.randrange(1, len(NAMES)))]
    if depth == 0:
        names += [f"k{n}" for n in range(members)]
    return {name: 70000 if name[:1] == "k" else document(words, depth + 1) for name in names}


def paths(value: Any, at: str = "$") -> Iterator[str]:
    members: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, member in members:
        inner = f"{at}[{name}]" if isinstance(value, list) else f"{at}.{json.dumps(name, ensure_ascii=False)}"
        yield inner
        yield from paths(member, inner)


def quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def change(words: random.Random, shown: str) -> str:
    """An expression that changes column d, whose value is `shown`."""
    known = list(paths(json.loads(shown)))
    interesting = [path for path in known if not path.startswith('$."k')] or known
    path = words.choice(interesting if words.random() < 0.8 else known)
    new = words.choice(
        [f"{path}.fresh", f'{path}."{words.choice(["neu", "n e w", "ключ2"])}"', f"{path}[last]", f"{path}[9]"]
    )
    value = words.choice([*SCALARS, quoted(json.dumps(document(words, 2))).join(("CAST(", " AS JSON)"))])
    return words.choice([
        f"JSON_SET(d, {quoted(path)}, {value})",
        f"JSON_REPLACE(d, {quoted(path)}, {value})",
        f"JSON_SET(d, {quoted(new)}, {value})",
        f"JSON_REMOVE(d, {quoted(path)})",
        f"JSON_SET(JSON_REMOVE(d, {quoted(words.choice(known))}), {quoted(path)}, {value}, '$.again', {value})",
    ])  # fmt: skip


@dataclass
class History:
    """What SELECT showed of each row, after each of its changes."""

    texts: dict[str, list[str]] = field(default_factory=dict)
    untouched: dict[str, str] = field(default_factory=dict)


def play(server: MysqlServer, database: str) -> History:
    words, history = random.Random(SEED), History()
    with server.connect(database=database) as connection, connection.cursor() as cursor:
        cursor.execute("SET SESSION sql_mode = ''")
        cursor.execute("CREATE TABLE t (id INT PRIMARY KEY, e JSON, d JSON, f JSON, n INT)")
        for n in range(DOCUMENTS):
            # Large enough for changes to be logged in part; the first with offsets of 4 bytes.
            text = json.dumps(document(words, members=9000 if n == 0 else 60), ensure_ascii=False)
            cursor.execute("INSERT INTO t VALUES (%s, %s, %s, '[1, {}]', 0)", (n, text, text))
            seen = history.texts.setdefault(str(n), [])
            for step in range(CHANGES + 1):
                if step:
                    expression = change(words, seen[-1])
                    # A JSON column beside it stays, or is changed too; the last is assigned anew as a whole.
                    beside = words.choice(["", ", f = JSON_ARRAY(n)", ", e = JSON_SET(e, '$.beside', 1)"])
                    cursor.execute(f"UPDATE t SET d = {expression}, n = n + 1{beside} WHERE id = {n}")
                cursor.execute(f"SELECT CAST(d AS CHAR) FROM t WHERE id = {n}")
                [(shown,)] = cursor.fetchall()
                if shown is None:
                    break
                seen.append(shown)
        cursor.execute("SELECT id, CONCAT(CAST(e AS CHAR), CAST(f AS CHAR)) FROM t")
        history.untouched = {str(id_): text for id_, text in cursor.fetchall()}
    return history


@pytest.fixture(scope="module")
def played(server: MysqlServer) -> Iterator[tuple[History, Found, int]]:
    """(what SELECT showed, what was published, number of PARTIAL_UPDATE_ROWS events)."""
    known = executed(server)
    with server.database() as database:
        history = play(server, database)
        data = dumped(server, known)
        yield history, decoded(data, canal(database)), event_types(data)[39]


def test_documents_are_those_select_shows(played: tuple[History, Found, int], figures: Figures) -> None:
    history, found, partial = played
    states: dict[str, list[str]] = {}
    for message in found.messages:
        [row] = message["data"]
        states.setdefault(row["id"], []).append(row["d"])
    for id_, seen in history.texts.items():
        published = states[id_]
        assert published[: len(seen)] == seen, f"row {id_}, seed {SEED}"
    changes = sum(len(seen) - 1 for seen in history.texts.values())
    figures({"documents": DOCUMENTS, "changes": changes, "partial_events": partial})
    assert partial > changes // 2


def test_old_documents_are_the_former_ones(played: tuple[History, Found, int]) -> None:
    history, found, _ = played
    former: dict[str, str] = {}
    for message in found.messages:
        [row] = message["data"]
        if message["type"] == "UPDATE" and "d" in message["old"][0]:
            assert message["old"][0]["d"] == former[row["id"]]
        former[row["id"]] = row["d"]
    assert len(former) == DOCUMENTS
    last = {message["data"][0]["id"]: message["data"][0] for message in found.messages}
    assert {id_: row["e"] + row["f"] for id_, row in last.items()} == history.untouched


def test_without_the_document_before_it_is_refused(server: MysqlServer) -> None:
    known = executed(server)
    with server.database() as database:
        server.run(
            "CREATE TABLE t (id INT PRIMARY KEY, d JSON)",
            "INSERT INTO t VALUES (1, JSON_OBJECT('a', REPEAT('x', 500), 'b', 1))",
            "SET SESSION binlog_row_image = MINIMAL",
            "UPDATE t SET d = JSON_SET(d, '$.b', 2)",
            database=database,
        )
        with pytest.raises(UnsupportedEvent, match=r"what changed in column d, not the document"):
            since(server, known, database)


def test_a_table_without_key_has_its_document_with_minimal_images(server: MysqlServer) -> None:
    known = executed(server)
    with server.database() as database:
        server.run(
            "CREATE TABLE t (n INT, d JSON)",
            "INSERT INTO t VALUES (1, JSON_OBJECT('a', REPEAT('x', 500), 'b', 1)), (2, NULL)",
            "SET SESSION binlog_row_image = MINIMAL",
            "UPDATE t SET d = JSON_SET(d, '$.b', n + 5)",
            "UPDATE t SET n = n + 1",
            # Has documents in its images as FULL has: they are no BLOBs.
            "SET SESSION binlog_row_image = NOBLOB",
            "UPDATE t SET d = JSON_SET(d, '$.c', n)",
            "UPDATE t SET n = n + 1",
            database=database,
        )
        last = since(server, known, database).messages[-2:]
        assert [(one["data"][0]["n"], one["data"][0]["d"]) for one in last] == [
            (str(n), d) for n, d in server.query(f"SELECT n, d FROM {database}.t ORDER BY n")
        ]
