"""`make demo`; see README. `--keep` leaves everything running and prints how to look around."""

import argparse
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console

from deploy.demo.shop import DATABASE
from deploy.demo.story import Demo
from deploy.rig.checks import Report
from deploy.rig.topics import topics_like
from deploy.stack import Stack


def conclude(reports: Iterable[tuple[str, Report]], console: Console) -> int:
    """The account and the last line; exit status."""
    found = []
    for name, report in reports:
        console.print(f"{name}: {report.account()}", highlight=False, markup=False, soft_wrap=True)
        found.append(report)
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
    mysql, fleet = demo.source, demo.fleet
    client = (
        f"{mysql.mysqlbinlog.parent}/mysql -h{mysql.host} -P{mysql.port} -u{mysql.user} -p{mysql.password} {DATABASE}"
    )
    running = [server for server in fleet.servers.values() if server.poll() is None]
    pids = " ".join(str(server.pid) for server in running)
    cdcctl = Path(sys.executable).with_name("cdcctl")
    lines = [
        "everything is left running. To look around:",
        f"  operate it:    {cdcctl} get --config {demo.settings}",
        f"  the shop:      {client}",
        f"  messages:      {sys.executable} -m deploy.demo.look {fleet.bootstrap} cdc.",
        *(f"  {server.id + ':':<14} curl -s http://127.0.0.1:{server.port}/status" for server in running),
        f"  metrics:       curl -s http://127.0.0.1:{running[0].port}/metrics",
        f"  a log:         tail -f {running[0].out}",
        f"  stop it all:   kill {pids}; python3 deploy/stack destroy --name {stack.name}; rm -r {demo.folder}",
        f"  topics:        {', '.join(topics_like(fleet.bootstrap, 'cdc.'))}",
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
        demo = Demo(stack.up("mysql", "zookeeper", "kafka"), folder, console)
        try:
            demo.play()
            if not keep:
                demo.stop()
            for line in demo.gaps():
                console.print(line, highlight=False)
            console.print("reading all topics back and comparing them with the binlog and the tables")
            status = conclude(demo.verify(), console)
            if keep:
                _look_around(demo, stack, console)
                kept = True
        finally:
            if not kept:
                demo.fleet.close()
    finally:
        if not kept:
            stack.destroy()
            shutil.rmtree(folder, ignore_errors=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
