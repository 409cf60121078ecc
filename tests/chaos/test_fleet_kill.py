"""Must-show 4 of issue 4: kill -9 of a server with its workers, a server alone, a worker alone, the scheduler's server."""

from typing import get_args

import pytest

from deploy.rig.fleet import SESSION_SECONDS, TICK_SECONDS, Fleet
from tests.chaos.fleet_kills import Kills, Victim, judge
from tests.fleets import MakeFleet
from tests.instances import Figures, source_of
from tests.servers import MysqlServer

TAKE_OVER = SESSION_SECONDS + TICK_SECONDS + 3.0
"""Seconds from the kill of a server to the first new message."""
RESTART = 2.0
"""Seconds from the kill of a worker to the first new message."""

BUSY = 30.0
"""The same beside other tests."""


def limit(victim: str) -> float:
    return RESTART if victim == "worker" else TAKE_OVER


def started(make_fleet: MakeFleet) -> Fleet:
    fleet = make_fleet()
    for server in ("a", "b", "c"):
        fleet.start(server)
    fleet.registered()
    return fleet


@pytest.mark.must_show("4.4")
@pytest.mark.timeout(300)
def test_whoever_is_killed_somebody_goes_on(make_fleet: MakeFleet, mysql: MysqlServer, figures: Figures) -> None:
    """How soon is judged by `make prove`, on a machine that does nothing else."""
    kills = Kills(started(make_fleet), source_of(mysql))
    for victim in get_args(Victim):
        kills.kill(victim)
    figures(judge(kills, lambda _: BUSY))


@pytest.mark.prove
@pytest.mark.must_show("4.4")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("victim", get_args(Victim))
def test_twenty_kills_each(make_fleet: MakeFleet, mysql: MysqlServer, figures: Figures, victim: Victim) -> None:
    kills = Kills(started(make_fleet), source_of(mysql))
    for _ in range(20):
        kills.kill(victim)
    figures(judge(kills, limit))
