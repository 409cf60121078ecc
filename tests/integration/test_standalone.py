"""`cdcd run --standalone` from a real MySQL to a real broker, judged by mysqlbinlog and SELECT."""

from typing import Any

import pytest

from deploy.rig.load import Load, Shape, create_tables
from deploy.rig.verify import Run, verify
from deploy.rig.worker import Instance, until
from tests.chaos.kill_loop import finish, positions, run_of, working
from tests.instances import MakeInstance, source_of
from tests.servers import MysqlFactory

SEED = 3
SHAPE = Shape(sessions=2, rate=400, huge_rows=2_000, huge_every=50, ddl_every=40, max_transactions=90)


def _begin(instance: Instance) -> Run:
    """Tables, and a start behind them."""
    create_tables(instance.source, instance.database)
    instance.start = {"gtid_set": instance.source.executed()}
    return run_of(instance, instance.source.end_of_binlog())


@pytest.mark.parametrize(
    ("options", "ddl_every"),
    [
        ({}, 40),
        ({"binlog_transaction_compression": "ON"}, 40),
        # Names come from information_schema, which is right as long as no DDL lies between.
        ({"binlog_row_metadata": "MINIMAL"}, 0),
        ({"binlog_checksum": "NONE"}, 40),
    ],
    ids=["full", "compressed", "minimal", "no-checksum"],
)
def test_a_mixed_workload_arrives(
    make_instance: MakeInstance, mysql_server: MysqlFactory, options: dict[str, str], ddl_every: int
) -> None:
    instance = make_instance("mixed", source=source_of(mysql_server(**options)))
    run = _begin(instance)
    load = Load(instance.source, instance.database, SEED, Shape(**{**_fields(SHAPE), "ddl_every": ddl_every}))
    load.start()
    history = load.wait()
    finish(instance)
    report = verify(run, history)
    assert report.passed, report.account()
    assert report.counted.split > 0
    assert report.statements == (2 if ddl_every else 0)


def _fields(shape: Shape) -> dict[str, Any]:
    return {name: getattr(shape, name) for name in shape.__slots__}


def test_a_second_run_has_nothing_to_publish(make_instance: MakeInstance) -> None:
    instance = make_instance("again")
    run = _begin(instance)
    load = Load(instance.source, instance.database, SEED, SHAPE)
    load.start()
    history = load.wait()
    finish(instance)
    first = positions(instance)[-1]
    finish(instance)
    second = positions(instance)[-1]
    assert verify(run, history).passed
    assert (second["seq"], second["epoch"]) == (first["seq"], first["epoch"] + 1)


def test_the_position_moves_when_everything_is_left_out(make_instance: MakeInstance) -> None:
    instance = make_instance("filtered", tables=("nothing",))
    _begin(instance)
    worker = instance.run()
    until(lambda: bool(worker.metric("cdcd_instance_owned")), "it owns the instance")
    load = Load(instance.source, instance.database, SEED, SHAPE)
    load.start()
    load.wait()
    wanted = instance.source.executed()

    def stored() -> bool:
        found = [record["gtid_set"] for record in positions(instance)][-1]
        return instance.source.value(f"SELECT GTID_SUBSET('{wanted}', '{found}')") == "1"

    until(stored, "the position holds everything", every=0.5)
    assert worker.metric("cdcd_rows_filtered_total")
    until(lambda: worker.metric("cdcd_lag_seconds") == 0, "it knows that")
    assert worker.stop() == 0


def test_at_least_once_loses_nothing_and_repeats_under_the_same_number(make_instance: MakeInstance) -> None:
    """Killed three times; what comes again carries the same `id` and the same content."""
    instance = make_instance("least", overrides={"sink": {"delivery": "at_least_once"}})
    run = _begin(instance)
    load = Load(instance.source, instance.database, SEED, Shape(rate=60, huge_rows=5_000, huge_every=30))
    load.start()
    for name in ("kafka.mid_rows@9", "kafka.before_position@2", "kafka.after_commit@3"):
        worker = instance.run(failpoint=f"{name}=crash")
        assert worker.wait(60) == -9, worker.said()
    worker = instance.run()
    until(lambda: working(worker), "it publishes")
    history = load.stop()
    assert worker.stop() == 0, worker.said()
    finish(instance)
    report = verify(run, history, repeats=True)
    assert report.passed, report.account()
    assert report.repeated > 0, "no message came again: the kills came too late to test anything"
