"""Must-show 3.4: a stopped and replaced worker, and a late `init_transactions`, on the real broker."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka import Producer

from deploy.rig.checks import Report
from deploy.rig.load import Load, Shape, create_tables
from deploy.rig.verify import verify
from deploy.rig.worker import Instance, Worker, until
from tests.chaos.artefacts import kept_on_failure
from tests.chaos.kill_loop import finish, hits, positions, run_of, working
from tests.instances import Figures, MakeInstance

SHAPE = Shape(huge_rows=5_000, huge_every=40, ddl_every=0)
SEED = 4
REPLACED = 0
"""Exit code of a worker that found a newer owner: nothing is wrong."""


def _published(worker: Worker) -> float:
    return worker.metric("cdcd_published_records_total") or 0


def _publishes_on(worker: Worker) -> None:
    before = _published(worker)
    until(lambda: worker.poll() is not None or _published(worker) > before, "it publishes on")
    assert worker.poll() is None, f"the worker ended with {worker.code}\n{worker.said()}"


class Scene:
    """An instance under load. `close` brings the load to rest, publishes the rest and judges all of it."""

    def __init__(self, instance: Instance) -> None:
        create_tables(instance.source, instance.database)
        self.instance = instance
        self.run = run_of(instance, instance.source.end_of_binlog())
        instance.start = {"gtid_set": instance.source.executed()}
        self.load = Load(instance.source, instance.database, SEED, SHAPE)
        self.load.start()

    def close(self, last: Worker) -> Report:
        history = self.load.stop()
        assert last.stop() == 0, last.said()
        finish(self.instance)
        report = verify(self.run, history)
        assert report.passed, report.account()
        return report


@contextmanager
def under_load(instance: Instance, scenario: str) -> Iterator[Scene]:
    """The artefacts are kept when the test fails."""
    scene = Scene(instance)
    with kept_on_failure(scenario, SEED, scene.run, instance.folder, scene.load):
        yield scene


def _left(worker: Worker) -> None:
    """The replaced one ends by itself, for that reason."""
    code = worker.wait(60)
    assert code == REPLACED, f"exit code {code}\n{worker.said()}"
    assert "instance.replaced" in [line["event"] for line in worker.log()], worker.said()


@pytest.mark.must_show("3.4")
def test_a_stopped_and_replaced_worker_publishes_nothing_more(make_instance: MakeInstance, figures: Figures) -> None:
    """Stopped in mid-transaction: with messages sent, their commit not yet asked for."""
    instance = make_instance("zombie")
    with under_load(instance, "test_a_stopped_and_replaced") as scene:
        first = instance.run(failpoint="kafka.before_commit@20=pause")
        until(lambda: bool(hits(first)), "the first worker is stopped in mid-work")
        second = instance.run()
        until(lambda: working(second), "the second publishes")
        first.signal(signal.SIGCONT)
        _left(first)
        _publishes_on(second)
        report = scene.close(second)
        epochs = [int(record["epoch"]) for record in positions(instance)]
        assert epochs == sorted(epochs), "a position of an old epoch stands after one of a new epoch"
        assert len(set(epochs)) == 3
    figures({"replaced_exit_code": first.code, "epochs": sorted(set(epochs)), "messages": report.messages})


@pytest.mark.must_show("3.4")
def test_a_worker_stopped_at_any_moment_leaves_too(make_instance: MakeInstance) -> None:
    """SIGSTOP from outside."""
    instance = make_instance("zombie-idle")
    with under_load(instance, "test_a_worker_stopped_at_any") as scene:
        first = instance.run()
        until(lambda: working(first), "the first publishes")
        first.signal(signal.SIGSTOP)
        second = instance.run()
        until(lambda: working(second), "the second publishes")
        first.signal(signal.SIGCONT)
        _left(first)
        _publishes_on(second)
        assert second.metric("cdcd_fenced_total") == 0, "the one that left has fenced it"
        scene.close(second)


@pytest.mark.must_show("3.4")
def test_a_late_init_of_an_older_epoch_does_not_stop_the_rightful_one(
    make_instance: MakeInstance, figures: Figures
) -> None:
    """Whoever comes late with the same transactional id fences the owner; the owner must come back by itself."""
    instance = make_instance("late-init")
    with under_load(instance, "test_a_late_init") as scene:
        worker = instance.run()
        until(lambda: working(worker), "it publishes")
        for _ in range(3):
            _init_late(instance)
            _publishes_on(worker)
            _publishes_on(worker)
        fenced = worker.metric("cdcd_fenced_total")
        assert fenced, "nobody was fenced: the transactional id is another one"
        report = scene.close(worker)
    figures({"fenced": fenced, "messages": report.messages})


def _init_late(instance: Instance) -> None:
    late = Producer(
        {"bootstrap.servers": instance.bootstrap, "transactional.id": instance.transactional_id, "log_level": 2}
    )
    late.init_transactions(30)
