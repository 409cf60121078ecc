"""Moves for balance: only those that pay, few at a time, and none that flap."""

import random
from collections import Counter
from dataclasses import replace
from statistics import mean
from typing import Any

import pytest

from cdcd.fleet.nodes import Schedule
from cdcd.fleet.planning.hosts import Host, Pool
from tests.planned import NOW, Fleet, running, server


def _loads(fleet: Fleet) -> dict[str, float]:
    return dict(fleet.look().loads)


def _lopsided(**policy: Any) -> Fleet:
    """Ten equal instances on a, none on b."""
    fleet = Fleet("a", "b", **policy)
    for number in range(10):
        fleet.run(f"i{number}", "a", 0.1)
    fleet.measure()
    return fleet


def test_a_new_server_gets_its_share() -> None:
    fleet = _lopsided()
    assert fleet.settle() == 5
    assert Counter(node.server for node in fleet.schedule.values()) == {"a": 5, "b": 5}


def test_few_at_a_time() -> None:
    fleet = _lopsided()
    fleet.plan()
    assert sum(node.next is not None for node in fleet.schedule.values()) == 4
    assert fleet.look().changes == ()


def test_the_reason_says_what_it_is_good_for() -> None:
    fleet = Fleet("a", "b")
    fleet.run("i", "a", 0.4)
    fleet.run("j", "a", 0.5)
    fleet.measure()
    fleet.plan()
    (moved,) = (node for node in fleet.schedule.values() if node.next)
    assert moved.reason == "moves to b, for balance (b: load 0 against a mean of 0.45; a is at 0.9)"
    assert moved.moved == NOW


def test_zero_moves_turn_it_off() -> None:
    assert _lopsided(max_moves=0).look().changes == ()


def test_what_was_just_moved_stays() -> None:
    fleet = _lopsided(cooldown=300)
    for name in fleet.instances:
        fleet.schedule[name] = Schedule("a", 7, "before", NOW - 9999, moved=NOW - 299)
    assert fleet.look().changes == ()
    fleet.now += 1
    assert fleet.look().changes != ()


def test_what_was_given_up_is_tried_elsewhere_at_once_until_many_have_failed() -> None:
    """Nothing paused when the successor did not get ready: nothing has to rest."""
    fleet = Fleet("a", *"bcdefgh", cooldown=300)
    fleet.run("i", "a", 0.5)
    fleet.run("resting", "a", 0.5)
    fleet.schedule["resting"] = replace(fleet.schedule["resting"], moved=NOW)
    fleet.measure()
    asked = []
    for _ in range(8):
        fleet.plan()
        asked.append(fleet.schedule["i"].next)
        fleet.now += 30
        fleet.plan()
    assert asked == [*"bcdef", None, None, None]


def test_what_is_not_measured_moves_nobody() -> None:
    fleet = _lopsided(mature=10)
    fleet.alter("a", instances={name: running(0.1, measured=9) for name in fleet.instances})
    assert fleet.look().changes == ()


def test_what_is_guessed_speaks_against_a_move() -> None:
    fleet = Fleet("a", "b")
    fleet.run("known", "a", 0.1)
    fleet.measure()
    for number in range(4):
        fleet.run(f"young{number}", "a")
        fleet.schedule[f"young{number}"] = Schedule("a", 7, "new", NOW - 5)
    assert fleet.look().changes == ()
    fleet.now += 100
    assert [change.instance for change in fleet.look().changes] == ["known"]


def test_new_instances_do_not_keep_a_new_server_empty() -> None:
    """They go to it as the least loaded one: what they weigh is a guess, but not one that matters."""
    fleet = Fleet("a", "b")
    for number in range(40):
        fleet.run(f"i{number:02}", "a", 0.02)
    fleet.measure()
    for number in range(8):
        fleet.add(f"new{number}")
    fleet.plan()
    assert fleet.where("new0") == ("b", None)
    assert sum(node.next == "b" for node in fleet.schedule.values()) == 4


def test_a_difference_within_the_threshold_is_left() -> None:
    fleet = Fleet("a", "b", threshold=0.1)
    for number in range(20):
        fleet.run(f"a{number:02}", "a", 0.054)
        fleet.run(f"b{number:02}", "b", 0.046)
    fleet.measure()
    assert fleet.look().changes == ()


def test_a_move_that_would_only_swap_the_roles_is_not_made() -> None:
    fleet = Fleet("a", "b")
    fleet.run("whale", "a", 0.9)
    fleet.run("minnow", "b", 0.1)
    fleet.measure()
    assert fleet.look().changes == ()


def test_the_one_that_fits_is_taken() -> None:
    fleet = Fleet("a", "b")
    for name, weight in (("big", 0.8), ("fits", 0.3), ("small", 0.02)):
        fleet.run(name, "a", weight)
    fleet.run("there", "b", 0.5)
    fleet.measure()
    fleet.plan()
    assert [name for name, node in fleet.schedule.items() if node.next] == ["fits"]


def test_who_lags_behind_is_dearer() -> None:
    fleet = Fleet("a", "b")
    fleet.run("behind", "a", 0.3)
    fleet.run("current", "a", 0.3)
    fleet.measure()
    loads = dict(fleet.servers["a"].instances)
    loads["behind"] = replace(loads["behind"], lag_seconds=50.0)
    fleet.alter("a", instances=loads)
    fleet.plan()
    assert fleet.where("current") == ("a", "b")


