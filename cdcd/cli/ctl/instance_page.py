"""What `cdcctl describe` says of an instance."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from cdcd.cli.ctl.output import iso, lag_word, or_dash, printable, rate, span
from cdcd.cli.ctl.sections import Section
from cdcd.cli.ctl.summary import summary
from cdcd.fleet.nodes import Mirror, Request, Schedule, Status
from cdcd.fleet.operators import Details
from cdcd.fleet.view import InstanceView


def instance_data(view: InstanceView, details: Details) -> dict[str, Any]:
    stands = details.defined
    return {
        **asdict(view),
        "definition": stands.definition.model_dump(mode="json") if stands and stands.definition else None,
        "problems": [asdict(problem) for problem in stands.problems] if stands else [],
        "node_version": stands.stored.version if stands else None,
        "changed_at": stands.stored.changed_at if stands else None,
        "schedule": details.schedule,
        "running": details.running,
        "standby": details.standby,
        "position": details.mirror,
        "status": details.status,
        "request": details.request,
    }


def instance_sections(view: InstanceView, details: Details, now: float, events: int | None) -> Iterator[Section]:
    yield f"Instance {printable(view.name)}", list(_now(view, details, now))
    if details.defined is not None:
        yield "Definition", list(_definition(details, now))
    if details.schedule is not None:
        yield "Schedule", list(_schedule(details.schedule, now))
    if details.request is not None:
        yield "Order that waits", list(_request(details.request, now))
    if details.status is not None:
        yield from _status(details.status, now)
    if details.mirror is not None:
        yield "Position", list(position_lines(details.mirror, now))
    if details.status is not None and details.status.events:
        yield "Events", event_lines(details.status, events)


def _now(view: InstanceView, details: Details, now: float) -> Iterator[tuple[str, str]]:
    yield "state", view.state
    if view.reason:
        yield "reason", view.reason
    running = details.running
    if running is not None:
        yield "owner", f"{running.server} ({running.host}, pid {running.pid}), for {span(now - running.since)}"
    elif view.server:
        yield "server", view.server
    if details.standby is not None:
        yield "stands by", f"{details.standby.server}, for generation {details.standby.generation}"
    if details.epoch is not None:
        yield "epoch", str(details.epoch)
    if view.lag_seconds is not None:
        yield "lag", lag_word(view.lag_seconds)
    if view.rows_per_second is not None:
        yield "rate", f"{rate(view.rows_per_second)} rows/s, {rate(view.bytes_per_second)} bytes/s of binlog"


def _definition(details: Details, now: float) -> Iterator[tuple[str, str]]:
    stands = details.defined
    assert stands is not None
    changed = stands.stored.changed_at
    yield "changed", f"{iso(changed)} ({span(now - changed)} ago), version {stands.stored.version} of the node"
    for problem in stands.problems:
        yield "mistake", str(problem)
    if stands.definition is not None:
        yield from summary(stands.definition)[1:]


def _schedule(schedule: Schedule, now: float) -> Iterator[tuple[str, str]]:
    yield "server", or_dash(schedule.server) + (f", handing over to {schedule.next}" if schedule.next else "")
    yield "why", f"{schedule.reason} ({iso(schedule.at)}, {span(now - schedule.at)} ago)"
    yield "generation", f"{schedule.generation}, restarts {schedule.restarts}, MySQL server_id {schedule.server_id}"
    if (parked := schedule.parked) is not None:
        yield "parked", f"{parked.reason} ({parked.code}, {span(now - parked.at)} ago)"
        yield "to do", parked.remedy
    for server, failure in sorted(schedule.failed.items()):
        avoided = f"avoided for {span(failure.until - now)} more" if failure.until > now else "tried again"
        times = f", {failure.times} times" if failure.times > 1 else ""
        yield "failed", f"{server}{times}: {failure.reason} ({failure.code}, {span(now - failure.at)} ago; {avoided})"


def _request(request: Request, now: float) -> Iterator[tuple[str, str]]:
    yield "order", request.kind + (f" to {request.server}" if request.server else "")
    if request.position is not None:
        yield "position", where(request.position)
    yield "by", f"{request.by}, {span(now - request.at)} ago"


MOST_HELD_SHOWN = 10


def where(position: dict[str, Any] | str) -> str:
    """A start, as a definition may have it, on one line."""
    return position if isinstance(position, str) else ", ".join(f"{key} {value}" for key, value in position.items())


def _status(status: Status, now: float) -> Iterator[Section]:
    said: list[tuple[str, str]] = [("says", f"{status.state} since {iso(status.since)} ({span(now - status.since)})")]
    if status.activity and status.state in {"running", "blocked"}:
        said.append(("does", status.activity))
    if status.server:
        said.append(("on", f"{status.server}, {span(now - status.at)} ago"))
    if status.finding:
        said.append(("finding", f"{status.finding.get('what', '')} ({status.finding.get('code', '')})"))
        said.append(("to do", status.finding.get("remedy", "")))
    said += [("mistake", f"{each.get('path', '')}: {each.get('message', '')}") for each in status.problems]
    if status.tables:
        more = f" and {len(status.tables) - 20} more (-o json)" if len(status.tables) > 20 else ""
        said.append(("tables seen", ", ".join(status.tables[:20]) + more))
    elif status.state == "running":
        said.append(("tables seen", "none yet"))
    yield "Worker", said


def position_lines(mirror: Mirror, now: float) -> Iterator[tuple[str, str]]:
    """The record as people read it."""
    record = mirror.record
    yield "stored", f"{iso(mirror.at)} ({span(now - mirror.at)} ago), epoch {mirror.epoch}"
    if record.get("gtid_set"):
        yield "GTID set", str(record["gtid_set"])
    yield "file", place(record) + (f" of server {record['server_uuid']}" if record.get("server_uuid") else "")
    if record.get("txn"):
        yield "inside", f"transaction {record['txn']}, {record.get('rows_done')} row changes done"
    for each in record.get("held", [])[:MOST_HELD_SHOWN]:
        yield "held", _held(each, now)
    if (more := len(record.get("held", [])) - MOST_HELD_SHOWN) > 0:
        yield "held", f"and {more} more (-o json)"
    yield "seq", str(record.get("seq"))


def _held(prepared: Mapping[str, Any], now: float) -> str:
    """An XA transaction that waits for its second phase. `XA RECOVER CONVERT XID` at the source shows those that exist."""
    since = prepared.get("since_ms", 0) / 1000
    where = f" at {prepared['file']}:{prepared.get('offset')}" if prepared.get("file") else ""
    return f"XA {prepared.get('xid')}, prepared {span(now - since)} ago{where}"


def place(record: Mapping[str, Any]) -> str:
    """Binlog file and offset; a start by GTID set has none until something was read."""
    return f"{record['file']}:{record.get('end_offset')}" if record.get("file") else "-"


def event_lines(status: Status, last: int | None) -> list[tuple[str, str]]:
    """Oldest first."""
    shown = status.events[-last:] if last else status.events
    width = max((len(each.get("event", "")) for each in shown), default=0)
    return [(each.get("at", ""), f"{each.get('event', ''):<{width}}  {each.get('reason', '')}") for each in shown]
