"""XA transactions of all sizes under kill -9 in each phase: what the topics hold is what SELECT shows, each change once."""

import json
import os
import random
from collections import Counter
from typing import Any

import pytest

from deploy.rig.topics import read_committed, topics_like
from deploy.rig.worker import Instance
from tests.chaos.kill_loop import finish, hits, positions
from tests.instances import Figures, MakeInstance, source_of
from tests.servers import MysqlFactory

SEED = int(os.environ.get("CHAOS_SEED", "20261123"))
KILLED = -9
PHASES = (
    "txn.after_gtid@3",
    "kafka.mid_rows@4",
    "kafka.before_position@3",
    "kafka.before_commit@4",
    "kafka.after_commit@5",
    "held.before_reread@1",
    "held.before_reread@3",
    "held.mid_reread@1",
    "held.mid_reread@12",
    "big_txn.between_parts@1",
    "big_txn.between_parts@2",
    "position.after_read@1",
)
"""Of the worker: before, between and inside of what it does for an XA transaction."""
LARGE = 6_000
TABLE = "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(200)) "
NUMBERS = "WITH RECURSIVE s AS (SELECT 0 n UNION ALL SELECT n + 1 FROM s WHERE n + 1 < %d) SELECT %d + n, REPEAT('v', %d) FROM s"


class Transactions:
    """Prepares, commits and rolls back; some stay prepared over many rounds."""

    def __init__(self, instance: Instance, seed: int) -> None:
        self._source, self._database = instance.source, instance.database
        self._chance = random.Random(seed)
        self._next = 0
        self._open: list[str] = []
        self._name = instance.name
        self.begun = 0

    def round(self) -> None:
        for _ in range(self._chance.randint(1, 3)):
            self._prepare()
        self._run(f"INSERT INTO t VALUES ({self._ids(1)}, 'plain')")
        self._chance.shuffle(self._open)
        while len(self._open) > 2:
            self._end(self._open.pop())

    def finish(self) -> None:
        while self._open:
            self._end(self._open.pop())

    def _prepare(self) -> None:
        self.begun += 1
        name = f"{self._name}-{self.begun}"
        size = LARGE if self._chance.random() < 0.3 else self._chance.randint(1, 20)
        first = self._ids(size)
        changes = [f"INSERT INTO t {NUMBERS % (size, first, self._chance.randint(1, 150))}"]
        changes.append(f"UPDATE t SET v = 'changed' WHERE id = {first}")
        one_phase = self._chance.random() < 0.2
        compressed = "ON" if self._chance.random() < 0.3 else "OFF"
        last = f"XA COMMIT '{name}' ONE PHASE" if one_phase else f"XA PREPARE '{name}'"
        begin = [f"SET SESSION binlog_transaction_compression = {compressed}", "SET cte_max_recursion_depth = 100000"]
        self._run(*begin, f"XA START '{name}'", *changes, f"XA END '{name}'", last)
        if not one_phase:
            self._open.append(name)

    def _end(self, name: str) -> None:
        self._run(f"XA {'ROLLBACK' if self._chance.random() < 0.3 else 'COMMIT'} '{name}'")

    def _ids(self, count: int) -> int:
        self._next += count
        return self._next - count

    def _run(self, *statements: str) -> None:
        self._source.run(*statements, database=self._database)


def published(instance: Instance) -> list[dict[str, Any]]:
    """Messages in the order of their numbers; one that came twice (at least once) counts once, if both are the same."""
    topics = topics_like(instance.bootstrap, f"cdc.{instance.name}.{instance.database}.")
    found: dict[int, dict[str, Any]] = {}
    for record in read_committed(instance.bootstrap, topics):
        message = json.loads(record.value)
        del message["ts"]
        assert found.setdefault(message["id"], message) == message, "a number was given twice"
    return [found[number] for number in sorted(found)]


def total(instance: Instance) -> int:
    topics = topics_like(instance.bootstrap, f"cdc.{instance.name}.{instance.database}.")
    return sum(1 for _ in read_committed(instance.bootstrap, topics))


