"""`make bench`: how fast a worker drains prepared binlogs into a real broker, exactly once. Measures, never asserts.

Everything runs on this machine: MySQL, one broker, the worker. Each round of a case measures in turn the source's bytes
read and thrown away, the worker, and the worker's own messages published again ready-made with the same settings.
"""

import argparse
import json
import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from statistics import median

from rich.console import Console

from deploy.rig.source import Source
from deploy.rig.topics import read_committed
from deploy.rig.worker import Instance
from deploy.stack import Stack
from tests.bench.cases import Case, Prepared, Sizes, all_cases, prepared
from tests.bench.drain import Drained, drain, drop_topics
from tests.bench.floors import Encoded, encoded, peer, produce, raw_bytes
from tests.bench.report import Figures, as_json, show

_SAMPLE = 100_000
"""Messages kept for the broker's floor, and published in turn."""


class Bench:
    """The servers of one benchmark and what was measured on them."""

    def __init__(self, source: Source, bootstrap: str, folder: Path, runs: int, console: Console) -> None:
        self._source, self._bootstrap, self._folder = source, bootstrap, folder
        self._runs, self._console = runs, console
        self._started = 0
        self._idle_cpu = 0.0

    def measure_start_up(self) -> None:
        """CPU of a worker that finds nothing to do: taken off every run's figure."""
        nothing = Case("start", "none", 1, 1)
        self._source.run("CREATE DATABASE IF NOT EXISTS bench_start")
        found = []
        for _ in range(3):
            done, instance = self._drain(Prepared(nothing, "bench_start", self._source.end_of_binlog(), 0))
            found.append(done.cpu_seconds)
            _drop(instance)
        self._idle_cpu = median(found)
        self._console.print(
            f"start and end of a worker with nothing to do: {self._idle_cpu:.2f} CPU s, taken off below"
        )

    def case(self, case: Case) -> Figures:
        """All rounds of one case."""
        self._console.print(f"[bold]{case.name}[/]: preparing {case.rows:,} rows in {case.transactions:,} transactions")
        figures, messages = Figures(case), None
        with prepared(self._source, case) as data:
            figures.binlog_bytes = data.binlog_bytes
            for _ in range(self._runs):
                messages = self._round(data, figures, messages)
            figures.peer_rows_per_second = peer(self._source, data, min(case.rows, 40_000))
        return figures

    def _round(self, data: Prepared, figures: Figures, messages: Encoded | None) -> Encoded:
        figures.raw_seconds.append(raw_bytes(self._source, data))
        done, instance = self._drain(data)
        figures.seconds.append(done.seconds)
        figures.cpu_seconds.append(done.cpu_seconds - self._idle_cpu)
        figures.peak_rss_mb.append(done.peak_rss_mb)
        if done.messages != data.case.rows:
            raise RuntimeError(f"{done.messages} messages for {data.case.rows} rows")
        if messages is None:
            topic = instance.topic.format(database=data.database, table=data.case.table)
            messages = encoded(read_committed(self._bootstrap, [topic]), _SAMPLE)
            figures.message_bytes = messages.mean_bytes
        _drop(instance)
        figures.produce_seconds.append(produce(self._bootstrap, messages, data.case.rows))
        self._console.print(
            f"  {data.case.rows / done.seconds:,.0f} rows/s, {done.cpu_seconds - self._idle_cpu:.1f} CPU s,"
            f" {done.peak_rss_mb:.0f} MB; floors: source {data.case.rows / figures.raw_seconds[-1]:,.0f},"
            f" broker {data.case.rows / figures.produce_seconds[-1]:,.0f} rows/s"
        )
        return messages

    def _drain(self, data: Prepared) -> tuple[Drained, Instance]:
        self._started += 1
        return drain(self._source, self._bootstrap, data, self._folder, self._started)


def _drop(instance: Instance) -> None:
    with suppress(Exception):  # a topic that no message made
        drop_topics(instance)


def _arguments() -> argparse.Namespace:
    sizes = Sizes()
    parser = argparse.ArgumentParser(prog="bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    names = [case.name for case in all_cases(sizes)]
    parser.add_argument("--cases", nargs="+", choices=names, default=names)
    parser.add_argument("--runs", type=int, default=3, help="rounds of each case (default 3)")
    parser.add_argument("--bulk-rows", type=int, default=sizes.bulk, help="bulk4; bulk13 gets 60%% of it")
    parser.add_argument("--oltp-rows", type=int, default=sizes.oltp, help="single-row transactions")
    parser.add_argument("--huge-rows", type=int, default=sizes.huge, help="rows of the one huge transaction")
    parser.add_argument("--out", type=Path, default=Path("build/bench.json"))
    return parser.parse_args()


def main() -> None:
    """Start the servers, measure, print the table, write the JSON."""
    # The table is wide; a log or a pipe takes it whole.
    asked, console = _arguments(), Console(width=None if sys.stdout.isatty() else 170)
    stack = Stack(f"bench-{os.getpid()}", owned=True)
    try:
        servers = stack.up("mysql", "kafka")
        assert servers.mysql is not None
        assert servers.kafka is not None
        mysql = servers.mysql
        source = Source(mysql.host, mysql.port, mysql.user, mysql.password, mysql.bin_dir / "mysqlbinlog")
        with tempfile.TemporaryDirectory(prefix="cdcd-bench-") as folder:
            bench = Bench(source, servers.kafka.bootstrap, Path(folder), asked.runs, console)
            bench.measure_start_up()
            cases = all_cases(Sizes(asked.bulk_rows, asked.oltp_rows, asked.huge_rows))
            figures = [bench.case(case) for case in cases if case.name in asked.cases]
    finally:
        stack.destroy()
    show(figures, console)
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(as_json(figures, asked.runs), indent=2) + "\n")
    console.print(f"written: {asked.out}")


if __name__ == "__main__":
    main()
