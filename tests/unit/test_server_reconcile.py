"""What a server does with its workers: every rule of the supervisor, without a process or a clock."""

from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdcd.errors import Finding
from cdcd.fleet.nodes import Parked, Schedule, Standby
from cdcd.server.reconcile import (
    HEALTHY,
    LONGEST_PAUSE,
    STOP_GRACE,
    Action,
    End,
    Forget,
    Kill,
    Phase,
    Slot,
    Start,
    Stop,
    Wishes,
    pause,
    reconcile,
)
from cdcd.worker.channel import Ending, Farewell

ME, OTHER = "a", "b"
NODE = Schedule(server=ME, generation=3, reason="least load", at=0.0)
RUNNING = Slot(generation=3, alive=True)
OPERATOR = Finding("source-rights", "operator", "no right", "GRANT it")
AWAY = Finding("source-unreachable", "retry", "refused", "start it")


def act(
    node: Schedule | None,
    slot: Slot | None,
    now: float = 100.0,
    standby: Standby | None = None,
    *,
    phase: Phase = "running",
) -> Action | None:
    wishes = Wishes({"x": node} if node else {}, {"x": standby} if standby else {})
    seen = slot.seen(node) if slot and node else slot
    actions = reconcile(ME, wishes, {"x": seen} if seen else {}, now, phase=phase)
    assert len(actions) <= 1
    return actions[0] if actions else None


def crashed(slot: Slot, now: float = 100.0, attempts: int = 5) -> Slot:
    return slot.ended(End(None, -9, at=0.0), now, 1.0, attempts)


def said(slot: Slot, ending: Ending, finding: Finding | None = None, now: float = 100.0) -> Slot:
    return slot.ended(End(Farewell(ending, "reason", finding), 0, at=0.0), now, 1.0, 5)


# ---------------------------------------------------------------- starting and stopping


@pytest.mark.parametrize("node", [NODE, Schedule(OTHER, 3, "", 0.0, next=ME), replace(NODE, next=OTHER)])
def test_it_starts_what_the_schedule_node_names_it_for(node: Schedule) -> None:
    assert isinstance(act(node, None), Start)


@pytest.mark.parametrize("node", [None, Schedule(OTHER, 3, "", 0.0), Schedule(None, 3, "", 0.0)])
def test_it_starts_nothing_else(node: Schedule | None) -> None:
    assert act(node, None) is None
    assert isinstance(act(node, RUNNING), Stop)
    assert isinstance(act(node, Slot(generation=3)), Forget)


def test_what_runs_as_it_should_is_left_alone() -> None:
    assert act(NODE, RUNNING) is None
    assert act(replace(NODE, generation=4, next=OTHER), RUNNING) is None


def test_a_stop_is_told_once_and_then_enforced() -> None:
    told = RUNNING.told_to_stop(100.0)
    assert act(None, told, 100.1) is None
    assert isinstance(act(None, told, 100.0 + STOP_GRACE), Kill)


def test_a_restart_stops_and_starts_at_once() -> None:
    again = replace(NODE, restarts=1)
    assert isinstance(act(again, RUNNING), Stop)
    ended = said(RUNNING.told_to_stop(100.0), "stopped", now=100.5)
    start = act(again, ended, 100.5)
    assert isinstance(start, Start)
    assert act(again, ended.started(again), 100.6) is None


def test_a_stopping_server_starts_nothing_and_keeps_what_it_runs() -> None:
    assert act(NODE, None, phase="handing_over") is None
    assert act(NODE, crashed(RUNNING), phase="handing_over") is None
    assert act(NODE, RUNNING, phase="handing_over") is None
    assert isinstance(act(NODE, RUNNING, phase="leaving"), Stop)
    assert act(NODE, crashed(RUNNING), phase="leaving") is None


# ---------------------------------------------------------------- crashes


def test_the_first_restart_comes_at_once() -> None:
    assert isinstance(act(NODE, crashed(RUNNING)), Start)


def test_but_not_before_the_dead_workers_session_is_closed() -> None:
    slot = RUNNING.ended(End(None, -9, 0.0, bury=True), 100.0, 1.0, 5)
    assert act(NODE, slot) is None
    assert act(None, slot) is None
    assert isinstance(act(NODE, slot.buried()), Start)


def test_pauses_grow_to_a_limit() -> None:
    assert [pause(n) for n in range(5)] == [0.0, 0.5, 1.0, 2.0, 4.0]
    assert pause(10_000) == LONGEST_PAUSE


def test_a_crash_loop_is_slowed_and_reported() -> None:
    slot, now, starts = RUNNING, 0.0, []
    for _ in range(6):
        slot = crashed(slot, now)
        while not isinstance(act(NODE, slot, now), Start):
            now += 0.1
        starts.append(round(now, 1))
        slot = slot.started(NODE)
    assert starts == pytest.approx([0.0, 0.5, 1.5, 3.5, 33.5, 63.5], abs=0.5)
    failure = slot.failure
    assert failure is not None
    assert (failure.code, failure.kind, failure.attempts, failure.generation) == ("worker-crashed", "retry", 6, 3)
    assert "signal 9" in failure.reason


def test_a_crash_after_a_healthy_while_is_a_first_one() -> None:
    slot = crashed(crashed(RUNNING, 0.0).started(NODE), 1.0).started(NODE)
    assert slot.unplanned == 2
    assert crashed(slot.published(10.0), 10.0 + HEALTHY).attempts == 1
    assert crashed(slot.published(10.0), 9.9 + HEALTHY).attempts == 3


def test_a_failure_is_over_when_it_publishes() -> None:
    slot = crashed(RUNNING, attempts=1)
    assert slot.failure is not None
    assert slot.started(NODE).published(0.0).failure is None


