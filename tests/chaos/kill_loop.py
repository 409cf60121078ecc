"""A worker is killed again and again while a mixed load runs; in the end nothing may be lost, doubled or out of order."""

import json
import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from deploy.rig.checks import Report, State
from deploy.rig.load import TABLES, History, Load, Shape, create_tables
from deploy.rig.process import Process, json_lines
from deploy.rig.source import BinlogPoint
from deploy.rig.topics import read_committed
from deploy.rig.verify import Run, verify
from deploy.rig.worker import Instance, Worker, until
from tests.chaos.artefacts import kept_on_failure

KILLED = -9

ONCE_A_PROCESS = (
    "producer.before_init",
    "producer.after_init",
    "epoch.claimed",
    "position.after_read",
    "source.first_event",
)
"""Failpoints of a take-over."""

MANY = (
    "source.mid_event",
    "txn.after_gtid",
    "kafka.after_begin",
    "kafka.mid_rows",
    "kafka.before_position",
    "kafka.before_commit",
    "kafka.commit_unknown",
    "kafka.after_commit",
    "big_txn.between_parts",
)
"""Failpoints passed over and over."""

FAILPOINTS = ONCE_A_PROCESS + MANY


@dataclass(frozen=True, slots=True)
class Faults:
    """What is done to the worker."""

    kills: int = 5
    """At random moments."""
    failpoints: tuple[str, ...] = FAILPOINTS
    errors: tuple[str, ...] = ("kafka.commit_unknown",)
    """Failpoints that raise instead: the worker must mend itself without a restart."""


@dataclass(slots=True)
class Outcome:
    """A finished run."""

    report: Report
    history: History
    figures: dict[str, Any] = field(default_factory=dict)


class KillLoop:
    """One run: `(instance, seed)` decide everything but the interleaving."""

    def __init__(self, instance: Instance, seed: int, faults: Faults, shape: Shape) -> None:
        self._instance, self._faults = instance, faults
        self._chance = random.Random(seed)
        self.seed = seed
        self.load = Load(instance.source, instance.database, seed, shape)
        self._reached: list[str] = []
        self._kills = 0

    def run(self) -> Outcome:
        """Load and faults, then a quiet run to the end, then the verdict."""
        instance = self._instance
        create_tables(instance.source, instance.database)
        start = instance.source.end_of_binlog()
        instance.start = {"gtid_set": instance.source.executed()}
        self.load.start()
        for fault in self._schedule():
            fault()
        history = self.load.stop()
        finish(instance)
        run = run_of(instance, start)
        report = verify(run, history)
        _position_agrees(instance, report)
        return Outcome(report, history, self._figures(report, history))

    def _schedule(self) -> list[Callable[[], None]]:
        faults: list[Callable[[], None]] = [self._kill for _ in range(self._faults.kills)]
        faults += [lambda name=name: self._crash_at(name) for name in self._faults.failpoints]  # type: ignore[misc]
        faults += [lambda name=name: self._error_at(name) for name in self._faults.errors]  # type: ignore[misc]
        self._chance.shuffle(faults)
        return faults

    def _kill(self) -> None:
        """At any moment of a worker's life: half of them while it starts, half in mid-work."""
        worker = self._instance.run()
        if self._chance.random() < 0.6:
            until(lambda: working(worker), "the worker publishes")
        time.sleep(self._chance.uniform(0, 1.2))
        assert worker.poll() is None, f"the worker ended by itself\n{worker.said()}"
        worker.kill()
        self._kills += 1

    def _crash_at(self, name: str) -> None:
        passes = 1 if name in ONCE_A_PROCESS else self._chance.randint(1, 3)
        worker = self._instance.run(failpoint=f"{name}@{passes}=crash")
        code = worker.wait(60)
        assert code == KILLED, f"exit code {code} instead of a crash at {name}\n{worker.said()}"
        assert hits(worker) == [name], f"{name} was not reached\n{worker.said()}"
        self._reached.append(name)

    def _error_at(self, name: str) -> None:
        worker = self._instance.run(failpoint=f"{name}@2=error")
        until(lambda: hits(worker) == [name], f"{name} is reached")
        before = worker.metric("cdcd_published_records_total") or 0
        until(lambda: (worker.metric("cdcd_published_records_total") or 0) > before, "it publishes on")
        assert worker.poll() is None, worker.said()
        worker.kill()
        self._reached.append(f"{name}=error")

    def _figures(self, report: Report, history: History) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "kills": self._kills,
            "failpoints": len(self._reached),
            "starts": len(self._instance.workers),
            "answered_ok": history.count("ok"),
            "row_changes": report.counted.changes,
            "messages": report.messages,
            **report.verdicts,
        }


def judged(loop: KillLoop, scenario: str, instance: Instance) -> Outcome:
    """Run it; on any failure keep the artefacts and say how to run it again."""
    run = run_of(instance, instance.source.end_of_binlog())
    with kept_on_failure(scenario, loop.seed, run, instance.folder, loop.load) as verdict:
        outcome = loop.run()
        verdict |= {"verdicts": outcome.report.verdicts, "report": asdict(outcome.report)}
        assert outcome.report.passed, outcome.report.account()
    return outcome


def run_of(instance: Instance, start: BinlogPoint, base: dict[str, State] | None = None) -> Run:
    """The verifier's view of a loaded instance; `base`: rows that were there before `start`."""
    return Run(
        instance.source,
        instance.bootstrap,
        instance.database,
        TABLES,
        instance.topic,
        instance.ddl_topic,
        start,
        base or {},
    )


def finish(instance: Instance) -> Worker:
    """Publish all that is left, without faults."""
    worker = instance.run(until_end=True)
    code = worker.wait(180)
    assert code == 0, f"--until-end exits with {code}\n{worker.said()}"
    return worker


def working(worker: Worker) -> bool:
    """Whether it has published something; raises when it ended instead."""
    assert worker.poll() is None, f"the worker ended with {worker.code}\n{worker.said()}"
    return bool(worker.metric("cdcd_published_records_total"))


def hits(worker: Process) -> list[str]:
    """Failpoints it reached, from its standard error."""
    return [line["failpoint"] for line in json_lines(worker.err) if "failpoint" in line]


def positions(instance: Instance) -> list[dict[str, Any]]:
    """All committed position records, oldest first."""
    return [json.loads(record.value) for record in read_committed(instance.bootstrap, [instance.position_topic])]


def _position_agrees(instance: Instance, report: Report) -> None:
    """V5's half: the last committed position counts exactly the committed messages."""
    last = positions(instance)[-1]
    assert last["seq"] == report.messages, f"position record says seq {last['seq']}, topics hold {report.messages}"
    assert last["rows_done"] == 0
