"""Servers and workers of a fleet are killed again and again under load: how long until somebody else publishes."""

import json
import os
import secrets
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from deploy.rig.checks import Report
from deploy.rig.fleet import Fleet, Server
from deploy.rig.gaps import first_after, published_at, spread
from deploy.rig.pace import TABLE, Pace
from deploy.rig.process import until
from deploy.rig.source import BinlogPoint, Source
from deploy.rig.topics import read_committed
from deploy.rig.verify import Run, verify
from deploy.rig.worker import Instance, caught_up

Victim = Literal["worker", "server_and_workers", "server_alone", "scheduler_and_workers"]

RATE = 40
"""Transactions a second of each instance: gaps are known to a fortieth of a second."""
HEALTHY = 5.5
"""Seconds that a worker publishes before it is killed: a shorter life counts as one of a row of failures."""


@dataclass(frozen=True, slots=True)
class Kill:
    """One fault."""

    victim: Victim
    instance: str
    """One that ran there."""
    at_ms: float
    """Unix milliseconds."""
    epoch: int
    """Of the owner that was killed."""


class Kills:
    """Three instances that change at a fixed rate, on the servers of a fleet that run already."""

    def __init__(self, fleet: Fleet, source: Source) -> None:
        self._fleet, self._source = fleet, source
        self._kills: list[Kill] = []
        self._paces: list[Pace] = []
        self._began: dict[str, BinlogPoint] = {}
        for number in range(len(fleet.servers)):
            self._define(f"kill{number}")
        fleet.running()

    def _define(self, name: str) -> None:
        pace = Pace(self._source, f"{name}_{secrets.token_hex(3)}", RATE)
        pace.prepare()
        self._began[name] = self._source.end_of_binlog()
        start = {"gtid_set": self._source.executed()}
        self._fleet.define(self._fleet.instance(name, self._source, pace.database, (TABLE,), start=start))
        pace.start()
        self._paces.append(pace)

    # ---------------------------------------------------------------- faults

    def kill(self, victim: Victim) -> None:
        """One kill; returns when everything runs again, with as many servers as before."""
        if victim == "worker":
            ready = time.monotonic() + HEALTHY
            until(lambda: time.monotonic() > ready, "the workers have lived for a while", HEALTHY + 1)
        server, name = self._choose(victim)
        epoch = self._epoch(name)
        hit = {
            "worker": lambda: os.kill(self._fleet.worker_pid(name), signal.SIGKILL),
            "server_alone": server.kill,
        }
        at = time.time()
        hit.get(victim, server.kill_all)()
        self._kills.append(Kill(victim, name, at * 1000, epoch))
        until(lambda: self._epoch(name) > epoch, f"{name} has another owner", 60)
        if victim != "worker":
            until(lambda: not server.group(), f"the workers of {server.id} are gone")
            self._fleet.start(server.id)
            self._fleet.registered(server.id)
        self._fleet.running()

    def _choose(self, victim: Victim) -> tuple[Server, str]:
        """A server and an instance that it runs."""
        leader = until(self._fleet.scheduler, "a scheduler is elected")
        runners = until(self._settled, "nothing is handed over")
        names = list(runners)
        if victim == "scheduler_and_workers":
            found = [name for name in names if runners[name] == leader]
            if not found:
                self._fleet.move(names[0], leader)
                self._fleet.moved(names[0], leader)
            return self._fleet.servers[leader], (found or names)[0]
        others = [name for name in names if runners[name] != leader] or names
        name = others[len(self._kills) % len(others)]
        return self._fleet.servers[runners[name]], name

    def _settled(self) -> dict[str, str] | None:
        """Instance -> the server that runs it; None while one is being moved, as to a server that has come back."""
        found = {name: self._fleet.runner(name) for name in sorted(self._fleet.instances) if self._fleet.runs(name)}
        runners = {name: runner for name, runner in found.items() if runner is not None}
        return runners if len(runners) == len(self._fleet.instances) else None

    def _epoch(self, name: str) -> int:
        return int(self._fleet.tree.content(f"/state/{name}/epoch").get("epoch", 0))

    # ---------------------------------------------------------------- verdicts

    def finish(self) -> dict[str, Report]:
        """End the load, wait until all of it is published; the verdict for each instance."""
        for pace in self._paces:
            assert pace.stop() > 0
        instances = self._fleet.instances
        until(lambda: all(caught_up(each) for each in instances.values()), "everything is published", 60, every=0.5)
        return {name: verify(self._run(each)) for name, each in instances.items()}

    def _run(self, instance: Instance) -> Run:
        return Run(
            instance.source, instance.bootstrap, instance.database, (TABLE,), instance.topic, instance.ddl_topic,
            self._began[instance.name],
        )  # fmt: skip

    def figures(self) -> dict[str, Any]:
        """Seconds from each kill to the first message of the next owner."""
        found: dict[str, list[float]] = {}
        for kill in self._kills:
            found.setdefault(kill.victim, []).append(self._seconds(kill))
        return {victim: spread(seconds) for victim, seconds in found.items()}

    def _seconds(self, kill: Kill) -> float:
        """A server's workers outlive it for up to two seconds: what counts is the next owner's first message."""
        instance = self._fleet.instances[kill.instance]
        topic = instance.topic.format(database=instance.database, table=TABLE)
        records = read_committed(instance.bootstrap, [instance.position_topic])
        claims = (each.timestamp_ms for each in records if json.loads(each.value)["epoch"] > kill.epoch)
        first = first_after(published_at(instance.bootstrap, [topic]), min(claims))
        assert first is not None
        return (first - kill.at_ms) / 1000


def judge(kills: Kills, limits: Callable[[str], float]) -> dict[str, Any]:
    """The figures, after nothing was lost, doubled or late."""
    reports = kills.finish()
    assert all(report.passed for report in reports.values()), [report.account() for report in reports.values()]
    figures = kills.figures()
    late = {victim: each for victim, each in figures.items() if each["max"] > limits(victim)}
    assert not late, f"too long without a message: {late}"
    return {**figures, "messages": sum(report.messages for report in reports.values())}