def judge(instance: Instance) -> dict[str, int]:
    """Against SELECT: the same rows, and of each row one insert."""
    messages = published(instance)
    rows, inserts = {}, Counter[int]()
    for message in messages:
        [row] = message["data"]
        rows[int(row["id"])] = row["v"]
        inserts[int(row["id"])] += message["type"] == "INSERT"
    with instance.source.connect(instance.database) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id, v FROM t")
        assert rows == dict(cursor.fetchall())
    assert set(inserts.values()) == {1}
    last = positions(instance)[-1]
    assert (last["held"], last["txn"]) == ([], None)
    assert last["seq"] == messages[-1]["id"]
    return {"messages": len(messages), "rows": len(rows)}


def killed_in(instance: Instance, phases: tuple[str, ...], seed: int) -> dict[str, int]:
    instance.source.run(f"CREATE DATABASE `{instance.database}`")
    instance.source.run(TABLE, database=instance.database)
    instance.start = {"gtid_set": instance.source.executed()}
    transactions = Transactions(instance, seed)
    for phase in phases:
        transactions.round()  # there is something to read, so that the phase is reached
        worker = instance.run(failpoint=f"{phase}=crash")
        for _ in range(200):
            if worker.poll() is not None:
                break
            transactions.round()
        assert worker.wait(60) == KILLED, f"{phase} was not reached\n{worker.said()}"
        assert hits(worker) == [phase.partition("@")[0]]
    transactions.finish()
    finish(instance)
    return {"seed": seed, "kills": len(phases), "xa_transactions": transactions.begun, **judge(instance)}


SMALL_PARTS = {"commit": {"max_bytes": "64KiB"}}


SERVERS = {
    "no-gtid": ("mysql-9.7", {"gtid_mode": "OFF", "enforce_gtid_consistency": "OFF"}),
    "mariadb-11.8": ("mariadb-11.8", {}),
    "mariadb-10.11": ("mariadb-10.11", {}),
}


@pytest.mark.must_show("5.2")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["no-gtid", "mariadb-11.8", pytest.param("mariadb-10.11", marks=pytest.mark.prove)])
def test_each_phase_is_read_by_another_process(
    make_instance: MakeInstance, mysql_server: MysqlFactory, kind: str
) -> None:
    """The source crashes between the phases, and the process that reads the second one is killed inside of it."""
    flavour, options = SERVERS[kind]
    server = mysql_server(flavour, binlog_row_metadata="FULL", **options)
    instance = make_instance("xa-phases", source=source_of(server), tables=("t",), overrides={"sink": SMALL_PARTS})
    at = instance.source.end_of_binlog()
    instance.start = {"file": at.file, "position": at.offset}
    database = instance.database
    instance.source.run(f"CREATE DATABASE {database}")
    instance.source.run(TABLE, "INSERT INTO t VALUES (1, 'plain')", database=database)
    large = f"INSERT INTO t {NUMBERS % (LARGE, 100, 90)}"
    for name, statement in {
        "small": "INSERT INTO t VALUES (2, 'x')",
        "large": large,
        "never": "DELETE FROM t WHERE id = 1",
    }.items():
        setting = (
            "SET max_recursive_iterations = 100000"
            if instance.source.mariadb
            else "SET cte_max_recursion_depth = 100000"
        )
        instance.source.run(
            setting, f"XA START '{name}'", statement, f"XA END '{name}'", f"XA PREPARE '{name}'", database=database
        )
    finish(instance)
    held = positions(instance)[-1]["held"]
    assert [(each["file"], each["gtid"] is None) for each in held] == [(at.file, kind == "no-gtid")] * 3
    assert [message["data"][0]["id"] for message in published(instance)] == ["1"]
    server.restart(kill=True)
    instance.source.run("XA COMMIT 'large'", "XA ROLLBACK 'never'", "XA COMMIT 'small'")
    worker = instance.run(failpoint="held.mid_reread@3=crash")
    assert worker.wait(60) == KILLED, worker.said()
    finish(instance)
    assert judge(instance) == {"messages": LARGE + 2, "rows": LARGE + 2}
    assert total(instance) == LARGE + 2
    assert published(instance)[-1]["data"][0]["id"] == "2"


@pytest.mark.prove
@pytest.mark.must_show("5.2")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
def test_killed_in_each_phase(make_instance: MakeInstance, figures: Figures, delivery: str) -> None:
    instance = make_instance("xa-all", tables=("t",), overrides={"sink": SMALL_PARTS | {"delivery": delivery}})
    figures(killed_in(instance, PHASES * 2, SEED))
    if delivery == "exactly_once":
        assert total(instance) == len(published(instance))
