"""Servers that give up on an instance, parking, and what ends it."""

import pytest

from cdcd.fleet.nodes import Schedule
from cdcd.fleet.planning.failures import TRIES, is_local
from tests.planned import NOW, Fleet, request


def _fleet(*servers: str) -> Fleet:
    fleet = Fleet(*servers)
    fleet.run("i", servers[0])
    return fleet


def test_a_crash_sends_it_to_another_server() -> None:
    fleet = _fleet("a", "b")
    fleet.fail("i", "a")
    fleet.plan()
    node = fleet.schedule["i"]
    assert fleet.where("i") == ("b", None)
    assert node.generation == 8
    assert (node.failed["a"].until, node.failed["a"].times, node.failed["a"].code) == (NOW + 300, 1, "worker-crashed")
    assert fleet.reason("i").startswith("a failed (worker-crashed: said worker-crashed): placed on b (load 0")
    assert fleet.look().changes == ()  # the report still stands on a


def test_a_failure_of_another_generation_is_none() -> None:
    fleet = _fleet("a", "b")
    fleet.fail("i", "a")
    fleet.schedule["i"] = Schedule("a", 8, "since", NOW)
    assert fleet.look().changes == ()


def test_crashes_everywhere_park_it() -> None:
    fleet = _fleet("a", "b")
    fleet.fail("i", "a")
    fleet.plan()
    fleet.fail("i", "b")
    made = fleet.plan()
    node = fleet.schedule["i"]
    assert fleet.where("i") == (None, None)
    assert node.parked is not None
    assert node.parked.code == "worker-crashed"
    assert node.parked.reason == "It failed on a, b; the last time: said worker-crashed"
    assert node.parked.remedy == "look at it"
    assert node.parked.definition == fleet.instances["i"].changed
    assert made.waiting == {}
    assert fleet.look().changes == ()


def test_crashes_everywhere_park_it_however_long_each_takes() -> None:
    """By the time that the last server has failed the first one is not avoided any more."""
    fleet = _fleet("a", "b", "c")
    for server in ("a", "b", "c"):
        assert fleet.where("i") == (server, None)
        fleet.now += 400
        fleet.fail("i", server)
        fleet.plan()
    parked = fleet.schedule["i"].parked
    assert parked is not None
    assert parked.reason == "It failed on a, b, c; the last time: said worker-crashed"


def test_crashes_far_apart_do_not_park_it() -> None:
    fleet = _fleet("a", "b")
    for server in ("a", "b", "a", "b"):
        assert fleet.where("i") == (server, None)
        fleet.now += 7200
        fleet.fail("i", server)
        fleet.plan()
    assert fleet.schedule["i"].parked is None


def test_an_operator_finding_parks_it_at_once() -> None:
    fleet = _fleet("a", "b")
    fleet.fail("i", "a", "position-purged")
    fleet.plan()
    node = fleet.schedule["i"]
    assert node.server is None
    assert node.parked is not None
    assert node.parked.reason == "said position-purged"
    assert fleet.reason("i") == "parked (position-purged): said position-purged"


@pytest.mark.parametrize("code", ["credential-missing", "kafka-cluster-unknown"])
def test_what_one_server_lacks_another_may_have(code: str) -> None:
    fleet = _fleet("a", "b")
    fleet.fail("i", "a", code)
    fleet.plan()
    assert fleet.where("i") == ("b", None)
    fleet.fail("i", "b", code)
    fleet.plan()
    assert fleet.schedule["i"].parked is not None


def test_local_codes() -> None:
    assert is_local("credential-host")
    assert not is_local("access-denied")
    assert not is_local("kafka-cluster-denied")


def test_an_outage_everywhere_is_waited_for() -> None:
    fleet = _fleet("a", "b")
    fleet.fail("i", "a", "source-unreachable", "retry")
    fleet.plan()
    assert fleet.where("i") == ("b", None)
    fleet.fail("i", "b", "source-unreachable", "retry")
    made = fleet.plan()
    node = fleet.schedule["i"]
    assert fleet.where("i") == ("b", None)
    assert node.generation == 8
    assert node.parked is None
    assert node.reason == "stays on b and goes on trying: of 1 that may run it none can: it failed on a"
    assert made.waiting == {}
    assert made.wake == NOW + 300
    assert fleet.look().changes == ()
    # a's time is over: it is tried again, and avoided for longer when it fails again.
    fleet.now = NOW + 301
    fleet.plan()
    assert fleet.where("i") == ("a", None)
    fleet.fail("i", "a", "source-unreachable", "retry")
    fleet.plan()
    assert fleet.schedule["i"].failed["a"].times == 2
    assert fleet.schedule["i"].failed["a"].until == fleet.now + 600


def test_an_outage_that_ended_is_left_alone() -> None:
    fleet = _fleet("a", "b")
    fleet.fail("i", "a", "source-unreachable", "retry")
    fleet.plan()
    fleet.fail("i", "b", "source-unreachable", "retry")
    fleet.plan()
    fleet.alter("b", failures={})
    fleet.now += 1000
    assert fleet.look().changes == ()


