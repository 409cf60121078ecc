"""What the scheduler should write: a pure function of the snapshot."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from cdcd.fleet.definitions import Reading
from cdcd.fleet.plan import Change, Plan, PlannedInstance, Policy, plan
from cdcd.fleet.server_ids import choose
from cdcd.fleet.snapshot import Snapshot


def decide(snapshot: Snapshot, now: float, policy: Policy, since: float) -> Plan:
    """What should be written now; pure. `since`: when the scheduler was elected."""
    instances = {name: _planned(snapshot, name, reading) for name, reading in snapshot.definitions.items()}
    drafted = plan(instances, snapshot.servers, snapshot.schedule, now, policy, since)
    return replace(drafted, changes=tuple(_numbered(snapshot, drafted.changes)))


def _planned(snapshot: Snapshot, name: str, reading: Reading) -> PlannedInstance:
    request, standby = snapshot.requests.get(name), snapshot.standby.get(name)
    runner = snapshot.running.get(name)
    if request is None and standby is None and runner is None:
        return reading.planned
    ready = None if standby is None else (standby.server, standby.generation)
    return replace(reading.planned, request=request, runner=runner, standby=ready)


def _numbered(snapshot: Snapshot, changes: Iterable[Change]) -> Iterator[Change]:
    """The changes with each instance's MySQL server_id; and schedule nodes that contradict the registry, mended."""
    owned = {instance: number for number, instance in sorted(snapshot.server_ids.items(), reverse=True) if instance}
    taken = set(snapshot.server_ids)

    def number(instance: str) -> int:
        if instance not in owned:
            owned[instance] = choose(snapshot.cluster, instance, taken)
            taken.add(owned[instance])
        return owned[instance]

    changed = set()
    for change in changes:
        changed.add(change.instance)
        node = change.node
        yield change if node is None else replace(change, node=replace(node, server_id=number(change.instance)))
    for instance in sorted(snapshot.schedule.keys() - changed):
        node = snapshot.schedule[instance]
        if instance in snapshot.definitions and owned.get(instance) != node.server_id:
            mended = replace(node, server_id=number(instance))
            yield Change(instance, mended, f"its MySQL server_id is {mended.server_id}, as the registry says")
