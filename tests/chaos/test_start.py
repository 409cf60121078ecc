"""Must-show 3.5: `start: latest` and `start: {time: ...}` with a kill before the first commit of rows lose nothing.

The promise starts with the claim: once a worker has committed its first, position-only transaction, every later row
counts, whatever happens before the first row is published.
"""

import time
from datetime import UTC, datetime

import pytest

from deploy.rig.load import create_tables
from deploy.rig.topics import OpenTransaction, topics_like
from deploy.rig.verify import verify
from deploy.rig.worker import Instance, until
from tests.chaos.kill_loop import KILLED, finish, hits, positions, run_of
from tests.instances import MakeInstance

BEFORE_ROWS = (
    "position.after_read@1",
    "source.first_event@1",
    "txn.after_gtid@1",
    "kafka.after_begin@1",
    "kafka.mid_rows@1",
    "kafka.before_commit@2",  # the first one is the claim's
)
BEFORE_CLAIM = ("producer.after_init@1", "epoch.claimed@1", "kafka.before_commit@1")
ALREADY_CLAIMED = [
    each if each in {"position.after_read@1", "kafka.mid_rows@1"} else pytest.param(each, marks=pytest.mark.prove)
    for each in BEFORE_ROWS
]
"""A start that is claimed is a position like any other, which `latest` goes through in `make test`."""


def _rows(instance: Instance, first: int, count: int = 50) -> None:
    """One transaction, whose first row is so large that it comes in several reads."""
    rows = ", ".join(f"({number}, 1, 1, 1, 'x', 1)" for number in range(first, first + count - 1))
    with instance.source.connect(instance.database, autocommit=False) as connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO item VALUES (%s, 'b', 1, 1, 1, REPEAT('x', 60000), NOW(3))", (first,))
        cursor.execute(f"INSERT INTO account (id, gen_id, gen_no, ver, name, amount) VALUES {rows}")
        connection.commit()


def _claimed(instance: Instance) -> bool:
    """Whether a position record is committed."""
    if not topics_like(instance.bootstrap, instance.position_topic):
        return False
    try:
        return bool(positions(instance))
    except OpenTransaction:
        return False


@pytest.mark.must_show("3.5")
@pytest.mark.parametrize("failpoint", BEFORE_ROWS)
def test_latest_is_pinned_before_the_first_row(make_instance: MakeInstance, failpoint: str) -> None:
    instance = make_instance("latest")
    create_tables(instance.source, instance.database)
    _rows(instance, 1)
    base = {table.full_name: instance.source.contents(table) for table in instance.source.tables(instance.database)}
    start = instance.source.end_of_binlog()
    worker = instance.run(failpoint=f"{failpoint}=crash")
    until(lambda: _claimed(instance), "the start is pinned")
    _rows(instance, 1000)
    assert worker.wait(60) == KILLED, worker.said()
    assert hits(worker) == [failpoint.partition("@")[0]]
    _rows(instance, 2000)
    finish(instance)
    run = run_of(instance, start, base)
    report = verify(run)
    assert report.passed, report.account()
    assert report.messages == 100


@pytest.mark.must_show("3.5")
@pytest.mark.parametrize("failpoint", [*BEFORE_CLAIM, *ALREADY_CLAIMED])
def test_a_start_by_time_survives_a_kill(make_instance: MakeInstance, failpoint: str) -> None:
    instance = make_instance("time")
    create_tables(instance.source, instance.database)
    _rows(instance, 1)
    base = {table.full_name: instance.source.contents(table) for table in instance.source.tables(instance.database)}
    moment = _a_whole_second()
    instance.start = {"time": datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
    start = instance.source.end_of_binlog()
    _rows(instance, 1000)
    worker = instance.run(failpoint=f"{failpoint}=crash")
    assert worker.wait(60) == KILLED, worker.said()
    assert hits(worker) == [failpoint.partition("@")[0]]
    _rows(instance, 2000)
    finish(instance)
    report = verify(run_of(instance, start, base))
    assert report.passed, report.account()
    assert report.messages == 100


def _a_whole_second() -> int:
    """Wait until the clock passes a full second well after what was written; returns it."""
    moment = int(time.time()) + 1
    until(lambda: time.time() >= moment, "the next second", every=0.01)
    return moment
