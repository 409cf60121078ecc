"""What `cdcctl describe server` says."""

from collections.abc import Iterator

from cdcd.cli.ctl.output import iso, lag_word, or_dash, rate, span
from cdcd.cli.ctl.sections import Section
from cdcd.fleet.nodes import InstanceLoad, Load
from cdcd.fleet.view import Fleet, server_view


def server_sections(fleet: Fleet, name: str, now: float) -> Iterator[Section]:
    """Its state, and each instance that has to do with it."""
    yield f"Server {name}", list(_now(fleet, name, now))
    load = fleet.loads.get(name)
    reported = load.instances if load and name in fleet.servers else {}
    if reported:
        yield (
            "Instances",
            [
                (instance, f"{each.state}, lag {lag_word(each.lag_seconds)}, {_rates(each)}")
                for instance, each in sorted(reported.items())
            ],
        )
    assigned = {each: node for each, node in sorted(fleet.schedule.items()) if node.names(name)}
    if to_begin := [(each, node.reason) for each, node in assigned.items() if each not in reported]:
        yield "Assigned, not begun", to_begin
    if load is not None and load.failures:
        yield "Gave up on", list(_failures(load))


def _now(fleet: Fleet, name: str, now: float) -> Iterator[tuple[str, str]]:
    view, load = server_view(fleet, name), fleet.loads.get(name)
    yield "state", view.state
    if view.reason:
        yield "reason", view.reason
    if view.scheduler:
        yield "elected", "is the scheduler"
    if (server := fleet.servers.get(name)) is not None:
        yield "process", f"pid {server.pid} on {server.host}, cdcd {server.version}, up {span(now - server.since)}"
        yield "HTTP", or_dash(server.http)
    if load is not None:
        most = "no limit" if load.max_instances is None else f"at most {load.max_instances}"
        yield "capacity", f"{load.capacity:g}"
        yield "instances", most
        yield "labels", or_dash(", ".join(f"{key}={value}" for key, value in sorted(load.labels.items())))
        yield "reported", f"{iso(load.at)} ({span(now - load.at)} ago)"


def _rates(load: InstanceLoad) -> str:
    return f"{rate(load.rows_per_second)} rows/s, {rate(load.bytes_per_second)} bytes/s"


def _failures(load: Load) -> Iterator[tuple[str, str]]:
    for instance, failure in sorted(load.failures.items()):
        yield instance, f"{failure.reason} ({failure.code}, {failure.attempts} tries, {iso(failure.at)})"
