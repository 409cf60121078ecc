"""What the scheduler keeps in order beside the schedule.

MySQL server_ids of deleted instances, orders that nobody can serve, and what is said of definitions that do not validate.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from cdcd.errors import Problem
from cdcd.fleet import paths
from cdcd.fleet.definitions import Reading
from cdcd.fleet.nodes import Status, decode, encode
from cdcd.fleet.session import Create, Delete, Operation, Set, Stored
from cdcd.fleet.snapshot import Snapshot

ORDER_PATIENCE = 60.0
"""Seconds that an order may stand for an instance that is not defined."""
EVENTS_KEPT = 50


@dataclass(frozen=True, slots=True)
class Duty:
    """One small thing to put in order."""

    event: str
    """For the log."""
    instance: str
    reason: str
    operations: tuple[Operation, ...]
    alarming: bool = False


def released_numbers(snapshot: Snapshot) -> Iterator[Duty]:
    """MySQL server_ids whose instance is gone: no definition, no schedule node, no worker; and those that nobody owns."""
    kept: set[str] = set()
    for number, owner in sorted(snapshot.server_ids.items()):
        if owner and owner not in kept and _exists(snapshot, owner):
            kept.add(owner)
            continue
        reason = f"{number} is free again: {'its instance is gone' if owner else 'nobody owned it'}"
        yield Duty("server_id.released", owner, reason, (Delete(paths.server_id(number)),))


def _exists(snapshot: Snapshot, instance: str) -> bool:
    return instance in snapshot.definitions or instance in snapshot.schedule or instance in snapshot.running


def refused_orders(snapshot: Snapshot, now: float) -> Iterator[Duty]:
    """Orders that cannot be understood, and those for instances that are not defined."""
    for path, stored in snapshot.stored.items():
        folder, _, name = path.rpartition("/")
        if folder != paths.REQUESTS:
            continue
        if path in snapshot.garbage:
            reason = "the order cannot be understood"
        elif name not in snapshot.definitions and now - stored.changed_at > ORDER_PATIENCE:
            reason = "the order is for an instance that is not defined"
        else:
            continue
        yield Duty("schedule.refused", name, reason, (Delete(path, stored.version),), alarming=True)


def spoilt_nodes(snapshot: Snapshot, mended: Collection[str]) -> Iterator[Duty]:
    """Schedule nodes with garbage in them, but for those that the plan has `mended` with something better."""
    for path in sorted(snapshot.garbage & snapshot.stored.keys()):
        folder, _, name = path.rpartition("/")
        if folder == paths.SCHEDULE and name not in mended:
            reason = "the schedule node could not be understood: removed"
            operations = (Delete(path, snapshot.stored[path].version),)
            yield Duty("schedule.repaired", name, reason, operations, alarming=True)


# ---------------------------------------------------------------- definitions that do not validate


def unmanned(snapshot: Snapshot, name: str) -> bool:
    """Nobody runs it, so that nobody but the scheduler says what is wrong with its definition."""
    node = snapshot.schedule.get(name)
    return node is None or not (snapshot.alive(node.server) or snapshot.alive(node.next))


def verdict(name: str, reading: Reading, found: Mapping[str, Stored | None], now: float) -> Duty | None:
    """What its status node has to say of the definition, if it does not say that yet. `found`: that node and the one above."""
    stored = found[paths.status(name)]
    before = decode(Status, stored.data if stored else None)
    invalid = before is not None and before.state == "invalid"
    problems = tuple({"path": each.path, "message": each.message} for each in reading.problems)
    if problems == (before.problems if before is not None and invalid else ()):
        return None
    event, reason = ("definition.invalid", summary(reading.problems)) if problems else _MENDED
    status = _status("invalid" if problems else "stopped", before, now)
    events = (*status.events, {"at": _iso(now), "event": event, "reason": reason})[-EVENTS_KEPT:]
    operations = (*_writing(name, replace(status, problems=problems, events=events), found),)
    return Duty(event, name, reason, operations, alarming=bool(problems))


_MENDED = "definition.valid", "its mistakes are mended"


def _status(state: str, before: Status | None, now: float) -> Status:
    """What was known of the instance stays, what was said of its worker does not."""
    return replace(before or Status(state, now, now), state=state, at=now, since=now, server="", finding=None)


def _writing(name: str, status: Status, found: Mapping[str, Stored | None]) -> Iterator[Operation]:
    path, data = paths.status(name), encode(status)
    stored = found[path]
    if stored is not None:
        yield Set(path, data, stored.version)
        return
    if found[paths.state(name)] is None:
        yield Create(paths.state(name))
    yield Create(path, data)


def summary(problems: tuple[Problem, ...]) -> str:
    """The first few, for a log line."""
    shown = "; ".join(map(str, problems[:5]))
    return f"{shown}; and {len(problems) - 5} more" if len(problems) > 5 else shown


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
