"""What every instance and every server does just now, from the tree and the servers' /metrics."""

import re
from dataclasses import dataclass

from deploy.rig.fleet import Fleet
from deploy.rig.tree import TreeAway

_LABEL = re.compile(r'(\w+)="([^"]*)"')


@dataclass(slots=True)
class Shown:
    """One instance. `messages` counts over all workers that it had."""

    name: str
    server: str = "-"
    state: str = "-"
    rate: float = 0.0
    messages: float = 0.0
    lag: float | None = None
    counted: float = 0.0
    """What the present worker says."""

    def take(self, server: str, figures: dict[str, float], state: str, seconds: float) -> None:
        """Figures of the server that runs it."""
        published = figures.get("cdcd_published_records_total", 0.0)
        news = published - self.counted if server == self.server and published >= self.counted else published
        self.server, self.state, self.counted = server, state, published
        self.rate, self.messages = news / seconds, self.messages + news
        self.lag = figures.get("cdcd_lag_seconds")

    def nowhere(self) -> None:
        self.server, self.state, self.rate, self.lag, self.counted = "-", "taken over", 0.0, None, 0.0


class Overview:
    """Looks again whenever asked."""

    def __init__(self, fleet: Fleet, names: list[str]) -> None:
        self._fleet = fleet
        self.instances = {name: Shown(name) for name in names}
        self.servers: dict[str, list[str]] = {}
        """Living server -> the instances that it runs."""

    def look(self, seconds: float) -> None:
        """`seconds` since the last look; what cannot be reached is left as it was."""
        try:
            alive, placed = self._fleet.tree.children("/servers"), self._fleet.placed()
        except TreeAway:
            return
        self.servers = {server: placed.get(server, []) for server in alive}
        running = {name: server for server, names in self.servers.items() for name in names}
        figures = {server: _by_instance(self._fleet.servers[server].metrics()) for server in alive}
        for name, shown in self.instances.items():
            server = running.get(name)
            if server is None:
                shown.nowhere()
            elif name in figures[server]:
                found, state = figures[server][name]
                shown.take(server, found, state, seconds)


def _by_instance(series: dict[str, float]) -> dict[str, tuple[dict[str, float], str]]:
    """Instance -> its figures, those of one name added up, and its state."""
    found: dict[str, tuple[dict[str, float], str]] = {}
    for key, value in series.items():
        name, _, rest = key.partition("{")
        labels = dict(_LABEL.findall(rest))
        if "sync_instance" not in labels:
            continue
        figures, state = found.get(labels["sync_instance"], ({}, "-"))
        figures[name] = figures.get(name, 0.0) + value
        if name == "cdcd_instance_state" and value:
            state = labels["state"]
        found[labels["sync_instance"]] = figures, state
    return found
