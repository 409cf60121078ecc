"""Hand-overs, and operators' requests."""

from dataclasses import replace

import pytest

from cdcd.fleet.nodes import Schedule
from tests.planned import NOW, Fleet, request


def _moving() -> Fleet:
    fleet = Fleet("a", "b", "c")
    fleet.run("i", "a", request=request("move", "b"))
    made = fleet.plan()
    assert made.changes[0].serves is not None
    return fleet


def test_a_move_begins() -> None:
    fleet = _moving()
    node = fleet.schedule["i"]
    assert (node.server, node.next, node.generation, node.moved) == ("a", "b", 8, NOW)
    assert node.reason.startswith("moves to b, asked for by ann (b: load 0 against a mean of")
    made = fleet.look()
    assert made.changes == ()
    assert made.wake == NOW + 30
    assert made.loads["a"] < made.loads["b"]


def test_the_successor_took_over() -> None:
    fleet = _moving()
    fleet.take_over()
    fleet.plan()
    node = fleet.schedule["i"]
    assert (node.server, node.next, node.generation) == ("b", None, 9)
    assert node.reason == "b has taken over from a"


def test_a_successor_that_is_late_is_given_up() -> None:
    fleet = _moving()
    fleet.now += 30
    fleet.plan()
    node = fleet.schedule["i"]
    assert (node.server, node.next, node.generation) == ("a", None, 9)
    assert node.failed["b"].code == "hand-over-timeout"
    assert node.reason == "hand-over to b given up: it was not ready to take over within 30 s"


def test_a_successor_that_is_ready_waits_for_a_long_transaction() -> None:
    fleet = _moving()
    fleet.change("i", standby=("b", 8))
    fleet.now += 3000
    assert fleet.look().changes == ()


def test_a_standby_of_another_hand_over_is_none() -> None:
    fleet = _moving()
    fleet.change("i", standby=("b", 7))
    fleet.now += 30
    fleet.plan()
    assert fleet.where("i") == ("a", None)


def test_a_successor_that_fails_is_given_up_whatever_it_says() -> None:
    fleet = _moving()
    fleet.fail("i", "b", "privilege-missing")
    fleet.plan()
    node = fleet.schedule["i"]
    assert (node.server, node.next, node.parked) == ("a", None, None)
    assert node.failed["b"].code == "privilege-missing"
    assert fleet.look().changes == ()


def test_the_successor_dies() -> None:
    fleet = _moving()
    fleet.kill("b")
    fleet.plan()
    assert fleet.where("i") == ("a", None)
    assert fleet.reason("i") == "hand-over to b given up: it is gone"


def test_the_old_server_dies() -> None:
    fleet = _moving()
    fleet.kill("a")
    fleet.plan()
    assert fleet.where("i") == ("b", None)
    assert fleet.reason("i") == "a is gone: b, which was to take over, has it now"


def test_both_die() -> None:
    fleet = _moving()
    fleet.kill("a")
    fleet.kill("b")
    fleet.plan()
    assert fleet.where("i") == ("c", None)


def test_the_old_server_fails_meanwhile() -> None:
    fleet = _moving()
    fleet.fail("i", "a")
    fleet.plan()
    assert fleet.where("i") == ("b", None)
    assert "a" in fleet.schedule["i"].failed


def test_the_successor_is_drained_meanwhile() -> None:
    fleet = _moving()
    fleet.alter("b", draining=True)
    fleet.plan()
    assert fleet.where("i") == ("a", None)
    assert fleet.reason("i") == "hand-over to b given up: b is being emptied"


def test_a_drained_server_finds_another_successor_in_the_same_plan() -> None:
    fleet = Fleet("a", "b", "c")
    fleet.run("i", "a")
    fleet.alter("a", draining=True)
    fleet.plan()
    assert fleet.where("i") == ("a", "b")
    fleet.fail("i", "b")
    fleet.plan()
    assert fleet.where("i") == ("a", "c")
    assert fleet.schedule["i"].generation == 9


