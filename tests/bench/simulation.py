"""A simulated day of a large fleet: how long plans take, how even the loads are, how many instances move.

    python -m tests.bench.simulation --servers 1000 --instances 100000 --hours 24

One plan is made for every five simulated minutes. A real scheduler plans every few seconds and has a few hand-overs
under way at a time, of about five seconds each; so many plans' worth of moves one simulated plan may begin. One in fifty
hand-overs comes to nothing: when its time is up, plans are made in between, as by a real scheduler. Each hour servers
die and come back, one joins, some are drained; instances are defined, deleted, and break so that they crash everywhere.
Every rule that a plan breaks is counted: there must be none.
"""

import argparse
import json
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from cdcd.fleet.plan import Plan, Policy, plan
from tests.bench.simulated import SimulatedFleet

STEP = 300.0
"""Simulated seconds between two plans."""
HAND_OVER = 5.0
"""Seconds of one hand-over, from the plan to the report of the new server."""
TOLERANCE = 0.1
"""Of the mean; or the largest instance, whichever is more."""


@dataclass
class Record:
    """What is measured, one entry a plan if not said otherwise."""

    plan_seconds: list[float] = field(default_factory=list)
    plan_cpu_seconds: list[float] = field(default_factory=list)
    imbalance: list[float] = field(default_factory=list)
    """Largest distance of a server's load from the mean, as a share of the mean."""
    typical: list[float] = field(default_factory=list)
    """The same of the server in the middle."""
    outside: int = 0
    """Servers, summed over all plans, further from the mean than 10 % of it and than the largest instance on them."""
    outside_any: int = 0
    """The same with the largest instance of all."""
    moves: list[int] = field(default_factory=list)
    """For balance, one entry an hour."""
    first_moves: list[int] = field(default_factory=list)
    """The same of the hours before, in which the fleet found its balance."""
    other_moves: list[int] = field(default_factory=list)
    """Drains, dead servers, failures, new instances; one entry an hour."""
    violations: list[str] = field(default_factory=list)

    def line(self) -> dict[str, Any]:
        return {
            "plan_seconds": _spread(self.plan_seconds),
            "plan_cpu_seconds": _spread(self.plan_cpu_seconds),
            "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            "imbalance": {"worst": round(max(self.imbalance), 3), "median": round(median(self.imbalance), 3)},
            "imbalance_of_the_middle_server": round(median(self.typical), 3),
            "outside_10_percent_or_largest_instance": self.outside_any,
            "outside_10_percent_or_own_largest_instance": self.outside,
            "moves_for_balance_an_hour": _spread(self.moves),
            "moves_for_balance_in_the_first_hours": self.first_moves,
            "other_moves_an_hour": _spread(self.other_moves),
            "violations": len(self.violations),
            "first_violations": self.violations[:5],
        }


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"min": round(min(values), 3), "median": round(median(values), 3), "max": round(max(values), 3)}


class Simulation:
    """One fleet, hour by hour."""

    def __init__(self, servers: int, instances: int, seed: int) -> None:
        self.fleet = SimulatedFleet(servers, instances, seed)
        self.record = Record()
        self._policy = Policy(max_moves=int(Policy().max_moves * STEP / HAND_OVER), settle=0.0)
        self._rate = servers / 1000

    def run(self, hours: float, warm_up: float = 2.0) -> dict[str, Any]:
        """The figures of `hours`, after `warm_up` hours in which the fleet starts, with nothing measured, and finds its
        balance: 100,000 instances take one hour and a half for that, with as many moves at a time as are allowed.
        """
        self._hours(warm_up, quiet=True)
        before = self.record
        self.record = Record(before.plan_seconds, before.plan_cpu_seconds, first_moves=before.moves)
        self._hours(hours, quiet=False)
        return self.record.line()

    def _hours(self, hours: float, *, quiet: bool) -> None:
        for step in range(round(hours * 3600 / STEP)):
            if step % round(3600 / STEP) == 0:
                self.record.moves.append(0)
                self.record.other_moves.append(0)
            self._step(quiet=quiet)
            if (step + 1) % round(3600 / STEP) == 0:
                hour = f"hour {self.fleet.now / 3600:.0f}: {self.record.moves[-1]} moves for balance"
                print(f"{hour}, imbalance {self.record.imbalance[-1]:.3f}", file=sys.stderr, flush=True)

    def _step(self, *, quiet: bool) -> None:
        fleet = self.fleet
        if not quiet:
            self._events()
        end = fleet.now + STEP
        late = self._plan(self._policy)
        while late and fleet.now + self._policy.handover_timeout < end:
            fleet.now += self._policy.handover_timeout
            self._plan(Policy(settle=0.0))  # gives them up
            late = self._plan(Policy(settle=0.0))
        fleet.pass_time(end - fleet.now)
        self._judge()

    def _plan(self, policy: Policy) -> int:
        """Make a plan and carry it out: how many hand-overs came to nothing."""
        fleet = self.fleet
        fleet.report()
        began, cpu = time.perf_counter(), time.process_time()
        made = plan(fleet.instances, fleet.servers, fleet.schedule, fleet.now, policy, 0.0)
        self.record.plan_seconds.append(time.perf_counter() - began)
        self.record.plan_cpu_seconds.append(time.process_time() - cpu)
        self.record.violations += fleet.violations(made)
        self._count(made)
        fleet.write(made)
        return fleet.obey()

    def _events(self) -> None:
        """Per hour and 1,000 servers: 4 deaths, 1 join, 2 drains, 120 definitions come and go, 12 instances break."""
        fleet, hour = self.fleet, STEP / 3600 * self._rate
        happenings = (
            (4, fleet.die),
            (1, fleet.join),
            (2, fleet.drain),
            (120, fleet.define),
            (120, fleet.forget),
            (12, self._break),
        )
        for times, happens in happenings:
            for _ in range(int(times * hour + fleet.chance.random())):
                happens()

    def _break(self) -> None:
        self.fleet.broken.add(self.fleet.chance.choice(list(self.fleet.instances)))

    def _count(self, made: Plan) -> None:
        for change in made.changes:
            before = self.fleet.schedule.get(change.instance)
            if change.node is None or (
                before and change.node.next == before.next and change.node.server == before.server
            ):
                continue
            if "for balance" in change.reason or "which it prefers" in change.reason:
                self.record.moves[-1] += 1
            elif not (before and before.next):
                self.record.other_moves[-1] += 1

    def _judge(self) -> None:
        """How even the loads are before the next plan, when they have drifted most."""
        loads, own = self.fleet.loads(), self.fleet.largest_on()
        mean = sum(loads.values()) / max(len(loads), 1)
        if not loads or not mean:
            return
        far = {name: abs(load - mean) for name, load in loads.items()}
        largest = max(own.values(), default=0.0)
        self.record.imbalance.append(max(far.values()) / mean)
        self.record.typical.append(median(far.values()) / mean)
        self.record.outside_any += sum(each > max(TOLERANCE * mean, largest) for each in far.values())
        self.record.outside += sum(each > max(TOLERANCE * mean, own.get(name, 0.0)) for name, each in far.items())


def main() -> int:
    """0 when no rule was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", type=int, default=1000)
    parser.add_argument("--instances", type=int, default=100_000)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--seed", type=int, default=20261122)
    asked = parser.parse_args()
    line = Simulation(asked.servers, asked.instances, asked.seed).run(asked.hours)
    print(json.dumps({**vars(asked), **line}))
    return 1 if line["violations"] else 0


if __name__ == "__main__":
    sys.exit(main())
