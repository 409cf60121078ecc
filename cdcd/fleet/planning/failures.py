"""Servers that tried and gave up: another one gets the instance, until all have tried."""

from collections.abc import Mapping
from dataclasses import replace

from cdcd.fleet.nodes import FailedServer, Parked, StartFailure
from cdcd.fleet.planning.draft import FORGET_AFTER, Draft
from cdcd.fleet.planning.hosts import Host
from cdcd.fleet.planning.situation import Situation, listed

LOCAL = (
    "credential-",
    "zookeeper-",
    "kafka-cluster-unknown",
    "kafka-credentials",
    "kafka-settings",
    "kafka-tls",
    "tls-files",
)
"""Beginnings of the codes of findings that are about one server's files and settings: another server may do better."""
CRASHED = "worker-crashed"
TRIES = 5
"""So many servers are tried before trouble that has nothing to do with a server counts as being everywhere."""
TRIES_WITHIN = 3600.0
"""Seconds for which a server counts as tried after it is no longer avoided: the next ones may take long to fail."""


def is_local(code: str) -> bool:
    return code.startswith(LOCAL)


def take_in(draft: Draft, situation: Situation) -> None:
    """What the instance's server says of it: parks it, or has it look for another server."""
    node = draft.node
    failure = situation.failure(node.server, draft.name, node) if node else None
    if node is None or failure is None or node.server is None:
        return
    known = node.failed.get(node.server)
    if known is not None and known.generation == node.generation:
        if not draft.counts(known):
            _again(draft, f"the definition was changed after {node.server} had failed: tried again")
            return
    elif 0 < node.definition < draft.instance.changed:  # not by clocks: there are three, and any may be wrong
        _again(draft, f"the definition was changed since {node.server} was given it: tried again")
        return
    elif failure.kind == "operator" and not is_local(failure.code) and failure.code != CRASHED:
        _park(draft, failure, situation.now)
        return
    else:
        record(draft, node.server, failure, situation)
    if node.next is not None:  # alive and fit, or it would be called off by now
        draft.write(
            f"{node.server} failed ({failure.code}): {node.next}, which was to take over, has it now",
            server=node.next,
            next=None,
        )
        return
    draft.failing = True
    draft.want("server", f"{node.server} failed ({failure.code}: {failure.reason})")


def unpark(draft: Draft) -> None:
    """Another definition is another try."""
    parked = draft.node.parked if draft.node else None
    if parked is not None and draft.instance.changed > parked.definition:
        reason = f"no longer parked ({parked.code}), as the definition was changed"
        draft.write(reason, parked=None, failed={})


def record(draft: Draft, server: str, failure: StartFailure, situation: Situation) -> None:
    """Remember that the server failed: it is avoided, each time twice as long."""
    assert draft.node is not None
    before = draft.node.failed.get(server)
    times = before.times + 1 if before and draft.counts(before) else 1
    seconds = min(situation.policy.avoid * 2.0 ** min(times - 1, 30), FORGET_AFTER)
    failed = FailedServer(
        code=failure.code,
        reason=failure.reason,
        at=failure.at,
        until=situation.now + seconds,
        times=times,
        kind="operator" if failure.code == CRASHED else failure.kind,
        generation=failure.generation,
        definition=draft.instance.changed,
    )
    draft.change_members(failed={**draft.node.failed, server: failed})


def tried_enough(draft: Draft, situation: Situation) -> bool:
    """Whether it fails everywhere, as far as that can be told: there is no use in trying yet another server now."""
    tried = tried_lately(draft, situation)
    taking = [host for host in situation.hosts.able(draft.instance).hosts.values() if host.takes]
    if not taking:
        return False
    return sum(not is_local(each.code) for each in tried.values()) >= TRIES or all(
        host.name in tried for host in taking
    )


def tried_lately(draft: Draft, situation: Situation) -> dict[str, FailedServer]:
    """Servers that failed it lately."""
    failed: Mapping[str, FailedServer] = draft.node.failed if draft.node else {}
    return {
        name: each for name, each in failed.items() if draft.counts(each) and situation.now < each.until + TRIES_WITHIN
    }


def nowhere(draft: Draft, situation: Situation) -> Host | None:
    """No server is left to try: an outage is waited for on a server, which is returned; a crash needs somebody's eyes."""
    avoided, here = draft.avoided, draft.node.server if draft.node else None
    for each in avoided.values():
        situation.wake_at(each.until)
    if draft.failing and here in avoided and avoided[here].kind == "retry":
        draft.note(f"stays on {here} and goes on trying: {situation.why_none(draft)}")
        return situation.host(here)
    everywhere = tried_enough(draft, situation)
    if everywhere and (host := _outage(draft, situation)):
        draft.write(
            f"{draft.why}: goes on trying on {host.name}, where the trouble may end by itself", server=host.name
        )
        return host
    if everywhere and draft.failing:
        _park_failed(draft, situation)
        return None
    wait(draft, situation, situation.why_none(draft))
    return None


def wait(draft: Draft, situation: Situation, reason: str) -> None:
    """It wants a server and gets none for now."""
    situation.waiting[draft.name] = f"{draft.why}: {reason}"
    if draft.failing:
        draft.note(f"{draft.why}: {reason}")


def _outage(draft: Draft, situation: Situation) -> Host | None:
    """Of the servers whose trouble can end by itself, the one that has waited longest."""
    tried = {name: each for name, each in tried_lately(draft, situation).items() if each.kind == "retry"}
    able = situation.hosts.able(draft.instance).hosts.values()
    found = [host for host in able if host.takes and not host.full and host.name in tried]
    return min(found, key=lambda host: (tried[host.name].until, host.name), default=None)


def _again(draft: Draft, reason: str) -> None:
    draft.write(reason, failed={})
    draft.try_anew()


def _park_failed(draft: Draft, situation: Situation) -> None:
    node = draft.node
    failure = situation.failure(node.server, draft.name, node) if node else None
    assert failure is not None
    where = listed(sorted(tried_lately(draft, situation)))
    _park(draft, replace(failure, reason=f"It failed on {where}; the last time: {failure.reason}"), situation.now)


def _park(draft: Draft, failure: StartFailure, now: float) -> None:
    parked = Parked(failure.code, failure.reason, failure.remedy, now, draft.instance.changed)
    draft.want("nothing", "")
    draft.write(f"parked ({failure.code}): {failure.reason}", server=None, next=None, parked=parked)
