"""Keeps an instance's metrics in step with its decoder and sink; a dump's own counters begin at zero each time."""

import time

from cdcd.binlog.core.native import Decoder
from cdcd.binlog.position import PositionRecord
from cdcd.observe.metrics import InstanceMetrics
from cdcd.worker.stream import Stream


class Figures:
    """What operators see of the pump. Reads counters, never waits."""

    def __init__(self, metrics: InstanceMetrics) -> None:
        self.metrics = metrics
        self.last_record: PositionRecord | None = None
        """The newest record handed to Kafka in this holding."""
        self._seen: dict[str, int] = {}

    def new_dump(self) -> None:
        """A dump begins: its decoder counts from zero."""
        self._seen = {}
        self.last_record = None

    def look(self, stream: Stream, *, caught_up: bool) -> None:
        """After each step."""
        decoder, metrics = stream.decoder, self.metrics
        if caught_up and not decoder.in_transaction:
            metrics.lag_seconds = 0.0
        elif decoder.commit_us:
            metrics.lag_seconds = max(0.0, time.time() - decoder.commit_us / 1e6)
        metrics.source_received_bytes += self._since("received", stream.received_bytes)
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
        if ended and records:
            metrics.latency.observe(max(0.0, time.time() - decoder.commit_us / 1e6), ended)

    def _since(self, name: str, value: int) -> int:
        before = self._seen.get(name, 0)
        self._seen[name] = value
        return value - before

    def _ignored(self, decoder: Decoder) -> None:
        for kind, count in decoder.ignored.items():
            ignored = self.metrics.ignored_events
            ignored[str(kind)] = ignored.get(str(kind), 0) + self._since(f"ignored {kind}", count)
