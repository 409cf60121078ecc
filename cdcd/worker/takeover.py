"""From nothing to publishing, in the one order that is safe (docs/coordination.md, "Epoch and take-over")."""

from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from cdcd.binlog.position import Position, PositionRecord
from cdcd.config.start import Start
from cdcd.errors import Finding, HoldingLost, Replaced
from cdcd.fleet.nodes import Request
from cdcd.kafka.positions import PositionTopic
from cdcd.kafka.reading import CommittedReader
from cdcd.kafka.sink import Sink
from cdcd.mysql.connection import Endpoint, connect
from cdcd.mysql.dump import BinlogDump
from cdcd.mysql.dump_request import DumpRequest
from cdcd.mysql.held_rows import lost_rows
from cdcd.mysql.server import ServerStatus
from cdcd.mysql.start import resolve_start
from cdcd.observe.failpoints import Failpoint
from cdcd.worker import pump
from cdcd.worker.guard import Guard
from cdcd.worker.lag import LagWatch
from cdcd.worker.memory import SchemaMemory
from cdcd.worker.ownership import Ownership
from cdcd.worker.position_request import start_of
from cdcd.worker.pump import End, Holding
from cdcd.worker.source import Source
from cdcd.worker.stopping import StopSignal
from cdcd.worker.tracker import Tracker

RENUMBERED = 1 << 24
"""Added to `seq` where rows may come in another order than before, as on another server or after a position was set
(formats.md section 1, rule 5)."""
CLOSE_SECONDS = 5.0

Outcome = Literal["end", "stopped", "handed_over", "left", "reconfigured"]


@dataclass(frozen=True, slots=True)
class Held:
    """What a take-over has brought together: all that the pump of one holding works on."""

    holding: Holding
    endpoint: Endpoint
    dump: BinlogDump
    request: DumpRequest
    tracker: Tracker
    seq: int
    partitions: dict[str, int]
    end: End | None
    clock_offset: float
    """Seconds by which the source's clock is ahead of ours."""
    stored: bool
    """It goes on at a stored position: `start` does not count."""


class Runs(Protocol):
    """A pump."""

    def run(self) -> pump.Outcome: ...
    @property
    def close(self) -> Callable[[], None]: ...


Running = Callable[[int, str], None]
"""Told the epoch and the place that is read from, once the dump has begun."""


