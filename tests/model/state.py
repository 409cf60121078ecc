"""What the model keeps of the world: one instance, its nodes in ZooKeeper, its topics in Kafka, and its workers."""

from typing import Literal, NamedTuple

At = Literal[
    "down",
    "standing by",
    "waiting",
    "peeking",
    "claiming the epoch",
    "confirming",
    "fencing",
    "reading",
    "claiming",
    "committing the claim",
    "confirming the dump",
    "streaming",
    "producing",
    "checking the lease",
    "committing",
    "unsure",
    "fenced",
    "releasing",
    "reaping",
]
"""The next thing that a worker does; `reaping` is of its server, once it is dead."""

Session = Literal["alive", "over", "left"]
"""Of a worker's ZooKeeper session: `over` with the worker still running makes a zombie, `left` is a dead worker's."""


class Lock(NamedTuple):
    """The node `running`. `holding` counts the locks ever taken."""

    worker: int
    holding: int
    czxid: int


class Standby(NamedTuple):
    worker: int
    generation: int


class EpochNode(NamedTuple):
    value: int = 0
    version: int = 0


class Schedule(NamedTuple):
    """Worker i runs on server i, so servers are named by the same numbers."""

    server: int = 0
    next: int | None = None
    generation: int = 0

    def names(self, server: int) -> bool:
        return server in (self.server, self.next)


class ZooKeeper(NamedTuple):
    schedule: Schedule = Schedule()
    lock: Lock | None = None
    standby: Standby | None = None
    epoch: EpochNode = EpochNode()
    czxid: int = 0
    rebuilds: int = 0
    """How often it may still be wiped and built anew."""


class Record(NamedTuple):
    """A position record. `position`: so many rows are published. `holding` stands for the nonce."""

    epoch: int = 0
    position: int = 0
    holding: int = 0


class Transaction(NamedTuple):
    """What a producer has sent and not committed: `rows` rows after the first `base`, and perhaps a position record."""

    base: int
    rows: int
    record: Record | None
    epoch: int
    holding: int


class Kafka(NamedTuple):
    current: int | None = None
    """Worker whose producer initialised last: everybody else is fenced. None: the coordinator fenced that one too."""
    open: Transaction | None = None
    late: bool = False
    """An EndTxn(commit) of the current producer is still under way."""
    stray: bool = False
    """A row of an aborted transaction has landed behind its abort marker."""
    rows: int = 0
    """Number of the last row that is committed; 0: none is."""
    record: Record = Record()
    """The newest committed one."""
    before: Record = Record()
    """The one before it, if a reader may settle for that (mutation)."""


class Seen(NamedTuple):
    """What has happened, for the invariants and the bounds alone."""

    epoch: int = 0
    """Greatest of a committed record."""
    claimed: int = 0
    """Newest holding that committed a record."""
    fenced: int = 0
    """Newest holding that initialised a producer."""
    locks: int = 0
    """How many were taken."""
    start: int | None = None
    """From there on every row counts: where the first dump began, or what was stored before it."""


class Worker(NamedTuple):
    at: At = "down"
    session: Session = "over"
    holding: int = 0
    epoch: int = 0
    position: int = 0
    """As read or committed by this worker."""
    rows: int = 0
    """In its open transaction."""
    version: int = 0
    """Of the epoch node as it was read."""
    late_inits: int = 0
    late_commits: int = 0
    """Commits of rows since it lost the lock; late_inits: producers initialised since then."""


class State(NamedTuple):
    zookeeper: ZooKeeper
    kafka: Kafka
    seen: Seen
    workers: tuple[Worker, ...]


DOWN = Worker()
