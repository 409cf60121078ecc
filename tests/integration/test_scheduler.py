"""The scheduler with a real ZooKeeper: definitions come, change and go by plain clients, the tree follows."""

import json
import time
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from cdcd.config.zookeeper import ZooKeeper
from cdcd.fleet import paths
from cdcd.fleet.nodes import Request, Standby, StartFailure, encode
from cdcd.fleet.server_ids import first_choice
from tests.scheduling import CLUSTER, ScheduledFleet, put, scheduled_fleet
from tests.waiting import until


@pytest.fixture
def fleet(lasting: ZooKeeper) -> Iterator[ScheduledFleet]:
    with scheduled_fleet(lasting) as made:
        yield made


def test_definitions_are_placed_moved_on_death_and_taken_away(fleet: ScheduledFleet) -> None:
    with capture_logs() as logs:
        scheduler = fleet.scheduler()
        servers = [fleet.server(name) for name in ("a", "b")]
        # It does not look at all nodes in the same moment: the first instances might be seen before the second server.
        until(lambda: set(scheduler.figures.fleet_load) == {"a", "b"})
        names = [f"i{number}" for number in range(8)]
        for name in names:
            fleet.define(name)
        until(lambda: all(fleet.where(name) for name in names))
        assert [len(fleet.assigned(server)) for server in "ab"] == [4, 4]
        fleet.settled()
        until(lambda: scheduler.figures.unassigned_instances == 0)

        servers[0].die()
        until(lambda: {fleet.where(name) for name in names} == {"b"})
        assert fleet.read(paths.assigned("a")) is None

        fleet.define("i0", paused=True)
        fleet.delete("i1")
        until(lambda: fleet.schedule("i0") is None and fleet.schedule("i1") is None)
        fleet.settled()
        until(lambda: "i1" not in fleet.numbers().values())
        assert "i0" in fleet.numbers().values(), "a paused instance keeps its number"
        fleet.define("i0")
        until(lambda: fleet.where("i0") == "b")
        servers[1].die()
        until(lambda: scheduler.figures.unassigned_instances == 7)
        assert scheduler.scheduler.look()["waiting"]["i0"]
    reasons = {line["sync_instance"]: line["reason"] for line in logs if line["event"] == "schedule.changed"}
    assert set(reasons) == set(names)
    assert all(reasons.values())
    assert "deleted" in reasons["i1"]


def test_two_names_with_the_same_first_number_get_two(fleet: ScheduledFleet) -> None:
    one = first_choice(CLUSTER, "orders")
    fleet.operator.create(paths.server_id(one), b'{"v":1,"instance":"stock"}')
    fleet.define("stock", paused=True)
    fleet.define("orders")
    fleet.scheduler()
    fleet.server("a")
    until(lambda: fleet.where("orders"))
    fleet.settled()
    assert fleet.numbers() == {one: "stock", one + 1: "orders"}
    fleet.define("stock")
    until(lambda: (node := fleet.schedule("stock")) is not None and node.server_id == one)
    # Whoever takes a number away by hand, or gives it to somebody else: no two instances ever dump with the same.
    put(fleet.operator, paths.server_id(one), b'{"v":1,"instance":"orders"}')
    fleet.settled()
    until(lambda: (node := fleet.schedule("orders")) is not None and node.server_id == one)
    fleet.settled()


