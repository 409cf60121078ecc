"""Worker processes of a fleet on real servers, judged by mysqlbinlog and SELECT; the schedule is written by hand."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from cdcd.config.secrets import Credentials
from cdcd.config.settings import load_settings
from cdcd.fleet.session import close_session
from deploy.rig.load import Load, Shape
from deploy.rig.verify import verify
from deploy.rig.worker import caught_up, until
from tests.chaos.kill_loop import positions, run_of
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


def test_a_killed_worker_is_followed_by_the_next(make_stage: MakeStage) -> None:
    stage = make_stage("killed")
    stage.schedule("a")
    with load(stage):
        first = stage.worker("a").running()
        until(lambda: published(first), "it publishes")
        first.kill()
        settings = load_settings(stage.fleet.write_settings("a"))
        assert close_session(settings.ensemble(), Credentials(None), first.hello.session_id, first.hello.password), (
            "the dead worker's session can be closed by what it said"
        )
        second = stage.worker("a").running()
        until(lambda: published(second), "the second publishes")
    epochs = [record["epoch"] for record in positions(stage.instance)]
    assert epochs == sorted(epochs)
    assert second.reports[-1].metrics.epoch == epochs[-1]
    second.signal(signal.SIGTERM)
    second.ended("stopped")
    assert stage.fleet.runner(stage.name) is None
