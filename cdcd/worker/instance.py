"""One instance in this process: holds it, and turns every error into take over again, wait, park or end.

take over ──▶ pump ──▶ end | stopped | handed over | left          reconfigured: again, by the new definition
  ▲   HoldingLost: again at once      FindingError, retry: again after a pause
  └── FindingError, operator; BinlogError: parked      Replaced, NotOwner: ends
"""

import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from cdcd.binlog.position import Position
from cdcd.errors import BinlogError, Finding, FindingError, HoldingLost, NotOwner, Replaced, Stopped, UnsupportedEvent
from cdcd.kafka.failures import Fenced
from cdcd.worker.figures import Figures
from cdcd.worker.journal import Journal, Level, iso
from cdcd.worker.ownership import Ownership
from cdcd.worker.stopping import StopSignal
from cdcd.worker.takeover import Outcome, TakeOver

Ending = Literal["end", "stopped", "handed_over", "not_owner", "replaced", "parked", "gave_up"]

_ENDED = {
    "end": ("instance.finished", "the end of the binlog is reached"),
    "stopped": ("instance.stopped", "asked to stop"),
    "handed_over": ("instance.handed_over", "the successor stands by, everything is stored"),
    "left": ("instance.left", "the schedule names another server, or none"),
}
"""Event and reason."""

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


@dataclass(frozen=True, slots=True)
class Patience:
    """What an instance does about trouble that it cannot mend."""

    park: bool
    """Stay, visibly, where somebody has to act; else that ends the run."""
    attempts: int | None = None
    """So many times in a row, with growing pauses, before it ever ran here; then trouble of the class retry ends the run
    too. None: for ever."""


