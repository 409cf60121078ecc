"""Faults planted at named places, for tests alone.

    CDCD_FAILPOINT=<name>[@<n>|@p<odds>]=<action>[;...]     refused unless CDCD_TESTING=1
    CDCD_FAILPOINT_SEED=<text>                              seed of the odds
    CDCD_FAILPOINT_HISTORY=<file>                           each hit is appended as a JSON line before it acts

Without `@` every pass acts, with `@n` the n-th pass of the process, with `@p0.01` each pass with these odds.

Whoever has such a place takes a `failpoint: Failpoint` in its constructor and calls `failpoint("kafka.before_commit")`;
with nothing planted that is `off`, an empty function.
"""

import json
import os
import random
import re
import signal
import threading
import time
from collections.abc import Callable, Mapping
from typing import Literal, NoReturn, get_args

from cdcd.errors import CdcdError

FailpointName = Literal[
    "lock.acquired",  # lock held ... epoch
    "epoch.claimed",  # epoch known ... producer
    "producer.before_init",
    "producer.after_init",
    "position.after_read",  # position known ... dump sent
    "source.first_event",  # dump sent ... first event
    "source.mid_event",  # half an event read
    "txn.after_gtid",  # GTID seen ... first row
    "kafka.after_begin",  # begin ... first row
    "kafka.mid_rows",  # some rows produced
    "kafka.before_position",  # rows produced ... position record
    "kafka.before_commit",  # position record produced ... commit sent
    "kafka.commit_unknown",  # commit returned; the caller takes the error for a time-out
    "kafka.after_commit",  # committed ... memory updated
    "held.before_reread",  # XA COMMIT read ... its rows are read again
    "held.mid_reread",  # some of them read
    "big_txn.between_parts",  # two Kafka transactions of one MySQL transaction
    "supervisor.after_spawn",  # worker process started ... its first sign of life
    "handover.drained",  # everything stored ... lock let go for the successor
    "handover.released",  # lock let go ... producer ended
    "mirror.before_write",
    "mirror.after_write",
    "zk.suspended",  # the connection to ZooKeeper broke ... the hot thread is told
    "scheduler.after_plan",  # plan made ... first write
    "scheduler.mid_writes",  # one multi of a plan written ... the next
]
"""Names are a contract with the fault tests: none vanishes, each is reached."""

NAMES: tuple[FailpointName, ...] = get_args(FailpointName)

Failpoint = Callable[[FailpointName], None]

_ENTRY = re.compile(
    r"(?P<name>[a-z_.]+)(?:@(?:(?P<nth>[1-9][0-9]*)|p(?P<odds>[01]?\.?[0-9]+)))?"
    r"=(?P<action>crash|pause|hang|error|sleep:(?P<seconds>[0-9]+\.?[0-9]*))",
    re.ASCII,
)


class FailpointError(CdcdError):
    """The fault that the action `error` makes, or failpoints that are set wrongly."""


def off(name: FailpointName) -> None:
    """No failpoints."""


def from_environment(environ: Mapping[str, str]) -> Failpoint:
    """`off`, or what CDCD_FAILPOINT plants. Raises FailpointError if it is malformed or this is no test."""
    spec = environ.get("CDCD_FAILPOINT", "")
    if not spec:
        return off
    if environ.get("CDCD_TESTING") != "1":
        raise FailpointError("CDCD_FAILPOINT is set without CDCD_TESTING=1: it makes cdcd fail on purpose. Unset it")
    return Failpoints(spec, environ.get("CDCD_FAILPOINT_SEED", ""), environ.get("CDCD_FAILPOINT_HISTORY", ""))


class Failpoints:
    """Planted faults; call it with the name of the place that is passed."""

    def __init__(self, spec: str, seed: str = "", history: str = "") -> None:
        self._planted: dict[str, list[_Fault]] = {}
        for entry in filter(None, (part.strip() for part in spec.split(";"))):
            fault = _Fault(entry, seed)
            self._planted.setdefault(fault.name, []).append(fault)
        self._history = history

    def __call__(self, name: FailpointName) -> None:
        if name not in NAMES:
            raise FailpointError(_unknown(name))
        due = [fault for fault in self._planted.get(name, ()) if fault.is_due()]
        for fault in due:
            self._record(fault)
            fault.act()

    def _record(self, fault: "_Fault") -> None:
        hit = {
            "ts": time.time(),
            "pid": os.getpid(),
            "failpoint": fault.name,
            "pass": fault.passes,
            "action": fault.action,
        }
        line = json.dumps(hit).encode() + b"\n"
        os.write(2, line)
        if self._history:
            file = os.open(self._history, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            os.write(file, line)
            os.close(file)


class _Fault:
    def __init__(self, entry: str, seed: str) -> None:
        match = _ENTRY.fullmatch(entry)
        if match is None:
            raise FailpointError(
                f"CDCD_FAILPOINT: {entry!r} is not <name>[@<n>|@p<odds>]=crash|pause|sleep:<seconds>|hang|error"
            )
        self.name = match["name"]
        if self.name not in NAMES:
            raise FailpointError(_unknown(self.name))
        self.action = match["action"]
        self.passes = 0
        self._nth = int(match["nth"] or 0)
        self._odds = float(match["odds"]) if match["odds"] else None
        self._seconds = float(match["seconds"] or 0)
        self._random = random.Random(f"{seed}:{entry}")  # noqa: S311 - repeatable on purpose

    def is_due(self) -> bool:
        """Count this pass."""
        self.passes += 1
        if self._odds is not None:
            return self._random.random() < self._odds
        return self._nth in (0, self.passes)

    def act(self) -> None:
        match self.action:
            case "crash":
                os.kill(os.getpid(), signal.SIGKILL)
            case "pause":
                # Sent to this thread, so that it goes not one step further.
                signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
            case "hang":
                _hang()
            case "error":
                raise FailpointError(f"failpoint {self.name}")
            case _:
                time.sleep(self._seconds)


def _hang() -> NoReturn:
    while True:
        time.sleep(3600)


def _unknown(name: str) -> str:
    return f"CDCD_FAILPOINT: there is no failpoint {name!r}; there are {', '.join(NAMES)}"
