"""`make prove`: everything the issues must show, with the full counts; one JSON line an item on stdout, the rest on stderr.

    {"item": "3.5", "passed": true, "tests": 19, "seconds": 312.4, "figures": [{"seed": 20261122, "kills": 30, ...}]}

What cannot be shown on this machine is listed under `skipped`, with the reason; an item of which nothing was shown has not passed.

An item is named by its issue and its number there: 3 is the worker, 4 the fleet (4.13 is the model of the protocol, which
that issue builds under that number). Most are tests with the marker `must_show(item)`. The others are make targets: they are
run and what they print is judged here.
"""

import argparse
import functools
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ITEMS_OF_TESTS = (
    "3.3",
    "3.4",
    "3.5",
    "3.7",
    "4.1",
    "4.2",
    "4.3",
    "4.4",
    "4.5",
    "4.6",
    "4.7",
    "4.9",
    "4.13",
    "5.1",
    "5.2",
    "5.3",
    "5.5",
    "5.6",
    "6.1",
    "6.2",
    "6.3",
    "6.4",
    "6.5",
    "6.6",
)
ROWS_PER_SECOND = 150_000
TRANSACTIONS_PER_SECOND = 50_000
PEAK_RSS_MB = 200

Line = dict[str, Any]


class Collector:
    """Pytest plugin: outcomes and figures by item."""

    def __init__(self) -> None:
        self.lines: dict[str, Line] = {}
        self._items: dict[str, str] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            marker = item.get_closest_marker("must_show")
            if marker is not None:
                self._items[item.nodeid] = str(marker.args[0])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        item = self._items.get(report.nodeid)
        if item is None or (report.when != "call" and report.passed):
            return
        line = self.lines.setdefault(item, {"item": item, "passed": True, "tests": 0, "seconds": 0.0, "figures": []})
        if report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
            line.setdefault("skipped", []).append(f"{report.nodeid}: {reason}")
            return
        line["tests"] += 1
        line["passed"] = line["passed"] and report.passed
        line["seconds"] = round(line["seconds"] + report.duration, 1)
        line["figures"] += [value for name, value in report.user_properties if name == "figures"]
        if not report.passed:
            line.setdefault("failed", []).append(report.nodeid)


def of_tests(items: set[str]) -> list[Line]:
    """Run all tests of `items`, the long counts included."""
    collector = Collector()
    arguments = ["-m", "must_show", "-p", "no:cacheprovider", "tests"]
    deselected = _Only(items)
    saved, sys.stdout = sys.stdout, sys.stderr
    try:
        pytest.main(arguments, plugins=[collector, deselected])
    finally:
        sys.stdout = saved
    lines = [collector.lines.get(item, {"item": item, "tests": 0}) for item in sorted(items, key=_in_order)]
    return [{**line, "passed": line["tests"] > 0 and line["passed"]} for line in lines]


class _Only:
    """Pytest plugin: leaves the tests of other items out."""

    def __init__(self, items: set[str]) -> None:
        self._items = items

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        marked = [(item, item.get_closest_marker("must_show")) for item in items]
        dropped = [item for item, marker in marked if marker is None or marker.args[0] not in self._items]
        items[:] = [item for item in items if item not in dropped]
        config.hook.pytest_deselected(items=dropped)


@functools.cache
def _demo() -> tuple[int, str, float]:
    return _run("-m", "deploy.demo")


def demo(item: str) -> Line:
    """One run for both issues."""
    code, out, seconds = _demo()
    last = out.strip().splitlines()[-1] if out.strip() else ""
    found = re.fullmatch(
        r"verified: (\d+) source rows changed, (\d+) messages, 0 missing, 0 duplicated, 0 out of order", last
    )
    return {"item": item, "passed": code == 0 and found is not None, "seconds": seconds, "figures": [last]}


def test_and_check(item: str) -> Line:
    """`make check`, and two runs of `make test` at the same time."""
    began = time.monotonic()
    check = subprocess.run(["make", "-s", "check"], stdout=sys.stderr, check=False).returncode
    both = [subprocess.Popen(["make", "-s", "test"], stdout=sys.stderr) for _ in range(2)]
    codes = [each.wait() for each in both]
    return {
        "item": item,
        "passed": not any([check, *codes]),
        "seconds": round(time.monotonic() - began, 1),
        "figures": [{"check": check, "tests": codes}],
    }


def bench(item: str) -> Line:
    """The figures of `make bench` against what the issue asks for."""
    out = Path("build/bench.json")
    code, _, seconds = _run("-m", "tests.bench", "--out", str(out))
    cases = json.loads(out.read_text())["cases"] if code == 0 else {}
    passed = bool(cases) and (
        cases["bulk4"]["rows_per_second"]["median"] >= ROWS_PER_SECOND
        and cases["oltp4"]["transactions_per_second"]["median"] >= TRANSACTIONS_PER_SECOND
        and all(case["peak_rss_mb"]["max"] <= PEAK_RSS_MB for case in cases.values())
    )
    return {"item": item, "passed": passed, "seconds": seconds, "figures": [cases]}


def fuzz(item: str) -> Line:
    """As long as `make fuzz`."""
    code, out, seconds = _run("-m", "tests.fuzz")
    return {"item": item, "passed": code == 0, "seconds": seconds, "figures": [json.loads(out)] if out else []}


def _run(*arguments: str) -> tuple[int, str, float]:
    began = time.monotonic()
    done = subprocess.run([sys.executable, *arguments], stdout=subprocess.PIPE, text=True, check=False)
    sys.stderr.write(done.stdout)
    return done.returncode, done.stdout, round(time.monotonic() - began, 1)


OTHERS: dict[str, Callable[[str], Line]] = {"3.1": demo, "3.2": test_and_check, "3.6": bench, "4.8": demo, "5.4": fuzz}


def main() -> int:
    """0 when every item asked for is shown."""
    parser = argparse.ArgumentParser(prog="prove", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    every = sorted({*ITEMS_OF_TESTS, *OTHERS}, key=_in_order)
    parser.add_argument("items", nargs="*", metavar="item", help=f"of {', '.join(every)}; all if none is named")
    asked = set(parser.parse_args().items) or set(every)
    if unknown := asked - set(every):
        parser.error(f"unknown items {', '.join(sorted(unknown))}; there are {', '.join(every)}")
    passed = [_printed(OTHERS[item](item)) for item in sorted(asked & OTHERS.keys(), key=_in_order)]
    if of := asked & set(ITEMS_OF_TESTS):
        passed += [_printed(line) for line in of_tests(of)]
    return 0 if all(passed) else 1


def _in_order(item: str) -> tuple[int, ...]:
    return tuple(int(part) for part in item.split("."))


def _printed(line: Line) -> bool:
    print(json.dumps(line), flush=True)
    return bool(line["passed"])


if __name__ == "__main__":
    sys.exit(main())