def test_another_generation_forgets_what_failed() -> None:
    slot = crashed(RUNNING, attempts=1)
    later = replace(NODE, generation=4)
    assert slot.seen(later) == Slot(generation=4)
    assert slot.seen(NODE) is slot
    assert RUNNING.seen(later).alive


# ---------------------------------------------------------------- endings


def test_a_finding_for_operators_is_reported_at_once_and_not_tried_again() -> None:
    slot = said(RUNNING, "parked", OPERATOR)
    assert slot.failure is not None
    assert (slot.failure.code, slot.failure.kind, slot.failure.remedy) == ("source-rights", "operator", "GRANT it")
    assert act(NODE, slot, 1e9) is None
    assert isinstance(act(replace(NODE, generation=4), slot), Start)
    assert isinstance(act(replace(NODE, restarts=1), slot), Start)


def test_it_is_shown_as_long_as_the_instance_is_parked() -> None:
    parked = Schedule(None, 4, "", 0.0, parked=Parked("source-rights", "", "", 0.0, 1))
    slot = said(RUNNING, "parked", OPERATOR)
    assert act(parked, slot) is None
    assert slot.seen(parked).failure == slot.failure
    assert isinstance(act(None, slot), Forget)
    assert isinstance(act(parked, Slot(generation=3)), Forget)


def test_what_gave_up_is_reported_at_once_and_tried_again_while_nobody_else_gets_it() -> None:
    slot = said(RUNNING, "gave_up", AWAY)
    assert slot.failure is not None
    assert (slot.failure.code, slot.failure.kind) == ("source-unreachable", "retry")
    assert act(NODE, slot, 100.0 + LONGEST_PAUSE - 0.1) is None
    assert isinstance(act(NODE, slot, 100.0 + LONGEST_PAUSE), Start)
    assert isinstance(act(replace(NODE, generation=4), slot), Start)


@pytest.mark.parametrize("ending", ["not_owner", "replaced", "stopped"])
def test_endings_that_are_no_failures_only_make_pauses(ending: Ending) -> None:
    slot = RUNNING
    for _ in range(20):
        slot = said(slot, ending).started(NODE)
    assert slot.failure is None
    assert slot.retry_at == 100.0 + LONGEST_PAUSE


def test_what_was_handed_over_is_not_started_again_for_that_generation() -> None:
    handing = replace(NODE, next=OTHER)
    slot = said(RUNNING, "handed_over")
    assert act(handing, slot, 1e9) is None
    assert isinstance(act(replace(NODE, generation=4), slot), Start)


def test_a_standby_of_the_generation_keeps_the_server_from_starting() -> None:
    handing = replace(NODE, next=OTHER)
    assert act(handing, None, standby=Standby(OTHER, 3)) is None
    assert isinstance(act(handing, None, standby=Standby(OTHER, 2)), Start)
    assert isinstance(act(handing, None, standby=Standby("c", 3)), Start)
    assert isinstance(act(Schedule(OTHER, 3, "", 0.0, next=ME), None, standby=Standby(ME, 3)), Start)


# ---------------------------------------------------------------- properties


@given(
    endings=st.lists(st.sampled_from([*get_args(Ending), None]), max_size=40),
    lives=st.lists(st.floats(0, HEALTHY - 0.01), min_size=40, max_size=40),
)
def test_short_lives_never_make_a_hot_loop(endings: list[Ending | None], lives: list[float]) -> None:
    """However workers end: n starts after short lives take at least the sum of their pauses."""
    slot, now = RUNNING, 0.0
    for n, ending in enumerate(endings):
        slot = slot.published(now)
        now += lives[n]
        farewell = None if ending is None else Farewell(ending, "", OPERATOR if ending == "parked" else None)
        slot = slot.ended(End(farewell, 0, 0.0), now, 1.0, 5)
        if not slot.handed_over:
            assert slot.retry_at >= now + pause(n)
        if not isinstance(act(NODE, slot, slot.retry_at), Start):
            assert ending in ("handed_over", "parked")
            return
        now, slot = slot.retry_at, slot.started(NODE)


_nodes = st.none() | st.builds(
    Schedule,
    server=st.sampled_from([ME, OTHER, None]),
    generation=st.integers(1, 3),
    reason=st.just(""),
    at=st.just(0.0),
    next=st.sampled_from([ME, OTHER, None]),
    restarts=st.integers(0, 2),
)


@given(st.lists(_nodes, min_size=1, max_size=30), st.data())
def test_one_worker_at_a_time_and_it_settles(nodes: list[Schedule | None], data: st.DataObject) -> None:
    """Any history of schedule nodes: a start only where none lives, and in the end what the last node says."""
    slot: Slot | None = None
    now = 0.0

    def turn(node: Schedule | None) -> Action | None:
        nonlocal slot, now
        now += 1
        slot = slot.seen(node) if slot and node else slot
        action = act(node, slot, now)
        match action:
            case Start():
                assert slot is None or not slot.alive
                assert node is not None
                assert node.names(ME)
                slot = (slot or Slot(node.generation)).started(node)
            case Stop():
                assert slot is not None
                slot = slot.told_to_stop(now)
            case Kill():
                assert slot is not None
                slot = crashed(slot, now)
            case Forget():
                assert slot is not None
                assert not slot.alive
                slot = None
        return action

    for node in nodes:
        turn(node)
        if slot and slot.alive and data.draw(st.booleans()):
            slot = said(slot, data.draw(st.sampled_from(["stopped", "not_owner", "replaced"])), now=now)
    for _ in range(120):
        turn(nodes[-1])
    last = nodes[-1]
    if last is None or not last.names(ME):
        assert slot is None
    else:
        assert slot is not None
        assert slot.alive
        assert slot.restarts >= last.restarts
    assert turn(last) is None
