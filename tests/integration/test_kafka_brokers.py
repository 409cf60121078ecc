"""What Kafka itself loses under a worker: one broker of several, and the topic that holds the position."""

import signal
import time

import pytest
from confluent_kafka.admin import AdminClient

from deploy.rig.load import Load, Shape, create_tables
from deploy.rig.process import until
from deploy.rig.topics import topics_like
from deploy.rig.verify import verify
from tests.chaos.kill_loop import finish, positions, run_of, working
from tests.instances import Figures, MakeInstance
from tests.lone_workers import MakeStage
from tests.servers import KafkaFactory

SEED = 61


@pytest.mark.prove
@pytest.mark.must_show("3.5")
def test_each_of_three_brokers_is_killed(
    make_instance: MakeInstance, kafka_server: KafkaFactory, figures: Figures
) -> None:
    """Whatever role it had: leader of a topic, of the position, coordinator of the transactions."""
    cluster = kafka_server(brokers=3)
    instance = make_instance(
        "brokers",
        bootstrap=cluster.bootstrap,
        overrides={"sink": {"create": {"partitions": 4, "replication": 3}}},
        settings={"CDCD_KAFKA__DEFAULT__REPLICATION": "3"},
    )
    create_tables(instance.source, instance.database)
    instance.start = {"gtid_set": instance.source.executed()}
    run = run_of(instance, instance.source.end_of_binlog())
    load = Load(
        instance.source,
        instance.database,
        SEED,
        Shape(sessions=2, rate=80, huge_rows=2_000, huge_every=60, ddl_every=0),
    )
    load.start()
    worker = instance.run()
    until(lambda: working(worker), "it publishes")
    gaps = []
    for node in (1, 2, 3):
        cluster.stack.signal(f"broker-{node}", signal.SIGKILL)
        began, before = time.monotonic(), worker.metric("cdcd_published_records_total") or 0
        until(lambda before=before: (worker.metric("cdcd_published_records_total") or 0) > before + 20, "it goes on")  # type: ignore[misc]
        gaps.append(round(time.monotonic() - began, 1))
        cluster.start()
    history = load.stop()
    worker.stop()
    finish(instance)
    report = verify(run, history)
    assert report.passed, report.account()
    figures({"seconds_until_it_goes_on": gaps})


def test_a_position_topic_that_is_deleted_is_told_and_gone_on_from_the_mirror(make_stage: MakeStage) -> None:
    stage = make_stage("mirrored")
    topic = stage.instance.position_topic
    stage.schedule("a")
    first = stage.worker("a").running()
    first.signal(signal.SIGTERM)
    first.ended("stopped")
    stored = positions(stage.instance)[-1]
    admin = AdminClient({"bootstrap.servers": stage.instance.bootstrap, "log_level": 2})
    admin.delete_topics([topic])[topic].result(30)
    until(lambda: topic not in topics_like(stage.instance.bootstrap, topic), "the topic is gone")
    second = stage.worker("a").running()
    until(lambda: "position-topic-lost" in second.said(), "it is told")
    newest = positions(stage.instance)[-1]
    assert (newest["gtid_set"], newest["epoch"] > stored["epoch"]) == (stored["gtid_set"], True)
