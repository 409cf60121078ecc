"""From nothing to publishing, in the one order that is safe (coordination.md, "Epoch and take-over", steps 3 to 6)."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from cdcd.binlog.position import Position, PositionRecord
from cdcd.config.start import Start
from cdcd.errors import Replaced
from cdcd.kafka.positions import PositionTopic
from cdcd.kafka.sink import Sink
from cdcd.mysql.connection import Endpoint, connect
from cdcd.mysql.dump import BinlogDump
from cdcd.mysql.dump_request import DumpRequest
from cdcd.mysql.server import ServerStatus
from cdcd.mysql.start import resolve_start
from cdcd.observe.failpoints import Failpoint
from cdcd.worker.lag import LagWatch
from cdcd.worker.pump import End, Holding, Outcome
from cdcd.worker.router import Router
from cdcd.worker.source import Source
from cdcd.worker.stopping import StopSignal
from cdcd.worker.tracker import Tracker

RENUMBERED = 1 << 24
"""Added to `seq` where rows may come in another order than before, as on another server (formats.md section 1, rule 5)."""
CLOSE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Held:
    """What a take-over has brought together: all that the pump of one holding works on."""

    holding: Holding
    endpoint: Endpoint
    dump: BinlogDump
    request: DumpRequest
    tracker: Tracker
    seq: int
    router: Router
    end: End | None


class Runs(Protocol):
    """A pump."""

    def run(self) -> Outcome: ...


Running = Callable[[int, str], None]
"""Told the epoch and the place that is read from, once the dump has begun."""


class TakeOver:
    """Makes one pump after the other for one worker process; nothing is kept between them but epoch and nonce."""

    def __init__(
        self,
        *,
        start: Start,
        source: Source,
        sink: Sink,
        positions: PositionTopic,
        ensure_position_topic: Callable[[], None],
        router: Callable[[dict[str, int]], Router],
        pump: Callable[[Held], Runs],
        lag: Callable[[Held], LagWatch],
        stop: StopSignal,
        failpoint: Failpoint,
        until_end: bool,
    ) -> None:
        self._definition_start = start
        self._source = source
        self._sink = sink
        self._positions = positions
        self._ensure_position_topic = ensure_position_topic
        self._router = router
        self._pump = pump
        self._lag = lag
        self._stop = stop
        self._failpoint = failpoint
        self._until_end = until_end
        self._end: End | None = None
        self._ends_on = ""
        self._nonce = secrets.token_hex(8)
        self._epoch: int | None = None

    @property
    def last_record(self) -> PositionRecord | None:
        """The newest position known to be stored by this holding."""
        return self._sink.durable

    def run(self, running: Running) -> Outcome:
        """One holding from its producer to its end. Raises what a pump raises; the sink is closed in any case."""
        self._source.choose(None)  # nobody is fenced for a source that cannot be read
        self._stop.proceed()
        self._ensure_position_topic()
        try:
            self._sink.open()
            return self._publish(self._claim(self._positions.read()), running)
        finally:
            self._sink.close(CLOSE_SECONDS)

    def _claim(self, record: PositionRecord | None) -> Held:
        """Store our epoch with the position to go on from. This also pins a start that had to be looked for."""
        holding = self._holding(record)
        endpoint, status = self._source.choose(record.position if record else None)
        if self._until_end and self._ends_on != status.server_uuid:  # a place in another server's binlog means nothing
            self._end, self._ends_on = End(status.file, status.offset), status.server_uuid
        position = record.position if record else self._start(endpoint, status)
        held = Held(
            holding=holding,
            endpoint=endpoint,
            dump=self._source.dump(endpoint),
            request=DumpRequest.after(position, status),
            tracker=Tracker(position, status.server_uuid),
            seq=_first_seq(record, status),
            router=self._router(record.partitions if record else {}),
            end=self._end,
        )
        claim = holding.record(held.tracker.position, held.seq, held.router.partitions)
        self._sink.checkpoint(claim, wait=True)
        self._failpoint("position.after_read")
        return held

    def _publish(self, held: Held, running: Running) -> Outcome:
        lag = self._lag(held)
        try:
            self._stop.wakes(held.dump.stop)
            held.dump.begin(held.request)
            position = held.tracker.position
            running(held.holding.epoch, f"{held.endpoint}, after {position.gtid_set or position.file}"[:300])
            lag.start()
            return self._pump(held).run()
        finally:
            lag.stop()
            held.dump.close()

    def _holding(self, record: PositionRecord | None) -> Holding:
        """One epoch for this process, above all before it. A record that is not below it says that we are late."""
        if self._epoch is None:
            self._epoch = record.epoch + 1 if record else 1
            self._failpoint("epoch.claimed")
        if record and record.epoch >= self._epoch and (record.epoch, record.nonce) != (self._epoch, self._nonce):
            raise Replaced(f"epoch {record.epoch} runs this instance, ours is {self._epoch}")
        return Holding(self._epoch, self._nonce)

    def _start(self, endpoint: Endpoint, status: ServerStatus) -> Position:
        with connect(endpoint) as connection:
            return resolve_start(self._definition_start, connection, status, self._stop.proceed)


def _first_seq(record: PositionRecord | None, status: ServerStatus) -> int:
    if record is None:
        return 0
    moved = record.position.server_uuid != status.server_uuid
    return record.seq + (RENUMBERED if moved else 0)
