"""--watch: the same again and again, showing what has changed."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from cdcd.cli.ctl.output import Listing, document, lines, say, show, tell
from cdcd.fleet.session import ZooKeeperAway

Found = TypeVar("Found")

STILL = frozenset({"LAG", "ROWS/S", "BYTES/S", "SINCE", "UP", "LOAD"})
"""Columns whose change alone is no news."""


def watch_listing(look: Callable[[], Listing], output: str, interval: float) -> None:
    """Print all, then each line again whose news changed, until Ctrl-C. json: one object a line; yaml: documents."""
    seen: dict[str, tuple[str, ...]] = {}
    first = True

    def print_news(listing: Listing) -> None:
        nonlocal first
        news = {name: _news(listing, index) for index, name in enumerate(listing.names)}
        changed = [index for index, name in enumerate(listing.names) if seen.get(name) != news[name]]
        show_more(_only(listing, changed), output, first=first)
        for name in sorted(seen.keys() - news.keys()):
            tell(f"{name} is gone")
        seen.clear()
        seen.update(news)
        first = False

    repeatedly(look, print_news, interval)


def repeatedly(look: Callable[[], Found], use: Callable[[Found], None], interval: float) -> None:
    """Look and use it, again and again, until Ctrl-C; waits where ZooKeeper is away."""
    away = False
    try:
        while True:
            try:
                use(look())
                away = False
            except ZooKeeperAway as error:
                if not away:
                    tell(f"{error}; trying again")
                away = True
            time.sleep(interval)
    except KeyboardInterrupt:
        return


def _news(listing: Listing, index: int) -> tuple[str, ...]:
    return tuple(cell for header, cell in zip(listing.headers, listing.rows[index], strict=True) if header not in STILL)


def _only(listing: Listing, indices: list[int]) -> Listing:
    return replace(
        listing,
        rows=[listing.rows[index] for index in indices],
        data=[listing.data[index] for index in indices],
        names=[listing.names[index] for index in indices],
    )


def show_more(listing: Listing, output: str, *, first: bool) -> None:
    """Of one sequence: headers only come `first`. json: one object a line; yaml: documents."""
    if output == "json":
        for each in listing.data:
            say(document(each, "line"))
    elif output == "yaml":
        for each in listing.data:
            say("---\n" + document(each, "yaml"))
    elif output == "name":
        show(listing, output)
    else:
        if first and not listing.rows:
            tell(listing.nothing)
        for line in lines(listing, wide=output == "wide")[0 if first else 1 :]:
            say(line)