@pytest.mark.parametrize(
    ("server", "why"),
    [
        ("x", "x is not up"),
        ("d", "d is being emptied"),
        ("f", "f has as many instances as it may (0)"),
        ("v", "v does not know version 1 of definitions"),
        ("l", "l has not the labels that it requires (zone=z)"),
        (None, "it names no server"),
    ],
)
def test_moves_that_are_refused(server: str | None, why: str) -> None:
    fleet = Fleet("a", "d", "f", "v", "l", "x")
    for name in "adfv":
        fleet.alter(name, labels={"zone": "z"})
    fleet.kill("x")
    fleet.alter("d", draining=True)
    fleet.alter("f", max_instances=0)
    fleet.alter("v", versions=(2,))
    fleet.run("i", "a", require={"zone": "z"}, request=request("move", server))
    made = fleet.plan()
    assert made.changes[0].serves == request("move", server)
    assert fleet.where("i") == ("a", None)
    assert fleet.schedule["i"].generation == 7
    assert fleet.reason("i").endswith(f"refused: {why}")
    assert fleet.look().changes == ()


def test_a_move_of_what_is_paused_is_answered() -> None:
    fleet = Fleet("a")
    fleet.add("i", paused=True, request=request("move", "a"))
    made = fleet.plan()
    assert [(change.node, change.serves) for change in made.changes] == [(None, request("move", "a"))]
    assert made.changes[0].reason == "move to a, asked for by ann, refused: it is paused"


def test_a_move_to_where_it_runs_calls_a_hand_over_off() -> None:
    fleet = _moving()
    fleet.change("i", request=request("move", "a"))
    fleet.plan()
    assert fleet.where("i") == ("a", None)
    fleet.change("i", request=request("move", "a"))
    made = fleet.plan()
    assert made.changes[0].serves is not None
    assert fleet.where("i") == ("a", None)


def test_a_move_elsewhere_replaces_a_hand_over() -> None:
    fleet = _moving()
    fleet.change("i", request=request("move", "c"))
    fleet.plan()
    assert fleet.where("i") == ("a", "c")
    assert fleet.schedule["i"].generation == 9
    assert fleet.look().loads["b"] == 0


def test_a_move_of_a_new_instance_says_where() -> None:
    fleet = Fleet("a", "b")
    fleet.add("i", request=request("move", "b"))
    fleet.plan()
    assert fleet.where("i") == ("b", None)


def test_a_move_off_a_dead_server() -> None:
    fleet = Fleet("a", "b", "c")
    fleet.run("i", "a", request=request("move", "c"))
    fleet.kill("a")
    fleet.plan()
    assert fleet.where("i") == ("c", None)


def test_a_move_to_a_server_that_failed_is_the_operators_wish() -> None:
    fleet = Fleet("a", "b")
    fleet.run("i", "a")
    fleet.fail("i", "a")
    fleet.plan()
    fleet.change("i", request=request("move", "a"))
    fleet.plan()
    assert fleet.where("i") == ("b", "a")
    assert fleet.schedule["i"].failed == {}


def test_a_restart_counts() -> None:
    fleet = Fleet("a")
    fleet.run("i", "a", request=request("restart"))
    fleet.plan()
    node = fleet.schedule["i"]
    assert (node.server, node.restarts, node.generation) == ("a", 1, 8)
    assert node.reason == "restarted, as asked for by ann"
    assert fleet.look().changes == ()


def test_a_restart_in_a_hand_over_does_not_end_it() -> None:
    fleet = _moving()
    fleet.change("i", request=request("restart"))
    fleet.now += 5
    fleet.plan()
    node = fleet.schedule["i"]
    assert (node.server, node.next, node.generation, node.at, node.restarts) == ("a", "b", 8, NOW, 1)


def test_set_position_is_none_of_the_plans_business() -> None:
    fleet = Fleet("a")
    fleet.run("i", "a", request=request("set_position"))
    assert fleet.look().changes == ()
    fleet.change("i", paused=True)
    made = fleet.plan()
    assert [change.serves for change in made.changes] == [None]


def test_a_node_that_hands_over_to_itself_is_put_right() -> None:
    fleet = Fleet("a")
    fleet.run("i", "a")
    fleet.schedule["i"] = replace(fleet.schedule["i"], next="a")
    fleet.plan()
    assert fleet.where("i") == ("a", None)


def test_a_node_without_a_server_gets_one() -> None:
    fleet = Fleet("a")
    fleet.run("i", "a")
    fleet.schedule["i"] = Schedule(None, 3, "", NOW)
    fleet.plan()
    assert fleet.where("i") == ("a", None)
    assert fleet.schedule["i"].generation == 4
