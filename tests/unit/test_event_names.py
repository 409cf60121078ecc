"""Names of log events are fixed: people search for them. Each has the form `area.what` and stands in docs/operations.md."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TELLING = {"debug", "info", "warning", "error", "exception", "note", "_note", "Duty", "_Notice", "warn"}
"""Calls that take an event's name as one of their first two arguments."""
LEVELS = {"debug", "info", "warning", "error"}
NAME = re.compile(r"[a-z_]+\.[a-z_]+")


def told() -> Iterator[str]:
    for path in (ROOT / "cdcd").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                yield from names(node)


def names(call: ast.Call) -> Iterator[str]:
    called = call.func
    by_level = isinstance(called, ast.Call) and getattr(called.func, "id", "") == "getattr"
    if by_level or getattr(called, "attr", getattr(called, "id", "")) in TELLING:
        texts = (each.value for each in call.args[:2] if isinstance(each, ast.Constant))
        yield from (text for text in texts if isinstance(text, str) and text not in LEVELS)


def documented() -> set[str]:
    rows = re.findall(r"^\| (`.*?`) \|", (ROOT / "docs/operations.md").read_text(), re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


EVENTS = sorted(set(told()) - {"children", "node"})  # the two are names of ZooKeeper's watches


def test_there_are_events() -> None:
    assert {"process.started", "instance.warning", "worker.crashed", "zookeeper.client"} <= set(EVENTS)


@pytest.mark.parametrize("name", EVENTS)
def test_a_name_has_its_form_and_its_place_in_the_documentation(name: str) -> None:
    assert NAME.fullmatch(name)
    assert name in documented()