def test_crash_here_and_outage_there_go_back_to_the_outage() -> None:
    fleet = _fleet("a", "b")
    fleet.fail("i", "a", "source-unreachable", "retry")
    fleet.plan()
    fleet.fail("i", "b", "credential-missing")
    fleet.plan()
    assert fleet.where("i") == ("a", None)
    assert fleet.schedule["i"].parked is None
    assert "goes on trying on a" in fleet.reason("i")


def test_not_a_thousand_servers_are_tried() -> None:
    names = [f"s{number}" for number in range(20)]
    fleet = _fleet(*names)
    for _ in range(TRIES):
        assert fleet.schedule["i"].parked is None
        fleet.fail("i", str(fleet.schedule["i"].server))
        fleet.plan()
    assert fleet.schedule["i"].parked is not None
    assert len(fleet.schedule["i"].failed) == TRIES


def test_a_missing_credential_is_looked_for_everywhere() -> None:
    names = [f"s{number:02}" for number in range(TRIES + 3)]
    fleet = _fleet(*names)
    for _ in names:
        assert fleet.schedule["i"].parked is None
        fleet.fail("i", str(fleet.schedule["i"].server), "credential-missing")
        fleet.plan()
    assert fleet.schedule["i"].parked is not None


def test_while_the_others_are_full_the_server_that_crashed_tries_again() -> None:
    fleet = _fleet("a", "b")
    fleet.alter("b", max_instances=0)
    fleet.fail("i", "a")
    made = fleet.plan()
    assert fleet.where("i") == ("a", None)
    assert fleet.schedule["i"].generation == 7
    assert list(made.waiting) == ["i"]
    assert "1 full" in made.waiting["i"]
    assert fleet.look().changes == ()
    fleet.now += 300
    fleet.plan()
    assert fleet.where("i") == ("a", None)
    assert fleet.schedule["i"].generation == 8
    assert fleet.reason("i").endswith("a tries again")


def test_a_server_that_died_does_not_send_it_to_one_that_failed() -> None:
    fleet = _fleet("a", "b")
    fleet.fail("i", "a")
    fleet.plan()
    fleet.kill("b")
    made = fleet.plan()
    assert fleet.where("i") == ("b", None)
    assert made.waiting == {"i": "b is gone: of 1 that may run it none can: it failed on a"}
    assert made.wake == NOW + 300
    fleet.now += 300
    fleet.plan()
    assert fleet.where("i") == ("a", None)


def _parked() -> Fleet:
    fleet = _fleet("a", "b")
    fleet.fail("i", "a", "position-purged")
    fleet.plan()
    return fleet


def test_a_changed_definition_ends_parking() -> None:
    fleet = _parked()
    fleet.change("i", changed=fleet.instances["i"].changed + 1)
    fleet.plan()
    node = fleet.schedule["i"]
    assert node.parked is None
    assert node.server in {"a", "b"}
    assert node.generation == 9
    assert node.reason.startswith("no longer parked (position-purged), as the definition was changed; ")


def test_a_restart_ends_parking() -> None:
    fleet = _parked()
    fleet.change("i", request=request("restart"))
    made = fleet.plan()
    assert made.changes[0].serves == request("restart")
    assert fleet.schedule["i"].parked is None
    assert fleet.schedule["i"].server in {"a", "b"}
    assert fleet.schedule["i"].restarts == 1


def test_a_move_does_not_end_parking() -> None:
    fleet = _parked()
    fleet.change("i", request=request("move", "b"))
    fleet.plan()
    assert fleet.schedule["i"].parked is not None
    assert fleet.reason("i") == (
        "move to b, asked for by ann, refused: it is parked (position-purged); resume it first"
    )


def test_a_failure_before_the_definition_was_changed_is_tried_again() -> None:
    fleet = _fleet("a", "b")
    fleet.fail("i", "a", "position-purged")
    fleet.change("i", changed=500)
    fleet.now = NOW + 2
    fleet.plan()
    assert fleet.where("i") == ("a", None)
    assert fleet.schedule["i"].generation == 8
    assert fleet.look().changes == ()


def test_a_changed_definition_forgets_failures() -> None:
    fleet = _fleet("a", "b")
    fleet.fail("i", "a", "source-unreachable", "retry")
    fleet.plan()
    fleet.fail("i", "b", "source-unreachable", "retry")
    fleet.plan()
    fleet.change("i", changed=500)
    fleet.plan()
    assert fleet.where("i") == ("b", None)
    assert fleet.schedule["i"].failed == {}
    assert fleet.schedule["i"].generation == 9


def test_failures_long_over_are_forgotten() -> None:
    fleet = _fleet("a", "b", "c")
    fleet.fail("i", "a")
    fleet.plan()
    fleet.now += 100_000
    fleet.fail("i", "b")
    fleet.plan()
    assert set(fleet.schedule["i"].failed) == {"b"}
