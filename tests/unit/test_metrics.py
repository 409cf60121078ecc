"""What a scrape shows, read back with Prometheus' own text parser."""

import pickle
import re
import threading
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cdcd.observe.metrics import (
    BUILD_INFO,
    STATES,
    Histogram,
    InstanceMetrics,
    ProcessMetrics,
    ServerMetrics,
    declared,
    reference,
)
from cdcd.observe.registry import Registry

Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scrape(registry: Registry) -> Series:
    text = registry.render().decode()
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for s in samples}


def of(series: Series, name: str, **labels: str) -> float | None:
    return series.get((name, tuple(sorted(labels.items()))))


def with_instance(figures: InstanceMetrics) -> Series:
    registry = Registry({"version": "1"})
    registry.add("orders", lambda: figures)
    return scrape(registry)


def test_plain_numbers_are_read_at_the_scrape() -> None:
    figures = InstanceMetrics()
    registry = Registry({"version": "1"})
    registry.add("orders", lambda: figures)
    assert of(scrape(registry), "cdcd_transactions_total", sync_instance="orders") == 0
    figures.transactions += 7
    figures.lag_seconds = 1.5
    series = scrape(registry)
    assert of(series, "cdcd_transactions_total", sync_instance="orders") == 7
    assert of(series, "cdcd_lag_seconds", sync_instance="orders") == 1.5


def test_what_is_not_known_has_no_series() -> None:
    series = with_instance(InstanceMetrics())
    for name in ("cdcd_lag_seconds", "cdcd_lag_bytes", "cdcd_checkpoint_timestamp_seconds", "cdcd_instance_epoch"):
        assert of(series, name, sync_instance="orders") is None


def test_label_values_known_beforehand_start_at_zero() -> None:
    series = with_instance(InstanceMetrics())
    for op in ("insert", "update", "delete"):
        assert of(series, "cdcd_rows_total", sync_instance="orders", op=op) == 0


def test_label_values_found_later() -> None:
    figures = InstanceMetrics()
    figures.source_disconnects["read-timeout"] = 2
    figures.ignored_events["200"] = 1
    series = with_instance(figures)
    assert of(series, "cdcd_source_disconnects_total", sync_instance="orders", reason="read-timeout") == 2
    assert of(series, "cdcd_ignored_events_total", sync_instance="orders", type="200") == 1


def test_one_state_is_on() -> None:
    series = with_instance(InstanceMetrics(state="retrying"))
    on = {state: of(series, "cdcd_instance_state", sync_instance="orders", state=state) for state in STATES}
    assert on == {"starting": 0, "running": 0, "blocked": 0, "retrying": 1, "parked": 0, "stopping": 0}


def test_the_reason_for_parking_is_a_label() -> None:
    assert of(with_instance(InstanceMetrics(parked="position-purged")), "cdcd_instance_parked",
              sync_instance="orders", reason="position-purged") == 1  # fmt: skip
    assert not [name for name, _ in with_instance(InstanceMetrics()) if name == "cdcd_instance_parked"]


def test_histogram_buckets_are_cumulative() -> None:
    figures = InstanceMetrics(latency=Histogram((0.01, 0.1)))
    figures.latency.observe(0.01)
    figures.latency.observe(0.05, times=3)
    figures.latency.observe(7)
    series = with_instance(figures)
    name = "cdcd_end_to_end_latency_seconds"
    buckets = [of(series, f"{name}_bucket", sync_instance="orders", le=le) for le in ("0.01", "0.1", "+Inf")]
    assert buckets == [1, 4, 5]
    assert of(series, f"{name}_count", sync_instance="orders") == 5
    assert of(series, f"{name}_sum", sync_instance="orders") == pytest.approx(7.16)


def test_series_end_when_the_instance_leaves() -> None:
    registry = Registry({"version": "1"})
    registry.add("orders", InstanceMetrics)
    registry.add("stock", InstanceMetrics)
    registry.remove("orders")
    registry.remove("never-there")
    instances = {dict(labels).get("sync_instance") for _, labels in scrape(registry)}
    assert instances == {"stock", None}


def test_process_figures_and_build() -> None:
    registry = Registry({"cdcd": "0.1.0", "mysql-replication": "1"}, lambda: ProcessMetrics(log_lines_dropped=4))
    series = scrape(registry)
    assert of(series, "cdcd_build_info", version="0.1.0", mysql_replication="1") == 1
    assert of(series, "cdcd_log_lines_dropped_total") == 4
    assert (of(series, "process_resident_memory_bytes") or 0) > 0


def test_registries_share_nothing() -> None:
    one, other = Registry({"version": "1"}), Registry({"version": "2"})
    one.add("orders", InstanceMetrics)
    assert not [labels for _, labels in scrape(other) if dict(labels).get("sync_instance")]


def test_scrapes_while_figures_grow() -> None:
    figures = InstanceMetrics()
    registry = Registry({"version": "1"})
    registry.add("orders", lambda: figures)
    stop = threading.Event()

    def grow() -> None:
        n = 0
        while not stop.is_set():
            figures.source_disconnects[f"r{n % 5000}"] = n
            n += 1

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        for _ in range(20):
            registry.render()
    finally:
        stop.set()
        thread.join()


def test_figures_can_travel_between_processes() -> None:
    figures = InstanceMetrics(epoch=4)
    figures.latency.observe(0.2)
    copy: InstanceMetrics = pickle.loads(pickle.dumps(figures))
    assert copy.epoch == 4
    assert copy.latency.counts == figures.latency.counts


def test_declarations_keep_the_naming_rules() -> None:
    metrics = [metric for kind in (InstanceMetrics, ServerMetrics) for _, metric in declared(kind)]
    names = [metric.name for metric in metrics]
    assert len(set(names)) == len(names)
    for metric in metrics:
        assert re.fullmatch(r"cdcd_[a-z_]+", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert metric.help.endswith(".")
        assert metric.label != "instance"


def test_everything_declared_is_shown() -> None:
    for kind in (ProcessMetrics, ServerMetrics):
        text = Registry({"version": "1"}, kind).render().decode()
        shown = set(re.findall(r"^# TYPE (cdcd_\w+)", text, re.MULTILINE))
        assert shown == {m.name for each in (InstanceMetrics, kind) for _, m in declared(each)} | {BUILD_INFO.name}


def test_the_page_is_in_step() -> None:
    page = Path(__file__).parents[2] / "docs" / "metrics.md"
    assert page.read_text() == reference(), "run: python -m cdcd.observe.metrics > docs/metrics.md"
