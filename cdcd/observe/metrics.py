"""Every metric, declared once: its figure in memory, its name, its help. `python -m cdcd.observe.metrics` prints the page.

A worker's threads set plain attributes, which costs nothing on the hot path; a scrape reads them (registry.py). Figures of
one process are one picklable object, so that a server can show those of its workers.
"""
# ruff: noqa: RUF009 - the calls in the dataclasses are dataclasses.field() with the declaration as metadata

import sys
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

Kind = Literal["counter", "gauge", "histogram"]

STATES = ("starting", "running", "blocked", "retrying", "parked", "stopping")
"""Of an instance. `blocked`: it would run, but Kafka does not answer; `retrying`: a finding that time may mend; `parked`: one that needs somebody to act."""

LATENCIES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
"""Upper bounds of the latency buckets in seconds."""


@dataclass(frozen=True, slots=True)
class Metric:
    """What a figure is called outside."""

    name: str
    """With prefix and base unit; counters end in `_total`."""
    kind: Kind
    help: str
    label: str = ""
    """The figure's own label beside `sync_instance`, if it is kept for several values."""
    values: tuple[str, ...] = ()
    """All values of `label`, where they are known beforehand: their series exist from the start."""


class Histogram:
    """Counts by upper bound."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float] = LATENCIES) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        self.counts[bisect_left(self.bounds, value)] += times
        self.total += value * times


def _counter(name: str, text: str, label: str = "", values: tuple[str, ...] = ()) -> Any:
    metadata = {"metric": Metric(f"cdcd_{name}_total", "counter", text, label, values)}
    if label:
        return field(default_factory=lambda: dict.fromkeys(values, 0), metadata=metadata)
    return field(default=0, metadata=metadata)


def _gauge(name: str, text: str, default: object = None, label: str = "", values: tuple[str, ...] = ()) -> Any:
    metadata = {"metric": Metric(f"cdcd_{name}", "gauge", text, label, values)}
    if isinstance(default, dict):
        return field(default_factory=lambda: dict.fromkeys(values, 0), metadata=metadata)
    return field(default=default, metadata=metadata)


def _histogram(name: str, text: str) -> Any:
    return field(default_factory=Histogram, metadata={"metric": Metric(f"cdcd_{name}", "histogram", text)})


@dataclass(slots=True, kw_only=True)
class InstanceMetrics:
    """Figures of one instance. None: not known, no series. A dict: one number for each value of the label."""

    owned: int = _gauge("instance_owned", "1 while this process publishes the instance.", 0)
    state: str = _gauge("instance_state", "1 for the state the instance is in, else 0.", STATES[0], "state", STATES)
    epoch: int | None = _gauge("instance_epoch", "Epoch of the holding: each owner of the instance has a greater one.")
    parked: str | None = _gauge(
        "instance_parked",
        "1 while the instance waits for somebody to act; the reason is the finding's code.",
        label="reason",
    )
    takeovers: int = _counter("takeovers", "Times the instance was taken over: at starts, and after a lost holding.")
    fenced: int = _counter("fenced", "Times Kafka refused the producer because of a newer one or of its own time-out.")

    lag_seconds: float | None = _gauge(
        "lag_seconds",
        "Age of the oldest transaction committed in the source that readers do not see yet; 0 when caught up. Grows while"
        " nothing is published, whatever the reason; the source's clock is corrected by its measured offset.",
    )
    lag_bytes: int | None = _gauge("lag_bytes", "Bytes of binlog between the position and the source's end.")
    lag_transactions: int | None = _gauge("lag_transactions", "Transactions between the position and the source's end.")
    checkpoint: float | None = _gauge(
        "checkpoint_timestamp_seconds", "When the stored position was last confirmed by Kafka, Unix time."
    )
    latency: Histogram = _histogram(
        "end_to_end_latency_seconds",
        "From the commit in the source until readers see it, by source transaction; of those that one Kafka transaction"
        " holds all count by the oldest.",
    )

    purge_headroom: float | None = _gauge(
        "source_purge_headroom_seconds",
        "Time until the source may purge what is still needed, if nothing more were read from now on;"
        " no series where it keeps its binlogs for ever.",
    )
    clock_offset: float | None = _gauge(
        "source_clock_offset_seconds", "The source's clock minus this host's; negative where the source is behind."
    )
    source_connected: int = _gauge("source_connected", "1 while the source sends its binlog to this process.", 0)
    source_disconnects: dict[str, int] = _counter("source_disconnects", "Lost connections to the source.", "reason")
    source_received_bytes: int = _counter("source_received_bytes", "Bytes received from the source.")
    transactions: int = _counter("transactions", "Source transactions read to their end, filtered ones included.")
    rows: dict[str, int] = _counter(
        "rows", "Row changes read for publishing, as they stand in the binlog.", "op", ("insert", "update", "delete")
    )
    rows_filtered: int = _counter("rows_filtered", "Row changes of tables that the definition leaves out.")
    ignored_events: dict[str, int] = _counter(
        "ignored_events", "Unknown events skipped because the source flagged them as ignorable, by type code.", "type"
    )
    unsupported_events: dict[str, int] = _counter(
        "unsupported_events", "Events that stopped the instance because publishing would lose something.", "type"
    )
    transaction_bytes: int = _gauge(
        "transaction_bytes", "Size of the source transaction being read, 0 between transactions or if not announced.", 0
    )
    transaction_read_bytes: int = _gauge("transaction_read_bytes", "How much of that transaction has been read.", 0)

    held_transactions: int = _gauge(
        "held_transactions", "XA transactions that are prepared and not yet committed or rolled back.", 0
    )
    held_oldest_seconds: float | None = _gauge(
        "held_oldest_seconds", "Age of the oldest of them: its rows have to stay in the source's binlog until it ends."
    )

    published_records: int = _counter("published_records", "Messages in committed Kafka transactions.")
    published_bytes: int = _counter(
        "published_bytes", "Bytes of keys and values of those messages, before compression."
    )
    kafka_transactions: dict[str, int] = _counter(
        "kafka_transactions",
        "Kafka transactions by outcome; unknown: the answer did not come, the position topic decided.",
        "outcome",
        ("committed", "aborted", "unknown"),
    )
    producer_rebuilds: int = _counter("producer_rebuilds", "Producers destroyed and made anew in this process.")
    blocked_seconds: dict[str, float] = _counter(
        "blocked_seconds",
        "Time the pipeline waited, waits that go on included: source, for something to read; kafka, for room in the"
        " producer; commit, for the commit.",
        "stage",
        ("source", "kafka", "commit"),
    )


@dataclass(slots=True, kw_only=True)
class ProcessMetrics:
    """Figures of the process that answers scrapes."""

    log_lines_dropped: int = _counter(
        "log_lines_dropped", "Log lines dropped because nobody read the output, those of workers included."
    )


ROLES = ("owner", "standby", "waiting", "starting", "parked")
"""Of an instance on a server: publishing it; ready to take over; waiting for the lock; before that; given up here."""


@dataclass(slots=True, kw_only=True)
class ServerMetrics(ProcessMetrics):
    """Figures of a server in a fleet."""

    zookeeper_connected: int = _gauge(
        "zookeeper_connected", "1 while the server's own session with ZooKeeper is connected.", 0
    )
    zookeeper_session_losses: int = _counter("zookeeper_session_losses", "Sessions of the server that ZooKeeper ended.")
    zookeeper_open: int = _gauge(
        "zookeeper_open", "1 while everybody who reaches ZooKeeper can change the tree: no zookeeper.auth is set.", 0
    )
    server_instances: dict[str, int] = _gauge(
        "server_instances", "Instances on this server by what it does with them.", {}, "role", ROLES
    )
    server_load: float | None = _gauge("server_load", "Smoothed load of what the server runs, over its capacity.")
    server_stopping: int = _gauge("server_stopping", "1 while the server hands over what it runs, to stop.", 0)
    worker_starts: int = _counter("worker_starts", "Worker processes started.")
    worker_crashes: int = _counter("worker_crashes", "Worker processes that ended without saying why.")
    scheduler_leader: int = _gauge("scheduler_leader", "1 while this server is the elected scheduler.", 0)
    unassigned_instances: int | None = _gauge(
        "unassigned_instances",
        "Instances to be run that no server runs, said by the elected scheduler alone; of those whose definition does not"
        " validate only such as ran before.",
    )
    invalid_definitions: int | None = _gauge(
        "invalid_definitions", "Definitions that do not validate, said by the elected scheduler alone."
    )
    misnamed_definitions: int | None = _gauge(
        "misnamed_definitions", "Nodes in /instances whose names are not allowed, said by the elected scheduler alone."
    )
    fleet_load: dict[str, float] = _gauge(
        "fleet_load", "Load of each live server over its capacity, as the elected scheduler counts it.", {}, "server"
    )


BUILD_INFO = Metric("cdcd_build_info", "gauge", "1; the labels say what runs.", "version")
"""Labels: version of cdcd, and of Python and the clients."""


def declared(figures: type[InstanceMetrics | ProcessMetrics]) -> Iterator[tuple[str, Metric]]:
    """(attribute, metric) of each figure, in order of declaration."""
    for each in fields(figures):
        yield each.name, each.metadata["metric"]


def reference() -> str:
    """The reference page, Markdown."""
    own = {name for name, _ in declared(ProcessMetrics)}
    return "\n".join(
        [
            "# Metrics",
            "",
            "Served as text at `/metrics`. This page is generated: `python -m cdcd.observe.metrics > docs/metrics.md`.",
            "",
            "## Of an instance",
            "",
            "Each has the label `sync_instance`, the instance's name; its series end when the instance leaves the process.",
            "A figure that is not known has no series.",
            "",
            *_table(metric for _, metric in declared(InstanceMetrics)),
            "",
            "## Of the process",
            "",
            *_table([BUILD_INFO, *(metric for _, metric in declared(ProcessMetrics))]),
            "",
            "## Of a server in a fleet",
            "",
            "Of `cdcd run` without `--standalone`, beside those of the process.",
            "",
            *_table(metric for name, metric in declared(ServerMetrics) if name not in own),
            "",
            "Besides, `process_*`: CPU, memory, open files and start time of the process, as Prometheus clients name them.",
            "",
        ]
    )


def _table(metrics: "Iterator[Metric] | list[Metric]") -> Iterator[str]:
    yield "| name | kind | label | meaning |"
    yield "| --- | --- | --- | --- |"
    for metric in metrics:
        label = f"`{metric.label}`" if metric.label else ""
        values = f": {', '.join(metric.values)}" if metric.values else ""
        yield f"| `{metric.name}` | {metric.kind} | {label}{values} | {metric.help} |"


if __name__ == "__main__":
    sys.stdout.write(reference())