class TakeOver:
    """Makes one pump after the other over the same connections' settings; nothing else is kept between them."""

    def __init__(
        self,
        *,
        start: Start,
        source: Source,
        sink: Sink,
        reader: CommittedReader,
        positions: PositionTopic,
        memory: SchemaMemory,
        ensure_position_topic: Callable[[], None],
        foresee: Callable[[Iterable[str]], None],
        ownership: Ownership,
        pump: Callable[[Held], Runs],
        lag: Callable[[Held], LagWatch],
        warn: Callable[[Finding], None],
        guard: Guard,
        stop: StopSignal,
        failpoint: Failpoint,
        until_end: bool,
    ) -> None:
        self._definition_start = start
        self._source = source
        self._sink = sink
        self._reader = reader
        self._positions = positions
        self._memory = memory
        self._ensure_position_topic = ensure_position_topic
        self._foresee = foresee
        self._ownership = ownership
        self._pump = pump
        self._lag = lag
        self._warn = warn
        self._guard = guard
        self._stop = stop
        self._failpoint = failpoint
        self._until_end = until_end
        self._end: End | None = None
        self._ends_on = ""

    @property
    def last_record(self) -> PositionRecord | None:
        """The newest position known to be stored by this holding."""
        return self._sink.durable

    def run(self, running: Running) -> Outcome:
        """One holding to its end. Raises what ownership and pump raise; the sink is closed in any case."""
        try:
            self._prepare()
            self._ownership.acquire()
            with self._guard.publishing():
                return self._publish(self._claim(*self._fence()), running)
        finally:
            self._source.close()
            self._reader.close()
            self._sink.close(CLOSE_SECONDS)

    def _prepare(self) -> None:
        """All that disturbs nobody: an owner may still be publishing. What is connected here need not be later."""
        self._source.prepare()  # nobody waits for, or is fenced by, one that cannot read the source
        self._stop.proceed()
        self._ensure_position_topic()
        published = self._positions.peek()
        self._foresee(published.partitions if published else ())
        self._memory.prepare(published.partitions if published else None)
        self._sink.construct()

    def _fence(self) -> tuple[Holding, PositionRecord | None]:
        """After it no earlier owner can publish, and the record is the last one there will be of theirs."""
        stored = self._positions.peek()
        holding = Holding(self._ownership.claim(stored), self._ownership.nonce)
        self._failpoint("epoch.claimed")
        _give_way(holding, stored)  # else one that was evicted at the source would fence its successor once
        self._ownership.confirm()
        self._sink.open()
        record = self._positions.read()
        _give_way(holding, record)
        return holding, record

    def _claim(self, holding: Holding, newest: PositionRecord | None) -> Held:
        """Store our epoch with the position to go on from. This also pins a start that had to be looked for."""
        request = self._ownership.position_request()
        ordered = request if request is not None and (newest is None or newest.request != request.id) else None
        record = newest or self._mirrored()
        position = None if ordered or record is None else record.position
        endpoint, status = self._source.choose(position)
        if self._until_end and self._ends_on != status.server_uuid:  # a place in another server's binlog means nothing
            self._end, self._ends_on = End(status.file, status.offset), status.server_uuid
        stored = position is not None
        position = position or self._start(ordered, endpoint, status)
        continues = newest is not None and not ordered
        goes_on = continues and position.server_uuid == status.server_uuid
        held = Held(
            holding=holding,
            endpoint=endpoint,
            dump=self._source.dump(endpoint),
            request=DumpRequest.after(position, status),
            tracker=Tracker(position, status.server_uuid),
            seq=0 if record is None else record.seq + (0 if goes_on else RENUMBERED),
            partitions={} if record is None else dict(record.partitions),
            end=self._end,
            clock_offset=status.clock_offset,
            stored=stored,
        )
        old = None if record is None else record.position
        self._memory.resume(held.partitions, old, status.server_uuid, continues=continues)
        self._reader.close()
        for finding in lost_rows(endpoint, held.tracker.position.held):
            self._warn(finding)
        self._store(held, request)
        self._failpoint("position.after_read")
        return held

    def _mirrored(self) -> PositionRecord | None:
        """Of a position topic that is empty although there was a position: rows since the mirror come again."""
        mirrored = self._ownership.mirrored()
        if mirrored is not None:
            self._warn(_topic_lost(mirrored))
        return mirrored

    def _store(self, held: Held, request: Request | None) -> None:
        """The request's id stands beside its position: served twice it would not be the same place (`latest`)."""
        self._memory.store(self._sink, held.partitions)
        claim = held.holding.record(held.tracker.position, held.seq, held.partitions)
        self._ownership.check()
        self._sink.checkpoint(claim if request is None else replace(claim, request=request.id), wait=True)
        self._ownership.stored(claim)
        if request is not None:
            self._ownership.served(request)
        self._ownership.confirm()

    def _publish(self, held: Held, running: Running) -> Outcome:
        lag = self._lag(held)
        try:
            self._stop.wakes(held.dump.stop, held.dump.wake)
            held.dump.begin(held.request)
            position = held.tracker.position
            after = f"{'the stored ' if held.stored else ''}{position.gtid_set or position.file}"
            running(held.holding.epoch, f"{held.endpoint}, after {after}"[:300])
            lag.start()
            with closing(self._pump(held)) as made:
                return self._ended(made.run())
        finally:
            lag.stop()
            held.dump.close()

    def _ended(self, outcome: pump.Outcome) -> Outcome:
        """Everything is stored. A lock is given over before the producer ends: its end may take long."""
        match outcome:
            case "leave":
                return "left"
            case "reconfigure":
                return "reconfigured"
            case "hand_over":
                self._failpoint("handover.drained")
                if not self._ownership.hand_over():
                    raise HoldingLost("the hand-over was refused: the successor is not there any more")
                self._failpoint("handover.released")
                return "handed_over"
            case _:
                return outcome

    def _start(self, request: Request | None, endpoint: Endpoint, status: ServerStatus) -> Position:
        start = self._definition_start if request is None else start_of(request)
        with connect(endpoint) as connection:
            return resolve_start(start, connection, status, self._stop.proceed)


def _give_way(holding: Holding, record: PositionRecord | None) -> None:
    """Replaced if a newer holding than ours has stored a position."""
    ours = (holding.epoch, holding.nonce)
    if record is not None and record.epoch >= holding.epoch and (record.epoch, record.nonce) != ours:
        raise Replaced(f"epoch {record.epoch} runs this instance, ours is {holding.epoch}")


def _topic_lost(mirrored: PositionRecord) -> Finding:
    at = mirrored.position
    return Finding(
        "position-topic-lost",
        "operator",
        f"the position topic holds no position; going on from its mirror in ZooKeeper, {at.gtid_set or at.file}",
        "Rows that were published after it come again, under other numbers. Find out who deleted the topic",
    )
