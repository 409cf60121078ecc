"""Stands in for Kafka and the source where a test needs them to fail between two steps, which no real ones do on request."""

import time
from collections.abc import Callable, Sequence

from cdcd.binlog.position import PositionRecord
from cdcd.errors import Finding, Stopped

Message = tuple[str, bytes | None, bytes]
"""(topic, key, value)."""


class MemorySink:
    """A Sink that keeps what a read_committed consumer would see."""

    def __init__(self, before_write: Callable[[], None] = lambda: None) -> None:
        self.open_since: float | None = None
        self.open_bytes = 0
        self.waited = 0.0
        self.durable: PositionRecord | None = None
        self.acknowledged: PositionRecord | None = None
        self.committed: list[Message] = []
        self.commits: list[tuple[int, PositionRecord]] = []
        self.ids: list[bytes] = []
        self.kept: list[tuple[str, bytes, bytes | None]] = []
        self._open: list[Message] = []
        self._keeping: list[tuple[str, bytes, bytes | None]] = []
        self._before_write = before_write

    @property
    def open_records(self) -> int:
        return len(self._open)

    def construct(self) -> None:
        """Nothing to connect."""

    def open(self) -> None:
        """Nothing to fence."""

    def write(
        self,
        topic: str,
        partition: int,
        keys: Sequence[bytes | None],
        values: Sequence[bytes],
        ids: Sequence[bytes] | None = None,
    ) -> None:
        assert partition >= 0
        if self.open_since is None:
            self.open_since = time.monotonic()
        for key, value in zip(keys, values, strict=True):
            self._before_write()
            self._open.append((topic, key, value))
            self.open_bytes += len(value)
        self.ids += ids or ()

    def keep(self, topic: str, facts: Sequence[tuple[bytes, bytes | None]]) -> None:
        if self.open_since is None:
            self.open_since = time.monotonic()
        self._keeping += [(topic, key, value) for key, value in facts]

    def checkpoint(self, record: PositionRecord, *, wait: bool = False) -> None:
        del wait
        self.committed += self._open
        self.commits.append((len(self._open), record))
        self.durable = self.acknowledged = record
        self.kept += self._keeping
        self._open, self._keeping, self.open_since, self.open_bytes = [], [], None, 0

    def poll(self) -> None:
        """Nothing to serve."""

    def close(self, seconds: float) -> bool:
        del seconds
        self._open, self.open_since, self.open_bytes = [], None, 0
        return True


class MemoryDump:
    """A dump that brings these pieces, then nothing, until `stop_at_end` makes it raise Stopped."""

    silent = False

    def __init__(self, pieces: Sequence[bytes], *, stop_at_end: bool = False) -> None:
        self.pieces = list(pieces)
        self._stop_at_end = stop_at_end

    def read(self, timeout: float) -> bytes:
        del timeout
        if not self.pieces and self._stop_at_end:
            raise Stopped("the test's end")
        return self.pieces.pop(0) if self.pieces else b""

    def raise_if_stopped(self) -> None:
        """Only a read stops it."""

    def show(self, packet: bytes) -> None:
        """Nobody looks."""

    def ended(self, packet: bytes) -> Finding:
        return Finding("source-ended", "retry", repr(packet), "")
