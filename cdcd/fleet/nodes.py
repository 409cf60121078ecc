"""What stands in the tree's nodes, as values: versioned JSON out, and in again whatever somebody wrote there.

Times are Unix seconds. A field that this version does not know is left out of account, so that versions can be mixed.
"""

import functools
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, Literal, TypeVar, cast

import orjson
from pydantic import TypeAdapter, ValidationError

VERSION = 1
"""Of the nodes' form; raised where an older cdcd would misread it."""

Node = TypeVar("Node")


def encode(node: Any) -> bytes:
    """Any node below as JSON, without what is default anyway."""
    return orjson.dumps({"v": VERSION, **_written(node)}, option=orjson.OPT_SORT_KEYS)


def decode(kind: type[Node], data: bytes | None) -> Node | None:
    """The node, or None for garbage, for nothing, and for a form newer than this version knows. Never raises."""
    try:
        members = orjson.loads(data or b"")
        if not isinstance(members, dict) or members.pop("v", VERSION) != VERSION:
            return None
        adapter: TypeAdapter[Node] = _adapter(cast("Any", kind))
        return adapter.validate_python(members)
    except (orjson.JSONDecodeError, ValidationError):
        return None


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _written(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _written(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_written(each) for each in value]
    if not hasattr(value, "__dataclass_fields__"):
        return value
    members = {each: getattr(value, each.name) for each in fields(value)}
    return {each.name: _written(member) for each, member in members.items() if not _left_out(each, member)}


def _left_out(member: "Field[Any]", value: Any) -> bool:
    """Nothing, where nothing is the default. A `server` of none has to be written: it has no default."""
    if value is None:
        return member.default is None
    return value == {} and member.default_factory is not MISSING


# ---------------------------------------------------------------- of the fleet


@dataclass(frozen=True, slots=True)
class Cluster:
    """/cluster"""

    id: str
    """Part of transactional ids and topic names; equals the `cluster` of every server's settings."""


@dataclass(frozen=True, slots=True)
class Server:
    """/servers/<server id>, ephemeral: the server lives."""

    host: str
    pid: int
    since: float
    version: str
    """Of cdcd."""
    http: str = ""
    """`host:port` of /metrics and /status."""
    definitions: tuple[int, ...] = (1,)
    """Versions of definitions that it knows."""
    pid_space: str = ""
    """Where `pid` means what it says: boot and pid namespace. A process there that finds it gone takes its place."""


@dataclass(frozen=True, slots=True)
class InstanceLoad:
    """What one instance costs its server now; smoothed rates."""

    state: str
    """One of cdcd.observe.metrics.STATES, or `waiting` (for the lock) and `standby`."""
    bytes_per_second: float = 0.0
    """Of binlog read."""
    rows_per_second: float = 0.0
    """Row changes read, filtered ones included."""
    measured: float = 0.0
    """Seconds of running that the rates rest on; 0: nothing is known of them."""
    lag_seconds: float | None = None
    epoch: int | None = None
    """Of the holding, while it holds the lock."""


@dataclass(frozen=True, slots=True)
class StartFailure:
    """A server gave up on an instance: the scheduler takes it into the schedule node."""

    code: str
    """Of the finding; `worker-crashed`."""
    kind: Literal["retry", "operator"]
    reason: str
    remedy: str
    at: float
    attempts: int
    generation: int
    """Of the schedule node that it was tried for: an older one's failure is of no interest any more."""


@dataclass(frozen=True, slots=True)
class Load:
    """/load/<server id>, the load-balance node's child: written by that server alone, stays when it is gone."""

    at: float
    capacity: float
    labels: dict[str, str] = field(default_factory=dict)
    max_instances: int | None = None
    stopping: bool = False
    """It is being stopped: hand over what it runs."""
    instances: dict[str, InstanceLoad] = field(default_factory=dict)
    failures: dict[str, StartFailure] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Drained:
    """/drained/<server id>: take no instances."""

    by: str
    at: float
    why: str = ""


@dataclass(frozen=True, slots=True)
class Assigned:
    """/assigned/<server id>: where that server has to look."""

    instances: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ServerIdOwner:
    """/server_ids/<number>: whose MySQL server_id that is."""

    instance: str


# ---------------------------------------------------------------- of an instance


@dataclass(frozen=True, slots=True)
class Request:
    """/requests/<name>: an operator's order; removed by whoever served it."""

    id: str
    kind: Literal["move", "restart", "set_position"]
    by: str
    at: float
    server: str | None = None
    """move: where to."""
    position: dict[str, Any] | str | None = None
    """set_position: what a definition's `start` may be."""


@dataclass(frozen=True, slots=True)
class FailedServer:
    """A server that tried to run the instance and gave up."""

    code: str
    reason: str
    at: float
    until: float
    """So long it is avoided."""
    times: int = 1
    """In a row: each time it is avoided for longer."""
    kind: Literal["retry", "operator"] = "retry"
    """retry: trouble that can end by itself. operator: a crash, or something that this server lacks."""
    generation: int = 0
    """Of the schedule node that it was tried for: each failure counts once."""
    definition: int = 0
    """Transaction id (mzxid) of the definition's last change then: a failure with another definition is forgotten."""


@dataclass(frozen=True, slots=True)
class Parked:
    """Not run anywhere until somebody acts (`cdcctl resume`, or another definition)."""

    code: str
    reason: str
    remedy: str
    at: float
    definition: int
    """Transaction id (mzxid) of the definition's last change then."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """/schedule/<name>, the schedule node: which server should run the instance. Written by the elected scheduler alone."""

    server: str | None
    generation: int
    """Counts the changes of `server` and `next`, and new tries on the same server: a server that gave up on one starts again
    with the next. Begins with the definition's mzxid, so that a node made again never repeats a number."""
    reason: str
    """Of the last change, in words."""
    at: float
    """When that was."""
    next: str | None = None
    """The server that is to take over, during a hand-over."""
    server_id: int = 0
    """MySQL server_id of its dumps, unique in the fleet; 0: none assigned yet."""
    restarts: int = 0
    """Counts restarts that operators asked for: a worker started for a smaller number is restarted."""
    failed: dict[str, FailedServer] = field(default_factory=dict)
    parked: Parked | None = None
    weight: float | None = None
    """What it weighed when it last moved: counts until it is measured where it runs now."""
    moved: float | None = None
    """When it was last moved for balance or by an operator: it stays for a while."""
    definition: int = 0
    """Transaction id (mzxid) of the definition's last change when the generation began."""

    def names(self, server: str) -> bool:
        """Whether `server` is to run it or to stand by for it."""
        return server in (self.server, self.next)


@dataclass(frozen=True, slots=True)
class Running:
    """/state/<name>/running, ephemeral: the lock."""

    server: str
    host: str
    pid: int
    since: float


@dataclass(frozen=True, slots=True)
class Standby:
    """/state/<name>/standby, ephemeral: ready to take over in the hand-over of that generation."""

    server: str
    generation: int


@dataclass(frozen=True, slots=True)
class Epoch:
    """/state/<name>/epoch"""

    epoch: int


@dataclass(frozen=True, slots=True)
class Mirror:
    """/state/<name>/position: a copy for people and tools."""

    epoch: int
    at: float
    record: dict[str, Any]
    """The position record as it stands in the position topic (docs/formats.md)."""


@dataclass(frozen=True, slots=True)
class Status:
    """/state/<name>/status: what the worker, or its server after a crash, or for a bad definition the scheduler says."""

    state: str
    """One of cdcd.observe.metrics.STATES, or `waiting`, `standby`, `stopped`, `invalid`."""
    at: float
    since: float
    server: str = ""
    epoch: int | None = None
    finding: dict[str, str] | None = None
    """code, kind, what, remedy."""
    problems: tuple[dict[str, str], ...] = ()
    """Mistakes of the definition as it stands now, each with `path` and `message`. A worker goes on with the one before."""
    lag_seconds: float | None = None
    activity: str = ""
    """What it was doing at `at`, in words."""
    tables: tuple[str, ...] = ()
    """Effective tables seen so far, at most 200."""
    events: tuple[dict[str, str], ...] = ()
    """The last 50, oldest first: at, event, reason."""
