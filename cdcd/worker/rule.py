"""When a Kafka transaction is committed: a pure decision (design.md section 2, "Commit rule")."""

from dataclasses import dataclass

POSITION_INTERVAL = 1.0
"""Seconds after which the position is stored although nothing was published."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What the decision depends on."""

    now: float
    """Monotonic seconds, as the two below."""
    last_commit: float
    open_since: float | None
    """When the first message was written that no checkpoint covers; None: there is none."""
    open_bytes: int
    at_boundary: bool
    """Between two transactions of the source."""
    rows_done: int
    """Row changes handled of the open one."""
    idle: bool
    """The source has nothing more to read."""
    moved: bool
    """The position is ahead of the stored one."""


@dataclass(frozen=True, slots=True)
class CommitRule:
    """Caught up: at once, but not more often than `min_interval`. Behind: in portions."""

    min_interval: float
    max_interval: float
    max_bytes: int
    part_interval: float
    """Longest time inside one source transaction: a quarter of Kafka's transaction time-out, so that a source that
    stalls in the middle does not hold back readers."""

    def wants_boundary(self, now: float, open_since: float | None, open_bytes: int) -> bool:
        """Whether decoding should stop at the next end of a transaction, for a commit there."""
        if open_since is None:
            return False
        return open_bytes >= self.max_bytes or now - open_since >= self.max_interval

    def due(self, at: Moment) -> bool:
        """Whether to commit now: between transactions the whole, inside one a part."""
        if at.at_boundary:
            return self._whole_due(at)
        if at.open_since is None or at.rows_done == 0:
            return False
        return at.open_bytes >= self.max_bytes or at.now - at.open_since >= self.part_interval

    def _whole_due(self, at: Moment) -> bool:
        if at.open_since is None:
            return at.moved and at.now - at.last_commit >= POSITION_INTERVAL
        if self.wants_boundary(at.now, at.open_since, at.open_bytes):
            return True
        return at.idle and at.now - at.last_commit >= self.min_interval

    def patience(
        self, now: float, last_commit: float, open_since: float | None, *, at_boundary: bool, longest: float
    ) -> float:
        """Seconds to wait for the source before looking again."""
        if open_since is None or not at_boundary:
            return longest
        return max(0.0, min(longest, last_commit + self.min_interval - now))
