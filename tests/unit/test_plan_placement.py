"""Where instances without a server go, and those whose server may not keep them."""

from collections import Counter

import pytest

from cdcd.config.fleet import Scheduling
from cdcd.fleet.nodes import Schedule
from cdcd.fleet.plan import Policy
from tests.planned import NOW, Fleet


def test_new_instances_are_spread() -> None:
    fleet = Fleet("a", "b", "c")
    for number in range(9):
        fleet.add(f"i{number}")
    fleet.plan()
    assert Counter(node.server for node in fleet.schedule.values()) == {"a": 3, "b": 3, "c": 3}
    assert fleet.reason("i0") == "new: placed on a (load 0 against a mean of 0)"
    assert fleet.look().changes == ()


def test_a_new_instance_goes_to_the_least_loaded() -> None:
    fleet = Fleet("a", "b")
    fleet.run("big", "a", 0.5)
    fleet.run("small", "b", 0.1)
    fleet.measure()
    fleet.add("new")
    fleet.plan()
    assert fleet.where("new") == ("b", None)


def test_capacity_counts() -> None:
    fleet = Fleet("a", "b")
    fleet.alter("b", capacity=3.0)
    for number in range(8):
        fleet.add(f"i{number}")
    fleet.plan()
    assert Counter(node.server for node in fleet.schedule.values()) == {"a": 2, "b": 6}


def test_the_weight_that_an_operator_sets_counts() -> None:
    fleet = Fleet("a", "b")
    for name, weight in (("x", 3.0), ("y", 1.0), ("z", 1.0), ("w", 1.0)):
        fleet.add(name)
        fleet.change(name, weight=weight)
    fleet.plan()
    assert fleet.where("x") == ("a", None)
    assert {fleet.where(name)[0] for name in "yzw"} == {"b"}


def test_the_first_generation_is_the_definitions_transaction() -> None:
    fleet = Fleet("a")
    fleet.add("i", changed=4711)
    fleet.plan()
    assert fleet.schedule["i"].generation == 4711


def test_a_starting_fleet_settles_first() -> None:
    fleet = Fleet("a", settle=10)
    fleet.alter("a", since=NOW - 2)
    fleet.since = NOW - 1
    fleet.add("i")
    made = fleet.plan()
    assert made.changes == ()
    assert made.waiting == {"i": "new: other servers have 10 s to start as well"}
    assert made.wake == NOW + 8
    fleet.now = NOW + 8
    fleet.plan()
    assert fleet.where("i") == ("a", None)


def test_a_running_fleet_does_not_settle_again() -> None:
    fleet = Fleet("a", "b", settle=10)
    fleet.since = NOW  # the scheduler's server died
    fleet.alter("b", since=NOW)  # and another one came
    fleet.add("i")
    fleet.plan()
    assert fleet.where("i")[0] == "a"


def test_a_server_that_comes_back_first_does_not_take_all() -> None:
    fleet = Fleet("a", "b", "c", settle=10)
    fleet.run("i", "a")
    fleet.run("j", "b")
    for name in "bc":
        fleet.kill(name)
    fleet.alter("a", since=NOW)
    fleet.since = NOW
    made = fleet.plan()
    assert made.changes == ()
    assert list(made.waiting) == ["j"]


def test_instances_of_a_dead_server_move_at_once() -> None:
    fleet = Fleet("a", "b", "c")
    for number in range(4):
        fleet.run(f"i{number}", "a", 0.1)
    fleet.run("k", "b", 0.1)
    fleet.measure()
    fleet.kill("a")
    fleet.plan()
    assert Counter(node.server for node in fleet.schedule.values()) in ({"b": 2, "c": 3}, {"b": 3, "c": 2})
    assert fleet.schedule["i0"].generation == 8
    assert fleet.schedule["i0"].weight == pytest.approx(0.1)
    assert fleet.reason("i0").startswith("a is gone: placed on c (load 0 against a mean of")


def test_a_server_nobody_heard_of_is_dead_and_has_no_grace() -> None:
    fleet = Fleet("a", grace=30)
    fleet.run("i", "ghost")
    fleet.plan()
    assert fleet.where("i") == ("a", None)


def test_a_dead_server_has_its_grace() -> None:
    fleet = Fleet("a", "b", grace=30)
    fleet.run("i", "a")
    fleet.kill("a")
    made = fleet.plan()
    assert made.changes == ()
    assert made.waiting == {"i": "a is gone: it has 30 s to come back"}
    assert made.wake == NOW + 30
    fleet.now += 30
    fleet.plan()
    assert fleet.where("i") == ("b", None)


def test_no_server_at_all() -> None:
    fleet = Fleet("a")
    fleet.run("i", "a")
    fleet.kill("a")
    made = fleet.plan()
    assert made.changes == ()
    assert made.waiting == {"i": "a is gone: no server is up"}


def test_labels_that_are_required() -> None:
    fleet = Fleet("a", "b")
    fleet.alter("b", labels={"zone": "z"})
    fleet.add("i", require={"zone": "z"})
    fleet.add("j", require={"zone": "q"})
    fleet.add("k", require={"server": "a"})
    made = fleet.plan()
    assert fleet.where("i") == ("b", None)
    assert fleet.where("k") == ("a", None)
    assert made.waiting == {"j": "new: no live server has the labels that it requires (zone=q)"}


