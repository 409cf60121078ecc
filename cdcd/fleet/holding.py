"""What a process knows of the lock it holds: written by its keeper and kazoo's thread, asked by its hot thread before each commit."""

import threading
from typing import Literal

from cdcd.errors import HoldingLost, NotOwner
from cdcd.fleet.connection import boottime
from cdcd.fleet.lease import Lease
from cdcd.fleet.session import Stored

Role = Literal["waiting", "standby", "owner"]


class Holding:
    """One lock after the other of one process; no I/O. `over` is for good, `doubt` until ZooKeeper has confirmed the lock."""

    def __init__(self) -> None:
        self.role: Role = "waiting"
        self.lock: Stored | None = None
        self.epoch: tuple[int, int] | None = None
        """The epoch and the version of its node."""
        self.over: str | None = None
        self._doubt: str | None = "the lock was not taken yet"
        self._doubts = 0
        self._doubting = threading.Lock()
        self._lease = Lease()
        self._heard = True
        """Whether the hot thread knows that it may not publish."""
        self._unheard_since: float | None = None

    # ---------------------------------------------------------------- asked by the hot thread

    def check(self) -> None:
        """NotOwner if it is over, HoldingLost if the lock has to be confirmed first."""
        over, doubt = self.over, self._doubt
        if over is None and doubt is None and self._lease.left(boottime()) > 0:
            return
        self._heard = True
        if over is not None:
            raise NotOwner(over)
        raise HoldingLost(doubt or "the lease is over: ZooKeeper has not confirmed the lock in time")

    def refuse_if_over(self) -> None:
        if self.over is not None:
            raise NotOwner(self.over)

    def hear(self) -> None:
        """The hot thread does not publish now."""
        self._heard = True

    # ---------------------------------------------------------------- told

    @property
    def doubts(self) -> int:
        """How often it was doubted: what was asked before a doubt does not end it."""
        return self._doubts

    def doubt(self, reason: str) -> None:
        with self._doubting:
            self._doubt, self._doubts = reason, self._doubts + 1

    def begin(self, lock: Stored) -> None:
        """The lock is ours; its epoch is still to be claimed."""
        self.lock, self.epoch, self.role = lock, None, "owner"

    def confirmed(self, sent: float, timeout: float, doubts: int) -> bool:
        """A request sent at `sent`, after that many `doubts`, has shown our lock. Whether it ends the doubt."""
        self._lease.extend(sent, timeout)
        with self._doubting:
            if self._doubts == doubts:
                self._doubt = None
            self._heard = self._doubt is not None
            return self._doubt is None

    def extend(self, sent: float, timeout: float) -> None:
        """As `confirmed`, but doubt stays: it is the hot thread that has to see it."""
        self._lease.extend(sent, timeout)

    def end(self, reason: str) -> None:
        """For good."""
        self.over, self.role, self.lock = reason, "waiting", None
        self._lease.end()

    def is_lock(self, found: Stored | None, session: int) -> bool:
        """Whether that node is the lock that is held here."""
        held = self.lock
        return held is not None and found is not None and (found.owner, found.created) == (session, held.created)

    def unheard(self, patience: float) -> bool:
        """Whether the hot thread has not asked for `patience` seconds, and should have: it looks all the time, unless it hangs."""
        now = boottime()
        if self._heard or self._lease.left(now) > 0:  # the end of a holding ends its lease
            self._unheard_since = None
        elif self._unheard_since is None:
            self._unheard_since = now
        elif now - self._unheard_since > patience:
            self._heard = True
            return True
        return False
