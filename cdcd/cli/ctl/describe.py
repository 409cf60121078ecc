"""`cdcctl describe`: everything about one instance, or one server."""

import time
from dataclasses import asdict
from pathlib import Path

import click

from cdcd.cli.ctl.get import INSTANCES, SERVERS, instances_listing, servers_listing
from cdcd.cli.ctl.instance_page import instance_data, instance_sections
from cdcd.cli.ctl.intentions import intentions
from cdcd.cli.ctl.options import config_option, output_option, things
from cdcd.cli.ctl.output import document, printable, say
from cdcd.cli.ctl.reach import Reach, not_found, reach
from cdcd.cli.ctl.sections import print_sections
from cdcd.cli.ctl.server_page import server_sections
from cdcd.fleet.view import instance_view, server_view

EVENTS_SHOWN = 10


@click.command()
@click.argument("what", nargs=-1, required=True, metavar="[instance|server] NAME", shell_complete=things)
@config_option
@output_option
def describe(what: tuple[str, ...], config: Path | None, output: str) -> None:
    """Show all that is known of one instance or server.

    Of an instance: its state with the reason, the definition, which server should run it and why, servers on which it
    failed, what stands in its way and what to do about that, its position, its lag, the tables seen so far, and its
    last events. All 50 events with `-o wide`, or by `cdcctl events`.

    \b
    Examples:
        $ cdcctl describe orders
        $ cdcctl describe server cdc-2
        $ cdcctl describe orders -o json | jq .status.finding

    Exit status: 0 ok, 3 no such instance or server, 5 the settings are invalid, 6 ZooKeeper does not answer; 1 other
    errors, 2 usage.
    """
    kind, name = _asked(what)
    with reach(config) as reached:
        if output == "name":
            _names(reached, kind, name)
        elif kind == "server":
            _server(reached, name, output)
        else:
            _instance(reached, name, output)


def _asked(what: tuple[str, ...]) -> tuple[str, str]:
    if len(what) == 1:
        return "instance", what[0]
    if len(what) == 2 and what[0] in INSTANCES | SERVERS:
        return ("server" if what[0] in SERVERS else "instance"), what[1]
    raise click.UsageError("Give one name: `describe NAME`, or `describe server NAME`.")


def _names(reached: Reach, kind: str, name: str) -> None:
    listing = servers_listing(reached, (name,)) if kind == "server" else instances_listing(reached, (name,))
    say(printable(listing.names[0]))


def _instance(reached: Reach, name: str, output: str) -> None:
    operators = reached.operators
    details = operators.details(name)
    fleet = operators.fleet([name])
    if not details.exists and not fleet.reported(name):
        kept = f"Its position is kept: `cdcctl position get {name}`; an instance created under this name goes on there."
        raise not_found("instance", name, operators.names(), kept if details.remembered else "")
    now = time.time()
    view = instance_view(fleet, name, now)
    if view.state in {"unassigned", "server-lost"}:
        view = instance_view(fleet, name, now, intentions(reached).waiting)
    if output in {"json", "yaml"}:
        say(document(instance_data(view, details), output))
        return
    print_sections(instance_sections(view, details, now, None if output == "wide" else EVENTS_SHOWN))


def _server(reached: Reach, name: str, output: str) -> None:
    fleet = reached.operators.fleet()
    if name not in fleet.every_server:
        raise not_found("server", name, fleet.every_server)
    if output in {"json", "yaml"}:
        view = server_view(fleet, name, intentions(reached).loads)
        say(document({**asdict(view), "report": fleet.loads.get(name), "drain": fleet.drained.get(name)}, output))
    else:
        print_sections(server_sections(fleet, name, time.time()))
