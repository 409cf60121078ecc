"""What operators put into `/instances`, as the scheduler takes it: any bytes at all come in, each change is read once."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from cdcd.config.definition import VERSION, Definition, load_definition
from cdcd.config.document import parse_document
from cdcd.errors import InvalidConfig, Problem
from cdcd.fleet.plan import PlannedInstance
from cdcd.fleet.session import Stored


@dataclass(frozen=True, slots=True)
class Reading:
    """A definition as it stands."""

    planned: PlannedInstance
    """Without what is not in the definition: request, runner and standby."""
    node_version: int
    """Of the node in ZooKeeper: a write that rests on this reading checks it."""
    problems: tuple[Problem, ...] = ()
    """Not empty: it does not validate."""


UNREADABLE = Reading(
    PlannedInstance(0, valid=False), -1, (Problem("", "ZooKeeper's access control list does not let cdcd read it"),)
)
"""A definition in a node that somebody made for himself alone."""


class Definitions:
    """Remembers each reading until the node changes: a bad definition, of 1 MB even, costs its parsing once."""

    def __init__(self) -> None:
        self._readings: dict[str, Reading] = {}

    def read(self, stored: Mapping[str, Stored]) -> dict[str, Reading]:
        """Readings of all definitions there are, by name; the names are legal."""
        self._readings = {name: self._reading(name, node) for name, node in stored.items()}
        return dict(self._readings)

    def _reading(self, name: str, node: Stored) -> Reading:
        known = self._readings.get(name)
        if known is not None and known.planned.changed == node.changed:
            return known
        return read_definition(name, node)


def read_definition(name: str, node: Stored) -> Reading:
    """Never raises: whatever somebody wrote there concerns this instance alone."""
    try:
        definition = load_definition(node.data, name)
    except InvalidConfig as error:
        return _later(name, node) or _invalid(node, error.problems)
    except Exception as error:  # noqa: BLE001 - one definition that nobody thought of must not stop all others
        structlog.get_logger().exception(
            "definition.unreadable", sync_instance=name, reason="a defect of cdcd: please report it with the definition"
        )
        return _invalid(node, (Problem("", f"cannot be read ({type(error).__name__})"),))
    if definition.name != name:
        return _invalid(node, (_misplaced(name),))
    return Reading(_planned(node, definition), node.version)


def _planned(node: Stored, definition: Definition) -> PlannedInstance:
    placement = definition.placement
    return PlannedInstance(
        node.changed,
        paused=definition.paused,
        version=definition.version,
        weight=None if placement.weight == "auto" else placement.weight,
        require=placement.require,
        prefer=placement.prefer,
    )


def _invalid(node: Stored, problems: tuple[Problem, ...]) -> Reading:
    return Reading(PlannedInstance(node.changed, valid=False), node.version, problems)


def _misplaced(name: str) -> Problem:
    return Problem("name", f"must be `{name}`, the name of its node in /instances")


def _later(name: str, node: Stored) -> Reading | None:
    """A definition of a later version, for servers that know it: of its fields only those that say whether and where."""
    try:
        fields: dict[str, Any] = parse_document(node.data, name)
    except InvalidConfig:
        return None
    version = fields.get("version")
    if type(version) is not int or version <= VERSION:
        return None
    if fields.get("name") != name:
        return _invalid(node, (_misplaced(name),))
    placement = fields.get("placement")
    wishes: Mapping[str, Any] = placement if isinstance(placement, dict) else {}
    planned = PlannedInstance(
        node.changed,
        paused=fields.get("paused") is True,
        version=version,
        require=_labels(wishes.get("require")),
        prefer=_labels(wishes.get("prefer")),
    )
    return Reading(planned, node.version)


def _labels(value: object) -> dict[str, str]:
    members: Iterable[tuple[object, object]] = value.items() if isinstance(value, dict) else ()
    return {key: label for key, label in members if isinstance(key, str) and isinstance(label, str)}
