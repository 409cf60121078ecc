"""Must-show 4: a stopped and replaced worker, and a late `init_transactions`, on the real broker."""

import signal
from typing import Any

import pytest
from confluent_kafka import Producer

from deploy.rig.load import Load, Shape, create_tables
from deploy.rig.verify import verify
from deploy.rig.worker import Instance, Worker, until
from tests.chaos.kill_loop import finish, positions, run_of, working
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


def _epochs(records: list[dict[str, Any]]) -> list[int]:
    return [int(record["epoch"]) for record in records]


def _loaded(instance: Instance) -> tuple[Load, Any]:
    create_tables(instance.source, instance.database)
    start = instance.source.end_of_binlog()
    instance.start = {"gtid_set": instance.source.executed()}
    load = Load(instance.source, instance.database, SEED, SHAPE)
    load.start()
    return load, start


@pytest.mark.must_show(4)
def test_a_stopped_and_replaced_worker_publishes_nothing_more(make_instance: MakeInstance, figures: Figures) -> None:
    """Stopped in mid-transaction: with messages sent, their commit not yet asked for."""
    instance = make_instance("zombie")
    load, start = _loaded(instance)
    first = instance.run(failpoint="kafka.before_commit@20=pause")
    until(lambda: "kafka.before_commit" in first.err.read_text(), "the first worker is stopped in mid-work")
    second = instance.run()
    until(lambda: working(second), "the second publishes")
    first.signal(signal.SIGCONT)
    code = first.wait(60)
    _publishes_on(second)
    history = load.stop()
    assert second.stop() == 0, second.said()
    finish(instance)
    epochs = _epochs(positions(instance))
    report = verify(run_of(instance, start), history)
    assert report.passed, report.account()
    assert epochs == sorted(epochs), "a position of an old epoch stands after one of a new epoch"
    assert len(set(epochs)) == 3
    assert code >= 0, f"the replaced worker died of a signal instead of leaving\n{first.said()}"
    assert code == REPLACED, f"exit code {code}\n{first.said()}"
    assert "instance.replaced" in [line["event"] for line in first.log()]
    figures({"replaced_exit_code": code, "epochs": sorted(set(epochs)), "messages": report.messages, **report.verdicts})


@pytest.mark.must_show(4)
def test_a_worker_stopped_between_transactions_leaves_too(make_instance: MakeInstance) -> None:
    """SIGSTOP at any moment, from outside."""
    instance = make_instance("zombie-idle")
    load, start = _loaded(instance)
    first = instance.run()
    until(lambda: working(first), "the first publishes")
    first.signal(signal.SIGSTOP)
    second = instance.run()
    until(lambda: working(second), "the second publishes")
    first.signal(signal.SIGCONT)
    assert first.wait(60) == REPLACED, first.said()
    assert "instance.replaced" in [line["event"] for line in first.log()]
    _publishes_on(second)
    history = load.stop()
    assert second.stop() == 0, second.said()
    finish(instance)
    report = verify(run_of(instance, start), history)
    assert report.passed, report.account()


@pytest.mark.must_show(4)
def test_a_late_init_of_an_older_epoch_does_not_stop_the_rightful_one(
    make_instance: MakeInstance, figures: Figures
) -> None:
    """Whoever comes late with the same transactional id fences the owner; the owner must come back by itself."""
    instance = make_instance("late-init")
    load, start = _loaded(instance)
    worker = instance.run()
    until(lambda: working(worker), "it publishes")
    for _ in range(3):
        late = Producer(
            {
                "bootstrap.servers": instance.bootstrap,
                "transactional.id": instance.transactional_id,
                "log_level": 2,
            }
        )
        late.init_transactions(30)
        _publishes_on(worker)
        _publishes_on(worker)
    fenced = worker.metric("cdcd_fenced_total")
    assert fenced, "nobody was fenced: the transactional id is another one"
    history = load.stop()
    assert worker.stop() == 0, worker.said()
    finish(instance)
    report = verify(run_of(instance, start), history)
    assert report.passed, report.account()
    figures({"fenced": fenced, "messages": report.messages, **report.verdicts})
