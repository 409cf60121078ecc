"""What a server and its worker processes tell each other, over one duplex pipe.

The worker's end closes when it ends, the server's when the server ends: a worker that reads end of file stops as on
SIGTERM, and ends hard 2 s later.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from cdcd.config.settings import Settings
from cdcd.errors import Finding
from cdcd.observe.metrics import InstanceMetrics

Ending = Literal["stopped", "handed_over", "not_owner", "replaced", "parked", "gave_up"]
"""Why a worker ended by itself. `not_owner`: lock or schedule say so; `parked`: a finding of class operator;
`gave_up`: a finding of class retry that did not go away before the instance ever ran here."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a worker process is started with; it reads definition and schedule node from ZooKeeper by itself."""

    instance: str
    settings: Settings
    server_id: int
    """MySQL server_id of its dumps."""
    restarts: int
    """`Schedule.restarts` that it was started for."""


# ---------------------------------------------------------------- server -> worker


@dataclass(frozen=True, slots=True)
class Stop:
    """Store the position, let go of the lock, end."""


@dataclass(frozen=True, slots=True)
class LogLevel:
    """Log this level and above from now on."""

    level: str
    """debug, info, warning or error."""


# ---------------------------------------------------------------- worker -> server


@dataclass(frozen=True, slots=True)
class Hello:
    """First message: its ZooKeeper session, for the server to close when it has reaped the process."""

    session_id: int
    password: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Report:
    """Each second, each five where there is nothing to do, and at once at a change of state."""

    metrics: InstanceMetrics
    status: dict[str, Any]
    """As in `/status`; also says `role`: waiting, standby or owner."""
    log_lines_dropped: int = 0
    """By this process so far."""


@dataclass(frozen=True, slots=True)
class Farewell:
    """Last message before it ends; a worker that ends without one has crashed."""

    ending: Ending
    reason: str
    finding: Finding | None = None
