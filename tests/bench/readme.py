"""`python -m tests.bench.readme`: the figures of the last `make bench` (build/bench.json) into README.md, between its markers."""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
MARKERS = ("<!-- figures of make bench -->\n", "<!-- end of the figures -->\n")

CASES = {
    "bulk4": "bulk inserts, 4 columns",
    "bulk13": "bulk inserts, 13 columns",
    "oltp4": "single-row transactions, 4 columns",
    "oltp13": "single-row transactions, 13 columns",
    "huge": "one huge transaction",
}
HEAD = """\
| | rows/s | CPU s for a million rows | peak memory, MB | of the broker's floor | mysql-replication's decoder alone, rows/s |
| --- | ---: | ---: | ---: | ---: | ---: |
"""


def table(found: dict[str, Any]) -> str:
    """Markdown: medians, with minimum and maximum where runs differ most."""
    rows = "".join(_row(CASES[name], case, found["floors"][name]) for name, case in found["cases"].items())
    return f"{HEAD}{rows}\nMedian (minimum to maximum) of {found['runs']} runs on: {found['machine']}.\n"


def _row(title: str, case: dict[str, Any], floors: dict[str, Any]) -> str:
    rate, cpu, memory, ratio = (
        case[name] for name in ("rows_per_second", "cpu_seconds_per_million_rows", "peak_rss_mb", "floor_ratio")
    )
    return (
        f"| {title} | {rate['median']:,.0f} ({rate['min']:,.0f} to {rate['max']:,.0f}) | {cpu['median']:.1f} "
        f"| {memory['max']:.0f} | {ratio['median']:.0%} | {floors['mysql_replication_rows_per_second']:,} |\n"
    )


def main() -> None:
    readme, figures = ROOT / "README.md", ROOT / "build" / "bench.json"
    head, rest = readme.read_text().split(MARKERS[0])
    _, tail = rest.split(MARKERS[1])
    readme.write_text(head + MARKERS[0] + table(json.loads(figures.read_text())) + MARKERS[1] + tail)


if __name__ == "__main__":
    main()
