"""Failpoint names are a contract with the fault tests: each of them is passed somewhere."""

from pathlib import Path

import pytest

import cdcd
from cdcd.observe.failpoints import NAMES

SOURCES = {path: path.read_text() for path in Path(cdcd.__file__).parent.rglob("*.py") if path.name != "failpoints.py"}


@pytest.mark.parametrize("name", NAMES)
def test_each_name_has_a_place(name: str) -> None:
    assert [path.name for path, text in SOURCES.items() if f'failpoint("{name}")' in text]
