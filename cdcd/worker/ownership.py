"""Whether this process may publish an instance: asked by the hot thread, answered by ZooKeeper or, standalone, by Kafka alone."""

import secrets
from typing import Literal, Protocol

from cdcd.binlog.position import PositionRecord
from cdcd.fleet.nodes import Request, Status

Order = Literal["hand_over", "leave", "reconfigure"]
"""`hand_over`: the successor stands by. `leave`: the schedule names this server no longer, the lock is still ours.
`reconfigure`: the definition has changed since it was read."""


class Ownership(Protocol):
    """The lock, its lease and its epoch, for one worker process (docs/coordination.md, "Epoch and take-over").

    Every method may raise Stopped; HoldingLost where ownership cannot be confirmed for now (stop publishing at once, then
    `acquire` again); NotOwner where it is over for this process. `check` and `order` do no I/O, the others do.
    """

    @property
    def nonce(self) -> str:
        """Of this process: tells two holdings of one epoch apart."""

    def acquire(self) -> None:
        """Step 1: wait until the lock is this process's own. At once where it is already, and is confirmed."""

    def claim(self, newest: PositionRecord | None) -> int:
        """Step 2: this holding's epoch, above that of `newest` and of every holding before. The same for all of a holding."""

    def confirm(self) -> None:
        """Steps 3 and 6: ask ZooKeeper whether the lock is still ours."""

    def check(self) -> None:
        """Before each commit, and at each step of the pump: lease and session as known here."""

    @property
    def order(self) -> Order | None:
        """What to do at the next transaction boundary; of several the first in the order above."""

    def hand_over(self) -> bool:
        """Remove the lock for the standby, in one checked multi. False where that was refused: `acquire` and go on."""

    def stored(self, record: PositionRecord) -> None:
        """A position was committed; mirrored to ZooKeeper by another thread, soon."""

    def mirrored(self) -> PositionRecord | None:
        """The newest mirror: what is left to go on from if the position topic is lost. Its epoch counts for nothing."""

    def position_request(self) -> Request | None:
        """An operator's order of kind `set_position` that waits to be served; asked while the lock is held."""

    def served(self, request: Request) -> None:
        """Remove that order, which is stored by now. HoldingLost where that is not certain."""


Role = Literal["waiting", "standby", "owner"]


class InFleet(Ownership, Protocol):
    """What ZooKeeper's implementation offers besides, to the process around the instance (process.py).

    Its constructor takes `news: Callable[[], None]`, which it calls, in any thread, whenever `check` or `order` would answer
    otherwise than before: a worker that has nothing to read is woken by it.
    """

    @property
    def role(self) -> Role:
        """What it is now; no I/O."""

    @property
    def session(self) -> tuple[int, bytes]:
        """Id and password of its ZooKeeper session, once `connect` has returned."""

    def connect(self) -> None:
        """Begin the session. ZooKeeperAway where nobody answers: call it again. NotOwner: the schedule names another server."""

    def definition(self) -> bytes | None:
        """The definition as it stands now, None where it is deleted. `order` says `reconfigure` when it has changed since."""

    def tell(self, status: Status) -> None:
        """To be written to the status node by another thread, soon; of several the newest. `close` writes the last one."""

    def close(self) -> None:
        """Write mirror and status once more, let go of lock or standby node, end the session; bounded, never raises."""


class Alone:
    """Standalone: there is no lock; Kafka fences, and the position record's epoch decides."""

    def __init__(self) -> None:
        self.nonce = secrets.token_hex(8)
        self.order: Order | None = None
        self._epoch: int | None = None

    def acquire(self) -> None:
        """Whoever starts last takes over."""

    def claim(self, newest: PositionRecord | None) -> int:
        if self._epoch is None:
            self._epoch = newest.epoch + 1 if newest else 1
        return self._epoch

    def confirm(self) -> None:
        """Nobody to ask."""

    def check(self) -> None:
        """Nothing can be lost here."""

    def hand_over(self) -> bool:
        return False

    def stored(self, record: PositionRecord) -> None:
        """The position topic is all there is."""

    def mirrored(self) -> PositionRecord | None:
        return None

    def position_request(self) -> Request | None:
        return None

    def served(self, request: Request) -> None:
        """There are none."""
