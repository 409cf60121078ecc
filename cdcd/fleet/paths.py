"""Every path of the tree, below the chroot (docs/coordination.md says what stands there and who writes it)."""

from collections.abc import Callable

from cdcd.config.fields import check_name

OfName = Callable[[str], str]
"""One of the functions below: a legal name -> its path. ValueError for any other name."""

CLUSTER = "/cluster"
INSTANCES = "/instances"
DRAINED = "/drained"
REQUESTS = "/requests"
SCHEDULE = "/schedule"
ASSIGNED = "/assigned"
SERVER_IDS = "/server_ids"
SCHEDULER = "/scheduler"
LEADER = "/scheduler/leader"
SCHEDULER_EPOCH = "/scheduler/epoch"
LOAD = "/load"
SERVERS = "/servers"
STATE = "/state"

FOLDERS = (INSTANCES, DRAINED, REQUESTS, SCHEDULE, ASSIGNED, SERVER_IDS, SCHEDULER, LOAD, SERVERS, STATE)
"""Made by the first server."""


def definition(instance: str) -> str:
    return f"{INSTANCES}/{check_name(instance)}"


def drained(server: str) -> str:
    return f"{DRAINED}/{check_name(server)}"


def request(instance: str) -> str:
    return f"{REQUESTS}/{check_name(instance)}"


def schedule(instance: str) -> str:
    """The schedule node."""
    return f"{SCHEDULE}/{check_name(instance)}"


def assigned(server: str) -> str:
    """Names of the instances whose schedule nodes name the server: where it looks, the schedule nodes decide."""
    return f"{ASSIGNED}/{check_name(server)}"


def server_id(number: int) -> str:
    return f"{SERVER_IDS}/{number}"


def load(server: str) -> str:
    """The load-balance node's child of a server."""
    return f"{LOAD}/{check_name(server)}"


def server(server: str) -> str:
    return f"{SERVERS}/{check_name(server)}"


def state(instance: str) -> str:
    return f"{STATE}/{check_name(instance)}"


def running(instance: str) -> str:
    """The lock."""
    return f"{state(instance)}/running"


def standby(instance: str) -> str:
    return f"{state(instance)}/standby"


def epoch(instance: str) -> str:
    return f"{state(instance)}/epoch"


def position(instance: str) -> str:
    """The mirror of the position; the position topic decides."""
    return f"{state(instance)}/position"


def status(instance: str) -> str:
    return f"{state(instance)}/status"
