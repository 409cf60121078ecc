"""What a server knows of one instance that it was given: its slot, its worker, what that said last, how much it does."""

import time
from dataclasses import asdict, replace
from typing import Any

from cdcd.fleet.nodes import InstanceLoad
from cdcd.observe.metrics import InstanceMetrics
from cdcd.server.processes import WorkerProcess
from cdcd.server.rates import Rate
from cdcd.server.reconcile import Slot
from cdcd.worker.channel import Farewell, Hello, Report

SILENCE = 12.0
"""Seconds without a report (a quiet worker sends one every 5 s) after which its lag is reckoned on."""
LONGEST_MEASURED = 3600.0
"""Seconds; an instance that is measured for longer is measured well enough."""


class Place:
    """Written by the supervisor's thread alone; any thread may read it."""

    def __init__(self, instance: str, slot: Slot, window: float) -> None:
        self.instance = instance
        self.slot = slot
        self.process: WorkerProcess | None = None
        self.hello: Hello | None = None
        self.farewell: Farewell | None = None
        self.metrics = InstanceMetrics()
        self._lines_dropped = 0
        self._reported_at = 0.0
        self._said: dict[str, Any] = {}
        self._bytes = self._rows = Rate(window)

    def started(self, process: WorkerProcess) -> None:
        self.process, self.hello, self.farewell, self._lines_dropped = process, None, None, 0

    def ended(self, slot: Slot) -> None:
        """The process is gone. Its last figures stay, except for what it cannot be doing any more."""
        self.slot, self.process = slot, None
        self._bytes, self._rows = self._bytes.interrupted(), self._rows.interrupted()
        parked = slot.failure.code if slot.failure and slot.failure.kind == "operator" else None
        state = "parked" if parked else "retrying"
        self.metrics = replace(self.metrics, owned=0, source_connected=0, state=state, parked=parked)
        self._said.pop("role", None)

    def reported(self, report: Report, now: float) -> bool:
        """True where the role, the state or the epoch changed."""
        before = self.role, self.metrics.state, self.metrics.epoch
        self.metrics, self._said, self._reported_at = report.metrics, report.status, now
        if self.role == "owner":
            rows = sum(self.metrics.rows.values()) + self.metrics.rows_filtered
            self._bytes = self._bytes.look(self.metrics.source_received_bytes, now)
            self._rows = self._rows.look(rows, now)
        return before != (self.role, self.metrics.state, self.metrics.epoch)

    def dropped(self, report: Report) -> int:
        """Log lines that its worker has dropped since the report before."""
        before, self._lines_dropped = self._lines_dropped, report.log_lines_dropped
        return report.log_lines_dropped - before

    @property
    def role(self) -> str:
        """One of cdcd.observe.metrics.ROLES."""
        if self.process is None:
            return "parked" if self.metrics.state == "parked" else "starting"
        return str(self._said.get("role", "starting"))

    @property
    def publishing(self) -> bool:
        return self.role == "owner" and self.metrics.state == "running"

    def here(self, *, stopping: bool) -> bool:
        """Whether it counts as being on this server: it runs, or is about to."""
        slot = self.slot
        return slot.alive or slot.burying or not (stopping or slot.handed_over or self.role == "parked")

    def shown(self, now: float) -> InstanceMetrics:
        """For a scrape. A worker that has ended, or says nothing any more, publishes nothing: its lag grows with the time since."""
        if self._heard(now):
            return self.metrics
        age, lag, headroom = now - self._reported_at, self.metrics.lag_seconds, self.metrics.purge_headroom
        return replace(
            self.metrics,
            owned=0,
            source_connected=0,
            lag_seconds=None if lag is None else lag + age,
            lag_bytes=None,
            lag_transactions=None,
            purge_headroom=None if headroom is None else max(0.0, headroom - age),
        )

    def _heard(self, now: float) -> bool:
        return self.process is not None and now - self._reported_at < SILENCE

    def _activity(self, now: float) -> str:
        """What its worker does, in words; of one that says nothing any more, that."""
        if self.process is None:
            failure = self.slot.failure
            return failure.reason if failure else "its worker has ended"
        if self._said and not self._heard(now):
            return f"its worker has said nothing for {now - self._reported_at:.0f} s"
        return str(self._said.get("activity", "its worker begins"))

    def load(self) -> InstanceLoad:
        """For the load-balance node."""
        state = self.role if self.role in ("waiting", "standby") else self.metrics.state
        return InstanceLoad(
            state,
            bytes_per_second=round(self._bytes.value, 1),
            rows_per_second=round(self._rows.value, 2),
            measured=round(min(self._bytes.seconds, LONGEST_MEASURED), 1),
            lag_seconds=self.shown(time.monotonic()).lag_seconds,
            epoch=self.metrics.epoch if self.metrics.owned else None,
        )

    def status(self) -> dict[str, Any]:
        """For `/status`."""
        load, slot, process, now = self.load(), self.slot, self.process, time.monotonic()
        wait = slot.retry_at - now
        return {
            "name": self.instance,
            **self._said,
            "state": load.state,
            "activity": self._activity(now),
            "lag_seconds": load.lag_seconds,
            "role": self.role,
            "pid": process.pid if process else None,
            "bytes_per_second": load.bytes_per_second,
            "rows_per_second": load.rows_per_second,
            "generation": slot.generation,
            "failed_starts": slot.attempts,
            "next_start_in": round(wait, 1) if process is None and wait > 0 else None,
            "failure": asdict(slot.failure) if slot.failure else None,
        }
