"""What `cdcctl` prints: tables for people, JSON and YAML for programs. Data on standard output, messages on standard error.

Everything that comes out of ZooKeeper may be anybody's: none of it may steer the terminal.
"""

import dataclasses
import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import click
import yaml

TIMES = frozenset({"at", "since", "until", "changed_at", "moved", "wake"})
"""Members that hold Unix seconds; shown as ISO 8601."""

_COLOURS: Mapping[str, str] = {
    **dict.fromkeys(("running", "ready"), "green"),
    **dict.fromkeys(("parked", "invalid", "down", "server-lost"), "red"),
    **dict.fromkeys(
        ("blocked", "retrying", "unassigned", "stopping", "drained", "draining", "assigned", "starting"), "yellow"
    ),
}


def printable(text: str) -> str:
    """Text of unknown origin on one line, in which nothing is an order to the terminal."""
    return text if text.isprintable() else "".join(map(_visible, text))


def _visible(character: str) -> str:
    return character if character.isprintable() else ascii(character)[1:-1]


def say(line: str, *, err: bool = False) -> None:
    """One line; colours only where they are wanted."""
    click.echo(line, err=err, color=False if os.environ.get("NO_COLOR") else None)


def tell(message: str) -> None:
    """A message to the operator, on standard error."""
    say(printable(message), err=True)


@dataclass(frozen=True, slots=True)
class Listing:
    """What a reading verb has found, in every form it can be asked for."""

    headers: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    data: Any
    """For json and yaml."""
    names: Sequence[str]
    wide_only: frozenset[str] = field(default_factory=frozenset)
    """Headers of columns that only `wide` shows."""
    nothing: str = ""
    """Said on standard error if there are no rows."""


def show(listing: Listing, output: str) -> None:
    """`output`: one of table, wide, json, yaml, name."""
    if output == "name":
        for name in listing.names:
            say(printable(name))
    elif output in {"json", "yaml"}:
        say(document(listing.data, output))
    elif listing.rows:
        for line in lines(listing, wide=output == "wide"):
            say(line)
    elif listing.nothing:
        tell(listing.nothing)


def document(data: Any, output: str) -> str:
    """Data as `json` or `yaml` text, or as JSON on one `line`; what is not printable stands there escaped."""
    plain = readable(data)

    def written(*, unicode: bool) -> str:
        if output == "yaml":
            return yaml.safe_dump(plain, sort_keys=False, allow_unicode=unicode, width=120).rstrip("\n")
        return json.dumps(plain, indent=None if output == "line" else 2, ensure_ascii=not unicode)

    text = written(unicode=True)
    return text if text.replace("\n", "").isprintable() else written(unicode=False)


def readable(value: Any) -> Any:
    """Dataclasses as mappings, tuples as lists, times as ISO 8601."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: iso(each) if key in TIMES and _is_time(each) else readable(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [readable(each) for each in value]
    return value


def _is_time(value: Any) -> bool:
    return isinstance(value, float | int) and not isinstance(value, bool)


def lines(listing: Listing, *, wide: bool) -> list[str]:
    """Columns side by side; on a terminal the last one is cut to what fits, except in `wide`."""
    shown = [index for index, header in enumerate(listing.headers) if wide or header not in listing.wide_only]
    cells = [[printable(row[index]) for index in shown] for row in [listing.headers, *listing.rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(shown))]
    room = None if wide or not sys.stdout.isatty() else shutil.get_terminal_size().columns
    return [_line(row, widths, room) for row in cells]


def _line(cells: Sequence[str], widths: Sequence[int], room: int | None) -> str:
    *front, last = cells
    start = sum(widths[:-1]) + 2 * len(front)
    if room is not None and start + len(last) > room:
        last = last[: max(room - start - 1, 0)] + "…"
    padded = [cell + " " * (width - len(cell)) for cell, width in zip(front, widths, strict=False)]
    return "  ".join([*map(_coloured, padded), last]).rstrip()


def _coloured(cell: str) -> str:
    colour = _COLOURS.get(cell.rstrip())
    return click.style(cell, fg=colour) if colour else cell


def state_word(state: str) -> str:
    """A state, coloured."""
    return _coloured(state)


# ---------------------------------------------------------------- figures in words


def iso(at: float) -> str:
    """Unix seconds as ISO 8601; as they are where they are no time."""
    try:
        return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return str(at)


def span(seconds: float) -> str:
    """How long, in the two largest units at most: `42s`, `7m`, `3h20m`, `12d`."""
    left = max(0, round(seconds))
    if left < 120:
        return f"{left}s"
    minutes, hours, days = left // 60, left // 3600, left // 86400
    if minutes < 60:
        return f"{minutes}m"
    if hours < 48:
        return f"{hours}h{minutes % 60}m" if minutes % 60 and hours < 10 else f"{hours}h"
    return f"{days}d"


def lag_word(seconds: float | None) -> str:
    """A lag: to the tenth of a second below ten."""
    if seconds is None:
        return "-"
    return f"{seconds:.1f}s" if 0 < seconds < 10 else span(seconds)


def rate(per_second: float | None) -> str:
    """Three digits at most and k, M, G."""
    if per_second is None:
        return "-"
    for unit in ("", "k", "M"):
        if per_second < 999.5:
            return f"{per_second:.0f}{unit}" if per_second >= 10 or per_second == 0 else f"{per_second:.1f}{unit}"
        per_second /= 1000
    return f"{per_second:.1f}G"


def or_dash(value: object, word: Callable[[Any], str] = str) -> str:
    """`-` for nothing."""
    return "-" if value is None or value == "" else word(value)
