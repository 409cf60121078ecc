"""`cdcctl move` and `cdcctl restart`: orders that the scheduler serves."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import click

from cdcd.cli.ctl.options import (
    config_option,
    dry_run_option,
    instance_argument,
    instances_argument,
    server_names,
    wait_options,
)
from cdcd.cli.ctl.output import iso, printable, say, tell
from cdcd.cli.ctl.reach import not_found, printable_lines, reach
from cdcd.cli.ctl.running import existing, missing, nobody, parked, wait_until_running
from cdcd.cli.ctl.waiting import wait_until_done
from cdcd.cli.exit_code import ExitCode
from cdcd.cli.failures import Failure
from cdcd.fleet.nodes import Request, Schedule
from cdcd.fleet.operators import Details, Operators


@click.command()
@instance_argument
@click.option(
    "--to", "server", required=True, metavar="SERVER", shell_complete=server_names, help="Where it is to run."
)
@config_option
@dry_run_option
@wait_options(wait=True, timeout="2m")
def move(*, name: str, server: str, config: Path | None, dry_run: bool, wait: bool, timeout: float) -> None:
    """Have another server run an instance.

    The server that runs it goes on until the other one stands by, ready, and only then hands over: publishing pauses
    for less than a second, nothing is lost or doubled. If the other one does not get ready, nothing changes. For a
    while afterwards the instance is not moved for balance.

    \b
    Examples:
        $ cdcctl move orders --to cdc-2

    Exit status: 0 it runs there (also if it did before), 1 the scheduler refused, the server did not get ready (the
    message says why), or other errors; 3 no such instance or server, 4 the instance is paused or parked, the server
    is drained or down, or another order waits; 5 the settings are invalid, 6 not done in time, or ZooKeeper does not
    answer; 2 usage.
    """
    with reach(config) as reached:
        operators = reached.operators
        details = existing(operators, [name])[name]
        _check_target(operators, name, details, server)
        schedule = details.schedule
        there = schedule is not None and schedule.server == server and schedule.next is None
        if not there and not dry_run:
            request = ordered(operators, name, "move", server)
            if wait:
                wait_until_done(_moved(operators, name, request, schedule), timeout, _LATER)
        say(f"{name} {'unchanged' if there else f'moved to {server}'}{_how(dry_run, wait or there)}")


@click.command()
@instances_argument
@config_option
@dry_run_option
@wait_options(wait=True, timeout="1m")
def restart(names: tuple[str, ...], config: Path | None, dry_run: bool, wait: bool, timeout: float) -> None:
    """Start the workers of instances anew.

    The worker stores its position and ends, and a new one goes on there. Servers on which the instance failed are
    tried again; a parked instance is started.

    \b
    Examples:
        $ cdcctl restart orders

    Exit status: 0 they run anew, 1 one is parked, or other errors; 3 no such instance, 4 an instance is paused or
    another order waits, 5 the settings are invalid, 6 not done in time, or ZooKeeper does not answer; 2 usage.
    """
    with reach(config) as reached:
        operators = reached.operators
        found = existing(operators, names)
        for name, details in found.items():
            _check_not_paused(name, details)
        if not dry_run:
            for name in names:
                ordered(operators, name, "restart")
            if wait:
                locks = {name: details.lock.created for name, details in found.items() if details.lock}
                wait_until_running(operators, names, timeout, locks)
    for name in names:
        say(f"{name} restarted{_how(dry_run, wait)}")


_LATER = "The order stands until it is served or refused: `cdcctl describe` shows it."


def ordered(operators: Operators, name: str, kind: Literal["move", "restart"], server: str | None = None) -> Request:
    """Write the request, or take the same one that waits already. Failure (conflict) if another one does."""
    request = operators.order(name, kind, server)
    if request is not None:
        return request
    waits = operators.request(name)
    if waits is None:
        return ordered(operators, name, kind, server)
    stands, _ = waits
    if stands is not None and (stands.kind, stands.server) == (kind, server):
        tell(f"{stands.by} asked for that already, at {iso(stands.at)}")
        return stands
    raise Failure(printable_lines(f"{name}: {_other_order(name, stands)}"), ExitCode.CONFLICT)


def _other_order(name: str, stands: Request | None) -> str:
    if stands is None:
        return (
            f"something that is no order stands at /requests/{name}\nThe scheduler removes it; then repeat the command."
        )
    if stands.kind == "set_position":
        return (
            f"a new position, set by {stands.by}, is taken over at the next start\n"
            f"Pause and resume the instance: cdcctl pause {name}; cdcctl resume {name}"
        )
    return f"another order waits: {stands.kind} by {stands.by}, {iso(stands.at)}\nRepeat the command when it is served."


def _check_target(operators: Operators, name: str, details: Details, server: str) -> None:
    fleet = operators.fleet([name])
    if server not in fleet.servers:
        if server not in fleet.every_server:
            raise not_found("server", server, sorted(fleet.servers))
        raise Failure(f"server {server} is down\nChoose one that is ready: cdcctl get servers", ExitCode.CONFLICT)
    _check_not_paused(name, details)
    if details.schedule and details.schedule.parked:
        raise Failure(f"{parked(name, details).message}", ExitCode.CONFLICT)
    load = fleet.loads.get(server)
    if server in fleet.drained or (load and load.stopping):
        raise Failure(
            f"server {server} takes no instances: it is {'drained' if server in fleet.drained else 'being stopped'}\n"
            f"Let it take some again: cdcctl uncordon {server}; or choose another: cdcctl get servers",
            ExitCode.CONFLICT,
        )


def _check_not_paused(name: str, details: Details) -> None:
    if details.defined is not None and details.defined.paused:
        raise Failure(f"{name} is paused: it runs nowhere\nResume it first: cdcctl resume {name}", ExitCode.CONFLICT)


def _moved(operators: Operators, name: str, request: Request, before: Schedule | None) -> Callable[[], str | None]:
    def look() -> str | None:
        details = operators.details(name)
        if details.request is not None and details.request.id == request.id:
            return f"the scheduler to take the order{nobody(operators)}"
        # Once more: the schedule node may have been read before the request was served.
        details = operators.details(name)
        schedule, target = details.schedule, request.server
        if schedule is None or (target not in {schedule.server, schedule.next}):
            raise Failure(f"{name} was not moved: {_why_not(schedule, before, request)}")
        if schedule.next == target:
            return f"{schedule.server} to hand over" if details.standby else f"{target} to get ready"
        return missing(operators, name)

    return look


def _why_not(schedule: Schedule | None, before: Schedule | None, request: Request) -> str:
    """What the scheduler wrote; the server's own trouble if it tried and gave up."""
    if schedule is None:
        return "it was paused or deleted meanwhile"
    failure = schedule.failed.get(request.server or "")
    if failure is not None and failure.at >= request.at - 1:
        return printable(f"{request.server} could not start it: {failure.reason} ({failure.code})")
    if before is not None and schedule.reason == before.reason and schedule.at == before.at:
        return "the scheduler refused the order; its log says why (`schedule.refused`)"
    return printable(schedule.reason)


def _how(dry_run: bool, done: bool) -> str:
    return " (dry run)" if dry_run else "" if done else " (asked for)"
