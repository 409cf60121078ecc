"""What a step of the model is, what it may break, what may be left out of the protocol, and how large the world is."""

from enum import Enum
from typing import Literal, NamedTuple

from tests.model.state import State

Invariant = Literal[
    "rows exactly once, in order",
    "the position is that of the rows",
    "no older epoch after a newer one",
    "one epoch, one holding",
    "the epoch node only grows",
    "no rows of an older holding after a newer one has begun",
    "without the lock at most one init and one commit",
    "no dump without the lock",
    "no stop without a standby",
    "no start beside a standby that is to take over",
    "nobody removes another's lock",
    "never stuck",
    "a hand-over can be completed",
]

Protection = Literal[
    "the schedule decides who runs",
    "the epoch is above the epoch node",
    "the epoch is above the lock's czxid",
    "the epoch is above the newest record",
    "the epoch is claimed in the lock's session",
    "the epoch is written by compare-and-set",
    "lock and lease are checked before init",
    "a waiting successor does not init",
    "init comes before the position is read",
    "the position is read up to the watermark",
    "an unreached watermark leads back to init",
    "a newer epoch's record ends the older owner",
    "an equal epoch's record of another nonce ends the older owner",
    "the claim is committed before the dump",
    "the lock is checked before the dump",
    "lock and lease are checked before each commit",
    "rows and position are one transaction",
    "an unknown result leads to a new producer",
    "an unknown result leads to the stored position",
    "an unknown result leads to the comparison of epochs",
    "being fenced leads to the stored position",
    "being fenced leads to the comparison of epochs",
    "brokers verify transactions",
    "the owner waits for the standby",
    "the release checks the standby",
    "the standby node carries the present generation",
    "the taker of the lock removes its standby",
    "no restart while a standby is to take over",
    "a dead worker's session is closed, not its lock deleted",
]
"""A protective step of docs/coordination.md. The model can leave out any of them."""


class Kind(Enum):
    """What has to go wrong for a step to happen."""

    NORMAL = 0
    FAILURE = 1
    TIMEOUT = 2
    """transaction.timeout.ms has to pass."""
    GIVEN_UP = 3
    """The scheduler gives up a hand-over, or a server."""


class Step(NamedTuple):
    label: str
    state: State
    kind: Kind = Kind.NORMAL
    broken: tuple[Invariant, ...] = ()
    """What this very step breaks. The last two invariants are about the whole graph."""


class Bounds(NamedTuple):
    """How large the explored world is."""

    rows: int = 2
    workers: int = 2
    locks: int = 2
    """Failures happen only while fewer were ever taken: this bounds holdings and epochs."""
    handovers: int = 0
    rebuilds: int = 0
    """Of ZooKeeper, with nothing in it."""
    latest: bool = False
    """The start is wherever the source is when somebody looks; else it is before the first row."""
    czxid: int = 0
    """Transaction id of ZooKeeper at the beginning."""
