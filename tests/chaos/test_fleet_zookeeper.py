"""Must-show 4.5: sessions that end, processes that are stopped in their tracks, a ZooKeeper that comes back or begins anew."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import pytest

from deploy.rig.fleet import SESSION_SECONDS
from deploy.rig.tree import expire
from deploy.rig.worker import until
from tests.chaos.fleet_scene import Scene, under_load
from tests.fleets import MakeFleet
from tests.instances import Figures
from tests.servers import MysqlServer, ZookeeperFactory

SHORT = SESSION_SECONDS / 3
"""A pause that no session and no lease ends by."""
LONG = SESSION_SECONDS * 2

pytestmark = pytest.mark.must_show("4.5")


class Stage(Protocol):
    def __call__(self, fault: str, **fleet: Any) -> AbstractContextManager[Scene]:
        """Two servers and an instance under load; in the end all of it is published, once and in order.

        `fault`: what is done meanwhile, for the figures. `fleet`: of `make_fleet`.
        """


@pytest.fixture
def stage(make_fleet: MakeFleet, mysql: MysqlServer, figures: Figures, request: pytest.FixtureRequest) -> Stage:
    test = request.node.name

    @contextmanager
    def play(fault: str, **options: Any) -> Iterator[Scene]:
        fleet = make_fleet(**options)
        for server in ("s1", "s2"):
            fleet.start(server)
        fleet.registered()
        with under_load(fleet, test.removeprefix("test_").replace("_", "-"), mysql, test) as scene:
            scene.publishes_on()
            yield scene
            scene.publishes_on()
            report = scene.close()
        figures({"fault": fault, "messages": report.messages, **report.verdicts})

    return play


def _another_holding(scene: Scene, owner: int) -> None:
    until(lambda: scene.lock_owner() not in (0, owner), "another session takes the lock")


def test_a_workers_session_ends(stage: Stage) -> None:
    """A second client with the same session id closes it: the worker stops, whoever comes next goes on where it was."""
    with stage("the worker's session ends, twice") as scene:
        for _ in range(2):
            scene.publishes_on()
            owner = scene.lock_owner()
            expire(scene.fleet.zookeeper, owner)
            _another_holding(scene, owner)
            scene.publishes_on()


def test_a_servers_session_ends(stage: Stage) -> None:
    """It registers again, and its instance is run by somebody."""
    with stage("the server's session ends") as scene:
        fleet = scene.fleet
        server = scene.runner
        node = fleet.tree.node(f"/servers/{server}")
        assert node is not None
        expire(fleet.zookeeper, node.owner)
        until(lambda: (fleet.tree.node(f"/servers/{server}") or node).owner != node.owner, "it registers again")
        fleet.running(scene.name)


def test_a_worker_is_stopped_for_a_moment(stage: Stage) -> None:
    """Shorter than the lease: it stays the owner and its epoch stays."""
    # A longer session than usual: on a busy machine a pause lasts longer than it was meant to.
    with stage(f"worker stopped for {SHORT:g} s, three times", session=2 * SESSION_SECONDS) as scene:
        epoch = scene.epoch
        for _ in range(3):
            worker = scene.fleet.worker_pid(scene.name)
            os.kill(worker, signal.SIGSTOP)
            time.sleep(SHORT)
            os.kill(worker, signal.SIGCONT)
            scene.publishes_on()
        assert scene.epoch == epoch


def test_a_worker_is_stopped_too_long(stage: Stage) -> None:
    """Longer than the session: once it goes on it finds that the lock is not its own, and the instance is run again."""
    with stage("worker stopped beyond its session") as scene:
        owner = scene.lock_owner()
        worker = scene.fleet.worker_pid(scene.name)
        os.kill(worker, signal.SIGSTOP)
        until(lambda: scene.lock_owner() != owner, "its session is over")
        time.sleep(SHORT)
        os.kill(worker, signal.SIGCONT)
        _another_holding(scene, owner)


def test_a_server_is_stopped_with_its_workers(stage: Stage) -> None:
    """Another server takes over; the stopped one comes back, does no harm, and serves again."""
    with stage("server and workers stopped beyond their sessions") as scene:
        fleet = scene.fleet
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


def test_zookeeper_stops_answering(stage: Stage, zookeeper_server: ZookeeperFactory) -> None:
    """For a moment, for longer than a session lasts, killed and started again."""
    zookeeper = zookeeper_server()
    with stage("ZooKeeper silent, then restarted", zookeeper=zookeeper.hosts) as scene:
        for seconds in (SHORT, LONG):
            scene.publishes_on()
            zookeeper.pause()
            time.sleep(seconds)
            zookeeper.resume()
            scene.publishes_on()
        zookeeper.restart(kill=True)
        scene.fleet.running(scene.name)


def test_zookeeper_begins_anew(stage: Stage, zookeeper_server: ZookeeperFactory) -> None:
    """All nodes are gone and transaction ids begin anew; the definition is put there again, nothing else."""
    zookeeper = zookeeper_server()
    with stage("ZooKeeper wiped", zookeeper=zookeeper.hosts) as scene:
        fleet = scene.fleet
        epoch = scene.epoch
        zookeeper.wipe()
        fleet.reconnect()
        until(lambda: fleet.tree.children("/servers") == ["s1", "s2"], "the servers are back", every=0.2)
        fleet.define(scene.instance)
        fleet.running(scene.name)
        scene.publishes_on()
        assert scene.epoch > epoch
