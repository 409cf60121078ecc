"""Orders of operators: done, or refused with a reason; never lost."""

from cdcd.fleet.nodes import Request
from cdcd.fleet.planning.draft import Draft
from cdcd.fleet.planning.placement import hand_over, settle_on, take_back
from cdcd.fleet.planning.situation import Situation


def asked(draft: Draft, kind: str) -> Request | None:
    """The pending request, if it is of that kind. `set_position` is for the worker that takes over."""
    request = draft.instance.request
    return request if request is not None and request.kind == kind else None


def refuse(draft: Draft, why: str) -> None:
    """Answer a request that can't be done."""
    if (request := asked(draft, "restart")) or (request := asked(draft, "move")):
        draft.serve(f"{_worded(request)} refused: {why}")


def restart(draft: Draft, request: Request) -> None:
    """Also what `cdcctl resume` asks for: a parked instance is tried again, servers that failed get another chance."""
    draft.serve()
    node = draft.node
    if node is None:
        return
    done = f"no longer parked ({node.parked.code}), as" if node.parked else "restarted, as"
    draft.write(f"{done} asked for by {request.by}", restarts=node.restarts + 1, failed={}, parked=None)
    if node.next is None:
        draft.try_anew()


def move(draft: Draft, request: Request, situation: Situation) -> None:
    """To the server asked for, whatever the balance; it stays there for the cooldown."""
    node = draft.node
    if why := _obstacle(draft, request, situation):
        refuse(draft, why)
        return
    host = situation.hosts.all[str(request.server)]
    running = node is not None and draft.wants != "server"
    if running and node is not None and host.name in (node.server, node.next):
        _already(draft, request, situation)
        return
    draft.serve()
    draft.forgive(host.name)
    if running and node is not None:
        if node.next is not None:
            take_back(draft, situation)
        hand_over(draft, host, f"asked for by {request.by}", situation)
    else:
        settle_on(draft, host, f"placed on {host.name}, asked for by {request.by}", situation)
        host.add(situation.weight(draft.name))
    draft.want("nothing", "")


def _worded(request: Request) -> str:
    where = f" to {request.server}" if request.kind == "move" else ""
    return f"{request.kind}{where}, asked for by {request.by},"


def _obstacle(draft: Draft, request: Request, situation: Situation) -> str:
    """Why it can't be moved there; empty if it can."""
    node, server = draft.node, request.server
    if node is not None and node.parked is not None:
        return f"it is parked ({node.parked.code}); resume it first"
    host = situation.host(server)
    if host is None:
        return f"{server} is not up" if server else "it names no server"
    if host.full and not (node and node.names(host.name)):
        return f"{host.name} has as many instances as it may ({host.server.max_instances})"
    return situation.unfit(host, draft.instance)


def _already(draft: Draft, request: Request, situation: Situation) -> None:
    """It runs there, or is on its way."""
    node = draft.node
    assert node is not None
    draft.serve()
    if node.next is None or request.server == node.next:
        draft.note(f"{_worded(request)} changes nothing: {node.reason}")
        return
    take_back(draft, situation)
    draft.write(f"stays on {node.server}, asked for by {request.by}: hand-over to {node.next} called off", next=None)
