"""Definitions and positions that are changed while, or between, workers of a fleet run."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cdcd.worker.takeover import RENUMBERED
from deploy.rig.load import Load, Shape
from deploy.rig.topics import read_committed, topics_like
from deploy.rig.worker import caught_up, until
from tests.chaos.kill_loop import positions
from tests.lone_workers import LoneWorker, MakeStage, Stage

SHAPE = Shape(sessions=2, rate=80, huge_rows=500, huge_every=20, ddl_every=0)
SEED = 42


@contextmanager
def load(stage: Stage) -> Iterator[None]:
    running = Load(stage.instance.source, stage.instance.database, SEED, SHAPE)
    running.start()
    yield
    running.stop()
    until(lambda: caught_up(stage.instance), "everything is published", every=0.3)


def messages(stage: Stage, prefix: str = "cdc.") -> list[dict[str, Any]]:
    """Of all topics of the instance's rows, in the order of their numbers."""
    topics = topics_like(stage.instance.bootstrap, f"{prefix}{stage.name}.")
    found = [json.loads(record.value) for record in read_committed(stage.instance.bootstrap, topics)]
    return sorted(found, key=lambda message: int(message["id"]))


def numbers(found: list[dict[str, Any]]) -> list[int]:
    return [int(message["id"]) for message in found]


def dumps(stage: Stage) -> list[int]:
    """Connection ids of the source's dump threads.

    Not of information_schema.PROCESSLIST: it fails while somebody runs a statement with characters beyond utf8mb3.
    """
    with stage.instance.source.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SHOW PROCESSLIST")
        return sorted(row[0] for row in cursor.fetchall() if str(row[4]).startswith("Binlog Dump"))


def published(worker: LoneWorker) -> int:
    return worker.reports[-1].metrics.published_records if worker.reports else 0


def goes_on(worker: LoneWorker, by: int = 1) -> None:
    """It publishes so many messages more."""
    before = published(worker)
    until(lambda: published(worker) >= before + by, "it publishes on")
    assert worker.poll() is None


def test_topics_and_tables_change_without_a_new_connection(make_stage: MakeStage) -> None:
    stage = make_stage("retargeted")
    stage.schedule("a")
    with load(stage):
        worker = stage.worker("a").running()
        goes_on(worker)
        dump = dumps(stage)
        stage.define(sink={"topic": f"new.{stage.name}.{{database}}.{{table}}"})
        made = f"new.{stage.name}."
        until(lambda: len(topics_like(stage.instance.bootstrap, made)) == 3, "all tables go to new topics")
        goes_on(worker)
        only = f"{stage.instance.database}.account"
        filtered = worker.reports[-1].metrics.rows_filtered
        stage.define(tables={"include": [only]})
        until(lambda: worker.reports[-1].metrics.rows_filtered > filtered, "rows are left out")
        goes_on(worker)  # what was under way has arrived
        goes_on(worker, by=10)
        assert set(dumps(stage)) <= set(dump)  # those of dead workers may have gone
    old, new = messages(stage), messages(stage, "new.")
    assert numbers(old) == list(range(1, len(old) + 1))
    assert numbers(new) == list(range(len(old) + 1, len(old) + len(new) + 1))
    tables = [message["table"] for message in new]
    assert {"account", "item", "ledger"} == set(tables)
    assert set(tables[-10:]) == {"account"}
    assert worker.reports[-1].metrics.takeovers == 1
    assert len({record["epoch"] for record in positions(stage.instance)}) == 1
    until(lambda: stage.fleet.status(stage.name).get("tables") == [only], "the effective tables are told")


def test_an_invalid_definition_disturbs_nobody_and_is_told(make_stage: MakeStage) -> None:
    stage = make_stage("spoilt")
    stage.schedule("a")
    with load(stage):
        worker = stage.worker("a").running()
        stage.fleet.tree.put(f"/instances/{stage.name}", b'{"name": "spoilt", "sink": {"topic": "a b"}}')

        def told() -> set[str]:
            return {problem["path"] for problem in stage.fleet.status(stage.name).get("problems", ())}

        until(lambda: told() == {"source", "tables", "sink.topic"}, "every mistake is told, by its field")
        assert stage.fleet.status(stage.name)["state"] == "running"
        goes_on(worker)
        stage.define()
        until(lambda: not told(), "the correction is seen")
        goes_on(worker)
    found = numbers(messages(stage))
    assert found == list(range(1, len(found) + 1))


def test_another_source_setting_is_taken_over_anew_under_the_same_lock(make_stage: MakeStage) -> None:
    stage = make_stage("reconnected")
    stage.schedule("a")
    with load(stage):
        worker = stage.worker("a").running()
        goes_on(worker)
        dump = dumps(stage)
        lock = stage.fleet.tree.node(f"/state/{stage.name}/running")
        stage.define(source={"heartbeat": "3s"})
        until(lambda: worker.reports[-1].metrics.takeovers > 1, "it is taken over anew")
        goes_on(worker)
        assert set(dumps(stage)) - set(dump)
        assert stage.fleet.tree.node(f"/state/{stage.name}/running") == lock
    found = numbers(messages(stage))
    assert found == list(range(1, len(found) + 1))
    assert len({record["epoch"] for record in positions(stage.instance)}) == 1


def test_a_position_that_was_ordered_is_gone_on_from_once(make_stage: MakeStage) -> None:
    stage = make_stage("rewound")
    stage.schedule("a")
    with load(stage):
        worker = stage.worker("a").running()
        goes_on(worker)
    worker.ask_to_stop()
    worker.ended("stopped")
    first = messages(stage)
    stage.fleet.tree.request(stage.name, "set_position", position=stage.instance.start)
    # Killed between the claim, which holds the ordered position, and the removal of the order: it is not served twice.
    again = stage.worker("a", failpoint="kafka.after_commit=crash")
    again.wait()
    assert stage.fleet.tree.node(f"/requests/{stage.name}") is not None
    claimed = positions(stage.instance)[-1]
    assert claimed["seq"] == first[-1]["id"] + RENUMBERED
    assert claimed["request"]
    third = stage.worker("a").running()
    until(lambda: caught_up(stage.instance), "everything is published again", every=0.3)
    assert stage.fleet.tree.node(f"/requests/{stage.name}") is None
    third.ask_to_stop()
    third.ended("stopped")
    second = messages(stage)[len(first) :]
    start = int(claimed["seq"])
    assert numbers(second) == list(range(start + 1, start + 1 + len(first)))
    assert [message["data"] for message in second] == [message["data"] for message in first]
    assert "request" not in positions(stage.instance)[-1]


def test_an_order_that_is_no_position_parks(make_stage: MakeStage) -> None:
    stage = make_stage("misled")
    stage.schedule("a")
    stage.fleet.tree.request(stage.name, "set_position", position={"gtid_set": "nonsense"})
    said = stage.worker("a").ended("parked")
    assert said.finding is not None
    assert said.finding.code == "position-request-invalid"


def test_a_definition_that_leads_nowhere_is_corrected_while_it_retries(make_stage: MakeStage) -> None:
    stage = make_stage("astray")
    stage.schedule("a")
    with load(stage):
        worker = stage.worker("a").running()
        right = stage.instance.definition()["source"]
        stage.define(source={"port": 1})
        until(lambda: worker.state == "retrying", "it cannot connect")
        assert stage.fleet.runner(stage.name) == "a"
        stage.define(source=right)
        worker.running()
        goes_on(worker)
    found = numbers(messages(stage))
    assert found == list(range(1, len(found) + 1))
