"""Worker processes of a fleet on real servers, judged by mysqlbinlog and SELECT; the schedule is written by hand."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cdcd.config.secrets import Credentials
from cdcd.config.settings import load_settings
from cdcd.fleet.session import close_session
from deploy.rig.load import Load, Shape
from deploy.rig.verify import verify
from deploy.rig.worker import caught_up, until
from tests.chaos.kill_loop import hits, positions, run_of
from tests.fleets import LASTING
from tests.lone_workers import LoneWorker, MakeStage, Stage

SHAPE = Shape(sessions=2, rate=60, huge_rows=2_000, huge_every=60, ddl_every=0)
SEED = 41


@contextmanager
def load(stage: Stage) -> Iterator[Load]:
    """Changes all the while; at the end everything is published and judged."""
    run = run_of(stage.instance, stage.instance.source.end_of_binlog())
    running = Load(stage.instance.source, stage.instance.database, SEED, SHAPE)
    running.start()
    yield running
    history = running.stop()
    until(lambda: caught_up(stage.instance), "everything is published", every=0.3)
    report = verify(run, history)
    assert report.passed, report.account()


def published(worker: LoneWorker) -> int:
    return worker.reports[-1].metrics.published_records if worker.reports else 0


def bury(stage: Stage, worker: LoneWorker) -> bool:
    """Close its session, as its server does, by what it has told; False: it had ended already."""
    ensemble = load_settings(stage.fleet.write_settings("a")).ensemble()

    def closed() -> bool:
        return close_session(ensemble, Credentials(None), worker.hello.session_id, worker.hello.password)

    if not closed():
        return False
    while worker.poll() is None and closed():  # one that lives may have had it back before it was closed
        pass
    return True


def test_a_killed_worker_is_followed_by_the_next(make_stage: MakeStage) -> None:
    stage = make_stage("killed")
    stage.fleet.session = LASTING  # it must not be over before it is closed
    stage.schedule("a")
    with load(stage):
        first = stage.worker("a").running()
        until(lambda: published(first), "it publishes")
        first.kill()
        assert bury(stage, first)
        second = stage.worker("a").running()
        until(lambda: published(second), "the second publishes")
    epochs = [record["epoch"] for record in positions(stage.instance)]
    assert epochs == sorted(epochs)
    assert second.reports[-1].metrics.epoch == epochs[-1]
    second.signal(signal.SIGTERM)
    second.ended("stopped")
    assert stage.fleet.runner(stage.name) is None


def test_a_worker_whose_session_is_closed_publishes_nothing_more(make_stage: MakeStage) -> None:
    """Fault 5: a second client with its session id closes it. The lock is free at once, and the worker must not go on."""
    stage = make_stage("expired")
    stage.schedule("a")
    with load(stage):
        first = stage.worker("a").running()
        until(lambda: published(first), "it publishes")
        stage.schedule("b")
        second = stage.worker("b")
        until(lambda: second.role == "waiting", "the next one waits")
        bury(stage, first)
        first.ended("not_owner")
        second.running()
    stored = [(record["epoch"], record["nonce"]) for record in positions(stage.instance)]
    assert [epoch for epoch, _ in stored] == sorted(epoch for epoch, _ in stored)
    assert len(set(stored)) == 2


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
def test_a_hand_over_loses_and_repeats_nothing(make_stage: MakeStage, delivery: str) -> None:
    stage = make_stage("moved", overrides={"sink": {"delivery": delivery}})
    stage.schedule("a")
    with load(stage):
        first = stage.worker("a").running()
        until(lambda: published(first), "it publishes")
        stage.schedule("a", successor="b")
        second = stage.worker("b")
        first.ended("handed_over")
        second.running()
        until(lambda: published(second), "the successor publishes")
        assert stage.fleet.runner(stage.name) == "b"
        assert stage.fleet.tree.node(f"/state/{stage.name}/standby") is None
    assert first.reports[-1].metrics.epoch != second.reports[-1].metrics.epoch


def test_without_a_successor_ready_nobody_stops(make_stage: MakeStage) -> None:
    """The successor's credential is not there: it never stands by, and ends with why; the owner goes on."""
    stage = make_stage("steadfast")
    stage.schedule("a")
    with load(stage):
        first = stage.worker("a").running()
        stage.schedule("a", successor="b")
        second = stage.worker("b", grant=False)
        said = second.ended("parked")
        assert said.finding is not None
        assert said.finding.code == "credential-missing"
        before = published(first)
        until(lambda: published(first) > before, "the owner publishes on")
        assert stage.fleet.tree.node(f"/state/{stage.name}/standby") is None
    assert first.poll() is None


