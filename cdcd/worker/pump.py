"""The hot loop of one holding: read, decode, produce, commit. One thread."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from cdcd.binlog.core.native import Decoder
from cdcd.binlog.position import Position, PositionRecord, coordinate
from cdcd.errors import BinlogError, FindingError, Stopped
from cdcd.kafka.sink import Sink
from cdcd.observe.failpoints import Failpoint
from cdcd.worker.change import Change
from cdcd.worker.figures import Figures
from cdcd.worker.memory import SchemaMemory
from cdcd.worker.ownership import Order, Ownership
from cdcd.worker.publication import MakePublication
from cdcd.worker.rule import Moment
from cdcd.worker.stream import Step, Stream
from cdcd.worker.tracker import Tracker

POLL_SECONDS = 0.1
"""Longest wait for the source while the Kafka client wants to be served."""
IDLE_SECONDS = 2.0
"""Longest wait while there is nothing to serve; whoever wants something wakes the stream."""

REST_SECONDS = 5.0
"""Without anything to store; then what is needed seldom is let go."""

Outcome = Literal["end", "stopped", "hand_over", "leave", "reconfigure"]
"""The last three: as ordered, with everything stored that is published."""


@dataclass(frozen=True, slots=True)
class End:
    """Where `--until-end` stops: the end of the binlog as it was at the start."""

    file: str
    offset: int

    def near(self, decoder: Decoder) -> bool:
        """Whether what is buffered may reach past the end: then transactions are to be handled one by one."""
        return bool(decoder.file) and self._passed(decoder, decoder.buffered)

    def reached(self, decoder: Decoder) -> bool:
        """Only between transactions."""
        return bool(decoder.file) and not decoder.in_transaction and self._passed(decoder, 0)

    def _passed(self, decoder: Decoder, ahead: int) -> bool:
        return coordinate(decoder.file, decoder.offset + ahead) >= coordinate(self.file, self.offset)


@dataclass(frozen=True, slots=True)
class Holding:
    """Who writes positions: epoch and nonce of this holding (coordination.md)."""

    epoch: int
    nonce: str

    def record(self, position: Position, seq: int, partitions: dict[str, int]) -> PositionRecord:
        return PositionRecord(self.epoch, self.nonce, position, seq, dict(partitions), time.time_ns() // 1_000_000)


class Pump:
    """Moves one holding's changes until the end, or until asked to stop. Every trouble is an exception."""

    def __init__(
        self,
        *,
        stream: Stream,
        sink: Sink,
        ownership: Ownership,
        renew: Callable[[], Change],
        publication: MakePublication,
        memory: SchemaMemory,
        partitions: dict[str, int],
        tracker: Tracker,
        holding: Holding,
        figures: Figures,
        failpoint: Failpoint,
        rest: Callable[[], None],
        close: Callable[[], None],
        end: End | None = None,
    ) -> None:
        self._stream = stream
        self._decoder = stream.decoder
        self._sink = sink
        self._ownership = ownership
        self._renew = renew
        self._make_publication = publication
        self._publication = publication(partitions)
        self._memory = memory
        self._tracker = tracker
        self._holding = holding
        self._figures = figures
        self._failpoint = failpoint
        self._rest = rest
        self._rests = False
        self.close = close
        """Let go of what was opened on the way."""
        self._end = end
        self._last_commit = time.monotonic()
        self._stored = self._place()
        self._advanced = False
        """Something was read or committed since the source was seen to have nothing more."""

    def run(self) -> Outcome:
        """Raises FindingError, BinlogError, HoldingLost, NotOwner; Stopped where a stop came too late to store anything."""
        while self._end is None or not self._end.reached(self._decoder):
            order = self._ownership.order
            if order is not None and self._obeyed(order):
                self._finish()
                return order
            try:
                asked, step = self._read(order)
            except Stopped:
                self._write()
                self._finish()
                return "stopped"
            except (BinlogError, FindingError):
                # What comes before the trouble is published, so that whoever goes on behind it by hand loses nothing else.
                self._write()
                self._finish()
                raise
            self._handle(asked, step)
        self._finish()
        return "end"

    def _obeyed(self, order: Order) -> bool:
        """Whether the pump is to end for it now; else it goes on, perhaps otherwise than before."""
        if order != "reconfigure":
            return self._between()
        if self._decoder.in_transaction:
            return False
        change = self._renew()
        if change == "live":
            # Numbers given under the old definition must not be given again to other rows.
            self._finish()
            self._publication = self._make_publication(self._publication.router.partitions)
        return change == "reconnect"

    def _read(self, order: Order | None) -> tuple[bool, Step]:
        """Whether decoding was asked to stop at the next boundary, and what the step came to."""
        self._ownership.check()
        sink, decoder, rule, now = self._sink, self._decoder, self._publication.rule, time.monotonic()
        near = self._end is not None and self._end.near(decoder)
        asked = order is not None or near or rule.wants_boundary(now, sink.open_since, sink.open_bytes)
        patience = rule.patience(
            now, self._last_commit, sink.open_since, at_boundary=self._between(), longest=self._longest()
        )
        return asked, self._stream.step(patience, stop_at_boundary=asked)

    def _longest(self) -> float:
        """A stored position that follows what was read, or a delivery that is under way, is served in between.

        Before a wait it is seen, and shown, that there is nothing more: the lag is none while it waits.
        """
        if self._advanced:
            return 0.0
        last = self._figures.last_record
        settled = not self._moved() and (last is None or self._sink.durable is last)
        return IDLE_SECONDS if settled and self._sink.open_since is None else POLL_SECONDS

    def _handle(self, asked: bool, step: Step) -> None:
        """A stop in here leaves messages unwritten that the decoder has handed out: nothing more may be stored then."""
        self._publish(step)
        idle = step is Step.IDLE and self._sink.open_since is None
        self._figures.look(self._stream, self._sink, idle=step is Step.IDLE)
        due = self._due(asked, step)
        if due:
            self._commit()
        self._advanced = due or step is not Step.IDLE
        if not idle:
            self._rests = False
        elif not self._rests and time.monotonic() - self._last_commit > REST_SECONDS:
            self._rests = True
            self._rest()

    def _publish(self, step: Step) -> None:
        if self._decoder.in_transaction and not self._decoder.rows_done:
            self._failpoint("txn.after_gtid")
        self._memory.entered(self._decoder.file, self._decoder.file_created)
        self._write()
        if step is Step.STATEMENT:
            self._publication.statements.handle(self._decoder)
        elif step is Step.HELD:
            self._finish()  # the reading may take longer than what is open may wait
            self._failpoint("held.before_reread")
        elif step is Step.IDLE:
            self._sink.poll()

    def _write(self) -> None:
        """With at-least-once this is when readers see it."""
        self._ownership.check()
        sink, runs = self._sink, self._decoder.take_runs()
        if not runs:
            return
        waited = sink.waited
        self._figures.waits("kafka", lambda: sink.waited - waited)
        try:
            for topic, partition, keys, values, ids in runs:
                sink.write(topic, partition, keys, values, ids or None)
        finally:
            self._figures.waited()

    def _due(self, asked: bool, step: Step) -> bool:
        """A transaction that is larger than the budget is cut only after it was given the chance to end."""
        sink, decoder = self._sink, self._decoder
        if not asked and not self._between():
            return False
        return self._publication.rule.due(
            Moment(
                now=time.monotonic(),
                last_commit=self._last_commit,
                open_since=sink.open_since,
                open_bytes=sink.open_bytes,
                at_boundary=self._between(),
                rows_done=decoder.rows_done,
                idle=step is Step.IDLE,
                moved=self._moved(),
            )
        )

    def _commit(self) -> None:
        """Everything published so far and the position behind it become one."""
        decoder = self._decoder
        part = not self._between()
        records, size = self._sink.open_records, self._sink.open_bytes
        self._memory.store(self._sink, self._publication.router.partitions)
        record = self._holding.record(self._tracker.advance(decoder), decoder.seq, self._publication.router.partitions)
        self._ownership.check()
        self._checkpoint(record)
        self._mirror()
        self._last_commit = time.monotonic()
        self._stored = self._place()
        self._figures.committed(self._stream, self._sink, record, records, size)
        if part:
            self._failpoint("big_txn.between_parts")

    def _checkpoint(self, record: PositionRecord) -> None:
        began = time.monotonic()
        self._figures.waits("commit", lambda: time.monotonic() - began)
        try:
            self._sink.checkpoint(record)
        finally:
            self._figures.waited()

    def _mirror(self) -> None:
        """What Kafka has confirmed; with at-least-once that is an earlier record."""
        if self._sink.durable is not None:
            self._ownership.stored(self._sink.durable)

    def _between(self) -> bool:
        """Whether nothing of the open transaction, if there is one, is published: the position of its start holds.

        Its first rows may be long in coming (a huge row, a slow line), and what is before it must not wait for them.
        """
        decoder = self._decoder
        return not decoder.in_transaction or decoder.rows_done == 0

    def _place(self) -> tuple[int, str, int]:
        """What changes whenever the position between transactions does."""
        return self._decoder.transactions, self._decoder.file, self._decoder.end_offset

    def _moved(self) -> bool:
        return self._place() != self._stored

    def _finish(self) -> None:
        """Store what is published: at a boundary, or as a part of the open transaction."""
        decoder = self._decoder
        whole = self._between()
        published = self._sink.open_since is not None and (whole or decoder.rows_done > 0)
        if published or (whole and self._moved()):
            self._commit()
        last = self._figures.last_record
        if last is not None and self._sink.durable is not last:
            self._sink.checkpoint(last, wait=True)
            self._mirror()
