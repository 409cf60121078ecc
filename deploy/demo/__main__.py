"""The demo's script; see README. `--keep` leaves everything running and prints how to look around."""

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console

from deploy.demo.screen import Screen, Shown
from deploy.demo.shop import CATALOGUE, DATABASE, SALES, Traffic, add_column, huge_transaction, open_shop
from deploy.rig.checks import Report
from deploy.rig.source import BinlogPoint, Source
from deploy.rig.topics import topics_like
from deploy.rig.verify import Run, verify
from deploy.rig.worker import Instance, Worker, caught_up, until
from deploy.stack import Endpoints, Stack

HUGE = 100_000
SEED = 2026


class Demo:
    """Servers, two instances and a shop."""

    def __init__(self, servers: Endpoints, folder: Path, console: Console) -> None:
        mysql, kafka = servers.mysql, servers.kafka
        assert mysql is not None
        assert kafka is not None
        self.source = Source(mysql.host, mysql.port, mysql.user, mysql.password, mysql.bin_dir / "mysqlbinlog")
        self.bootstrap, self.folder, self._console = kafka.bootstrap, folder, console
        self.instances = [self._instance("sales", SALES), self._instance("catalogue", CATALOGUE)]
        self.start = BinlogPoint("", 0)

    def _instance(self, name: str, tables: tuple[str, ...]) -> Instance:
        # Parts of 1 MiB, so that the huge transaction is published in several and the kill falls between them.
        sink = {"commit": {"max_bytes": "1MiB"}}
        return Instance(name, self.folder, self.source, self.bootstrap, DATABASE, tables, overrides={"sink": sink})

    def play(self) -> None:
        """Everything that happens, up to both instances having published all of it."""
        open_shop(self.source)
        self.start = self.source.end_of_binlog()
        for instance in self.instances:
            instance.start = {"gtid_set": self.source.executed()}
        shown = [Shown(instance.name, instance.run()) for instance in self.instances]
        traffic = Traffic(self.source, SEED)
        with Screen(self._console, self.bootstrap, shown) as screen:
            screen.say("two workers run; the shop opens")
            traffic.start()
            until(lambda: all(_publishes(each.worker) for each in shown), "both workers publish")
            time.sleep(3)
            add_column(self.source)
            screen.say("DDL: customer_order has a new column, coupon")
            self._huge_with_a_kill(screen, shown[1])
            time.sleep(2)
            traffic.stop()
            screen.say(f"the shop closes after {traffic.transactions:,} transactions; waiting for the last messages")
            until(lambda: all(caught_up(instance) for instance in self.instances), "all is published", every=0.3)

    def _huge_with_a_kill(self, screen: Screen, shown: Shown) -> None:
        before = shown.worker.metric("cdcd_published_records_total") or 0
        huge_transaction(self.source, HUGE)
        screen.say(f"one transaction of {HUGE:,} rows is committed")
        until(lambda: _published(shown.worker) > before + HUGE / 20, "part of it is published", every=0.01)
        shown.worker.kill()
        screen.say(f"kill -9 of the worker of {shown.name} in the middle of it; starting another")
        shown.worker = self.instances[1].run()

    def verify(self) -> list[Report]:
        """Read all topics back and compare with the binlog and the tables."""
        reports = []
        for instance in self.instances:
            run = Run(
                self.source,
                self.bootstrap,
                DATABASE,
                instance.tables,
                instance.topic,
                instance.ddl_topic,
                self.start,
            )
            reports.append(verify(run, statements=False))
        return reports

    def stop(self) -> None:
        """SIGTERM to both workers."""
        for instance in self.instances:
            code = instance.workers[-1].stop()
            if code:
                self._console.print(f"the worker of {instance.name} ended with {code}\n{instance.workers[-1].said()}")


def _published(worker: Worker) -> float:
    if worker.poll() is not None:
        raise RuntimeError(f"the worker ended with {worker.code}\n{worker.said()}")
    return worker.metric("cdcd_published_records_total") or 0


def _publishes(worker: Worker) -> bool:
    return _published(worker) > 0


def conclude(reports: Iterable[Report], console: Console) -> int:
    """The account and the last line; exit status."""
    found = list(reports)
    for report in found:
        console.print(report.account(), highlight=False, markup=False, soft_wrap=True)
    changes = sum(report.counted.changes for report in found)
    rows = sum(report.messages - report.statements for report in found)
    missing = sum(report.missing.count + report.gaps.count for report in found)
    doubled = sum(report.duplicated.count for report in found)
    disordered = sum(report.disordered.count for report in found)
    altered = sum(report.unexpected.count + report.unequal.count for report in found)
    word = "verified" if all(report.passed for report in found) else "NOT VERIFIED"
    other = f", {altered} wrong" if altered else ""
    # print, not the console: the line is read by machines and must not be wrapped
    print(
        f"{word}: {changes} source rows changed, {rows} messages, {missing} missing, {doubled} duplicated,"
        f" {disordered} out of order{other}",
        flush=True,
    )
    return 0 if word == "verified" else 1


def _look_around(demo: Demo, stack: Stack, console: Console) -> None:
    mysql, log = demo.source, demo.instances[0].workers[-1].out
    client = (
        f"{mysql.mysqlbinlog.parent}/mysql -h{mysql.host} -P{mysql.port} -u{mysql.user} -p{mysql.password} {DATABASE}"
    )
    pids = " ".join(str(each.workers[-1].pid) for each in demo.instances)
    lines = [
        "everything is left running. To look around:",
        f"  the shop:      {client}",
        f"  messages:      {sys.executable} -m deploy.demo.look {demo.bootstrap} cdc.",
        *(
            f"  {each.name + ':':<14} curl -s http://127.0.0.1:{each.workers[-1].port}/status"
            for each in demo.instances
        ),
        f"  metrics:       curl -s http://127.0.0.1:{demo.instances[0].workers[-1].port}/metrics",
        f"  a log:         tail -f {log}",
        f"  stop it all:   kill {pids}; python3 deploy/stack destroy --name {stack.name}; rm -r {demo.folder}",
        f"  topics:        {', '.join(topics_like(demo.bootstrap, 'cdc.'))}",
    ]
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)


def main() -> int:
    """Run it; 0 when all is verified."""
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave everything running")
    keep, console = parser.parse_args().keep, Console()
    stack = Stack(f"demo-{os.getpid()}-{random.getrandbits(16):04x}", owned=not keep)
    folder = Path(tempfile.mkdtemp(prefix="cdcd-demo-"))
    kept = False
    try:
        demo = Demo(stack.up("mysql", "kafka"), folder, console)
        try:
            demo.play()
            if not keep:
                demo.stop()
            console.print("reading all topics back and comparing them with the binlog and the tables")
            status = conclude(demo.verify(), console)
            if keep:
                _look_around(demo, stack, console)
                kept = True
        finally:
            if not kept:
                for instance in demo.instances:
                    instance.kill_all()
    finally:
        if not kept:
            stack.destroy()
            shutil.rmtree(folder, ignore_errors=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