@pytest.mark.parametrize("name", ["handover.drained", "handover.released"])
def test_an_owner_that_dies_in_a_hand_over_is_followed_by_the_successor(make_stage: MakeStage, name: str) -> None:
    stage = make_stage("fallen")
    stage.schedule("a")
    with load(stage):
        first = stage.worker("a", failpoint=f"{name}=crash").running()
        until(lambda: published(first), "it publishes")
        stage.schedule("a", successor="b")
        second = stage.worker("b")
        assert first.wait() == -signal.SIGKILL, first.said()
        second.running()
        until(lambda: published(second), "the successor publishes")


@pytest.mark.parametrize("name", ["lock.acquired", "mirror.before_write", "mirror.after_write", "zk.suspended"])
def test_a_crash_between_worker_and_zookeeper_costs_nothing(make_stage: MakeStage, name: str) -> None:
    stage = make_stage("crashed")
    stage.schedule("a")
    with load(stage):
        first = stage.worker("a", failpoint=f"{name}=crash")
        if name == "zk.suspended":
            bury(stage, first.running())
        assert first.wait() == -signal.SIGKILL, first.said()
        assert hits(first) == [name]
        bury(stage, first)
        stage.worker("a").running()


def test_off_the_schedule_a_worker_stores_its_position_and_leaves(make_stage: MakeStage) -> None:
    stage = make_stage("paused")
    stage.schedule("a")
    with load(stage):
        first = stage.worker("a").running()
        until(lambda: published(first), "it publishes")
        stage.schedule(None)
        first.ended("not_owner")
        assert stage.fleet.runner(stage.name) is None
        stage.schedule("a")
        stage.worker("a").running()


def test_the_end_of_its_server_ends_a_worker(make_stage: MakeStage) -> None:
    stage = make_stage("orphan")
    stage.schedule("a")
    with load(stage):
        first = stage.worker("a").running()
        first.abandon()
        assert first.wait() == 0, first.said()
        assert stage.fleet.runner(stage.name) is None
        stage.worker("a").running()


def test_it_waits_for_a_lock_and_a_stop_ends_that(make_stage: MakeStage) -> None:
    stage = make_stage("patient")
    stage.schedule("a")
    stage.worker("a").running()
    second = stage.worker("a")
    until(lambda: second.role == "waiting" and second.state == "starting", "it waits")
    second.ask_to_stop()
    second.ended("stopped")


def test_trouble_that_does_not_go_away_is_given_up_where_it_never_ran(make_stage: MakeStage) -> None:
    stage = make_stage("hopeless", fleet={"start_attempts": 2}, hosts=("127.0.0.1:1",))
    stage.schedule("a")
    said = stage.worker("a").ended("gave_up")
    assert said.finding is not None
    assert said.finding.code == "source-unreachable"
    until(lambda: stage.fleet.status(stage.name).get("state") == "retrying", "people are told")
    assert stage.fleet.status(stage.name)["finding"]["code"] == "source-unreachable"


def test_a_second_signal_ends_a_worker_that_hangs(make_stage: MakeStage) -> None:
    stage = make_stage("stubborn")
    stage.schedule("a")
    worker = stage.worker("a", failpoint="position.after_read=hang")
    until(lambda: hits(worker) == ["position.after_read"], "it hangs")
    worker.signal(signal.SIGTERM)
    until(lambda: "worker.stopping" in {line["event"] for line in worker.log()}, "the first signal is heard")
    assert worker.poll() is None
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 1, worker.said()


def test_a_worker_that_hangs_ends_soon_after_its_server(make_stage: MakeStage) -> None:
    stage = make_stage("forlorn")
    stage.schedule("a")
    worker = stage.worker("a", failpoint="position.after_read=hang")
    until(lambda: hits(worker) == ["position.after_read"], "it hangs")
    worker.abandon()
    assert worker.wait() == 1, worker.said()


def test_a_worker_that_hangs_ends_soon_after_its_lock(make_stage: MakeStage) -> None:
    """Whatever it hangs in, it must not come back as an owner."""
    stage = make_stage("entranced")
    stage.schedule("a")
    worker = stage.worker("a", failpoint="position.after_read=hang")
    until(lambda: hits(worker) == ["position.after_read"], "it hangs")
    assert bury(stage, worker)
    assert worker.wait() == 1, worker.said()
    assert worker.farewell is None
