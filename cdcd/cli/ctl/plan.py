"""`cdcctl plan`: what the scheduler would do now, and why."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from cdcd.cli.ctl.intentions import look_ahead
from cdcd.cli.ctl.options import config_option, output_option
from cdcd.cli.ctl.output import Listing, document, iso, lines, printable, say, span, tell
from cdcd.cli.ctl.reach import reach
from cdcd.fleet.nodes import Schedule
from cdcd.fleet.plan import Change
from cdcd.fleet.plan import Plan as Planned
from cdcd.fleet.snapshot import Snapshot


@click.command()
@config_option
@output_option
def plan(config: Path | None, output: str) -> None:
    """Show what the scheduler would do now, and why. Changes nothing.

    Works out the plan here, from the nodes in ZooKeeper and by the function that the scheduler uses, with the settings
    under `scheduling` that this command reads: have them be those of the servers. In a settled fleet there is nothing
    to do. Also lists the instances that have to wait, with the reason, and the servers' loads.

    \b
    Examples:
        $ cdcctl plan
        $ cdcctl plan -o json | jq '.waiting'

    Exit status: 0 ok, 5 the settings are invalid, 6 ZooKeeper does not answer; 1 other errors, 2 usage.
    """
    with reach(config) as reached:
        snapshot, planned = look_ahead(reached)
        if not reached.operators.live_servers():
            tell("no server is alive: nobody acts on this plan")
    changes = [_data(snapshot, change) for change in planned.changes]
    if output in {"json", "yaml"}:
        data = {"changes": changes, "waiting": planned.waiting, "loads": planned.loads, "wake": planned.wake}
        say(document(data, output))
    elif output == "name":
        for change in planned.changes:
            say(printable(change.instance))
    else:
        _print(changes, planned, wide=output == "wide")


def _data(snapshot: Snapshot, change: Change) -> dict[str, Any]:
    before = snapshot.schedule.get(change.instance)
    return {
        "instance": change.instance,
        "change": _words(before, change.node),
        "reason": change.reason,
        "before": before,
        "after": change.node,
        "serves": change.serves,
    }


def _words(before: Schedule | None, after: Schedule | None) -> str:
    """One or two words on what happens to the instance."""
    if after is None:
        return f"stop on {before.server}" if before and before.server else "stop"
    if after.parked is not None:
        return "park"
    was = before or Schedule(None, 0, "", 0.0)
    if after.next != was.next:
        if after.next is not None:
            return f"move to {after.next}"
        return "give up the move" if after.server == was.server else f"end the move to {after.server}"
    if after.server != was.server:
        return f"run on {after.server}" if after.server else f"take from {was.server}"
    return "restart" if after.restarts != was.restarts else "note"


def _print(changes: list[dict[str, Any]], planned: Planned, *, wide: bool) -> None:
    if changes:
        rows = [(change["instance"], change["change"], change["reason"]) for change in changes]
        _table(("INSTANCE", "CHANGE", "REASON"), rows, wide=wide)
    else:
        say("Nothing to do.")
    if planned.waiting:
        say("")
        _table(("WAITS", "REASON"), sorted(planned.waiting.items()), wide=wide)
    if planned.loads:
        say("")
        _table(
            ("SERVER", "LOAD"), [(server, f"{load:.3f}") for server, load in sorted(planned.loads.items())], wide=wide
        )
    if planned.wake is not None:
        tell(f"looks again at {iso(planned.wake)}, in {span(planned.wake - time.time())}, if nothing changes before")


def _table(headers: tuple[str, ...], rows: Sequence[tuple[str, ...]], *, wide: bool) -> None:
    for line in lines(Listing(headers, rows, [], []), wide=wide):
        say(line)
