"""Rules and dashboards judged by promtool, and by a real Prometheus that scrapes a real fleet."""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from deploy.grafana.draw import main as draw
from deploy.rig.fleet import Fleet
from deploy.rig.load import Load
from deploy.rig.process import until
from tests.fleets import LASTING, MakeFleet, loaded_instance
from tests.instances import source_of
from tests.monitoring import (
    OF_OTHERS,
    ROOT,
    RULE_TESTS,
    RULES,
    SCRAPING,
    Query,
    dashboards,
    exported,
    names_in,
    panels,
    queries,
    rules,
)
from tests.prometheus_server import PrometheusServer, promtool
from tests.servers import MysqlServer

CHOICES = {"cluster": ".*", "server": ".*", "sync_instance": ".*", "__rate_interval": "10s"}
ONLY_IN_TROUBLE = {
    "cdcd_held_oldest_seconds",
    "cdcd_ignored_events_total",
    "cdcd_source_disconnects_total",
    "cdcd_unsupported_events_total",
}
"""Series that begin with the first event of a kind: a panel that shows one of them alone may be empty."""
HOLDING = {"CdcdInstanceParked", "CdcdZookeeperOpen"}
"""Alerts whose conditions hold in the fleet below."""
READY = (
    "sum(rate(cdcd_published_records_total[10s])) > 0",
    'sum(up{job="cdcd"}) == 2',
    "cdcd_lag_bytes and cdcd_source_clock_offset_seconds",
    "histogram_quantile(0.5, sum by (le) (rate(cdcd_end_to_end_latency_seconds_bucket[10s]))) > 0",
)
"""Each has an answer once the fleet is under way."""

pytestmark = pytest.mark.must_show("6.2")


def test_promtool_finds_no_fault() -> None:
    assert "SUCCESS" in promtool("check", "rules", str(RULES))
    assert "SUCCESS" in promtool("check", "config", str(SCRAPING))


def test_each_alert_fires_and_does_not() -> None:
    assert "SUCCESS" in promtool("test", "rules", str(RULE_TESTS))


@pytest.fixture
def scraped(make_fleet: MakeFleet, mysql: MysqlServer, tmp_path: Path) -> Iterator[tuple[Fleet, PrometheusServer]]:
    """A fleet of two servers that publishes one instance, has given up another one, and is scraped."""
    fleet = make_fleet(fleet={"start_attempts": 1}, session=LASTING)
    orders, stuck = (loaded_instance(fleet, name, mysql) for name in ("orders", "stuck"))
    for server in ("ada", "bea"):
        fleet.start(server)
        fleet.withhold(server, "stuck")
    fleet.registered()
    fleet.define(orders, stuck)
    fleet.running("orders")
    until(lambda: fleet.status("stuck").get("state") == "parked", "stuck is parked")
    ports = {name: server.port for name, server in fleet.servers.items()}
    prometheus = PrometheusServer(tmp_path, ports, fleet.cluster)
    load = Load(source_of(mysql), orders.database, seed=1)
    load.start()
    try:
        yield fleet, prometheus
    finally:
        load.stop()
        prometheus.kill()


def test_a_real_fleet_fills_every_panel_and_fires_what_holds(
    scraped: tuple[Fleet, PrometheusServer], tmp_path: Path
) -> None:
    _, prometheus = scraped
    for expression in READY:
        until(lambda query=expression: prometheus.query(query) or None, expression)  # type: ignore[misc]

    asked = [query for name, board in dashboards().items() for query in queries(name, board)]
    excused = {query.place for query in asked if names_in(query.expression) <= ONLY_IN_TROUBLE}

    def empty() -> set[str]:
        return {query.place for query in asked if not prometheus.query(_chosen(query))} - excused

    assert _at_last(empty, set()) == set()
    assert len(asked) > 70

    names = {series["metric"]["__name__"] for series in prometheus.query('{__name__=~"(cdcd|process|python)_.+"}')}
    page = (ROOT / "docs" / "metrics.md").read_text()
    assert names <= exported() | OF_OTHERS
    for name in names - OF_OTHERS:
        assert f"`{re.sub(r'(?<=seconds)_(bucket|count|sum)$', '', name)}`" in page

    until(
        lambda: all(rule["health"] == "ok" for rule in prometheus.rules()), "all rules are evaluated without an error"
    )
    assert {rule["name"] for rule in prometheus.rules()} == {rule.get("alert") or rule["record"] for rule in _all()}
    for rule in rules("record"):
        until(lambda name=rule["record"]: prometheus.query(name) or None, rule["record"])  # type: ignore[misc]

    def holding() -> set[str]:
        return {rule["alert"] for rule in rules("alert") if prometheus.query(rule["expr"])}

    assert _at_last(holding, HOLDING) == HOLDING

    until(lambda: prometheus.query('cdcd_build_info{version=~".+",confluent_kafka=~".+"}'), "versions are told")

    for name, board in dashboards().items():
        picture = tmp_path / f"{name}.svg"
        draw([Path(name).stem, "--prometheus", prometheus.url, "--minutes", "0.2", "--out", str(picture)])
        drawn = {"".join(each.itertext()) for each in ET.parse(picture).iter("{http://www.w3.org/2000/svg}text")}
        assert {panel["title"] for panel in panels(board)} <= drawn


def _at_last(look: Callable[[], set[str]], wanted: set[str]) -> set[str]:
    """What is seen once that is as wanted, or after a minute: one scrape that takes longer than a second ends all series."""
    deadline = time.monotonic() + 60
    while (seen := look()) != wanted and time.monotonic() < deadline:
        time.sleep(0.2)
    return seen


def _all() -> list[dict[str, str]]:
    return rules("record") + rules("alert")


def _chosen(query: Query) -> str:
    """As Grafana sends it when everything is chosen."""
    return re.sub(r"\$(\w+)", lambda found: CHOICES[found[1]], query.expression)