def test_orders_are_served_and_removed(fleet: ScheduledFleet) -> None:
    fleet.scheduler(handover_timeout="1m")
    servers = {name: fleet.server(name) for name in ("a", "b")}
    fleet.define("orders")
    until(lambda: fleet.where("orders"))
    here = fleet.where("orders") or ""
    there = "b" if here == "a" else "a"
    servers[here].run("orders")

    def order(kind: str, **fields: object) -> None:
        request = {"v": 1, "id": f"{kind}-1", "kind": kind, "by": "tester", "at": time.time(), **fields}
        fleet.operator.create(paths.request("orders"), json.dumps(request).encode())
        until(lambda: fleet.read(paths.request("orders")) is None)

    order("restart")
    node = fleet.schedule("orders")
    assert node
    assert (node.restarts, node.server) == (1, here)

    order("move", server=there)
    node = fleet.schedule("orders")
    assert node
    assert (node.server, node.next) == (here, there)
    assert fleet.assigned(here) == fleet.assigned(there) == {"orders"}
    # The successor gets ready, the old one lets go, the successor takes the lock.
    put(fleet.operator, paths.standby("orders"), encode(Standby(there, node.generation)))
    fleet.operator.delete(paths.running("orders"))
    servers[there].run("orders")
    until(lambda: fleet.where("orders") == there)
    fleet.settled()
    assert fleet.assigned(here) == set()

    order("move", server="nowhere")
    assert fleet.where("orders") == there


def test_an_order_for_the_worker_stays(fleet: ScheduledFleet) -> None:
    fleet.scheduler()
    fleet.server("a")
    fleet.define("orders", paused=True)
    request = Request("p-1", "set_position", "tester", time.time(), position="latest")
    fleet.operator.create(paths.request("orders"), encode(request))
    fleet.define("orders")
    until(lambda: fleet.where("orders"))
    fleet.settled()
    assert fleet.read(paths.request("orders"))


def test_a_failed_start_goes_elsewhere_and_is_remembered(fleet: ScheduledFleet) -> None:
    fleet.scheduler()
    servers = {name: fleet.server(name) for name in ("a", "b")}
    fleet.define("orders")
    until(lambda: fleet.where("orders"))
    node = fleet.schedule("orders")
    assert node
    first = node.server or ""
    failed = StartFailure("credential-missing", "operator", "no file", "make one", time.time(), 1, node.generation)
    load = servers[first].load
    servers[first].report(type(load)(time.time(), load.capacity, failures={"orders": failed}))
    until(lambda: fleet.where("orders") not in {first, None})
    node = fleet.schedule("orders")
    assert node
    assert node.failed[first].code == "credential-missing"


def test_a_drained_server_is_emptied_and_gets_nothing(fleet: ScheduledFleet) -> None:
    fleet.scheduler(handover_timeout="1m")
    servers = {name: fleet.server(name) for name in ("a", "b")}
    fleet.operator.create(paths.drained("a"), b"")
    fleet.define("one")
    until(lambda: fleet.where("one") == "b")
    servers["b"].run("one")
    fleet.operator.delete(paths.drained("a"))
    fleet.operator.create(paths.drained("b"), b"not even JSON")
    until(lambda: (node := fleet.schedule("one")) is not None and node.next == "a")


def test_a_busy_server_gives_to_an_idle_one(fleet: ScheduledFleet) -> None:
    fleet.scheduler(cooldown="0s", mature="0s", handover_timeout="1m")
    servers = {"a": fleet.server("a")}
    names = [f"i{number}" for number in range(4)]
    for name in names:
        fleet.define(name)
    until(lambda: all(fleet.where(name) == "a" for name in names))
    servers["a"].measure(**dict.fromkeys(names, 1e6))
    servers["b"] = fleet.server("b")
    until(lambda: len(fleet.assigned("b")) == 2)
    moving = [node for name in names if (node := fleet.schedule(name)) and node.next == "b"]
    assert all(node.server == "a" and "load" in node.reason for node in moving)


def test_a_hundred_and_more_definitions_at_once(fleet: ScheduledFleet) -> None:
    """More than go into one multi."""
    names = [f"i{number}" for number in range(160)]
    for name in names:
        fleet.define(name)
    fleet.scheduler()
    for name in "abc":
        fleet.server(name)
    until(lambda: len(fleet.operator.get_children(paths.SCHEDULE)) == len(names), 60)
    fleet.settled()
    assert len(fleet.numbers()) == len(names)
    for name in names:
        fleet.delete(name)
    until(lambda: not fleet.operator.get_children(paths.SERVER_IDS), 60)
    assert fleet.operator.get_children(paths.ASSIGNED) == fleet.operator.get_children(paths.SCHEDULE) == []
