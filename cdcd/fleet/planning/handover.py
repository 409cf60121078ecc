"""A hand-over under way: one step on, or given up. Make before break: the old server is left only for one that has taken over."""

from cdcd.fleet.nodes import Schedule, StartFailure
from cdcd.fleet.planning.draft import Draft
from cdcd.fleet.planning.failures import TRIES, record, tried_lately
from cdcd.fleet.planning.situation import Situation

TIMED_OUT = "hand-over-timeout"


def advance(draft: Draft, situation: Situation) -> None:
    """Bring a node with `next` up to date."""
    node = draft.node
    if node is None or node.next is None:
        return
    if draft.instance.runner == node.next:
        _complete(draft, node.next, f"{node.next} has taken over from {node.server}")
    elif situation.host(node.next) is None:
        _give_up(draft, "it is gone", situation)
    elif node.next == node.server:
        draft.write(f"{node.server} runs it", next=None)
    elif situation.host(node.server) is None:
        _complete(draft, node.next, f"{node.server} is gone: {node.next}, which was to take over, has it now")
    else:
        _wait(draft, node, situation)


def _complete(draft: Draft, server: str, reason: str) -> None:
    assert draft.node is not None
    failed = {name: each for name, each in draft.node.failed.items() if name != server}
    draft.write(reason, server=server, next=None, failed=failed)


def _wait(draft: Draft, node: Schedule, situation: Situation) -> None:
    """Both servers live and the old one has it still: the new one has its time to get ready."""
    assert node.next is not None
    host = situation.hosts.all[node.next]
    failure = situation.failure(node.next, draft.name, node)
    until = node.at + situation.policy.handover_timeout
    if failure:
        record(draft, node.next, failure, situation)
        _give_up(draft, f"it failed ({failure.code}): {failure.reason}", situation)
    elif unfit := situation.unfit(host, draft.instance):
        _give_up(draft, unfit, situation)
    elif draft.instance.standby == (node.next, node.generation):
        return  # ready: the old one stops at its next transaction boundary
    elif situation.now >= until:
        seconds = situation.policy.handover_timeout
        why = f"it was not ready to take over within {seconds:g} s"
        late = StartFailure(TIMED_OUT, "retry", why, "", situation.now, 1, node.generation)
        record(draft, node.next, late, situation)
        _give_up(draft, why, situation)
    else:
        situation.wake_at(until)


def _give_up(draft: Draft, why: str, situation: Situation) -> None:
    """It stays where it is. Nothing has paused: another server may be asked at once, unless many have failed."""
    assert draft.node is not None
    if len(tried_lately(draft, situation)) < TRIES:
        draft.change_members(moved=None)
    draft.write(f"hand-over to {draft.node.next} given up: {why}", next=None)
