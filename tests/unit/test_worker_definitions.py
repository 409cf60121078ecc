"""The definition that an instance runs by is the newest valid one."""

import json
from typing import Any

import pytest

from cdcd.errors import FindingError, NotOwner
from cdcd.worker.definitions import Definitions
from cdcd.worker.journal import Journal


def text(**changes: Any) -> bytes:
    base: dict[str, Any] = {
        "name": "orders",
        "source": {"host": "mysql-a", "credential": "orders-db"},
        "tables": {"include": ["shop.*"]},
        "sink": {"topic": "cdc"},
    }
    return json.dumps(base | changes).encode()


class Node:
    """The definition's node."""

    def __init__(self, data: bytes | None) -> None:
        self.data = data
        self.journal = Journal("orders")
        self.definitions = Definitions.first("orders", self.journal, lambda: self.data)

    def events(self) -> list[str]:
        return [event["event"] for event in self.journal.events()]


def test_a_valid_change_is_taken() -> None:
    node = Node(text())
    node.data = text(tables={"include": ["crm.*"]})
    assert node.definitions.renew() == "live"
    assert node.definitions.current.tables.include == ("crm.*",)
    assert node.events() == ["definition.changed"]


def test_the_same_text_is_no_change() -> None:
    node = Node(text())
    assert node.definitions.renew() == "none"
    assert node.events() == []


def test_an_invalid_one_changes_nothing_and_all_its_mistakes_are_shown() -> None:
    node = Node(text())
    before = node.definitions.current
    node.data = text(tables={"include": []}, sink={"topic": "a b"})
    assert node.definitions.renew() == "none"
    assert node.definitions.current is before
    assert [problem.path for problem in node.definitions.problems] == ["tables.include", "sink.topic"]
    node.data = text()
    assert node.definitions.renew() == "none"
    assert node.definitions.problems == ()


@pytest.mark.parametrize("data", [b"\xff\x00", b"{", b"x" * (2 << 20), text(version=2), text(name="other")])
def test_garbage_changes_nothing(data: bytes) -> None:
    node = Node(text())
    node.data = data
    assert node.definitions.renew() == "none"
    assert node.definitions.problems
    assert node.events() == ["definition.invalid"]


def test_a_deleted_one_stays_in_force_until_the_scheduler_ends_it() -> None:
    node = Node(text())
    node.data = None
    assert node.definitions.renew() == "none"
    assert node.definitions.current.name == "orders"


def test_none_at_the_start_ends_the_worker() -> None:
    with pytest.raises(NotOwner, match="no definition of orders"):
        Node(None)


def test_an_invalid_one_at_the_start_is_a_finding() -> None:
    with pytest.raises(FindingError) as refused:
        Node(text(name="other", tables={"include": []}))
    assert refused.value.finding.code == "definition-invalid"
    assert refused.value.finding.kind == "operator"
    assert "tables.include" in refused.value.finding.what
