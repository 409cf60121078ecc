"""`cdcctl top`: who does how much, and how far behind it is."""

import sys
import time
from pathlib import Path

import click
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cdcd.cli.ctl.get import instances_listing, servers_listing
from cdcd.cli.ctl.options import DurationType, config_option, output_option
from cdcd.cli.ctl.output import Listing, document, lines, printable, say, show
from cdcd.cli.ctl.reach import Reach, reach
from cdcd.cli.ctl.watching import repeatedly

SORTS = {"rows": "rows_per_second", "bytes": "bytes_per_second", "lag": "lag_seconds"}
COLOURS = {"running": "green", "ready": "green", "parked": "red", "down": "red", "invalid": "red"}
SERVER_COLUMNS = ("SERVER", "STATE", "LOAD", "INSTANCES", "ROWS/S", "BYTES/S", "LAG")
INSTANCE_COLUMNS = ("NAME", "STATE", "SERVER", "ROWS/S", "BYTES/S", "LAG")


@click.command()
@config_option
@output_option
@click.option(
    "--sort", type=click.Choice([*SORTS, "name"]), default="rows", show_default=True, help="Order of instances."
)
@click.option("-n", "--lines", "most", type=click.IntRange(1), default=None, help="Show so many instances at most.")
@click.option("--once", is_flag=True, help="Print it once, also on a terminal.")
@click.option("--interval", type=DurationType(), default="2s", show_default=True, help="How often to look.")
def top(*, config: Path | None, output: str, sort: str, most: int | None, once: bool, interval: float) -> None:
    """Show rates and lag of servers and instances.

    On a terminal it refreshes until Ctrl-C; elsewhere it prints once. Rates are smoothed over a minute (the setting
    `fleet.rate_window`) and reported every few seconds. LOAD is a server's load over its capacity: servers are balanced
    when these are equal.

    \b
    Examples:
        $ cdcctl top
        $ cdcctl top --sort lag -n 10 --once
        $ cdcctl top -o json | jq '.instances[0]'

    Exit status: 0 ok, 5 the settings are invalid, 6 ZooKeeper does not answer; 1 other errors, 2 usage.
    """
    with reach(config) as reached:
        if output == "table" and not once and sys.stdout.isatty():
            _live(reached, sort, most, interval)
        else:
            _print(*_look(reached, sort, most), output)


def _look(reached: Reach, sort: str, most: int | None) -> tuple[Listing, Listing]:
    """Servers; instances that run somewhere, in order, the first `most` of them."""
    servers, instances = servers_listing(reached, ()), instances_listing(reached, ())
    key = SORTS.get(sort)
    running = [index for index, each in enumerate(instances.data) if each["server"] is not None]
    if key is not None:
        running.sort(key=lambda index: -(instances.data[index][key] or 0.0))
    return _columns(servers, SERVER_COLUMNS, range(len(servers.rows))), _columns(
        instances, INSTANCE_COLUMNS, running[:most]
    )


def _columns(listing: Listing, headers: tuple[str, ...], rows: "range | list[int]") -> Listing:
    shown = [listing.headers.index(header) for header in headers]
    return Listing(
        headers,
        [tuple(listing.rows[row][column] for column in shown) for row in rows],
        [{key: value for key, value in listing.data[row].items() if key not in LONG} for row in rows],
        [listing.names[row] for row in rows],
    )


LONG = frozenset({"definition", "problems"})


def _print(servers: Listing, instances: Listing, output: str) -> None:
    if output in {"json", "yaml"}:
        say(document({"servers": servers.data, "instances": instances.data}, output))
    elif output == "name":
        show(instances, output)
    else:
        for line in [*lines(servers, wide=True), "", *lines(instances, wide=True)]:
            say(line)


def _live(reached: Reach, sort: str, most: int | None, interval: float) -> None:
    console = Console()
    with Live(console=console, screen=True, auto_refresh=False) as live:

        def refresh(found: tuple[Listing, Listing]) -> None:
            servers, instances = found
            room = max(console.size.height - len(servers.rows) - 8, 1)
            live.update(Group(_title(), _table(servers), _table(instances, room)), refresh=True)

        repeatedly(lambda: _look(reached, sort, most), refresh, interval)


def _title() -> Text:
    return Text(time.strftime("cdcctl top  %H:%M:%S   Ctrl-C ends"), style="dim")


def _table(listing: Listing, room: int | None = None) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for header in listing.headers:
        table.add_column(header, justify="left" if header in {"SERVER", "NAME", "STATE"} else "right", no_wrap=True)
    for row in listing.rows[:room]:
        table.add_row(*(Text(printable(cell), style=COLOURS.get(cell, "")) for cell in row))
    return table
