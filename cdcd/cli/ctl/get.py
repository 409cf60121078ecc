"""`cdcctl get`: instances, or servers, one line each."""

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from cdcd.cli.ctl.intentions import intentions
from cdcd.cli.ctl.options import config_option, output_option, things, watch_options
from cdcd.cli.ctl.output import Listing, lag_word, or_dash, rate, show, span
from cdcd.cli.ctl.reach import Reach, not_found, reach
from cdcd.cli.ctl.watching import watch_listing
from cdcd.fleet.view import Defined, InstanceView, ServerView, instance_view, server_view

INSTANCES = frozenset({"instance", "instances"})
SERVERS = frozenset({"server", "servers"})


@click.command()
@click.argument("what", nargs=-1, metavar="[instances|servers] [NAME]...", shell_complete=things)
@config_option
@output_option
@watch_options
def get(what: tuple[str, ...], config: Path | None, output: str, watch: bool, interval: float) -> None:
    """List instances or servers.

    Without anything else all instances: also those that are paused, parked, not placed, or whose definition is not
    valid, each with the reason. `get servers` lists the servers with their load.

    \b
    Examples:
        $ cdcctl get
        $ cdcctl get orders crm -o wide
        $ cdcctl get servers
        $ cdcctl get -o json | jq -r '.[] | select(.state != "running") | .name'
        $ cdcctl get --watch

    \b
    States of an instance:
        running      publishes                       retrying    waits for something outside to be mended by itself
        starting     its worker gets ready           parked      waits for you: `describe` says what to do
        waiting      its worker waits for the lock   paused      defined, not run
        assigned     its server has not begun yet    unassigned  no server can take it, or not yet
        stopping     on its way out                  server-lost its server is gone, another one follows
        invalid      the definition has mistakes     blocked     would publish, but Kafka does not answer

    \b
    States of a server:
        ready        takes instances                 drained     empty, takes none
        draining     gives its instances away        stopping    the same, because it is being stopped
        down         not alive

    With --watch a line is printed again when its state, server or reason changes.

    Exit status: 0 ok, 3 no such instance or server, 5 the settings are invalid, 6 ZooKeeper does not answer; 1 other
    errors, 2 usage.
    """
    kind, names = _asked(what)
    with reach(config) as reached:

        def look() -> Listing:
            return servers_listing(reached, names) if kind == "server" else instances_listing(reached, names)

        if watch:
            watch_listing(look, output, interval)
        else:
            show(look(), output)


def _asked(what: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    if what[:1] and what[0] in INSTANCES | SERVERS:
        return ("server" if what[0] in SERVERS else "instance"), what[1:]
    return "instance", what


# ---------------------------------------------------------------- instances


def instances_listing(reached: Reach, names: tuple[str, ...]) -> Listing:
    """Those of `names`, or all. Failure (not found) if one of them does not exist."""
    fleet = reached.operators.fleet(names)
    _check_known("instance", names, fleet.instances, reached.operators.names)
    now = time.time()
    views = [instance_view(fleet, name, now) for name in names or fleet.instances]
    if any(view.state in {"unassigned", "server-lost"} for view in views):
        waiting = intentions(reached).waiting
        views = [instance_view(fleet, view.name, now, waiting) for view in views]
    return Listing(
        headers=("NAME", "STATE", "SERVER", "LAG", "ROWS/S", "BYTES/S", "EPOCH", "SOURCE", "TABLES", "SINCE", "REASON"),
        rows=[_instance_row(view, fleet.defined.get(view.name), now) for view in views],
        data=[_instance_data(view, fleet.defined.get(view.name)) for view in views],
        names=[view.name for view in views],
        wide_only=frozenset({"BYTES/S", "EPOCH", "SOURCE", "TABLES"}),
        nothing="No instance is defined. Define one: cdcctl apply -f FILE",
    )


def _instance_row(view: InstanceView, stands: Defined | None, now: float) -> tuple[str, ...]:
    definition = stands.definition if stands else None
    source = ",".join(map(str, definition.source.endpoints)) if definition else "-"
    return (
        view.name,
        view.state,
        _where(view),
        lag_word(view.lag_seconds),
        rate(view.rows_per_second),
        rate(view.bytes_per_second),
        or_dash(view.epoch),
        source,
        ",".join(definition.tables.include) if definition else "-",
        or_dash(view.since, lambda at: span(now - at)),
        view.reason,
    )


def _where(view: InstanceView) -> str:
    return f"{view.server or '-'} -> {view.next}" if view.next else or_dash(view.server)


def _instance_data(view: InstanceView, stands: Defined | None) -> dict[str, Any]:
    definition = stands.definition if stands else None
    return {
        **asdict(view),
        "definition": definition.model_dump(mode="json", exclude_defaults=True) | {"version": definition.version}
        if definition
        else None,
        "problems": [asdict(problem) for problem in stands.problems] if stands else [],
    }


# ---------------------------------------------------------------- servers


def servers_listing(reached: Reach, names: tuple[str, ...]) -> Listing:
    """Those of `names`, or all. Failure (not found) if one of them does not exist."""
    fleet = reached.operators.fleet()
    _check_known("server", names, fleet.every_server, reached.operators.server_names)
    now, intended = time.time(), intentions(reached)
    views = [server_view(fleet, name, intended.loads) for name in names or fleet.every_server]
    return Listing(
        headers=(
            "SERVER", "STATE", "LOAD", "INSTANCES", "PARKED", "ROWS/S", "BYTES/S", "LAG", "CAPACITY", "MAX", "HOST",
            "HTTP", "VERSION", "LABELS", "UP", "REASON",
        ),
        rows=[_server_row(view, now) for view in views],
        data=[asdict(view) for view in views],
        names=[view.id for view in views],
        wide_only=frozenset({"BYTES/S", "CAPACITY", "MAX", "HOST", "HTTP", "VERSION", "LABELS"}),
        nothing="No server is known. Start one: cdcd run",
    )  # fmt: skip


def _server_row(view: ServerView, now: float) -> tuple[str, ...]:
    return (
        view.id,
        view.state,
        or_dash(view.load, lambda load: f"{load:.3f}"),
        str(view.running),
        str(view.parked),
        rate(view.rows_per_second),
        rate(view.bytes_per_second),
        lag_word(view.lag_seconds),
        or_dash(view.capacity, lambda capacity: f"{capacity:g}"),
        or_dash(view.max_instances),
        or_dash(view.host),
        or_dash(view.http),
        or_dash(view.version),
        or_dash(",".join(f"{label}={value}" for label, value in sorted(view.labels.items()))),
        or_dash(view.since, lambda at: span(now - at)),
        "; ".join(filter(None, ("is the scheduler" if view.scheduler else "", view.reason))),
    )


def _check_known(kind: str, names: Iterable[str], known: Iterable[str], every: Callable[[], list[str]]) -> None:
    there = frozenset(known)
    for name in names:
        if name not in there:
            raise not_found(kind, name, every())
