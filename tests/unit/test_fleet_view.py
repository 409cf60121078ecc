"""What the nodes of an instance or server come to, in one word and one sentence."""

import json
from typing import Any

import pytest

from cdcd.fleet.nodes import Drained, FailedServer, InstanceLoad, Load, Parked, Schedule, Server
from cdcd.fleet.session import Stored
from cdcd.fleet.view import Fleet, defined, instance_view, server_view

NOW = 1000.0
DEFINITION = {
    "name": "i",
    "source": {"host": "db", "credential": "db"},
    "tables": {"include": ["a.b"]},
    "sink": {"topic": "t"},
}
UP = Server("host", 1, 1.0, "0.1.0")
RUNNING = InstanceLoad("running", 10.0, 2.0, 60.0, 0.5, 7)
PARKED = Parked("code", "It cannot", "Mend it", 1.0, 1)


def _fleet(
    definition: bytes | None = json.dumps(DEFINITION).encode(),
    schedule: Schedule | None = None,
    loads: dict[str, InstanceLoad] | None = None,
    **more: Any,
) -> Fleet:
    stored = None if definition is None else Stored(definition, 0, 1, 1, 0, 1.0)
    return Fleet(
        {"i": defined("i", stored)} if stored else {},
        {"i": schedule} if schedule else {},
        {"a": UP, "b": UP},
        {server: Load(1.0, 2.0, instances={"i": load}) for server, load in (loads or {}).items()},
        **more,
    )


def _scheduled(server: str | None = "a", **more: Any) -> Schedule:
    return Schedule(server, 1, "least load", 1.0, **more)


@pytest.mark.parametrize(
    ("fleet", "state", "server", "reason"),
    [
        (_fleet(), "unassigned", None, "the scheduler has not placed it yet"),
        (_fleet(schedule=_scheduled()), "assigned", "a", "least load"),
        (_fleet(schedule=_scheduled(), loads={"a": RUNNING}), "running", "a", "least load"),
        (_fleet(schedule=_scheduled("c")), "server-lost", "c", "c is gone; another server is to take it over"),
        (_fleet(schedule=_scheduled("c"), loads={"c": RUNNING}), "server-lost", "c", "c is gone; another server is to take it over"),
        (_fleet(schedule=_scheduled(None)), "unassigned", None, "least load"),
        (_fleet(schedule=_scheduled(None, parked=PARKED)), "parked", None, "It cannot. Mend it"),
        (_fleet(json.dumps({**DEFINITION, "paused": True}).encode()), "paused", None, ""),
        (_fleet(json.dumps({**DEFINITION, "paused": True}).encode(), loads={"a": RUNNING}), "stopping", "a", "paused; its worker has not ended yet"),
        (_fleet(None, _scheduled(), {"a": RUNNING}), "stopping", "a", "deleted; its worker has not ended yet"),
        (_fleet(json.dumps({**DEFINITION, "name": "j"}).encode()), "invalid", None, "name: must be `i`, the name of its node in /instances"),
        (_fleet(b"\xff"), "invalid", None, "is not UTF-8 text: byte 0"),
        (_fleet(b"\xff", _scheduled(), {"a": RUNNING}), "running", "a", "runs on as it was defined before; the definition now: is not UTF-8 text: byte 0"),
        (_fleet(b"\xff", _scheduled(None, parked=PARKED)), "invalid", None, "is not UTF-8 text: byte 0"),
    ],
)  # fmt: skip
def test_instances(fleet: Fleet, state: str, server: str | None, reason: str) -> None:
    assert fleet.instances == ["i"]
    view = instance_view(fleet, "i", NOW)
    assert (view.state, view.server, view.reason) == (state, server, reason)


def test_why_it_waits_comes_from_the_plan() -> None:
    assert instance_view(_fleet(), "i", NOW, {"i": "no server has zone=x"}).reason == "no server has zone=x"


def test_who_holds_the_lock_runs_it_whatever_the_schedule_says() -> None:
    fleet = _fleet(schedule=_scheduled("b"), loads={"a": RUNNING, "b": InstanceLoad("waiting")})
    assert instance_view(fleet, "i", NOW).server == "a"


def test_servers_whose_time_is_over_are_not_avoided() -> None:
    failed = {"a": FailedServer("x", "y", 1.0, NOW - 1), "b": FailedServer("x", "y", 1.0, NOW + 1)}
    assert instance_view(_fleet(schedule=_scheduled(failed=failed)), "i", NOW).failed == ("b",)


def test_servers() -> None:
    fleet = _fleet(
        schedule=_scheduled(next="b"), loads={"a": RUNNING, "c": RUNNING}, drained={"a": Drained("ada", 1.0, "why")}
    )
    views = {name: server_view(fleet, name, {"a": 0.25}) for name in fleet.every_server}
    assert {name: view.state for name, view in views.items()} == {"a": "draining", "b": "ready", "c": "down"}
    assert (views["a"].load, views["a"].running, views["a"].rows_per_second) == (0.25, 1, 2.0)
    assert views["a"].reason == "drained by ada: why"
    assert [views[name].assigned for name in "abc"] == [1, 1, 0]
    assert views["b"].reason == "it has not reported yet"
    # What a dead server reported last is not what it runs.
    assert (views["c"].running, views["c"].load, views["c"].lag_seconds) == (0, None, None)
