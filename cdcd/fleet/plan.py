"""Which server should run which instance: a pure function of what the scheduler has read.

Every step has a file in `planning`: what a hand-over under way needs next, servers that failed, orders of operators,
instances that have no server, servers to be emptied, balance.
"""

from collections.abc import Mapping

from cdcd.fleet.nodes import Schedule
from cdcd.fleet.planning import failures, handover, requests
from cdcd.fleet.planning.balance import Balance
from cdcd.fleet.planning.draft import Draft
from cdcd.fleet.planning.hosts import Host
from cdcd.fleet.planning.placement import leave, place, seat
from cdcd.fleet.planning.situation import Situation
from cdcd.fleet.planning.types import Change, Plan, PlannedInstance, PlannedServer, Policy

__all__ = ["Change", "Plan", "PlannedInstance", "PlannedServer", "Policy", "plan"]


def plan(  # noqa: PLR0917 - what it knows is all that it has: the snapshot, the clock, the settings
    instances: Mapping[str, PlannedInstance],
    servers: Mapping[str, PlannedServer],
    schedule: Mapping[str, Schedule],
    now: float,
    policy: Policy,
    since: float,
) -> Plan:
    """What to change now. Same answer for the same input; `since` is when this scheduler was elected (for `settle`)."""
    situation = Situation(servers, now, policy, since)
    return _Planning(instances, schedule, situation).plan()


class _Planning:
    def __init__(
        self, instances: Mapping[str, PlannedInstance], schedule: Mapping[str, Schedule], situation: Situation
    ) -> None:
        self._instances, self._schedule, self._situation = instances, schedule, situation
        self._drafts: dict[str, Draft] = {}
        self._deleted: list[Change] = []
        self._astray: list[str] = []

    def plan(self) -> Plan:
        self._look_at_all()
        self._seat_all()
        self._serve_moves()
        self._give_servers()
        self._balance()
        changes = [*self._deleted, *filter(None, (draft.change() for draft in self._drafts.values()))]
        return Plan(
            changes=tuple(sorted(changes, key=lambda change: change.instance)),
            waiting=self._situation.waiting,
            loads={name: host.load for name, host in self._situation.hosts.all.items()},
            wake=self._situation.wake,
        )

    def _look_at_all(self) -> None:
        """Those that simply run take their seats; for each other one a draft is made."""
        for name in sorted(self._schedule.keys() - self._instances.keys()):
            self._deleted.append(Change(name, None, "its definition was deleted"))
        for name in sorted(self._instances):
            instance, node = self._instances[name], self._schedule.get(name)
            self._situation.weigh(name, instance, node)
            if node is None or not self._runs(name, instance, node):
                self._drafts[name] = _look_at(name, instance, node, self._situation)

    def _runs(self, name: str, instance: PlannedInstance, node: Schedule) -> bool:
        """Whether it runs where it should and nothing is asked of it."""
        situation = self._situation
        host = situation.host(node.server)
        if host is None or not host.takes or node.next is not None or node.parked is not None:
            return False
        if instance.paused or instance.request is not None or name in situation.failures:
            return False
        if node.server not in situation.hosts.able(instance).hosts:
            return False
        host.seats.append(name)
        if instance.prefer and node.server not in situation.hosts.preferred(instance).hosts:
            self._astray.append(name)
        return True

    def _seat_all(self) -> None:
        situation = self._situation
        situation.guess_the_rest()
        for host in situation.hosts.all.values():
            for name in host.seats:
                node = self._schedule[name]
                situation.carry(host, name, node, young=situation.is_young(node, host))
        for draft in self._drafts.values():
            seat(draft, situation)
        hosts = [host for host in situation.hosts.all.values() if host.takes]
        situation.mean = sum(host.weight for host in hosts) / max(sum(host.capacity for host in hosts), 1e-9)
        for host in situation.hosts.all.values():
            self._thin_out(host)

    def _thin_out(self, host: Host) -> None:
        """Have a server that runs more than it may hand over the lightest."""
        most = host.server.max_instances
        excess = 0 if most is None else host.count - host.leaving - most
        if excess > 0:
            seats = sorted(host.seats, key=lambda name: (self._situation.weight(name), name))
            for name in seats[:excess]:
                draft = Draft(name, self._instances[name], self._schedule[name], self._situation.now)
                draft.want("next", f"{host.name} may run {most} instances at most")
                self._drafts[name] = draft

    def _serve_moves(self) -> None:
        for draft in self._drafts.values():
            request = requests.asked(draft, "move")
            if request is not None and not draft.served:
                requests.move(draft, request, self._situation)

    def _give_servers(self) -> None:
        """The heaviest first: what is light fits in between. But before them what failed, as it may have to stay where it is."""
        for wanted, give in (("server", place), ("next", leave)):
            drafts = [draft for draft in self._drafts.values() if draft.wants == wanted]
            for draft in sorted(drafts, key=self._turn):
                give(draft, self._situation)

    def _turn(self, draft: Draft) -> tuple[bool, float, str]:
        return not draft.failing, -self._situation.weight(draft.name), draft.name

    def _balance(self) -> None:
        situation = self._situation
        under_way = sum(_is_for_balance(draft) for draft in self._drafts.values())
        budget = situation.policy.max_moves - under_way
        if situation.settling or budget <= 0:
            return
        balance = Balance(situation, self._instances, self._schedule, self._drafts)
        self._drafts.update({draft.name: draft for draft in balance.moves(self._astray, budget)})


def _is_for_balance(draft: Draft) -> bool:
    """Whether a hand-over is under way that began with a move for balance, or by an operator."""
    if draft.node is None or draft.node.next is None or draft.node.moved is None:
        return False
    change = draft.change()
    began = change.node.at if change and change.node else draft.node.at
    return draft.node.moved >= began


def _look_at(name: str, instance: PlannedInstance, node: Schedule | None, situation: Situation) -> Draft:
    """What has to be said of the instance before the loads of all servers are known."""
    draft = Draft(name, instance, node, situation.now)
    if instance.paused:
        _stop(draft)
    elif not instance.valid:
        _leave_alone(draft, situation)
    else:
        _bring_up_to_date(draft, situation)
    return draft


def _stop(draft: Draft) -> None:
    requests.refuse(draft, "it is paused")
    if draft.node is not None:
        draft.remove("it is paused")


def _leave_alone(draft: Draft, situation: Situation) -> None:
    """With a definition that has mistakes no server could start it."""
    why = "its definition has mistakes"
    requests.refuse(draft, why)
    handover.advance(draft, situation)
    if draft.node is None or (draft.node.parked is None and situation.host(draft.node.server) is None):
        situation.waiting[draft.name] = why


def _bring_up_to_date(draft: Draft, situation: Situation) -> None:
    restart = requests.asked(draft, "restart")
    if restart is not None:
        requests.restart(draft, restart)
    else:
        failures.unpark(draft)
    handover.advance(draft, situation)
    if restart is None:
        failures.take_in(draft, situation)
    if draft.wants == "nothing" and (draft.node is None or draft.node.parked is None):
        _look_where(draft, situation)


def _look_where(draft: Draft, situation: Situation) -> None:
    """Whether it needs a server, or another one."""
    node = draft.node
    host = situation.host(node.server) if node else None
    if host is None:
        gone = f"{node.server} is gone" if node and node.server else "not on a server"
        draft.want("server", gone if node else "new")
    elif node is not None and node.next is None and (unfit := situation.unfit(host, draft.instance)):
        draft.want("next", unfit)
