"""What instances cost that have nothing to do: proportional memory and processor time of one server with all its workers."""

import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from deploy.rig.fleet import Fleet, Server
from deploy.rig.pace import TABLE, Pace
from deploy.rig.process import until
from deploy.rig.source import Source

QUIET = 6.0
"""Seconds after the last take-over before it is measured: connections settle, reports become rare."""


def define_idle(fleet: Fleet, source: Source, count: int) -> list[str]:
    """Instances on one empty table each, all in one database; every one runs when this returns."""
    database = f"idle_{secrets.token_hex(3)}"
    Pace(source, database, 1).prepare()
    for number in range(count):
        fleet.define(fleet.instance(f"idle{number:02}", source, database, (TABLE,), start="latest"))
    fleet.running(timeout=120)
    return sorted(fleet.instances)


@dataclass(frozen=True, slots=True)
class Cost:
    """Megabytes are proportional set sizes; processor time is in percent of one core."""

    worker_mb: float
    """Of a worker, in the mean."""
    largest_worker_mb: float
    server_mb: float
    """Of the server itself, its forkserver included."""
    processor: float
    """Of the server and all its workers."""


def cost_of(fleet: Fleet, server: Server, seconds: float) -> Cost:
    """Measured over so long."""
    since = time.monotonic()
    until(lambda: time.monotonic() - since > QUIET, "it is quiet", QUIET + 1)
    pids = server.group()
    workers = {fleet.worker_pid(name) for name in fleet.instances}
    before, since = _processor(pids), time.monotonic()
    until(lambda: time.monotonic() - since > seconds, "it is measured", seconds + 1)
    used, passed = _processor(pids) - before, time.monotonic() - since
    assert workers <= server.group() == pids, "processes came or went meanwhile"
    sizes = [_proportional_mb(pid) for pid in workers]
    return Cost(
        worker_mb=round(mean(sizes), 1),
        largest_worker_mb=round(max(sizes), 1),
        server_mb=round(sum(_proportional_mb(pid) for pid in pids - workers), 1),
        processor=round(100 * used / passed, 2),
    )


def _processor(pids: set[int]) -> float:
    """Seconds, user and system, of all threads (proc(5): utime and stime)."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _proportional_mb(pid: int) -> float:
    """Pss of proc(5): pages that several processes share are counted in parts. Of cdcd's processes only root is told."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
