"""Draws a dashboard from what a Prometheus answers, as an SVG: for documentation, and where there is no Grafana.

    python -m deploy.grafana.draw cdcd-fleet --prometheus http://127.0.0.1:9090 --minutes 5 --out fleet.svg

The panels are where Grafana shows them, with their titles, units and thresholds. It is no Grafana: what is chosen is
everything (or `--choose sync_instance=orders`).
"""

import argparse
import json
import math
import re
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.grafana.svg import COLOURS, DIM, NAMED, PANEL, Point, area, box, figure, line, picture, text

FOLDER = Path(__file__).parent / "dashboards"
COLUMN, ROW, GAP = 56.0, 36.0, 6.0
"""Pixels of Grafana's grid, of which a dashboard is 24 columns wide."""
STEPS = 120
"""Points of a line."""
LEGEND = 4
"""Series that a legend names."""


@dataclass(frozen=True, slots=True)
class Series:
    """One line: its legend, its labels, (Unix time, value) where it has one."""

    name: str
    labels: dict[str, str]
    points: list[Point]

    @property
    def last(self) -> float:
        return self.points[-1][1]


class Prometheus:
    """Answers the queries of a dashboard over the last `minutes`."""

    def __init__(self, url: str, minutes: float, chosen: dict[str, str]) -> None:
        self.until = time.time()
        self.since = self.until - 60 * minutes
        self._url = url
        self._chosen = {"cluster": ".*", "server": ".*", "sync_instance": ".*", "__rate_interval": "20s", **chosen}

    def ask(self, target: dict[str, Any]) -> list[Series]:
        """The series of one query of a panel; an instant query's have one point."""
        query = re.sub(r"\$(\w+)", lambda found: self._chosen[found[1]], target["expr"])
        if target.get("instant"):
            found = self._get("query", query=query, time=self.until)
        else:
            step = (self.until - self.since) / STEPS
            found = self._get("query_range", query=query, start=self.since, end=self.until, step=step)
        return [series for each in found if (series := _series(each, target["legendFormat"])).points]

    def _get(self, kind: str, **arguments: object) -> list[dict[str, Any]]:
        url = f"{self._url}/api/v1/{kind}?{urllib.parse.urlencode(arguments)}"
        with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - the caller's own Prometheus
            return list(json.loads(answer.read())["data"]["result"])


def _series(found: dict[str, Any], legend: str) -> Series:
    labels: dict[str, str] = found["metric"]
    name = re.sub(r"\{\{(\w+)\}\}", lambda label: labels.get(label[1], ""), legend.replace("__auto", "")).strip()
    raw = found["values"] if "values" in found else [found["value"]]
    points = [(float(at), float(value)) for at, value in raw if math.isfinite(float(value))]
    return Series(name or ", ".join(value for key, value in labels.items() if key != "__name__"), labels, points)


