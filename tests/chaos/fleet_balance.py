"""Instances that change at very different, fixed rates, on sources of their own, and how evenly a fleet carries them."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from deploy.rig.checks import Report
from deploy.rig.fleet import Fleet
from deploy.rig.pace import TABLE, Pace
from deploy.rig.process import until
from deploy.rig.source import BinlogPoint, Source
from deploy.rig.verify import Run, verify
from deploy.rig.worker import Instance, caught_up

ROWS, SIZE = 10, 2000
"""Rows of a transaction, and bytes of a row: all but the slowest weigh more than idle ones."""
TOLERANCE = 0.2


@dataclass(frozen=True, slots=True)
class Carried:
    """One instance and the rate at which its source changes, in transactions a second."""

    instance: Instance
    rate: float
    start: BinlogPoint


class Rates:
    """`sources`: each with its rate; `instances` of each read the same table."""

    def __init__(self, fleet: Fleet, sources: Sequence[tuple[Source, float]], *, instances: int = 1) -> None:
        self._fleet = fleet
        self._paces: list[Pace] = []
        self.carried: dict[str, Carried] = {}
        for number, (source, rate) in enumerate(sources):
            pace = Pace(source, f"rate_{secrets.token_hex(3)}", rate, rows=ROWS, size=SIZE)
            pace.prepare()
            start = source.end_of_binlog()
            for twin in range(instances):
                made = fleet.instance(
                    f"r{number:02}-{twin}", source, pace.database, (TABLE,), start={"gtid_set": source.executed()}
                )
                self.carried[made.name] = Carried(made, rate, start)
            self._paces.append(pace)

    def begin(self) -> None:
        """The sources change from now on, and the instances are defined."""
        for pace in self._paces:
            pace.start()
        self._fleet.define(*(each.instance for each in self.carried.values()))

    # ---------------------------------------------------------------- balance

    def loads(self) -> dict[str, float] | None:
        """Server -> the rates of what it runs, by the rig's own account; None while something runs nowhere."""
        servers = self._fleet.tree.children("/servers")
        placed = {server: names for server, names in self._fleet.placed().items() if server in servers}
        if sum(map(len, placed.values())) < len(self.carried):
            return None
        return {server: sum(self.carried[name].rate for name in names) for server, names in placed.items()}

    def balanced(self) -> dict[str, float] | None:
        """The loads, if each is within a fifth of their mean, or of the largest instance where that is more."""
        loads = self.loads()
        if loads is None:
            return None
        mean = sum(loads.values()) / len(loads)
        allowed = TOLERANCE * max(mean, *(each.rate for each in self.carried.values()))
        return loads if all(abs(load - mean) <= allowed for load in loads.values()) else None

    def wait_balanced(self, timeout: float) -> dict[str, float]:
        try:
            return until(self.balanced, "the loads are even", timeout, every=0.3)
        except TimeoutError as error:
            reasons = {name: self._fleet.schedule(name).get("reason") for name in self.carried}
            raise TimeoutError(f"{error}: {self.loads()}, {self._fleet.placed()}, {reasons}") from None

    # ---------------------------------------------------------------- verdict

    def finish(self) -> dict[str, Report]:
        """End the load, wait until all of it is published; the verdict for each instance."""
        for pace in self._paces:
            assert pace.stop() > 0
        instances = [each.instance for each in self.carried.values()]
        until(lambda: all(caught_up(each) for each in instances), "everything is published", 120, every=0.5)
        return {name: verify(_run(each)) for name, each in self.carried.items()}


def _run(carried: Carried) -> Run:
    instance = carried.instance
    return Run(
        instance.source, instance.bootstrap, instance.database, (TABLE,), instance.topic, instance.ddl_topic,
        carried.start,
    )  # fmt: skip
