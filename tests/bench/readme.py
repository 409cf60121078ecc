"""`python -m tests.bench.readme`: the figures of the last `make bench` (build/bench.json) into README.md and README.zh-CN.md,
between their markers.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
MARKERS = ("<!-- figures of make bench -->\n", "<!-- end of the figures -->\n")


@dataclass(frozen=True, slots=True)
class Words:
    """Of one language."""

    head: str
    cases: dict[str, str]
    span: str
    foot: str


LANGUAGES = {
    "README.md": Words(
        "| | rows/s | CPU s for a million rows | peak memory, MB | of the broker's floor"
        " | mysql-replication's decoder alone, rows/s |",
        {
            "bulk4": "bulk inserts, 4 columns",
            "bulk13": "bulk inserts, 13 columns",
            "oltp4": "single-row transactions, 4 columns",
            "oltp13": "single-row transactions, 13 columns",
            "huge": "one huge transaction",
        },
        "{min:,.0f} to {max:,.0f}",
        "Median (minimum to maximum) of {runs} runs on: {machine}.",
    ),
    "README.zh-CN.md": Words(
        "| | 行/秒 | 每百万行 CPU 秒 | 内存峰值，MB | 相当于 broker 底线的 | 仅 mysql-replication 解码，行/秒 |",
        {
            "bulk4": "批量插入，4 列",
            "bulk13": "批量插入，13 列",
            "oltp4": "单行事务，4 列",
            "oltp13": "单行事务，13 列",
            "huge": "一个巨大的事务",
        },
        "{min:,.0f} – {max:,.0f}",
        "{runs} 次运行的中位数（最小值 – 最大值），机器：{machine}。",
    ),
}


def table(found: dict[str, Any], words: Words) -> str:
    """Markdown: medians, with minimum and maximum where runs differ most."""
    rows = "".join(_row(name, case, found["floors"][name], words) for name, case in found["cases"].items())
    foot = words.foot.format(runs=found["runs"], machine=found["machine"])
    return f"{words.head}\n| --- | ---: | ---: | ---: | ---: | ---: |\n{rows}\n{foot}\n"


def _row(name: str, case: dict[str, Any], floors: dict[str, Any], words: Words) -> str:
    rate, cpu, memory, ratio = (
        case[name] for name in ("rows_per_second", "cpu_seconds_per_million_rows", "peak_rss_mb", "floor_ratio")
    )
    return (
        f"| {words.cases[name]} | {rate['median']:,.0f} ({words.span.format(**rate)}) | {cpu['median']:.1f} "
        f"| {memory['max']:.0f} | {ratio['median']:.0%} | {floors['mysql_replication_rows_per_second']:,} |\n"
    )


def main() -> None:
    found = json.loads((ROOT / "build" / "bench.json").read_text())
    for name, words in LANGUAGES.items():
        head, rest = (ROOT / name).read_text().split(MARKERS[0])
        _, tail = rest.split(MARKERS[1])
        (ROOT / name).write_text(head + MARKERS[0] + table(found, words) + MARKERS[1] + tail)


if __name__ == "__main__":
    main()
