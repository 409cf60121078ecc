"""Must-show 9 of issue 4: forty idle instances on one server cost little."""

import time
from dataclasses import asdict

import pytest

from tests.chaos.fleet_idle import cost_of, define_idle
from tests.fleets import MakeFleet
from tests.instances import Figures, source_of
from tests.servers import MysqlServer

DEFAULTS = {"report_interval": "5s", "reconcile_interval": "2s", "rate_window": "60s"}
SESSION = 10.0
"""Seconds, as usual outside of tests: how often a lock is confirmed depends on it."""
WORKER_MB = 20.0
PROCESSOR = 5.0
"""Percent of a core, for forty."""
STOP = 10.0
"""Seconds for a server to end with all its workers."""


def measure(make_fleet: MakeFleet, mysql: MysqlServer, count: int, seconds: float) -> dict[str, float]:
    fleet = make_fleet(fleet=DEFAULTS, session=SESSION)
    server = fleet.start("a")
    fleet.registered()
    define_idle(fleet, source_of(mysql), count)
    cost = cost_of(fleet, server, seconds)
    began = time.monotonic()
    assert server.stop() == 0, server.said()
    return {"instances": count, **asdict(cost), "stop_seconds": round(time.monotonic() - began, 1)}


@pytest.mark.must_show("4.9")
def test_five_idle_instances_cost_little(make_fleet: MakeFleet, mysql: MysqlServer, figures: Figures) -> None:
    """Memory is shared by fewer, so that each has a larger part; time is judged by `make prove` alone."""
    found = measure(make_fleet, mysql, 5, 5.0)
    figures(found)
    assert found["worker_mb"] <= WORKER_MB + 5


@pytest.mark.prove
@pytest.mark.must_show("4.9")
@pytest.mark.timeout(600)
def test_forty_idle_instances_cost_little(make_fleet: MakeFleet, mysql: MysqlServer, figures: Figures) -> None:
    found = measure(make_fleet, mysql, 40, 60.0)
    figures(found)
    assert found["worker_mb"] <= WORKER_MB
    assert found["processor"] <= PROCESSOR
    assert found["stop_seconds"] <= STOP
