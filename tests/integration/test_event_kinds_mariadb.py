"""Kinds of change as MariaDB logs them, without BEGIN and with GTIDs of its own: in the end a consumer has what SELECT shows."""

from collections.abc import Iterator

import pytest

from tests.kinds_of_change import SAVEPOINTS, SEVERAL_TABLES, TRIGGERS
from tests.servers import MariadbFactory, MysqlServer
from tests.story import Script, Told, told_by_tail

pytestmark = pytest.mark.must_show("5.1")

script = Script()


@pytest.fixture(
    scope="module", params=["11.8", *(pytest.param(old, marks=pytest.mark.prove) for old in ("10.5", "10.11"))]
)
def server(mariadb: MariadbFactory, request: pytest.FixtureRequest) -> MysqlServer:
    return mariadb(request.param)


@pytest.fixture(scope="module")
def story(server: MysqlServer) -> Iterator[Told]:
    path = server.endpoint.data_dir.parent / "files" / "rows.csv"
    path.write_text("".join(f"{n},text {n}\n" for n in range(300)))
    path.chmod(0o644)
    load = f"LOAD DATA INFILE '{path}' INTO TABLE loaded FIELDS TERMINATED BY ','"
    with told_by_tail(server, [*script.statements, load]) as found:
        yield found


@script(*TRIGGERS)
def test_rows_of_triggers(story: Told) -> None:
    story.agrees("watched")
    story.agrees("audit")


@script(*SEVERAL_TABLES)
def test_several_tables_replace_and_duplicates(story: Told) -> None:
    story.agrees("one")
    story.agrees("two")


@script(*SAVEPOINTS)
def test_savepoints(story: Told) -> None:
    story.agrees("saved")
    assert [row["id"] for row in story.rows("saved")] == ["1", "2", "4"]


@script(
    "CREATE TABLE origin (id INT PRIMARY KEY, c VARCHAR(20), v INT AS (id * 2) VIRTUAL, s INT AS (id * 3) PERSISTENT)",
    "INSERT INTO origin (id, c) VALUES (1, 'a'), (2, NULL)",
    "CREATE TABLE copied (PRIMARY KEY (id)) SELECT id, c, v FROM origin",
    "CREATE OR REPLACE TABLE copied (PRIMARY KEY (id)) SELECT id, c, s FROM origin WHERE id = 2",
    "CREATE TABLE plain (id INT PRIMARY KEY, n INT) ENGINE = MyISAM",
    "INSERT INTO plain VALUES (1, 1), (2, 2)",
    "UPDATE plain SET n = n + 1",
)
def test_copied_tables_and_ones_without_transactions(story: Told) -> None:
    story.agrees("origin")
    story.agrees("plain")
    assert story.messages("copied")[-1]["data"] == [{"id": "2", "c": None, "s": "6"}]


@script(
    "CREATE TABLE parent (id INT PRIMARY KEY)",
    "CREATE TABLE child (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES parent (id) ON DELETE CASCADE)",
    "INSERT INTO parent VALUES (1), (2)",
    "INSERT INTO child VALUES (10, 1), (20, 2)",
    "DELETE FROM parent WHERE id = 2",
)
def test_rows_that_a_cascade_deletes_are_not_logged(story: Told) -> None:
    """As docs/concepts.md says; MySQL 9.7 logs them (test_event_kinds.py)."""
    story.agrees("parent")
    assert [one["type"] for one in story.messages("child")] == ["INSERT", "INSERT"]
    assert len(story.select("SELECT * FROM child")) == 1


@script("CREATE TABLE loaded (id INT PRIMARY KEY, c VARCHAR(20))")
def test_load_data(story: Told) -> None:
    story.agrees("loaded")
    assert len(story.rows("loaded")) == 300