class Instance:
    """Runs until it ends by itself or is stopped; `status` may be asked from any thread."""

    def __init__(
        self,
        name: str,
        take_over: Callable[[], TakeOver],
        *,
        ownership: Ownership,
        figures: Figures,
        journal: Journal,
        stop: StopSignal,
        patience: Patience,
    ) -> None:
        self._name = name
        self._make_take_over = take_over
        self._take_over: TakeOver | None = None
        self._ownership = ownership
        self._figures = figures
        self._metrics = figures.metrics
        self._journal = journal
        self._stop = stop
        self._patience = patience
        self._ran = False
        self._failures = 0
        self.since = time.time()
        self.finding: Finding | None = None
        """Why it does not run, if it does not."""

    def run(self) -> Ending:
        backoff = Backoff()
        ending: Ending | None = None
        while ending is None and not self._stop.asked:
            ending = self._attempt() or self._pause(backoff)
        if ending is not None:
            return ending
        self._change("stopping", *_ENDED["stopped"])
        return "stopped"

    @property
    def state(self) -> str:
        """One of cdcd.observe.metrics.STATES."""
        return self._figures.state

    def status(self) -> dict[str, Any]:
        """For `/status`; no secrets, no row values."""
        record, now = None if self._take_over is None else self._take_over.last_record, time.time()
        state, finding = self._figures.state, self.finding  # in this order: a finding is there before its state
        return {
            "name": self._name,
            "state": state,
            "since": iso(self.since),
            "activity": self.activity(),
            "epoch": self._metrics.epoch,
            "finding": None if finding is None else asdict(finding),
            "lag_seconds": self._figures.lag(now),
            "lag_bytes": self._metrics.lag_bytes,
            "lag_transactions": self._metrics.lag_transactions,
            "purge_headroom_seconds": self._figures.headroom(now),
            "clock_offset_seconds": self._metrics.clock_offset,
            "position": None if record is None else _shown(record.position),
            "seq": None if record is None else record.seq,
            "events": self._journal.events(),
        }

    def activity(self) -> str:
        """What it is doing, in words."""
        if self._metrics.state == "running":
            return self._figures.activity()
        finding = self.finding
        return finding.what if finding is not None else self._journal.last_reason

    def _attempt(self) -> Ending | None:
        """One take-over and what it came to; None: again, unless a stop was asked for."""
        try:
            return self._ended(self._hold())
        except Stopped:
            return None
        except (Replaced, NotOwner) as error:
            return self._gone(error)
        except HoldingLost as error:
            self._lost(error)
            return None
        except FindingError as error:
            return self._troubled(error.finding)
        except BinlogError as error:
            return self._parked(self._unreadable(error))

    def _hold(self) -> Outcome:
        if self.finding is None:  # else it stays `retrying`, whatever an attempt takes, until it runs
            self._change("starting", "instance.taking_over", "this process is to publish it")
        self._take_over = self._make_take_over()
        try:
            return self._take_over.run(self._running)
        finally:
            self._metrics.owned = self._metrics.source_connected = 0

    def _ended(self, outcome: Outcome) -> Ending | None:
        if outcome == "reconfigured":
            return None
        self._change("stopping", *_ENDED[outcome])
        return "not_owner" if outcome == "left" else outcome

    def _gone(self, error: Replaced | NotOwner) -> Ending:
        replaced = isinstance(error, Replaced)
        self._change("stopping", "instance.replaced" if replaced else "instance.not_owner", str(error))
        return "replaced" if replaced else "not_owner"

    def _troubled(self, finding: Finding) -> Ending | None:
        if finding.kind == "operator":
            return self._parked(finding)
        self._retrying(finding)
        return "gave_up" if self._gives_up(finding) else None

    def _pause(self, backoff: Backoff) -> Ending | None:
        """Between two attempts nothing is open: an order is obeyed at once, and a new definition ends the pause."""
        until = time.monotonic() + backoff.next(time.monotonic())
        while not self._stop.asked and (left := until - time.monotonic()) > 0:
            try:
                self._ownership.check()
            except NotOwner as error:
                return self._gone(error)
            except HoldingLost:
                pass  # the next attempt begins by asking whether the lock is ours
            match self._ownership.order:
                case "leave":
                    return self._ended("left")
                case "hand_over" if self._given_over():
                    return self._ended("handed_over")
                case "reconfigure":
                    return None
            self._stop.wait(left)
        return None

    def _given_over(self) -> bool:
        try:
            return self._ownership.hand_over()
        except HoldingLost:
            return False

    def _gives_up(self, finding: Finding) -> bool:
        """Not because of ZooKeeper: without it nobody else would get the instance."""
        if self._ran or self._patience.attempts is None or finding.code.startswith("zookeeper"):
            return False
        self._failures += 1
        return self._failures > self._patience.attempts

    def _running(self, epoch: int, place: str) -> None:
        self._metrics.takeovers += 1
        self._metrics.owned = self._metrics.source_connected = 1
        self._metrics.epoch = epoch
        self.finding = None
        self._ran = True
        self._change("running", "instance.acquired", f"reads from {place}", epoch=epoch)

    def _lost(self, error: HoldingLost) -> None:
        fenced = isinstance(error, Fenced)
        self._metrics.fenced += fenced
        if fenced or self._confirmed():  # else it is ZooKeeper's answer that is missing, not Kafka's
            self._metrics.kafka_transactions["aborted" if fenced else "unknown"] += 1
        self._metrics.producer_rebuilds += 1
        self._change("starting", "instance.holding_lost", str(error))

    def _confirmed(self) -> bool:
        try:
            self._ownership.check()
        except (HoldingLost, NotOwner):
            return False
        return True

    def _retrying(self, finding: Finding) -> None:
        known = self.finding is not None and self.finding.code == finding.code
        self.finding = finding  # before it is told: whoever hears of it asks at once, from another thread
        if not known:
            self._change("retrying", "instance.retrying", str(finding), finding=finding.code)
        self._metrics.state = "retrying"
        if finding.code.startswith("source"):
            disconnects = self._metrics.source_disconnects
            disconnects[finding.code] = disconnects.get(finding.code, 0) + 1

    def _parked(self, finding: Finding) -> Ending:
        self._metrics.parked = finding.code
        self.finding = finding
        self._change("parked", "instance.parked", str(finding), finding=finding.code)
        while self._patience.park and not self._stop.asked:
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
            self.since = time.time()
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
        "held": [{**asdict(each), "since": iso(each.since_ms / 1000)} for each in position.held],
    }
