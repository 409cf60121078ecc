"""Faults at random, one upon the other, on a fleet whose instances are under a mixed load."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from deploy.rig.fleet import SESSION_SECONDS, Fleet
from deploy.rig.process import until
from deploy.rig.tree import TreeAway, expire
from tests.chaos.fleet_scene import Scene
from tests.servers import ZookeeperServer

SERVERS = ("s1", "s2", "s3")


class Storm:
    """`(fleet, scenes, seed)` decide which faults come when; what they meet is up to the machine."""

    def __init__(self, fleet: Fleet, zookeeper: ZookeeperServer, scenes: list[Scene], seed: int) -> None:
        self._fleet, self._zookeeper, self._scenes = fleet, zookeeper, scenes
        self._chance = random.Random(seed)
        self.done: Counter[str] = Counter()

    def rage(self, faults: int) -> None:
        """So many faults, with little time between them, or none; now and then until all runs again."""
        for number in range(faults):
            fault = self._chance.choice(self._FAULTS)
            self.done[fault.__name__.strip("_")] += 1
            try:
                fault(self)
            except (TreeAway, LookupError, ProcessLookupError, TimeoutError):
                self.done["missed"] += 1  # what it was meant for was not there
            self._mend()
            if number % 5 == 4:
                self.calm()
            time.sleep(self._chance.uniform(0, 2))
        self.calm()

    def calm(self) -> None:
        """Everything runs again by itself: all there was to do is to start the servers that were killed."""
        self._fleet.registered(timeout=60)
        self._fleet.running(timeout=90)

    def figures(self) -> dict[str, Any]:
        return {"faults": dict(self.done)}

    def _mend(self) -> None:
        """What an init system does."""
        for server in SERVERS:
            process = self._fleet.servers[server]
            if process.poll() is not None:
                process.kill_all()
                self._fleet.start(server)

    # ---------------------------------------------------------------- faults

    def _name(self) -> str:
        return self._chance.choice(self._scenes).name

    def _server(self) -> str:
        return self._chance.choice(SERVERS)

    def _worker(self) -> int:
        pid = self._fleet.tree.content(f"/state/{self._name()}/running").get("pid")
        if pid is None:
            raise ProcessLookupError("nobody runs it")
        return int(pid)

    def _kill_worker(self) -> None:
        os.kill(self._worker(), signal.SIGKILL)

    def _kill_server(self) -> None:
        self._fleet.servers[self._server()].kill()

    def _kill_server_and_workers(self) -> None:
        self._fleet.servers[self._server()].kill_all()

    def _stop_server(self) -> None:
        """As an init system does; it hands over what it runs."""
        self._fleet.servers[self._server()].stop(60)

    def _pause_worker(self) -> None:
        worker = self._worker()
        os.kill(worker, signal.SIGSTOP)
        time.sleep(self._some_seconds())
        os.kill(worker, signal.SIGCONT)

    def _pause_server_and_workers(self) -> None:
        server = self._fleet.servers[self._server()]
        server.signal_all(signal.SIGSTOP)
        time.sleep(self._some_seconds())
        server.signal_all(signal.SIGCONT)

    def _some_seconds(self) -> float:
        return self._chance.choice((0.3, 1.0, SESSION_SECONDS, 1.7 * SESSION_SECONDS))

    def _expire_worker(self) -> None:
        owner = self._fleet.tree.node(f"/state/{self._name()}/running")
        if owner is not None:
            expire(self._fleet.zookeeper, owner.owner)

    def _expire_server(self) -> None:
        node = self._fleet.tree.node(f"/servers/{self._server()}")
        if node is not None:
            expire(self._fleet.zookeeper, node.owner)

    def _pause_zookeeper(self) -> None:
        self._zookeeper.pause()
        time.sleep(self._some_seconds())
        self._zookeeper.resume()

    def _restart_zookeeper(self) -> None:
        self._zookeeper.restart(kill=True)
        until(self._answers, "ZooKeeper answers again")

    def _answers(self) -> bool:
        try:
            self._fleet.tree.children("/servers")
        except TreeAway:
            return False
        return True

    def _move(self) -> None:
        self._fleet.move(self._name(), self._server())

    def _restart_instance(self) -> None:
        self._fleet.tree.request(self._name(), "restart")

    _FAULTS: "tuple[Callable[[Storm], None], ...]" = (
        _kill_worker, _kill_server, _kill_server_and_workers, _stop_server, _pause_worker, _pause_server_and_workers,
        _expire_worker, _expire_server, _pause_zookeeper, _restart_zookeeper, _move, _move, _restart_instance,
    )  # fmt: skip
