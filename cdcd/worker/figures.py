"""Keeps an instance's metrics in step with its decoder and sink; a dump's own counters begin at zero each time."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from cdcd.binlog.position import PositionRecord
from cdcd.kafka.sink import Sink
from cdcd.observe.metrics import InstanceMetrics
from cdcd.worker.activity import STALLED, Doing, Stage, blocked, words
from cdcd.worker.freshness import Freshness, Handed
from cdcd.worker.stream import Stream


class _Waits(NamedTuple):
    """How long the pipeline has waited by stage, and the wait that goes on: replaced as a whole, so that no scrape counts
    one twice.
    """

    ended: dict[str, float]
    stage: Stage | None = None
    seconds: Callable[[], float] = lambda: 0.0
    """Of the one that goes on."""
    began: float = 0.0
    """Monotonic."""

    def so_far(self) -> dict[str, float]:
        return self.ended if self.stage is None else {**self.ended, self.stage: self.ended[self.stage] + self.seconds()}


class Figures:
    """What operators see of the pump. The hot thread writes, a scrape reads; neither waits for the other."""

    def __init__(self, metrics: InstanceMetrics) -> None:
        self.metrics = metrics
        self.last_record: PositionRecord | None = None
        """The newest record handed to Kafka in this holding."""
        self._clock_offset = 0.0
        self._purged_from: float | None = None
        """By our clock."""
        self._seen: dict[str, int] = {}
        self._fresh = Freshness()
        self._silent = False
        self._waits = _Waits(dict(metrics.blocked_seconds))

    def new_dump(self) -> None:
        """A dump begins: its decoder counts from zero."""
        self._seen = {}
        self.last_record = None
        self._fresh.new_dump()

    # ---------------------------------------------------------------- for other threads

    def read(self) -> InstanceMetrics:
        """For a scrape. The lag also grows while the pump waits for Kafka, or is not running at all."""
        now, last = time.time(), self.last_record  # which the hot thread may take away meanwhile
        held = () if last is None else last.position.held
        oldest = min((each.since_ms for each in held), default=None)
        return replace(
            self.metrics,
            state=self.state,
            lag_seconds=self.lag(now),
            purge_headroom=self.headroom(now),
            blocked_seconds=self._waits.so_far(),
            held_transactions=len(held),
            held_oldest_seconds=None if oldest is None else max(0.0, now - oldest / 1000),
        )

    @property
    def state(self) -> str:
        """One of cdcd.observe.metrics.STATES: that of the instance, unless Kafka keeps it from running."""
        state = self.metrics.state
        return "blocked" if state == "running" and blocked(self.wait()) else state

    def lag(self, now: float) -> float | None:
        """Seconds; None before anything is known."""
        age = self._fresh.age
        if age.since is None:
            return None
        seconds = max(0.0, now - age.since)
        # After a while without a step "caught up" is no longer believed: more may have come meanwhile.
        return 0.0 if age.caught_up and self.metrics.source_connected and seconds < STALLED else seconds

    def headroom(self, now: float) -> float | None:
        """Seconds until the source may purge what is still needed."""
        return None if self._purged_from is None else max(0.0, self._purged_from - now)

    def compared(self, clock_offset: float) -> None:
        """Seconds by which the source's clock is ahead of ours."""
        self._clock_offset = self.metrics.clock_offset = clock_offset

    def safe_until(self, purged_from: float | None) -> None:
        """From when on, by its clock, the source may purge what is needed."""
        self._purged_from = None if purged_from is None else purged_from - self._clock_offset

    def wait(self) -> tuple[Stage, float] | None:
        """What Kafka has not answered yet, and for how many seconds."""
        waits, age = self._waits, self._fresh.age
        if waits.stage is not None and waits.seconds() > 0:
            return waits.stage, time.monotonic() - waits.began
        return None if age.waits_since is None else ("acknowledgement", max(0.0, time.time() - age.waits_since))

    def activity(self) -> str:
        """What the pump does, in words."""
        metrics, lag = self.metrics, self.lag(time.time())
        return words(
            Doing(
                wait=self.wait(),
                transaction_bytes=metrics.transaction_bytes,
                transaction_read=metrics.transaction_read_bytes,
                silent=self._silent,
                caught_up=lag == 0,
                lag_seconds=lag,
                lag_bytes=metrics.lag_bytes,
            )
        )

    # ---------------------------------------------------------------- the hot thread

    def look(self, stream: Stream, sink: Sink, *, idle: bool) -> None:
        """After each step, with its messages written; `idle`: the source has nothing more."""
        decoder, now = stream.decoder, time.time()
        self._count(stream)
        self._see(sink, now)
        if decoder.first_us:
            self._fresh.read(self._here(decoder.first_us), now)
        if sink.open_since is None:
            newest = self._here(decoder.logged_us) if decoder.logged_us else None
            self._fresh.settled(newest, now, inside=decoder.in_transaction)
            decoder.first_us = 0
        self._silent = stream.dump.silent
        self._fresh.tell(now if idle and not decoder.in_transaction and not self._silent else None)

    def waits(self, stage: Stage, seconds: Callable[[], float]) -> None:
        """A wait begins; `seconds` tells how long it is by now."""
        self._waits = _Waits(self._waits.ended, stage, seconds, time.monotonic())

    def waited(self) -> None:
        """It is over."""
        self._waits = _Waits(self._waits.so_far())

    def committed(self, stream: Stream, sink: Sink, record: PositionRecord, records: int, size: int) -> None:
        """After each checkpoint with so many messages in it."""
        metrics, decoder, now = self.metrics, stream.decoder, time.time()
        self.last_record = record
        metrics.published_records += records
        metrics.published_bytes += size
        metrics.kafka_transactions["committed"] += 1
        if decoder.first_us:
            self._fresh.read(self._here(decoder.first_us), now)
        ended = self._since("committed", decoder.transactions)
        newest = self._here(decoder.logged_us) if decoder.logged_us else 0.0
        self._fresh.hand(record, newest, now, ended, records, inside=decoder.in_transaction)
        decoder.first_us = 0
        self._see(sink, now)
        self._fresh.tell()

    def _see(self, sink: Sink, now: float) -> None:
        """What readers see by now."""
        if self._fresh.waits:
            for handed in self._fresh.visible(sink.acknowledged):
                self._observe(handed, now)
        if sink.durable is not None:
            self.metrics.checkpoint = sink.durable.ts_ms / 1000

    def _observe(self, handed: Handed, now: float) -> None:
        """By its oldest transaction, which no other one in it has waited longer than."""
        if handed.records and handed.transactions and handed.oldest is not None:
            self.metrics.latency.observe(max(0.0, now - handed.oldest), handed.transactions)

    def _here(self, source_us: int) -> float:
        """A time by the source's clock, by ours."""
        return source_us / 1e6 - self._clock_offset

    def _count(self, stream: Stream) -> None:
        decoder, metrics = stream.decoder, self.metrics
        if waited := stream.take_waited():
            ended = self._waits.ended
            self._waits = _Waits({**ended, "source": ended["source"] + waited})
        metrics.source_received_bytes += self._since("received", stream.received_bytes)
        metrics.transactions += self._since("transactions", decoder.transactions)
        metrics.rows["insert"] += self._since("inserts", decoder.inserts)
        metrics.rows["update"] += self._since("updates", decoder.updates)
        metrics.rows["delete"] += self._since("deletes", decoder.deletes)
        metrics.rows_filtered += self._since("filtered", decoder.filtered)
        metrics.transaction_bytes = decoder.transaction_length if decoder.in_transaction else 0
        metrics.transaction_read_bytes = decoder.transaction_done if decoder.in_transaction else 0
        for kind, count in decoder.ignored.items():
            metrics.ignored_events[str(kind)] = metrics.ignored_events.get(str(kind), 0) + self._since(
                f"ignored {kind}", count
            )

    def _since(self, name: str, value: int) -> int:
        before = self._seen.get(name, 0)
        self._seen[name] = value
        return value - before
