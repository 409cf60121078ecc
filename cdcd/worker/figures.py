"""Keeps an instance's metrics in step with its decoder and sink; a dump's own counters begin at zero each time."""

import time

from cdcd.binlog.core.native import Decoder
from cdcd.binlog.position import PositionRecord
from cdcd.observe.metrics import InstanceMetrics
from cdcd.worker.stream import Stream

STEP_LIMIT = 3.0
"""Seconds without a step after which "caught up" is no longer believed: a commit may hang, and more have come meanwhile."""


class Figures:
    """What operators see of the pump. The hot thread writes, a scrape reads; neither waits for the other."""

    def __init__(self, metrics: InstanceMetrics) -> None:
        self.metrics = metrics
        self.last_record: PositionRecord | None = None
        """The newest record handed to Kafka in this holding."""
        self._seen: dict[str, int] = {}
        self._caught_up = False
        self._fresh_at: float | None = None
        """Everything committed on the source before this time (Unix seconds) is published."""

    def new_dump(self) -> None:
        """A dump begins: its decoder counts from zero."""
        self._seen = {}
        self.last_record = None

    def read(self) -> InstanceMetrics:
        """For a scrape. The lag also grows while the pump waits for Kafka, or is not running at all."""
        now = time.time()
        self.metrics.lag_seconds = self.lag(now)
        held = () if self.last_record is None else self.last_record.position.held
        self.metrics.held_transactions = len(held)
        oldest = min((each.since_ms for each in held), default=None)
        self.metrics.held_oldest_seconds = None if oldest is None else max(0.0, now - oldest / 1000)
        return self.metrics

    def lag(self, now: float) -> float | None:
        """Seconds; None before anything is known."""
        if self._fresh_at is None:
            return None
        age = max(0.0, now - self._fresh_at)
        return 0.0 if self._caught_up and self.metrics.source_connected and age < STEP_LIMIT else age

    def look(self, stream: Stream, *, caught_up: bool) -> None:
        """After each step; `caught_up`: the source has nothing more and all that it sent is published."""
        decoder, metrics = stream.decoder, self.metrics
        self._caught_up = caught_up
        if caught_up:
            self._fresh_at = time.time()
        metrics.source_received_bytes += self._since("received", stream.received_bytes)
        metrics.blocked_seconds["source"] = metrics.blocked_seconds["source"] + stream.take_waited()
        metrics.transactions += self._since("transactions", decoder.transactions)
        metrics.rows["insert"] += self._since("inserts", decoder.inserts)
        metrics.rows["update"] += self._since("updates", decoder.updates)
        metrics.rows["delete"] += self._since("deletes", decoder.deletes)
        metrics.rows_filtered += self._since("filtered", decoder.filtered)
        metrics.transaction_bytes = decoder.transaction_length if decoder.in_transaction else 0
        metrics.transaction_read_bytes = decoder.transaction_done if decoder.in_transaction else 0
        self._ignored(decoder)

    def committed(self, stream: Stream, record: PositionRecord, records: int, size: int, seconds: float) -> None:
        """After each checkpoint with so many messages in it, which took so long."""
        metrics, decoder = self.metrics, stream.decoder
        self.last_record = record
        metrics.published_records += records
        metrics.published_bytes += size
        metrics.kafka_transactions["committed"] += 1
        metrics.blocked_seconds["commit"] += seconds
        metrics.checkpoint = record.ts_ms / 1000
        ended = self._since("committed", decoder.transactions)
        if not ended:
            return
        committed_at = decoder.commit_us / 1e6
        # A source whose clock is ahead must not make the lag zero until our clock is there.
        self._fresh_at = max(self._fresh_at or 0.0, min(time.time(), committed_at))
        if records:
            metrics.latency.observe(max(0.0, time.time() - committed_at), ended)

    def _since(self, name: str, value: int) -> int:
        before = self._seen.get(name, 0)
        self._seen[name] = value
        return value - before

    def _ignored(self, decoder: Decoder) -> None:
        for kind, count in decoder.ignored.items():
            ignored = self.metrics.ignored_events
            ignored[str(kind)] = ignored.get(str(kind), 0) + self._since(f"ignored {kind}", count)
