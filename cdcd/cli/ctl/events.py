"""`cdcctl events`."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from cdcd.cli.ctl.options import FORMATS, DurationType, config_option, instance_names
from cdcd.cli.ctl.output import Listing, show
from cdcd.cli.ctl.reach import Reach, reach
from cdcd.cli.ctl.running import existing
from cdcd.cli.ctl.watching import repeatedly, show_more


@click.command()
@click.argument("names", nargs=-1, metavar="[INSTANCE]...", shell_complete=instance_names)
@config_option
@click.option("-o", "--output", type=click.Choice(FORMATS), default="table", show_default=True, help="How to print it.")
@click.option("-w", "--watch", is_flag=True, help="Go on, and print events as they come, until Ctrl-C.")
@click.option("--interval", type=DurationType(), default="1s", show_default=True, help="How often --watch looks.")
def events(names: tuple[str, ...], config: Path | None, output: str, watch: bool, interval: float) -> None:
    """Show what happened to instances lately, the newest last.

    Each instance keeps its last 50 events: take-overs, findings, retries, stops, each with its reason. Without names
    those of all instances are shown in one sequence.

    \b
    Examples:
        $ cdcctl events orders
        $ cdcctl events --watch
        $ cdcctl events -o json | jq -r '.[] | select(.event == "instance.parked")'

    Exit status: 0 ok, 3 no such instance, 5 the settings are invalid, 6 ZooKeeper does not answer; 1 other errors, 2
    usage.
    """
    with reach(config) as reached:
        existing(reached.operators, names)
        if watch:
            _follow(reached, names, output, interval)
        else:
            show(_listing(_events(reached, names)), output)


Event = dict[str, Any]


def _events(reached: Reach, names: tuple[str, ...]) -> list[Event]:
    """Of all named instances, by time."""
    statuses = reached.operators.statuses(names or reached.operators.names())
    return sorted(
        (
            {
                "at": each.get("at", ""),
                "instance": name,
                "event": each.get("event", ""),
                "reason": each.get("reason", ""),
            }
            for name, status in statuses.items()
            for each in status.events
        ),
        key=lambda event: str(event["at"]),
    )


def _listing(found: Iterable[Event]) -> Listing:
    events = list(found)
    return Listing(
        headers=("TIME", "INSTANCE", "EVENT", "REASON"),
        rows=[(event["at"], event["instance"], event["event"], event["reason"]) for event in events],
        data=events,
        names=list(dict.fromkeys(event["instance"] for event in events)),
        nothing="No events yet.",
    )


def _follow(reached: Reach, names: tuple[str, ...], output: str, interval: float) -> None:
    seen: set[tuple[str, ...]] = set()
    first = True

    def print_news(found: list[Event]) -> None:
        nonlocal seen, first
        keys = [tuple(map(str, event.values())) for event in found]
        news = _listing(event for event, key in zip(found, keys, strict=True) if key not in seen)
        show_more(news, output, first=first)
        seen, first = set(keys), False

    repeatedly(lambda: _events(reached, names), print_news, interval)
