"""Must-show 4.1: measured loads are spread evenly; a server that joins gets its share, one that dies loses it."""

import time
from collections.abc import Sequence
from typing import Any

import pytest

from deploy.rig.fleet import Fleet
from deploy.rig.process import until
from tests.chaos.fleet_balance import Rates
from tests.fleets import MakeFleet
from tests.instances import Figures, source_of
from tests.servers import MysqlFactory

LIMIT = 60.0
"""Seconds after the last start of a server."""
BUSY = 90.0
"""The same beside other tests."""
LEAN: dict[str, str | int] = {"innodb_buffer_pool_size": "16M", "max_connections": 100, "table_open_cache": 100}
TWELVE = (3, 4, 5, 7, 9, 12, 16, 20, 26, 34, 44, 50)
FOUR = (6, 14, 30, 50)
"""Transactions a second of each source."""


def _rates(fleet: Fleet, mysql_server: MysqlFactory, rates: Sequence[int], instances: int) -> Rates:
    sources = [(source_of(mysql_server(server_id=number + 2, **LEAN)), rate) for number, rate in enumerate(rates)]
    return Rates(fleet, sources, instances=instances)


def _play(fleet: Fleet, rates: Rates, limit: float) -> dict[str, Any]:
    """Three servers, a fourth one, the death of one; what happened, for people."""
    for server in ("s1", "s2", "s3"):
        fleet.start(server)
    fleet.registered()
    began = time.monotonic()
    rates.begin()
    figures: dict[str, Any] = {"three": rates.wait_balanced(limit), "three_s": round(time.monotonic() - began, 1)}
    fleet.start("s4")
    fleet.registered("s4")
    began = time.monotonic()
    figures |= {"four": rates.wait_balanced(limit), "four_s": round(time.monotonic() - began, 1)}
    victim = until(fleet.scheduler, "a scheduler is elected")
    victim = next(server for server in fleet.servers if server != victim)
    lost = fleet.placed()[victim]
    fleet.servers[victim].kill_all()
    began = time.monotonic()
    until(
        lambda: all(fleet.runner(name) not in (None, victim) for name in lost), "the dead one's instances move", limit
    )
    figures |= {"moved_after_a_kill": len(lost), "moved_s": round(time.monotonic() - began, 1)}
    fleet.running()
    return figures


def _judge(rates: Rates) -> dict[str, Any]:
    reports = rates.finish()
    failed = {name: report.account() for name, report in reports.items() if not report.passed}
    assert not failed, failed
    return {"instances": len(reports), "messages": sum(report.messages for report in reports.values())}


@pytest.mark.must_show("4.1")
@pytest.mark.timeout(600)
def test_loads_are_spread(make_fleet: MakeFleet, mysql_server: MysqlFactory, figures: Figures) -> None:
    """How soon is judged by `make prove`, on a machine that does nothing else."""
    fleet = make_fleet()
    rates = _rates(fleet, mysql_server, FOUR, 2)
    played = _play(fleet, rates, BUSY)
    figures({**played, **_judge(rates)})


@pytest.mark.prove
@pytest.mark.must_show("4.1")
@pytest.mark.timeout(1200)
def test_loads_of_twelve_are_spread(make_fleet: MakeFleet, mysql_server: MysqlFactory, figures: Figures) -> None:
    """Within a minute, of which rates are measured for a quarter before anything moves for them."""
    fleet = make_fleet(
        fleet={"report_interval": "2s", "reconcile_interval": "1s", "rate_window": "15s"},
        scheduling={"settle": "3s", "mature": "15s", "cooldown": "15s"},
    )
    rates = _rates(fleet, mysql_server, TWELVE, 1)
    played = _play(fleet, rates, LIMIT)
    figures({**played, **_judge(rates)})