def test_balance_keeps_to_labels_and_failures() -> None:
    fleet = _lopsided()
    fleet.servers["c"] = fleet.servers["b"]
    for name in fleet.instances:
        fleet.change(name, require={"server": "a"})
    assert fleet.look().changes == ()
    for name in fleet.instances:
        fleet.change(name, require={}, prefer={"server": "a"})
    assert fleet.look().changes == ()


def test_balance_among_the_servers_of_a_zone() -> None:
    fleet = Fleet("a", "b", "c")
    for name in "ab":
        fleet.alter(name, labels={"zone": "z"})
    for number in range(8):
        fleet.run(f"i{number}", "a", 0.1, require={"zone": "z"})
    fleet.measure()
    fleet.settle()
    assert Counter(node.server for node in fleet.schedule.values()) == {"a": 4, "b": 4}


def test_twelve_very_different_instances_on_three_servers() -> None:
    """What the fleet itself must show: each load within 20 % of the mean, or of the largest instance."""
    weights = [0.001, 0.002, 0.004, 0.008, 0.012, 0.02, 0.03, 0.05, 0.08, 0.12, 0.2, 0.3]
    fleet = Fleet("a", "b", "c")
    for number, weight in enumerate(weights):
        fleet.add(f"i{number:02}", weight)
    fleet.plan()
    fleet.settle()
    loads = _loads(fleet)
    middle = mean(loads.values())
    assert all(abs(load - middle) <= max(0.2 * middle, 0.3) for load in loads.values())
    assert max(loads.values()) <= 0.36
    fleet.servers["d"] = server(since=fleet.now)
    fleet.now += 300
    fleet.settle()
    assert _loads(fleet)["d"] > 0.1


@pytest.mark.parametrize("seed", range(5))
def test_noise_does_not_make_it_flap(seed: int) -> None:
    """Rates that vary by 10 % around what they are, for an hour of plans."""
    noise = random.Random(seed)
    fleet = Fleet("a", "b", "c", "d")
    real = {f"i{number:02}": noise.paretovariate(1.5) * 0.01 for number in range(40)}
    for name, weight in real.items():
        fleet.add(name, weight)
    fleet.plan()
    fleet.settle()
    moved: Counter[str] = Counter()
    for _ in range(360):
        fleet.weights = {name: weight * noise.uniform(0.9, 1.1) for name, weight in real.items()}
        fleet.measure()
        moved.update(each.instance for each in fleet.plan().changes if each.node is not None and each.node.next)
        fleet.take_over()
        fleet.now += 10
    assert moved.total() <= 8
    assert max(moved.values(), default=0) <= 2


def test_two_change_places_where_none_fits() -> None:
    fleet = Fleet("a", "b")
    for name, on, weight in (("w", "a", 0.5), ("x", "a", 0.5), ("y", "b", 0.3), ("z", "b", 0.3)):
        fleet.run(name, on, weight)
    fleet.measure()
    fleet.plan()
    assert Counter(fleet.where(name) for name in "wxyz") == {
        ("a", None): 1,
        ("a", "b"): 1,
        ("b", None): 1,
        ("b", "a"): 1,
    }
    fleet.settle()
    assert _loads(fleet) == pytest.approx({"a": 0.8, "b": 0.8})


def test_a_swap_is_not_begun_by_half() -> None:
    fleet = Fleet("a", "b", max_moves=1)
    for name, on, weight in (("w", "a", 0.5), ("x", "a", 0.5), ("y", "b", 0.3), ("z", "b", 0.3)):
        fleet.run(name, on, weight)
    fleet.measure()
    assert fleet.look().changes == ()


@pytest.mark.parametrize("seed", range(60))
def test_small_fleets_get_as_even_as_can_be_expected(seed: int) -> None:
    """Where giving the heaviest first to the least loaded ends within 20 % of the mean or the largest, so does this."""
    chance = random.Random(seed)
    fleet = Fleet(*(f"s{number}" for number in range(chance.choice([2, 3, 4, 5]))))
    for number in range(chance.choice([8, 12, 20, 40])):
        heavy, skewed = chance.uniform(0.01, 0.5), min(1.0, 0.02 * chance.paretovariate(1.2))
        fleet.add(f"i{number:02}", chance.choice([heavy, skewed]))
    for _ in range(2):
        fleet.plan()
        fleet.settle()
        fleet.now += 1000
    best = [0.0] * len(fleet.servers)
    for weight in sorted(fleet.weights.values(), reverse=True):
        best[best.index(min(best))] += weight
    middle = mean(best)
    allowed = 0.2 * max(middle, *fleet.weights.values())
    within = [max(abs(load - middle) for load in loads) <= allowed for loads in (best, _loads(fleet).values())]
    assert within[1] >= within[0]


def test_a_server_that_gave_something_away_is_found_at_once() -> None:
    hosts = {name: Host(name, server(), 1.0, weight) for name, weight in (("a", 0.9), ("b", 0.5))}
    pool = Pool(hosts.values())
    assert pool.least(0.1) is hosts["b"]
    hosts["a"].weight = 0.1
    pool.lightened(hosts["a"])
    assert pool.least(0.1) is hosts["a"]
    hosts["a"].weight = 0.7
    assert pool.least(0.1) is hosts["b"]
