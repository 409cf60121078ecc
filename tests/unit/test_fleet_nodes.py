"""Nodes of the tree: what is written comes back, and what somebody else wrote does no harm."""

from typing import Any

import pytest

from cdcd.fleet.nodes import (
    Assigned,
    Drained,
    FailedServer,
    InstanceLoad,
    Load,
    Mirror,
    Parked,
    Request,
    Schedule,
    StartFailure,
    Status,
    decode,
    encode,
)

FAILED = FailedServer("worker-crashed", "it crashed", 1.0, 2.0)
NODES = [
    Schedule("a", 1, "why", 1.0),
    Schedule(None, 1, "why", 1.0),
    Schedule(None, 2, "why", 1.0, "b", 2147483649, 3, {"a": FAILED}, Parked("x", "y", "z", 1.0, 5)),
    Load(1.0, 2.0),
    Load(1.0, 2.0, {"zone": "a"}, 0, True, {"i": InstanceLoad("running", 1.0, 2.0, 3.0, 0.0, 7)}),
    Load(1.0, 2.0, failures={"i": StartFailure("x", "retry", "y", "z", 1.0, 5, 1)}),
    Drained("ada", 1.0, ""),
    Assigned(()),
    Assigned(("a", "b")),
    Request("id", "set_position", "ada", 1.0, position={"gtid_set": "x:1"}),
    Request("id", "set_position", "ada", 1.0, position="latest"),
    Mirror(1, 1.0, {"txn": None, "partitions": {}}),
    Status("parked", 1.0, 1.0, finding={"code": "x"}, events=({"at": "t", "event": "e", "reason": ""},)),
]


@pytest.mark.parametrize("node", NODES, ids=lambda node: type(node).__name__)
def test_what_is_written_is_read(node: Any) -> None:
    assert decode(type(node), encode(node)) == node


@pytest.mark.parametrize(
    "data", [None, b"", b"\xff", b"[]", b"{}", b'{"v": 2}', b'{"v": 1, "server": 7}', b"[" * 100_000]
)
def test_garbage_is_nothing(data: bytes | None) -> None:
    assert decode(Schedule, data) is None


def test_a_field_of_another_version_is_left_out_of_account() -> None:
    assert decode(Drained, b'{"by": "ada", "at": 1, "why": "x", "until": 9}') == Drained("ada", 1.0, "x")
