"""`cdcctl position get` and `cdcctl position set`."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import orjson
from pydantic import BaseModel

from cdcd.binlog.position import PositionRecord, PositionRecordError
from cdcd.cli.ctl.instance_page import place, position_lines
from cdcd.cli.ctl.options import (
    config_option,
    dry_run_option,
    instance_argument,
    instances_argument,
    output_option,
    yes_option,
)
from cdcd.cli.ctl.output import Listing, iso, printable, say, show, span, tell
from cdcd.cli.ctl.pause import confirm
from cdcd.cli.ctl.reach import not_found, printable_lines, reach
from cdcd.cli.ctl.running import existing
from cdcd.cli.exit_code import ExitCode
from cdcd.cli.failures import Failure
from cdcd.config.start import Start, parse_start
from cdcd.fleet.nodes import Mirror
from cdcd.fleet.operators import Details, Operators
from cdcd.fleet.repositioning import Preview, preview


@click.group()
def position() -> None:
    """See or set where instances stand in their sources."""


@position.command("get")
@instances_argument
@config_option
@output_option
def get_position(names: tuple[str, ...], config: Path | None, output: str) -> None:
    """Show the positions of instances.

    This is the copy in ZooKeeper, at most some seconds old; the position itself stands in Kafka, in the topic
    __cdcd_positions.CLUSTER.INSTANCE. Also of instances that were deleted, as long as it is kept.

    \b
    Examples:
        $ cdcctl position get orders
        $ cdcctl position get orders -o json | jq -r '.[0].record.gtid_set'

    Exit status: 0 ok, 3 no such instance, or it has no position yet; 5 the settings are invalid, 6 ZooKeeper does not
    answer; 1 other errors, 2 usage.
    """
    with reach(config) as reached:
        mirrors = {name: _mirror(reached.operators, name) for name in names}
    now = time.time()
    listing = Listing(
        headers=("NAME", "FILE", "SEQ", "EPOCH", "AGE", "SERVER_UUID", "INSIDE", "GTID_SET"),
        rows=[_row(name, mirror, now) for name, mirror in mirrors.items()],
        data=[{"name": name, **asdict(mirror)} for name, mirror in mirrors.items()],
        names=list(mirrors),
        wide_only=frozenset({"SERVER_UUID", "INSIDE"}),
    )
    show(listing, output)


def _mirror(operators: Operators, name: str) -> Mirror:
    details = operators.details(name)
    if details.mirror is not None:
        return details.mirror
    if details.exists:
        hint = f"It gets one when it first runs: cdcctl describe {name}"
        raise Failure(f"{name} has no position yet\n{hint}", ExitCode.NOT_FOUND)
    raise not_found("instance", name, operators.names())


def _row(name: str, mirror: Mirror, now: float) -> tuple[str, ...]:
    record = mirror.record
    inside = f"{record['txn']}, {record.get('rows_done')} done" if record.get("txn") else "-"
    return (
        name,
        place(record),
        str(record.get("seq")),
        str(mirror.epoch),
        span(now - mirror.at),
        str(record.get("server_uuid") or "-"),
        inside,
        str(record.get("gtid_set") or "-"),
    )


class StartType(click.ParamType[Start]):
    """As `--start` of `cdcd tail`."""

    name = "where"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Start:
        try:
            return parse_start(value)
        except ValueError as error:
            self.fail(f"{value!r} {error}", param, ctx)


@position.command("set")
@instance_argument
@click.argument("start", metavar="WHERE", type=StartType())
@config_option
@dry_run_option
@yes_option
def set_position(name: str, start: Start, config: Path | None, dry_run: bool, yes: bool) -> None:
    """Set where a paused or parked instance goes on.

    WHERE is `latest` (the source's end at the next start), `earliest` (the oldest binlog there is), `gtid:SET` (after
    those transactions), `file:NAME:POSITION`, or `time:ISO-8601` (first transaction committed then or later).

    Shows first what will be published a second time and what never, worked out from the stored position, and asks.
    The position itself is changed by the worker that next runs the instance, before it reads anything: pause it, set,
    resume. Numbers of messages (`id`) go on, with a gap. Setting it again before that replaces the first order.

    \b
    Examples:
        $ cdcctl pause orders
        $ cdcctl position set orders time:2026-11-01T00:00:00Z --dry-run
        $ cdcctl position set orders gtid:3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5
        $ cdcctl resume orders

    Exit status: 0 ok (also if that was set before), 3 no such instance, 4 it runs or has not stopped yet, or another
    order waits; 5 the settings are invalid, 6 ZooKeeper does not answer; 1 other errors, or you said no; 2 usage,
    also: --yes is needed because nobody can be asked.
    """
    with reach(config) as reached:
        operators = reached.operators
        details = existing(operators, [name])[name]
        _check_still(operators, name, details)
        _show(name, details, _preview(details, start))
        changes = not _waits(details, start)
        if changes and not dry_run:
            confirm(f"Set the position of {name}?", yes)
            _order(operators, name, start)
        say(f"{name} {'configured' if changes else 'unchanged'}{' (dry run)' if dry_run else ''}")
        tell(f"it is taken over at the next start: cdcctl resume {name}")


def _check_still(operators: Operators, name: str, details: Details) -> None:
    """Paused and stopped, or parked: nothing moves the position."""
    if details.schedule and details.schedule.parked and details.lock is None:
        return
    if details.defined is not None and not details.defined.paused:
        raise Failure(
            f"{name} is not paused: a position is set only while nothing moves it\nPause it first: cdcctl pause {name}",
            ExitCode.CONFLICT,
        )
    if remains := operators.remains(name):
        raise Failure(
            printable_lines(f"{name} has not stopped yet: there is still {' and '.join(remains)}")
            + f"\nWait for it: cdcctl pause {name}",
            ExitCode.CONFLICT,
        )


def _preview(details: Details, start: Start) -> Preview:
    if details.mirror is None:
        return preview(None, start)
    try:
        return preview(PositionRecord.from_json(orjson.dumps(details.mirror.record)), start)
    except PositionRecordError as error:
        return Preview(preview(None, start).goes_on, remark=f"{error}")


def _show(name: str, details: Details, seen: Preview) -> None:
    """On standard error: it is no data."""
    if details.mirror is not None:
        tell(f"{name} stands at:")
        for label, text in position_lines(details.mirror, time.time()):
            tell(f"  {label:<12} {text}")
    tell(f"It would go on {seen.goes_on}.")
    tell(f"  sent again   {seen.again or 'nothing'}")
    tell(f"  skipped      {seen.skipped or 'nothing'}")
    if seen.remark:
        tell(f"  remark       {seen.remark}")


def _waits(details: Details, start: Start) -> bool:
    request = details.request
    return request is not None and request.kind == "set_position" and request.position == _written(start)


def _order(operators: Operators, name: str, start: Start) -> None:
    if operators.order(name, "set_position", position=_written(start)):
        return
    waits = operators.request(name)
    if waits is None:
        _order(operators, name, start)
        return
    request, version = waits
    if request is not None and request.kind != "set_position":
        raise Failure(
            printable_lines(f"{name}: another order waits: {request.kind} by {request.by}, {iso(request.at)}")
            + "\nRepeat the command when it is served.",
            ExitCode.CONFLICT,
        )
    if request is not None:
        tell(f"replaces the position that {printable(request.by)} set {span(time.time() - request.at)} ago")
    operators.withdraw(name, version)
    _order(operators, name, start)


def _written(start: Start) -> dict[str, Any] | str:
    """As it stands in a definition."""
    return start.model_dump(mode="json") if isinstance(start, BaseModel) else start
