"""What is shipped for Prometheus and Grafana, read as tests look at it."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cdcd.observe.metrics import BUILD_INFO, InstanceMetrics, ServerMetrics, declared

ROOT = Path(__file__).parents[1]
RULES = ROOT / "deploy" / "prometheus" / "cdcd.rules.yml"
RULE_TESTS = ROOT / "tests" / "prometheus" / "alerts.yml"
SCRAPING = ROOT / "deploy" / "prometheus" / "prometheus.yml"
DASHBOARDS = ROOT / "deploy" / "grafana" / "dashboards"
OF_OTHERS = {
    "up",
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_virtual_memory_bytes",
}
"""Of Prometheus itself, and of its client library."""

_RECORDED = re.compile(r"[a-z_]+:cdcd_\w+:\w+")
_NAME = re.compile(r"(?<![\w:.])(?:(?:cdcd|process)_[a-z_]+|up)(?![\w:])")
_GROUPING = re.compile(r"\b(?:by|on|without|ignoring|group_left|group_right)\s*\([^)]*\)")


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel, an annotation or a variable."""

    place: str
    """Dashboard and title."""
    expression: str


def exported() -> set[str]:
    """Names of all series of ours, as they stand in /metrics."""
    metrics = [metric for kind in (InstanceMetrics, ServerMetrics) for _, metric in declared(kind)]
    suffixes = {"histogram": ("_bucket", "_count", "_sum")}
    names = {metric.name + suffix for metric in metrics for suffix in suffixes.get(metric.kind, ("",))}
    return {*names, BUILD_INFO.name}


def rules(kind: str) -> list[dict[str, Any]]:
    """All rules with that member: `alert` or `record`."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"] if kind in rule]


def names_in(expression: str) -> set[str]:
    """The metrics that a PromQL expression reads; what rules record counts as what it is recorded from."""
    bare = _GROUPING.sub(" ", re.sub(r"\{[^}]*\}", "", expression))
    return set(_NAME.findall(_RECORDED.sub(" ", bare)))


def recorded_in(expression: str) -> set[str]:
    """The recorded series that it reads."""
    return set(_RECORDED.findall(expression))


def dashboards() -> dict[str, dict[str, Any]]:
    """File name -> dashboard."""
    return {path.name: json.loads(path.read_text()) for path in sorted(DASHBOARDS.glob("*.json"))}


def panels(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All panels but rows, those in collapsed rows as well."""
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            yield from panel["panels"]
        else:
            yield panel


def queries(name: str, dashboard: dict[str, Any]) -> Iterator[Query]:
    """Of its panels and annotations."""
    for panel in panels(dashboard):
        for target in panel["targets"]:
            yield Query(f"{name}: {panel['title']}", target["expr"])
    for annotation in dashboard["annotations"]["list"]:
        if "expr" in annotation:
            yield Query(f"{name}: {annotation['name']}", annotation["expr"])
