"""Must-show 4.5: faults at random, combined; in the end nothing is lost, doubled or out of order, and all runs by itself."""

import os
from contextlib import ExitStack
from typing import Any

import pytest

from deploy.rig.load import Shape
from tests.chaos.fleet_scene import under_load
from tests.chaos.fleet_storm import SERVERS, Storm
from tests.fleets import MakeFleet
from tests.instances import Figures
from tests.servers import MysqlServer, ZookeeperFactory

SEED = int(os.environ.get("CHAOS_SEED", "20261122"))
SHAPE = Shape(sessions=1, rate=20.0, huge_rows=3_000, huge_every=200, ddl_every=0)


def _play(
    make_fleet: MakeFleet, mysql: MysqlServer, zookeeper_server: ZookeeperFactory, faults: int, scenario: str
) -> dict[str, Any]:
    zookeeper = zookeeper_server()
    fleet = make_fleet(zookeeper=zookeeper.hosts)
    for server in SERVERS:
        fleet.start(server)
    fleet.registered()
    with ExitStack() as stack:
        scenes = [
            stack.enter_context(under_load(fleet, name, mysql, scenario, SHAPE)) for name in ("red", "green", "blue")
        ]
        storm = Storm(fleet, zookeeper, scenes, SEED)
        storm.rage(faults)
        for scene in scenes:  # they share a source: nobody has caught up while another load runs
            scene.load.stop()
        reports = [scene.close() for scene in scenes]
    return {"seed": SEED, **storm.figures(), "messages": sum(report.messages for report in reports)}


@pytest.mark.must_show("4.5")
@pytest.mark.timeout(600)
def test_a_storm(
    make_fleet: MakeFleet, mysql: MysqlServer, zookeeper_server: ZookeeperFactory, figures: Figures
) -> None:
    figures(_play(make_fleet, mysql, zookeeper_server, 8, "test_a_storm"))


@pytest.mark.prove
@pytest.mark.must_show("4.5")
@pytest.mark.timeout(2400)
def test_a_long_storm(
    make_fleet: MakeFleet, mysql: MysqlServer, zookeeper_server: ZookeeperFactory, figures: Figures
) -> None:
    figures(_play(make_fleet, mysql, zookeeper_server, 80, "test_a_long_storm"))