def test_labels_that_are_preferred() -> None:
    fleet = Fleet("a", "b")
    fleet.run("big", "b", 0.9)
    fleet.add("i", prefer={"server": "b"})
    fleet.add("j", prefer={"server": "c"})
    fleet.plan()
    assert fleet.where("i") == ("b", None)
    assert fleet.where("j") == ("a", None)


def test_a_preferred_server_gets_its_instance_back() -> None:
    fleet = Fleet("a", "b")
    fleet.run("i", "a", prefer={"server": "b"})
    fleet.plan()
    assert fleet.where("i") == ("a", "b")
    assert "which it prefers (server=b)" in fleet.reason("i")


def test_an_instance_leaves_a_server_that_lost_the_label() -> None:
    fleet = Fleet("a", "b")
    fleet.alter("b", labels={"zone": "z"})
    fleet.run("i", "a", require={"zone": "z"})
    fleet.plan()
    assert fleet.where("i") == ("a", "b")
    assert "a has not the labels that it requires (zone=z)" in fleet.reason("i")


def test_versions_of_definitions() -> None:
    fleet = Fleet("a", "b")
    fleet.alter("b", versions=(1, 2))
    fleet.add("i", version=2)
    fleet.add("j", version=3)
    fleet.run("k", "a", version=2)
    made = fleet.plan()
    assert fleet.where("i") == ("b", None)
    assert fleet.where("k") == ("a", "b")
    assert made.waiting == {"j": "new: no live server knows version 3 of definitions"}


def test_a_full_server_takes_no_more() -> None:
    fleet = Fleet("a", "b")
    fleet.alter("a", max_instances=1)
    fleet.alter("b", max_instances=2)
    for number in range(4):
        fleet.add(f"i{number}")
    made = fleet.plan()
    assert Counter(node.server for node in fleet.schedule.values()) == {"a": 1, "b": 2}
    assert made.waiting == {"i3": "new: of 2 that may run it none can: 2 full"}


def test_a_server_with_too_many_hands_the_lightest_over() -> None:
    fleet = Fleet("a", "b")
    fleet.run("heavy", "a", 0.5)
    fleet.run("light", "a", 0.1)
    fleet.measure()
    fleet.alter("a", max_instances=1)
    fleet.plan()
    assert fleet.where("light") == ("a", "b")
    assert fleet.where("heavy") == ("a", None)


def test_paused_and_deleted() -> None:
    fleet = Fleet("a")
    fleet.run("i", "a", paused=True)
    fleet.run("j", "a")
    del fleet.instances["j"]
    made = fleet.plan()
    assert fleet.schedule == {}
    assert {change.instance: change.reason for change in made.changes} == {
        "i": "it is paused",
        "j": "its definition was deleted",
    }


def test_mistakes_in_a_definition_leave_it_where_it_runs() -> None:
    fleet = Fleet("a", "b")
    fleet.run("i", "a", valid=False)
    fleet.alter("a", draining=True)
    fleet.add("j", valid=False)
    made = fleet.plan()
    assert made.changes == ()
    assert made.waiting == {"j": "its definition has mistakes"}
    fleet.kill("a")
    assert fleet.look().waiting == {"i": "its definition has mistakes", "j": "its definition has mistakes"}


def test_members_of_the_node_survive() -> None:
    fleet = Fleet("a", "b")
    fleet.run("i", "a")
    fleet.schedule["i"] = Schedule("a", 7, "before", NOW, server_id=77, restarts=3)
    fleet.kill("a")
    fleet.plan()
    node = fleet.schedule["i"]
    assert (node.server, node.generation, node.server_id, node.restarts) == ("b", 8, 77, 3)


def test_a_drained_server_is_emptied_some_at_a_time() -> None:
    fleet = Fleet("a", "b", "c", max_moves=1)
    for number in range(10):
        fleet.run(f"i{number}", "a")
    fleet.alter("a", draining=True)
    fleet.plan()
    assert sum(node.next is not None for node in fleet.schedule.values()) == 4
    assert fleet.look().changes == ()
    fleet.settle()
    assert Counter(node.server for node in fleet.schedule.values()) == {"b": 5, "c": 5}


def test_who_cannot_leave_stays_and_says_why() -> None:
    fleet = Fleet("a", "b")
    fleet.run("i", "a", require={"server": "a"})
    fleet.alter("a", draining=True)
    fleet.plan()
    assert fleet.where("i") == ("a", None)
    assert fleet.reason("i") == "stays on a although a is being emptied: no other live server may run it"
    assert fleet.schedule["i"].generation == 7
    assert fleet.look().changes == ()


def test_garbage_of_a_server_does_no_harm() -> None:
    fleet = Fleet("a", "b", "c")
    fleet.alter("a", capacity=float("nan"))
    fleet.alter("b", capacity=0.0)
    fleet.alter("c", capacity=float("inf"))
    fleet.run("i", "a", -5.0)
    fleet.run("j", "b", float("nan"))
    fleet.run("k", "c", float("inf"))
    fleet.measure()
    fleet.add("l")
    fleet.settle()
    assert fleet.schedule["l"].server in {"a", "b", "c"}


def test_the_policy_is_the_settings() -> None:
    assert Policy(**Scheduling().model_dump()) == Policy()


def test_what_fails_and_has_to_stay_keeps_its_place_on_a_full_server() -> None:
    fleet = Fleet("a")
    fleet.alter("a", max_instances=1)
    fleet.run("failing", "a", 0.1)
    fleet.add("another")
    fleet.fail("failing", "a", "source-lost", "retry")
    fleet.plan()
    assert fleet.where("failing") == ("a", None)
    assert "another" not in fleet.schedule
