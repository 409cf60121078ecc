"""Must-show 4.5: sessions that end, processes that are stopped in their tracks, a ZooKeeper that comes back or begins anew."""

import os
import signal
import time

import pytest

from deploy.rig.fleet import SESSION_SECONDS, Fleet
from deploy.rig.tree import expire
from deploy.rig.worker import until
from tests.chaos.fleet_scene import Scene, under_load
from tests.fleets import MakeFleet
from tests.instances import Figures
from tests.servers import MysqlServer, ZookeeperFactory

SHORT = SESSION_SECONDS / 3
"""A pause that no session and no lease ends by."""
LONG = SESSION_SECONDS * 2


def _two_servers(make_fleet: MakeFleet, zookeeper: str | None = None) -> Fleet:
    fleet = make_fleet() if zookeeper is None else make_fleet(zookeeper=zookeeper)
    for server in ("s1", "s2"):
        fleet.start(server)
    fleet.registered()
    return fleet


def _another_holding(scene: Scene, owner: int) -> None:
    until(lambda: scene.lock_owner() not in (0, owner), "another session takes the lock")


@pytest.mark.must_show("4.5")
def test_a_workers_session_ends(make_fleet: MakeFleet, mysql: MysqlServer, figures: Figures) -> None:
    """A second client with the same session id closes it: the worker stops, whoever comes next goes on where it was."""
    fleet = _two_servers(make_fleet)
    with under_load(fleet, "expiry", mysql, "test_a_workers_session_ends") as scene:
        for _ in range(2):
            scene.publishes_on()
            owner = scene.lock_owner()
            expire(fleet.zookeeper, owner)
            _another_holding(scene, owner)
            scene.publishes_on()
        report = scene.close()
    figures({"fault": "the worker's session ends, twice", "messages": report.messages, **report.verdicts})


@pytest.mark.must_show("4.5")
def test_a_servers_session_ends(make_fleet: MakeFleet, mysql: MysqlServer, figures: Figures) -> None:
    """It registers again, and its instance is run by somebody."""
    fleet = _two_servers(make_fleet)
    with under_load(fleet, "server-expiry", mysql, "test_a_servers_session_ends") as scene:
        scene.publishes_on()
        server = scene.runner
        node = fleet.tree.node(f"/servers/{server}")
        assert node is not None
        expire(fleet.zookeeper, node.owner)
        until(lambda: (fleet.tree.node(f"/servers/{server}") or node).owner != node.owner, "it registers again")
        fleet.running(scene.name)
        scene.publishes_on()
        report = scene.close()
    figures({"fault": "the server's session ends", "messages": report.messages, **report.verdicts})


@pytest.mark.must_show("4.5")
def test_a_worker_is_stopped_for_a_moment(make_fleet: MakeFleet, mysql: MysqlServer, figures: Figures) -> None:
    """Shorter than the lease: it stays the owner and its epoch stays."""
    fleet = _two_servers(make_fleet)
    with under_load(fleet, "short-stop", mysql, "test_a_worker_is_stopped_for_a_moment") as scene:
        scene.publishes_on()
        epoch = scene.epoch
        for _ in range(3):
            worker = fleet.worker_pid(scene.name)
            os.kill(worker, signal.SIGSTOP)
            time.sleep(SHORT)
            os.kill(worker, signal.SIGCONT)
            scene.publishes_on()
        assert scene.epoch == epoch
        report = scene.close()
    figures({"fault": f"worker stopped for {SHORT:g} s, three times", "messages": report.messages, **report.verdicts})


@pytest.mark.must_show("4.5")
def test_a_worker_is_stopped_too_long(make_fleet: MakeFleet, mysql: MysqlServer, figures: Figures) -> None:
    """Longer than the session: once it goes on it finds that the lock is not its own, and the instance is run again."""
    fleet = _two_servers(make_fleet)
    with under_load(fleet, "long-stop", mysql, "test_a_worker_is_stopped_too_long") as scene:
        scene.publishes_on()
        owner = scene.lock_owner()
        worker = fleet.worker_pid(scene.name)
        os.kill(worker, signal.SIGSTOP)
        until(lambda: scene.lock_owner() != owner, "its session is over")
        time.sleep(SHORT)
        os.kill(worker, signal.SIGCONT)
        _another_holding(scene, owner)
        scene.publishes_on()
        report = scene.close()
    figures({"fault": "worker stopped beyond its session", "messages": report.messages, **report.verdicts})


@pytest.mark.must_show("4.5")
def test_a_server_is_stopped_with_its_workers(make_fleet: MakeFleet, mysql: MysqlServer, figures: Figures) -> None:
    """Another server takes over; the stopped one comes back, does no harm, and serves again."""
    fleet = _two_servers(make_fleet)
    with under_load(fleet, "zombies", mysql, "test_a_server_is_stopped_with_its_workers") as scene:
        scene.publishes_on()
        server, epoch = scene.runner, scene.epoch
        fleet.servers[server].signal_all(signal.SIGSTOP)
        until(lambda: fleet.runner(scene.name) not in (None, server), "the other server takes over")
        scene.publishes_on()
        fleet.servers[server].signal_all(signal.SIGCONT)
        fleet.registered(server)
        scene.publishes_on()
        assert scene.epoch > epoch
        assert scene.runner != server
        fleet.move(scene.name, server)
        fleet.moved(scene.name, server)
        scene.publishes_on()
        report = scene.close()
    figures(
        {"fault": "server and workers stopped beyond their sessions", "messages": report.messages, **report.verdicts}
    )


@pytest.mark.must_show("4.5")
def test_zookeeper_stops_answering(
    make_fleet: MakeFleet, mysql: MysqlServer, zookeeper_server: ZookeeperFactory, figures: Figures
) -> None:
    """For a moment, for longer than a session lasts, killed and started again."""
    zookeeper = zookeeper_server()
    fleet = _two_servers(make_fleet, zookeeper.hosts)
    with under_load(fleet, "silence", mysql, "test_zookeeper_stops_answering") as scene:
        for seconds in (SHORT, LONG):
            scene.publishes_on()
            zookeeper.pause()
            time.sleep(seconds)
            zookeeper.resume()
            scene.publishes_on()
        zookeeper.restart(kill=True)
        fleet.running(scene.name)
        scene.publishes_on()
        report = scene.close()
    figures({"fault": "ZooKeeper silent, then restarted", "messages": report.messages, **report.verdicts})


@pytest.mark.must_show("4.5")
def test_zookeeper_begins_anew(
    make_fleet: MakeFleet, mysql: MysqlServer, zookeeper_server: ZookeeperFactory, figures: Figures
) -> None:
    """All nodes are gone and transaction ids begin anew; the definition is put there again, nothing else."""
    zookeeper = zookeeper_server()
    fleet = _two_servers(make_fleet, zookeeper.hosts)
    with under_load(fleet, "anew", mysql, "test_zookeeper_begins_anew") as scene:
        scene.publishes_on()
        epoch = scene.epoch
        zookeeper.wipe()
        fleet.reconnect()
        until(lambda: fleet.tree.children("/servers") == ["s1", "s2"], "the servers are back", every=0.2)
        fleet.define(scene.instance)
        fleet.running(scene.name)
        scene.publishes_on()
        assert scene.epoch > epoch
        report = scene.close()
    figures({"fault": "ZooKeeper wiped", "messages": report.messages, **report.verdicts})
