"""One measured run: a worker process publishes a prepared case into fresh topics and ends."""

import json
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka.admin import AdminClient

from deploy.rig.source import Source
from deploy.rig.topics import read_committed
from deploy.rig.worker import Instance
from tests.bench.cases import Prepared
from tests.bench.floors import PARTITIONS


@dataclass(frozen=True, slots=True)
class Drained:
    """What one run took."""

    seconds: float
    """From the claim (the position-only transaction before the dump is asked for) to the last commit, by the Kafka
    timestamps of the position records: process start and end are left out (and the last commit's few milliseconds),
    the dump command is in."""
    cpu_seconds: float
    """User and system time of all threads of the process, start and end included."""
    peak_rss_mb: float
    messages: int


def drain(source: Source, bootstrap: str, prepared: Prepared, folder: Path, number: int) -> tuple[Drained, Instance]:
    """Run `cdcd run --standalone --until-end` over the case."""
    instance = Instance(
        f"bench-{prepared.case.name}-{number}",
        folder,
        source,
        bootstrap,
        prepared.database,
        (prepared.case.table,),
        start={"file": prepared.start.file, "position": prepared.start.offset},
        overrides={"sink": {"commit": {"min_interval": "0ms"}, "create": {"partitions": PARTITIONS, "replication": 1}}},
    )
    worker = instance.run(until_end=True)
    code = worker.wait(900)
    if code:
        raise RuntimeError(f"the worker ended with {code}:\n{worker.said()}")
    seconds, messages = _by_positions(instance)
    return Drained(seconds, worker.cpu_seconds, worker.peak_rss_mb, messages), instance


def drop_topics(instance: Instance) -> None:
    """Delete what a run left, in the background of the next one."""
    admin = AdminClient({"bootstrap.servers": instance.bootstrap, "log_level": 2})
    names = [instance.topic.format(database=instance.database, table=table) for table in instance.tables]
    futures = admin.delete_topics([*names, instance.position_topic])
    for future in futures.values():
        future.result(30)


def _by_positions(instance: Instance) -> tuple[float, int]:
    records = list(read_committed(instance.bootstrap, [instance.position_topic]))
    seconds = (records[-1].timestamp_ms - records[0].timestamp_ms) / 1000
    return seconds, int(json.loads(records[-1].value)["seq"])