class Panel:
    """One panel at its place."""

    def __init__(self, panel: dict[str, Any], series: list[list[Series]], span: Point) -> None:
        """`series`: of each query. `span`: first and last moment."""
        at = panel["gridPos"]
        self._x: float = at["x"] * COLUMN + GAP
        self._y: float = at["y"] * ROW + GAP
        self._width: float = at["w"] * COLUMN - GAP
        self._height: float = at["h"] * ROW - GAP
        self._title, self._kind = panel["title"], panel["type"]
        defaults = panel["fieldConfig"]["defaults"]
        self._unit: str = panel["options"].get("yAxis", defaults)["unit"]
        self._steps: list[dict[str, Any]] = defaults["thresholds"]["steps"]
        self._stacked = defaults.get("custom", {}).get("stacking", {}).get("mode") == "normal"
        self._names = panel["options"].get("textMode") == "name"
        self._mappings = {key: each for one in defaults.get("mappings", ()) for key, each in one["options"].items()}
        changes = {each["id"]: each["options"] for each in panel.get("transformations", ())}
        self._join: str = changes.get("joinByField", {}).get("byField", "")
        self._renamed: dict[str, str] = changes.get("organize", {}).get("renameByName", {})
        self._excluded: set[str] = {"__name__", *changes.get("organize", {}).get("excludeByName", ())}
        self._units = {
            override["matcher"]["options"]: str(each["value"])
            for override in panel["fieldConfig"]["overrides"]
            for each in override["properties"]
            if each["id"] == "unit"
        }
        self._queries, self._all = series, [each for one in series for each in one]
        self._span = span

    def parts(self) -> Iterator[str]:
        yield box((self._x, self._y), (self._width, self._height), PANEL, radius=3)
        yield text((self._x + 8, self._y + 17), self._title, size=12)
        if not self._all:
            centre = (self._x + self._width / 2, self._y + self._height / 2 + 8)
            yield text(centre, "nothing", colour=DIM, anchor="middle")
            return
        draw = {"stat": self._stat, "state-timeline": self._timeline, "table": self._table, "heatmap": self._heatmap}
        yield from draw.get(self._kind, self._lines)()

    def _stat(self) -> Iterator[str]:
        first = max(self._all, key=lambda series: series.last)
        shown = first.name if self._names else figure(first.last, self._unit)
        colour = NAMED["green"] if self._names else self._colour(first.last)
        centre = (self._x + self._width / 2, self._y + self._height / 2 + 20)
        yield text(centre, shown, size=min(30, 1.7 * self._width / max(len(shown), 3)), colour=colour, anchor="middle")

    def _colour(self, value: float) -> str:
        passed = [step["color"] for step in self._steps if step["value"] is None or value >= step["value"]]
        return NAMED[passed[-1]]

    # ---------------------------------------------------------------- lines

    def _lines(self) -> Iterator[str]:
        stacked = self._stack() if self._stacked else [series.points for series in self._all]
        values = [0.0, *(value for points in stacked for _, value in points)]
        low, top = min(values), max(values)
        top += low == top
        yield from self._axes(low, top)
        for number, points in reversed(list(enumerate(stacked))):
            placed = [self._place(at, (value - low) / (top - low)) for at, value in points]
            colour = COLOURS[number % len(COLOURS)]
            if self._stacked:
                yield area([(placed[0][0], self._bottom), *placed, (placed[-1][0], self._bottom)], colour)
            yield line(placed, colour)
        yield from self._legend()

    def _stack(self) -> list[list[Point]]:
        """Each series on top of those before it."""
        below: dict[float, float] = {}
        stacked = []
        for series in self._all:
            below |= {at: below.get(at, 0.0) + value for at, value in series.points}
            stacked.append([(at, below[at]) for at, _ in series.points])
        return stacked

    @property
    def _bottom(self) -> float:
        """Of the lines; the legend is below."""
        return self._y + self._height - 20 - 14 * min(LEGEND, len(self._all))

    def _place(self, at: float, share: float) -> Point:
        left, width, top = self._x + 62, self._width - 74, self._y + 28
        moment = (at - self._span[0]) / (self._span[1] - self._span[0])
        return left + moment * width, self._bottom - share * (self._bottom - top)

    def _axes(self, low: float, top: float) -> Iterator[str]:
        for share in (0.0, 0.5, 1.0):
            ends = [self._place(at, share) for at in self._span]
            yield line(ends, "#2c3036", width=1)
            label = figure(low + share * (top - low), self._unit)
            yield text((ends[0][0] - 5, ends[0][1] + 4), label, size=9, colour=DIM, anchor="end")
        for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
            at = self._span[0] + share * (self._span[1] - self._span[0])
            x, y = self._place(at, 0.0)
            clock = time.strftime("%H:%M:%S", time.gmtime(at))
            yield text((x, y + 12), clock, size=9, colour=DIM, anchor=anchor)

    def _legend(self) -> Iterator[str]:
        for number, series in enumerate(self._all[:LEGEND]):
            y = self._bottom + 25 + 14 * number
            yield box((self._x + 10, y - 4), (12, 3), COLOURS[number % len(COLOURS)])
            more = f", and {len(self._all) - LEGEND} more" if number == LEGEND - 1 and len(self._all) > LEGEND else ""
            yield text((self._x + 28, y), f"{series.name}  {figure(series.last, self._unit)}{more}", size=10)

    # ---------------------------------------------------------------- others

    def _timeline(self) -> Iterator[str]:
        shown = self._all[: int((self._height - 40) // 18)]
        height = min(26.0, (self._height - 40) / max(len(shown), 1))
        step = (self._span[1] - self._span[0]) / STEPS
        left, width = self._x + 110, self._width - 120
        for number, series in enumerate(shown):
            y = self._y + 28 + number * height
            yield text((left - 6, y + height / 2 + 3), series.name[:18], size=10, anchor="end")
            for at, value in series.points:
                mapped = self._mappings.get(f"{value:g}", {"color": "blue"})
                share = (at - self._span[0]) / (self._span[1] - self._span[0])
                size = (width * step / (self._span[1] - self._span[0]) + 0.5, height - 4)
                yield box((left + share * width, y), size, NAMED[mapped["color"]], opacity=0.8)

    def _table(self) -> Iterator[str]:
        rows = self._table_rows()
        names = [name for name in dict.fromkeys(name for row in rows for name in row) if name not in self._excluded]
        width = (self._width - 16) / max(len(names), 1)
        for column, name in enumerate(names):
            header = self._renamed.get(name, name)
            yield text((self._x + 10 + column * width, self._y + 40), header, colour=DIM)
            for number, row in enumerate(rows[: int((self._height - 60) // 18)]):
                cell = row.get(name, "")
                shown = cell if isinstance(cell, str) else figure(cell, self._units.get(header, self._unit))
                yield text((self._x + 10 + column * width, self._y + 58 + number * 18), shown)

    def _table_rows(self) -> list[dict[str, str | float]]:
        """Labels and values of all queries, by column; those of several queries joined by the label that the panel names."""
        rows: dict[str, dict[str, str | float]] = {}
        for number, query in enumerate(self._queries):
            value = f"Value #{chr(ord('A') + number)}" if len(self._queries) > 1 else "Value"
            for series in query:
                key = series.labels.get(self._join, series.name)
                rows.setdefault(key, {}).update({**series.labels, value: series.last})
        return [rows[key] for key in sorted(rows)]

    def _heatmap(self) -> Iterator[str]:
        """Buckets from below to above; the counts are cumulative."""
        buckets = sorted(self._all, key=lambda series: float(series.labels["le"]))
        counts = [dict(series.points) for series in buckets]
        most = max((value for series in buckets for _, value in series.points), default=0.0) or 1.0
        height, width = (self._height - 50) / len(buckets), (self._width - 74) / STEPS
        for number, found in enumerate(counts):
            y = self._y + self._height - 20 - (number + 1) * height
            label = buckets[number].labels["le"]
            yield text((self._x + 56, y + height), label, size=8, colour=DIM, anchor="end")
            for at, value in found.items():
                here = value - (counts[number - 1].get(at, 0.0) if number else 0.0)
                if here > 0:
                    share = (at - self._span[0]) / (self._span[1] - self._span[0])
                    cell = (self._x + 62 + share * (self._width - 74), y)
                    yield box(cell, (width + 0.5, height), NAMED["orange"], opacity=round(0.15 + 0.85 * here / most, 2))


def draw(dashboard: dict[str, Any], prometheus: Prometheus) -> str:
    """The picture."""
    parts = [text((GAP, 20), dashboard["title"], size=16)]
    bottom = 0.0
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        bottom = max(bottom, (at["y"] + at["h"]) * ROW)
        if panel["type"] == "row":
            parts.append(text((GAP, at["y"] * ROW + 56), panel["title"], size=14))
            continue
        series = [prometheus.ask(target) for target in panel["targets"]]
        shown = Panel(panel, series, (prometheus.since, prometheus.until)).parts()
        parts.append('<g transform="translate(0 30)">' + "\n".join(shown) + "</g>")
    return picture((24 * COLUMN + GAP, bottom + 30 + GAP), parts)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="draw", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("dashboard", choices=sorted(path.stem for path in FOLDER.glob("*.json")))
    parser.add_argument("--prometheus", default="http://127.0.0.1:9090")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--choose", action="append", default=[], metavar="NAME=VALUE", help="a variable's value")
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args(arguments)
    dashboard = json.loads((FOLDER / f"{chosen.dashboard}.json").read_text())
    choices = dict(each.split("=", 1) for each in chosen.choose)
    chosen.out.write_text(draw(dashboard, Prometheus(chosen.prometheus, chosen.minutes, choices)))


if __name__ == "__main__":
    main()
