"""Who is the scheduler, and the fence around its writes.

The ephemeral node `/scheduler/leader` says who it is. Who has won it raises `/scheduler/epoch` by compare-and-set, and
every write of the term checks that node's version: a scheduler that was stopped and comes back late writes nothing.
"""

from dataclasses import dataclass

import structlog

from cdcd.errors import CdcdError
from cdcd.fleet import paths
from cdcd.fleet.cache import Cache
from cdcd.fleet.nodes import Epoch, decode, encode
from cdcd.fleet.session import Check, Operation, Session


class TermOver(CdcdError):
    """Another scheduler was elected, or the session of this one is over: nothing was written."""


@dataclass(frozen=True, slots=True)
class Term:
    """One time of being the scheduler."""

    session: Session
    session_id: int
    """That won the election."""
    number: int
    version: int
    """Of `/scheduler/epoch`, as the term began."""

    def write(self, *operations: Operation) -> bool:
        """All or none; False: one of them was refused (an older version than yours stands there: read again).

        TermOver: this is the scheduler no longer. ZooKeeperAway: not known whether it was written.
        """
        if self.session.id != self.session_id:
            raise TermOver("the session that won the election is over")
        if self.session.multi(Check(paths.SCHEDULER_EPOCH, self.version), *operations):
            return True
        self.confirm()
        return False

    def confirm(self) -> None:
        """Ask ZooKeeper. TermOver if another scheduler was elected."""
        found = self.session.get(paths.SCHEDULER_EPOCH, confirmed=True)
        if found is None or found.version != self.version or self.session.id != self.session_id:
            raise TermOver(f"term {self.number} is over, another scheduler was elected")


class Election:
    """A server's part in it; for one thread. Reads through `cache`, so that a tick without news costs no request."""

    def __init__(self, session: Session, cache: Cache, server_id: str) -> None:
        self._session = session
        self._cache = cache
        self._server_id = server_id
        self._term: Term | None = None
        self._log = structlog.get_logger()

    def campaign(self) -> Term | None:
        """The term if this server is the scheduler, else None. Call it at each tick.

        A new term is another object: the scheduler that sees one reads everything anew.
        """
        leader = self._cache.node(paths.LEADER)
        if leader is None:
            self._cache.forget((paths.LEADER,))
            self._session.create(paths.LEADER, self._server_id.encode(), ephemeral=True)
            leader = self._cache.node(paths.LEADER)
        if leader is None or leader.owner != self._session.id:
            self._end("another server is the scheduler")
        elif self._term is None or self._term.session_id != self._session.id:
            self._begin()
        return self._term

    def lost(self) -> None:
        """The term is over, as a write has said (TermOver): the next `campaign` begins anew."""
        self._end("its epoch was raised by another")
        self._cache.distrust()

    def resign(self) -> None:
        """Let another server be the scheduler at once."""
        if self._term is None:
            return
        self._end("stopping")
        leader = self._session.get(paths.LEADER)
        if leader is not None and leader.owner == self._session.id:
            self._session.delete(paths.LEADER)

    def _begin(self) -> None:
        """By compare-and-set: of two that believe to have won one gets it, the other sees it at its first write."""
        me = self._session.id
        found = self._session.get(paths.SCHEDULER_EPOCH, confirmed=True)
        if found is None:
            self._session.create(paths.SCHEDULER_EPOCH, encode(Epoch(0)))
            found = self._session.get(paths.SCHEDULER_EPOCH)
        if found is None or not me:
            return
        before = decode(Epoch, found.data)
        # Garbage: somebody wrote there by hand. The version is the fence, the number is for people.
        number = (before.epoch if before else found.version) + 1
        if self._session.set(paths.SCHEDULER_EPOCH, encode(Epoch(number)), found.version):
            self._term = Term(self._session, me, number, found.version + 1)
            self._log.info("scheduler.elected", server=self._server_id, reason=f"term {number}")

    def _end(self, reason: str) -> None:
        if self._term is not None:
            self._log.info("scheduler.ended", server=self._server_id, reason=f"term {self._term.number}: {reason}")
            self._term = None
