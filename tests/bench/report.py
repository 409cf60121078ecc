"""The figures: a table for people, JSON for machines. Minimum, median and maximum of the runs; nothing is asserted."""

import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.cases import Case

_MB = 1_000_000

COLUMNS = (
    ("rows_per_second", "rows/s", 0),
    ("transactions_per_second", "transactions/s", 1),
    ("cpu_seconds_per_million_rows", "CPU s / M rows", 2),
    ("peak_rss_mb", "peak RSS MB", 0),
    ("floor_ratio", "of broker alone", 2),
)


@dataclass(slots=True)
class Figures:
    """All runs of one case."""

    case: Case
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    """Start-up already taken off."""
    peak_rss_mb: list[float] = field(default_factory=list)
    raw_seconds: list[float] = field(default_factory=list)
    produce_seconds: list[float] = field(default_factory=list)
    peer_rows_per_second: float = 0
    message_bytes: float = 0
    binlog_bytes: int = 0

    def series(self) -> dict[str, list[float]]:
        """The issue's five figures, a value a run."""
        rows, transactions = self.case.rows, self.case.transactions
        return {
            "rows_per_second": [rows / each for each in self.seconds],
            "transactions_per_second": [transactions / each for each in self.seconds],
            "cpu_seconds_per_million_rows": [each * 1e6 / rows for each in self.cpu_seconds],
            "peak_rss_mb": self.peak_rss_mb,
            "floor_ratio": [floor / own for floor, own in zip(self.produce_seconds, self.seconds, strict=True)],
        }

    def floors(self) -> dict[str, Any]:
        """What was measured beside it in the same rounds."""
        rows = self.case.rows
        return {
            "source_rows_per_second": spread(rows / each for each in self.raw_seconds),
            "source_megabytes_per_second": spread(self.binlog_bytes / _MB / each for each in self.raw_seconds),
            "broker_messages_per_second": spread(rows / each for each in self.produce_seconds),
            "message_bytes": round(self.message_bytes),
            "mysql_replication_rows_per_second": round(self.peer_rows_per_second),
        }


def spread(values: Iterable[float]) -> dict[str, float]:
    found = [round(value, 3) for value in values]
    return {"min": min(found), "median": round(median(found), 3), "max": max(found)}


def as_json(figures: list[Figures], runs: int) -> dict[str, Any]:
    """`machine` and `cases` as the issue gives them; `floors` beside them."""
    return {
        "machine": machine(),
        "runs": runs,
        "cases": {each.case.name: {name: spread(values) for name, values in each.series().items()} for each in figures},
        "floors": {each.case.name: {"rows": each.case.rows, **each.floors()} for each in figures},
    }


def machine() -> str:
    """Processor, cores, memory and kernel on one line."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    name = models[0].partition(":")[2].strip() if models else platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{name}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.release()}"


def show(figures: list[Figures], console: Console) -> None:
    """The table: median (min to max)."""
    table = Table(title="cdcd end to end: MySQL to Kafka, exactly once, canal-json; median, min, max of the runs")
    for heading in (
        "case",
        "rows",
        *(title for _, title, _ in COLUMNS),
        "broker alone /s",
        "source alone /s",
        "mysql-replication /s",
    ):
        table.add_column(heading, justify="right")
    for each in figures:
        floors = each.floors()
        table.add_row(
            each.case.name,
            f"{each.case.rows:,}",
            *(_cell(each.series()[name], digits) for name, _, digits in COLUMNS),
            f"{floors['broker_messages_per_second']['median']:,.0f}",
            f"{floors['source_rows_per_second']['median']:,.0f}",
            f"{floors['mysql_replication_rows_per_second']:,.0f}",
        )
    console.print(table)


def _cell(values: list[float], digits: int) -> str:
    found = spread(values)
    least, most = (f"{found[end]:,.{digits}f}" for end in ("min", "max"))
    return f"{found['median']:,.{digits}f}\n[dim]{least}\n{most}[/]"
