"""When the load-balance node is out of date: pure."""

from dataclasses import replace

from cdcd.fleet.nodes import InstanceLoad, Load

SHARE = 0.1
"""A figure that changed by less is what it was."""
FLOORS = {"bytes_per_second": 1000.0, "rows_per_second": 5.0, "measured": 2.0, "lag_seconds": 2.0}
"""And so is one that changed by no more than this."""
OLDEST = 60.0
"""Seconds after which it is written in any case: people look at its time."""


def out_of_date(written: Load | None, now: Load) -> bool:
    """Whether `now` says something that matters to scheduler or operators and `written` does not."""
    if written is None or now.at - written.at >= OLDEST or left_or_came(written, now):
        return True
    return any(_differ(written.instances[name], load) for name, load in now.instances.items())


def left_or_came(written: Load | None, now: Load) -> bool:
    """Whether it has to be written at once: instances, their states or owners, failures, what the server offers."""
    return written is None or _without_figures(written) != _without_figures(now)


def _without_figures(load: Load) -> Load:
    instances = {name: InstanceLoad(each.state, epoch=each.epoch) for name, each in load.instances.items()}
    return replace(load, at=0.0, instances=instances)


def _differ(before: InstanceLoad, now: InstanceLoad) -> bool:
    return any(_changed(getattr(before, name), getattr(now, name), floor) for name, floor in FLOORS.items())


def _changed(before: float | None, now: float | None, floor: float) -> bool:
    if before is None or now is None:
        return before is not now
    return abs(now - before) > max(floor, SHARE * max(before, now))
