"""What a server offers to the fleet, and how eagerly the elected scheduler spreads the load."""

import os
from typing import Annotated

from pydantic import Field

from cdcd.config.fields import Duration, Name, duration_between
from cdcd.config.section import Section


def _cores() -> float:
    return float(os.cpu_count() or 1)


class Fleet(Section):
    """This server's part in the fleet."""

    capacity: Annotated[float, Field(gt=0, le=1e6)] = Field(default_factory=_cores)
    """How much it can carry beside other servers: its load is measured over this; without one its number of cores."""
    max_instances: Annotated[int, Field(ge=0, le=10_000)] | None = None
    """Most instances that it runs at one time."""
    labels: dict[Name, Annotated[str, Field(min_length=1, max_length=63)]] = Field(default_factory=dict)
    """What `placement` of definitions can ask for, such as `zone = "a"`; the label `server` is the server's id."""
    report_interval: Annotated[Duration, duration_between("100ms", "1m")] = 5.0
    """How often it writes its load-balance node."""
    reconcile_interval: Annotated[Duration, duration_between("100ms", "1m")] = 2.0
    """How often server and scheduler compare what is with what should be, if nothing wakes them."""
    rate_window: Annotated[Duration, duration_between("1s", "1h")] = 60.0
    """Over which the rates of instances are smoothed."""
    start_attempts: Annotated[int, Field(ge=1, le=100)] = 5
    """After so many failed starts in a row, or as much trouble with waiting in between, another server gets the instance."""
    stop_timeout: Annotated[Duration, duration_between("1s", "10m")] = 30.0
    """So long a stopping server tries to hand over what it runs; afterwards it lets go of it."""


class Scheduling(Section):
    """How the elected scheduler decides; the same on all servers."""

    settle: Annotated[Duration, duration_between("0s", "10m")] = 10.0
    """How long instances without a live server wait in a fleet that is only starting, so that the first server up does not take all."""
    grace: Annotated[Duration, duration_between("0s", "1h")] = 0.0
    """How long a dead server's instances wait for it, beyond its session."""
    mature: Annotated[Duration, duration_between("0s", "1h")] = 10.0
    """How long an instance has to be measured before its load counts; until then it weighs what it weighed before, or the mean."""
    threshold: Annotated[float, Field(ge=0.01, le=1)] = 0.1
    """Instances move for balance only if that brings two servers closer by more than this share of the mean load."""
    max_moves: Annotated[int, Field(ge=0, le=1000)] = 4
    """Moves for balance under way at one time (0 turns balancing off); a server that is emptied may have four times as many."""
    cooldown: Annotated[Duration, duration_between("0s", "24h")] = 300.0
    """An instance that was moved for balance, or by an operator, is not moved for balance for so long."""
    handover_timeout: Annotated[Duration, duration_between("1s", "1h")] = 30.0
    """So long a successor may take to get ready; then the hand-over is given up."""
    avoid: Annotated[Duration, duration_between("1s", "24h")] = 300.0
    """So long a server is avoided that failed to run an instance; doubled each further time, at most a day."""
