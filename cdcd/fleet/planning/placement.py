"""Giving an instance a server, and accounting for it."""

from cdcd.fleet.planning.draft import Draft
from cdcd.fleet.planning.failures import nowhere, tried_enough, tried_lately, wait
from cdcd.fleet.planning.hosts import Host
from cdcd.fleet.planning.situation import Situation


def seat(draft: Draft, situation: Situation) -> None:
    """Count an instance where its node says it runs, and its load where it goes."""
    node = draft.node
    if node is None or draft.wants == "server":
        return
    weight = situation.weight(draft.name)
    here, there = situation.host(node.server), situation.host(node.next)
    if here is not None:
        situation.carry(here, draft.name, node, young=situation.is_young(node, here))
    if there is not None:
        _transfer(here, there, weight)


def take_back(draft: Draft, situation: Situation) -> None:
    """Undo the accounting of a hand-over that is called off."""
    assert draft.node is not None
    here, there = situation.host(draft.node.server), situation.host(draft.node.next)
    weight = situation.weight(draft.name)
    if there is not None:
        there.weight -= weight
        there.count -= 1
        situation.hosts.lightened(there)
    if here is not None:
        here.weight += weight
        here.leaving -= 1


def hand_over(draft: Draft, host: Host, reason: str, situation: Situation) -> None:
    """Have `host` take over from the server that runs it."""
    assert draft.node is not None
    here = situation.host(draft.node.server)
    loads = f"{host.name}: {_against(host, situation)}" + (f"; {here.name} is at {here.load:.3g}" if here else "")
    _transfer(here, host, situation.weight(draft.name))
    if here is not None:
        situation.hosts.lightened(here)
    draft.write(f"moves to {host.name}, {reason} ({loads})", next=host.name, **_remembered(draft, situation))


def place(draft: Draft, situation: Situation) -> None:
    """Find a server for an instance that none runs."""
    if _has_to_wait(draft, situation):
        return
    host = None
    if not (draft.failing and tried_enough(draft, situation)):
        host = situation.choose(draft, *tried_lately(draft, situation)) or situation.choose(draft)
    if host is None:
        host = nowhere(draft, situation)
    elif draft.node is not None and host.name == draft.node.server:
        _stay(draft, host)
    else:
        settle_on(draft, host, f"{draft.why}: placed on {host.name} ({_against(host, situation)})", situation)
    if host is not None:
        _count(draft, host, situation)


def settle_on(draft: Draft, host: Host, reason: str, situation: Situation) -> None:
    """Write that `host` runs it, at once."""
    draft.write(reason, server=host.name, next=None, **_remembered(draft, situation))


def leave(draft: Draft, situation: Situation) -> None:
    """Find a successor for the server that runs it; without one it stays."""
    node = draft.node
    here = situation.host(node.server) if node else None
    if here is None or situation.settling or here.leaving >= situation.most_leaving:
        return
    host = situation.choose(draft, here.name)
    if host is None:
        draft.note(f"stays on {here.name} although {draft.why}: {situation.why_none(draft)}")
        return
    hand_over(draft, host, f"because {draft.why}", situation)


def _has_to_wait(draft: Draft, situation: Situation) -> bool:
    """For servers that start just now, or for one that may come back."""
    server = situation.servers.get(draft.node.server) if draft.node and draft.node.server else None
    back = server.since + situation.policy.grace if server is not None and not server.alive else 0.0
    if situation.now < back:
        situation.wake_at(back)
        wait(draft, situation, f"it has {situation.policy.grace:g} s to come back")
        return True
    if situation.settling:
        situation.wake_at(situation.settled_at)
        wait(draft, situation, f"other servers have {situation.policy.settle:g} s to start as well")
        return True
    return False


def _stay(draft: Draft, host: Host) -> None:
    """The server that failed is the best one again: an outage it waits for itself, after a crash it has to be told."""
    assert draft.node is not None
    failed = draft.node.failed.get(host.name)
    if failed is not None and failed.kind == "operator":
        draft.write(f"{draft.why}: {host.name} tries again")
        draft.try_anew()


def _count(draft: Draft, host: Host, situation: Situation) -> None:
    situation.carry(host, draft.name, draft.node, young=True)


def _transfer(here: Host | None, there: Host, weight: float) -> None:
    there.add(weight)
    if here is not None:
        here.weight -= weight
        here.leaving += 1


def _remembered(draft: Draft, situation: Situation) -> dict[str, float | None]:
    """What it weighs, as far as that is measured."""
    measured = draft.instance.weight is None and draft.name in situation.weights
    return {"weight": float(f"{situation.weights[draft.name]:.6g}")} if measured else {}


def _against(host: Host, situation: Situation) -> str:
    return f"load {host.load:.3g} against a mean of {situation.mean:.3g}"
