"""How old the oldest change is that the source has committed and readers cannot see yet. Pure: reads no clock.

All times are Unix seconds of this host's clock; what the source's clock says is corrected before it comes here. Three
things bound a commit's time: its own stamp (on some servers that of the statement's start, in whole seconds), the last moment
when the source had nothing more (then it was not committed yet), and now.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from cdcd.binlog.position import PositionRecord


@dataclass(frozen=True, slots=True)
class Handed:
    """One checkpoint that was handed to the sink."""

    record: PositionRecord
    at: float
    oldest: float | None
    """When the oldest transaction in it was committed; None: it holds none."""
    newest: float | None
    """Once readers see it, everything committed before this is published."""
    transactions: int
    records: int


class Age(NamedTuple):
    """One answer, for readers in other threads."""

    since: float | None = None
    """Everything committed before this is published; None: not known yet."""
    caught_up: bool = False
    """The source had nothing more when this was found."""
    waits_since: float | None = None
    """When the oldest checkpoint was handed to Kafka that readers do not see yet."""


class Freshness:
    """Of one instance, over all its dumps. One thread writes."""

    def __init__(self) -> None:
        self.age = Age()
        self._known: float | None = None
        self._read: float | None = None
        """When the oldest transaction was committed that was read and is in no checkpoint."""
        self._handed: deque[Handed] = deque()

    @property
    def waits(self) -> bool:
        """Whether readers do not see yet what was handed to Kafka."""
        return bool(self._handed)

    def new_dump(self) -> None:
        """What waited for its checkpoint will be read again."""
        self._known, self._read = self.age.since, None
        self._handed.clear()
        self.tell()

    def read(self, committed_at: float, now: float) -> None:
        """A transaction has begun; only the first since the last checkpoint counts."""
        if self._read is None:
            self._read = self._bounded(committed_at, now)

    def settled(self, newest: float | None, now: float, *, inside: bool) -> None:
        """Nothing of what was read waits for a checkpoint. `newest`: when the last transaction was committed; `inside`: it
        has not ended.
        """
        bounded = None if newest is None else self._bounded(newest, now)
        if not self._handed and bounded is not None:
            self._known = bounded
        self._read = bounded if inside else None

    def hand(
        self, record: PositionRecord, newest: float, now: float, transactions: int, records: int, *, inside: bool
    ) -> None:
        """A checkpoint holds all that was read, except the open transaction, in which we are if `inside`."""
        bounded = self._bounded(newest, now) if newest else None
        self._handed.append(Handed(record, now, self._read or bounded, bounded, transactions, records))
        self._read = bounded if inside else None

    def visible(self, record: PositionRecord | None) -> Iterator[Handed]:
        """Readers see everything up to `record`: those that were not seen before."""
        if not any(handed.record is record for handed in self._handed):
            return
        while self._handed:
            handed = self._handed.popleft()
            self._known = max(self._known or 0.0, handed.newest) if handed.newest else self._known
            yield handed
            if handed.record is record:
                return

    def tell(self, now: float | None = None) -> None:
        """`now`: the source has nothing more at this moment."""
        caught_up = now is not None and not self._handed and self._read is None
        if caught_up:
            self._known = now
        self.age = Age(self._since(), caught_up, self._handed[0].at if self._handed else None)

    def _since(self) -> float | None:
        for handed in self._handed:
            if handed.oldest is not None:
                return handed.oldest
        return self._known if self._read is None else self._read

    def _bounded(self, committed_at: float, now: float) -> float:
        return min(now, max(committed_at, self._known or 0.0))
