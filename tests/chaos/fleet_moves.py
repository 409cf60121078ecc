"""An instance is moved back and forth under a steady load: how long nothing is published, and that nothing is lost."""

import secrets
import time
from typing import Any

from deploy.rig.checks import Report
from deploy.rig.fleet import Fleet
from deploy.rig.gaps import longest_gap, published_at, spread
from deploy.rig.pace import TABLE, Pace
from deploy.rig.process import until
from deploy.rig.source import BinlogPoint, Source
from deploy.rig.verify import Run, verify
from deploy.rig.worker import Instance, caught_up

RATE = 100
"""Transactions a second: a gap is known to a hundredth of a second."""
BIG_FILE_MIB = 1000
_BLOB = 16_000_000


class Moves:
    """One instance at a fixed rate, on servers that run already."""

    def __init__(self, fleet: Fleet, source: Source, name: str) -> None:
        self.fleet, self.source, self.name = fleet, source, name
        self.spans: list[tuple[float, float]] = []
        """Unix milliseconds: when each move was asked for, and when it was over."""
        self.pace = Pace(self.source, f"{self.name}_{secrets.token_hex(3)}", RATE)
        self.pace.prepare()
        self.start: BinlogPoint = self.source.end_of_binlog()
        self.instance: Instance = self.fleet.instance(
            self.name, self.source, self.pace.database, (TABLE,), start={"gtid_set": self.source.executed()}
        )
        self.fleet.define(self.instance)
        self.pace.start()
        self.fleet.running(self.name)

    def move(self) -> None:
        """To the next server; returns when that one publishes."""
        servers = sorted(self.fleet.servers)
        here = until(lambda: self.fleet.runner(self.name), f"somebody runs {self.name}")
        there = servers[(servers.index(here) + 1) % len(servers)]
        asked = time.time()
        self.fleet.move(self.name, there)
        self.fleet.moved(self.name, there)
        self.spans.append((asked * 1000, time.time() * 1000))

    def finish(self) -> Report:
        """End the load, wait until all of it is published, judge it."""
        assert self.pace.stop() > 0
        until(lambda: caught_up(self.instance), "everything is published", 60, every=0.3)
        instance = self.instance
        report = verify(
            Run(
                self.source, instance.bootstrap, instance.database, (TABLE,), instance.topic, instance.ddl_topic,
                self.start,
            )
        )  # fmt: skip
        assert report.passed, report.account()
        return report

    def gaps(self) -> list[int]:
        """Milliseconds without a message around each move."""
        times = published_at(self.instance.bootstrap, [self.topic])
        return [longest_gap(times, since, end) for since, end in self.spans]

    def gap_since(self, moment_ms: float) -> int:
        """The longest of all from that moment on."""
        times = published_at(self.instance.bootstrap, [self.topic])
        return longest_gap(times, moment_ms, times[-1])

    @property
    def topic(self) -> str:
        return self.instance.topic.format(database=self.instance.database, table=TABLE)


def grow_binlog(source: Source, mib: int) -> None:
    """Fill the present binlog file with what the moved instance has to pass over."""
    source.run(
        "FLUSH BINARY LOGS",
        "CREATE DATABASE IF NOT EXISTS big",
        "CREATE TABLE IF NOT EXISTS big.t (v LONGBLOB) ENGINE = BLACKHOLE",
        *[f"INSERT INTO big.t VALUES (REPEAT('x', {_BLOB}))"] * ((mib << 20) // _BLOB),
    )


def figures_of(gaps: list[int], report: Report) -> dict[str, Any]:
    return {"moves": len(gaps), "gap_ms": spread(gaps), "messages": report.messages, **report.verdicts}
