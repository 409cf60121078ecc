"""One instance in this process: holds it, and turns every error into take over again, wait, park or end.

take over ──▶ pump ──▶ end | stopped
  ▲   HoldingLost: again at once      FindingError, retry: again after a pause
  └── FindingError, operator; BinlogError: parked      Replaced: ends
"""

import random
import time
from dataclasses import asdict
from typing import Any, Literal

from cdcd.binlog.position import Position
from cdcd.errors import BinlogError, Finding, FindingError, HoldingLost, Replaced, Stopped, UnsupportedEvent
from cdcd.kafka.failures import Fenced
from cdcd.worker.figures import Figures
from cdcd.worker.journal import Journal, Level, iso
from cdcd.worker.stopping import StopSignal
from cdcd.worker.takeover import TakeOver

Ending = Literal["end", "stopped", "replaced", "parked"]

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
HEALTHY = 60.0
"""Seconds without trouble after which the next one is answered by the first pause again."""

_LEVELS: dict[str, Level] = {"parked": "error", "retrying": "warning"}


class Backoff:
    """Growing, jittered pauses: many instances must not come back to one source in step."""

    def __init__(self) -> None:
        self._pause = 0.0
        self._last = 0.0

    def next(self, now: float) -> float:
        """Seconds; the first time, or after a healthy while, none."""
        if now - self._last > HEALTHY:
            self._pause = 0.0
        pause = self._pause * random.uniform(0.75, 1.25)  # noqa: S311 - jitter, no secret
        self._pause = min(LONGEST_PAUSE, max(FIRST_PAUSE, self._pause * 2))
        self._last = now + pause
        return pause


class Instance:
    """Runs until it ends by itself or is stopped; `status` may be asked from any thread."""

    def __init__(
        self,
        name: str,
        take_over: TakeOver,
        figures: Figures,
        journal: Journal,
        stop: StopSignal,
        *,
        park: bool,
    ) -> None:
        self._name = name
        self._take_over = take_over
        self._figures = figures
        self._metrics = figures.metrics
        self._journal = journal
        self._stop = stop
        self._park = park
        """Whether to wait, visibly, for somebody to act; else such a finding ends the run."""
        self._finding: Finding | None = None
        self._since = time.time()

    def run(self) -> Ending:
        backoff = Backoff()
        while not self._stop.asked:
            try:
                return self._hold()
            except Stopped:
                break
            except Replaced as error:
                self._change("stopping", "instance.replaced", str(error))
                return "replaced"
            except HoldingLost as error:
                self._lost(error)
            except FindingError as error:
                if error.finding.kind == "operator":
                    return self._parked(error.finding)
                self._retrying(error.finding)
            except BinlogError as error:
                return self._parked(self._unreadable(error))
            self._stop.wait(backoff.next(time.monotonic()))
        self._change("stopping", "instance.stopped", "asked to stop")
        return "stopped"

    @property
    def state(self) -> str:
        """One of cdcd.observe.metrics.STATES."""
        return self._metrics.state

    def status(self) -> dict[str, Any]:
        """For `/status`; no secrets, no row values."""
        record = self._take_over.last_record
        return {
            "name": self._name,
            "state": self._metrics.state,
            "since": iso(self._since),
            "epoch": self._metrics.epoch,
            "finding": None if self._finding is None else asdict(self._finding),
            "lag_seconds": self._figures.lag(time.time()),
            "lag_bytes": self._metrics.lag_bytes,
            "lag_transactions": self._metrics.lag_transactions,
            "position": None if record is None else _shown(record.position),
            "seq": None if record is None else record.seq,
            "events": self._journal.events(),
        }

    def _hold(self) -> Ending:
        if self._finding is None:  # else it stays `retrying`, whatever an attempt takes, until it runs
            self._change("starting", "instance.taking_over", "this process is to publish it")
        try:
            outcome = self._take_over.run(self._running)
        finally:
            self._metrics.owned = self._metrics.source_connected = 0
        reason = "the end of the binlog is reached" if outcome == "end" else "asked to stop"
        self._change("stopping", "instance.finished" if outcome == "end" else "instance.stopped", reason)
        return outcome

    def _running(self, epoch: int, place: str) -> None:
        self._metrics.takeovers += 1
        self._metrics.owned = self._metrics.source_connected = 1
        self._metrics.epoch = epoch
        self._finding = None
        self._change("running", "instance.acquired", f"reads from {place}", epoch=epoch)

    def _lost(self, error: HoldingLost) -> None:
        fenced = isinstance(error, Fenced)
        self._metrics.fenced += fenced
        self._metrics.kafka_transactions["aborted" if fenced else "unknown"] += 1
        self._metrics.producer_rebuilds += 1
        self._change("starting", "instance.holding_lost", str(error))

    def _retrying(self, finding: Finding) -> None:
        if self._finding is None or self._finding.code != finding.code:
            self._change("retrying", "instance.retrying", str(finding), finding=finding.code)
        self._finding = finding
        self._metrics.state = "retrying"
        if finding.code.startswith("source"):
            disconnects = self._metrics.source_disconnects
            disconnects[finding.code] = disconnects.get(finding.code, 0) + 1

    def _parked(self, finding: Finding) -> Ending:
        self._metrics.parked = finding.code
        self._finding = finding
        self._change("parked", "instance.parked", str(finding), finding=finding.code)
        if self._park:
            self._stop.wait()
        return "stopped" if self._stop.asked else "parked"

    def _unreadable(self, error: BinlogError) -> Finding:
        if not isinstance(error, UnsupportedEvent):
            remedy = "Look at the event with mysqlbinlog; if it is sound there, report a defect of cdcd"
            return Finding("event-malformed", "operator", str(error), remedy)
        counts = self._metrics.unsupported_events
        counts[str(error.event_type)] = counts.get(str(error.event_type), 0) + 1
        remedy = (
            "Nothing was skipped. Exclude the table or mend the source's setting; docs/findings.md tells how to go on"
        )
        return Finding("event-unsupported", "operator", str(error), remedy)

    def _change(self, state: str, event: str, reason: str, **more: object) -> None:
        if state != self._metrics.state:
            self._since = time.time()
        self._metrics.state = state
        self._journal.note(event, reason, _LEVELS.get(state, "info"), **more)


def _shown(position: Position) -> dict[str, Any]:
    return {
        "server_uuid": position.server_uuid,
        "gtid_set": None if position.gtid_set is None else str(position.gtid_set),
        "file": position.file,
        "offset": position.end_offset,
        "transaction": position.txn,
        "rows_done": position.rows_done,
    }
