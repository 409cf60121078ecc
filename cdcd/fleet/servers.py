"""The fleet's servers as the plan takes them: who lives, what each carries, what it says of its instances."""

import math
from collections.abc import Mapping
from dataclasses import replace

from cdcd.fleet import paths
from cdcd.fleet.nodes import InstanceLoad, Load, Schedule, Server
from cdcd.fleet.plan import PlannedServer
from cdcd.fleet.reading import TreeReader


class Servers:
    """Remembers the last load of each that could be understood: garbage there takes no server's instances away."""

    def __init__(self) -> None:
        self._loads: dict[str, Load] = {}

    def read(self, tree: TreeReader, schedule: Mapping[str, Schedule]) -> dict[str, PlannedServer]:
        registered, reported = tree.nodes(paths.SERVERS), tree.nodes(paths.LOAD)
        drained = tree.names(paths.DRAINED).legal.values()
        loads = _loads(tree)
        gone = {name: _gone(load, reported[name].changed_at) for name, load in loads.items()}
        self._loads = {name: load for name, load in self._loads.items() if name in registered} | loads
        known = tree.decoded(Server, paths.SERVERS)
        made = {
            name: _live(node.changed_at, known.get(name), self._loads.get(name)) for name, node in registered.items()
        }
        for name in made.keys() & set(drained):
            made[name] = replace(made[name], draining=True)
        for name in made.keys() - self._loads.keys():
            # Nothing is known of it yet: it keeps what it has, and gets no more.
            made[name] = replace(made[name], max_instances=sum(node.names(name) for node in schedule.values()))
        return gone | made


def _loads(tree: TreeReader) -> dict[str, Load]:
    loads = tree.decoded(Load, paths.LOAD)
    nonsense = {name for name, load in loads.items() if not 0 < load.capacity < math.inf}
    tree.garbage |= {paths.load(name) for name in nonsense}
    return {name: load for name, load in loads.items() if name not in nonsense}


def _live(since: float, server: Server | None, load: Load | None) -> PlannedServer:
    """A registration with garbage in it is one all the same."""
    versions = server.definitions if server is not None else (1,)
    planned = _gone(load or Load(0.0, 1.0), since)
    return replace(planned, alive=True, draining=load is not None and load.stopping, versions=versions)


def _gone(load: Load, since: float) -> PlannedServer:
    return PlannedServer(
        alive=False,
        since=since,
        capacity=load.capacity,
        labels=load.labels,
        max_instances=load.max_instances,
        instances={name: _plausible(each) for name, each in load.instances.items()},
        failures=load.failures,
    )


def _plausible(load: InstanceLoad) -> InstanceLoad:
    """Rates that a broken server or a hand wrote must not turn the balance upside down."""
    if load.bytes_per_second >= 0 and load.rows_per_second >= 0:
        return load
    return replace(load, bytes_per_second=0.0, rows_per_second=0.0, measured=0.0)
