"""From nothing to publishing, in the one order that is safe (coordination.md, "Epoch and take-over", steps 3 to 6)."""

import secrets
from collections.abc import Callable

from cdcd.binlog.compression import inflate
from cdcd.binlog.core.native import Decoder
from cdcd.binlog.position import Position, PositionRecord
from cdcd.config.definition import Definition
from cdcd.errors import Replaced
from cdcd.formats.plan import Keying
from cdcd.formats.template import Format
from cdcd.kafka.positions import PositionTopic
from cdcd.kafka.sink import Sink
from cdcd.mysql.connection import Endpoint, connect
from cdcd.mysql.schema import SchemaLookup
from cdcd.mysql.server import ServerStatus
from cdcd.mysql.start import resolve_start
from cdcd.mysql.tap import BinlogDump
from cdcd.observe.failpoints import Failpoint
from cdcd.worker.catalog import Catalog
from cdcd.worker.figures import Figures
from cdcd.worker.pump import End, Holding, Outcome, Pump
from cdcd.worker.router import Router
from cdcd.worker.rule import CommitRule
from cdcd.worker.source import Source
from cdcd.worker.statements import Statements
from cdcd.worker.stopping import StopSignal
from cdcd.worker.stream import Stream
from cdcd.worker.tracker import Tracker

RENUMBERED = 1 << 24
"""Added to `seq` where rows may come in another order than before, as on another server (formats.md section 1, rule 5)."""

CLOSE_SECONDS = 5.0

Running = Callable[[int, str], None]
"""Told the epoch and the place that is read from, once the dump has begun."""


class TakeOver:
    """Makes one Pump after the other for one worker process; nothing is kept between them but epoch and nonce."""

    def __init__(
        self,
        definition: Definition,
        template: Format,
        source: Source,
        sink: Sink,
        positions: PositionTopic,
        ensure_position_topic: Callable[[], None],
        router: Callable[[dict[str, int]], Router],
        rule: CommitRule,
        figures: Figures,
        stop: StopSignal,
        failpoint: Failpoint,
        *,
        until_end: bool,
    ) -> None:
        self._definition = definition
        self._template = template
        self._source = source
        self._sink = sink
        self._positions = positions
        self._ensure_position_topic = ensure_position_topic
        self._router = router
        self._rule = rule
        self._figures = figures
        self._stop = stop
        self._failpoint = failpoint
        self._until_end = until_end
        self._end: End | None = None
        self._nonce = secrets.token_hex(8)
        self._epoch: int | None = None

    @property
    def last_record(self) -> PositionRecord | None:
        """The newest position known to be stored."""
        return self._sink.durable

    def run(self, running: Running) -> Outcome:
        """One holding from its producer to its end. Raises what the Pump raises; the sink is closed in any case."""
        self._source.choose(None)  # nobody is fenced for a source that cannot be read
        self._stop.proceed()
        try:
            return self._hold_and_pump(running)
        finally:
            self._sink.close(CLOSE_SECONDS)

    def _hold_and_pump(self, running: Running) -> Outcome:
        self._ensure_position_topic()
        self._sink.open()
        record = self._positions.read()
        holding = self._hold(record)
        endpoint, status = self._source.choose(record.position if record else None)
        if self._until_end and self._end is None:
            self._end = End(status.file, status.offset)
        position = record.position if record else self._start(endpoint, status)
        seq = self._first_seq(record, status)
        router = self._router(record.partitions if record else {})
        self._sink.checkpoint(holding.record(position, seq, router.partitions), wait=True)
        self._failpoint("position.after_read")
        dump = self._source.dump(endpoint, position, status)
        try:
            self._stop.wakes(dump.stop)
            dump.open()
            running(holding.epoch, f"{endpoint}, after {position.gtid_set or position.file}")
            return self._pump(holding, endpoint, dump, Tracker(position, status.server_uuid), seq, router)
        finally:
            self._figures.metrics.source_connected = 0
            dump.close()

    def _start(self, endpoint: Endpoint, status: ServerStatus) -> Position:
        """The definition's `start`; asked only once in an instance's life: the claim that follows pins it."""
        with connect(endpoint) as connection:
            return resolve_start(self._definition.start, connection, status, self._stop.proceed)

    def _hold(self, record: PositionRecord | None) -> Holding:
        """The epoch is one more than the newest that ever was; a greater one, or ours in other hands, means we are late."""
        if self._epoch is None:
            self._epoch = record.epoch + 1 if record else 1
            self._failpoint("epoch.claimed")
        if record and (record.epoch, record.nonce) != (self._epoch, self._nonce) and record.epoch >= self._epoch:
            raise Replaced(f"epoch {record.epoch} runs this instance, ours is {self._epoch}")
        return Holding(self._epoch, self._nonce)

    def _first_seq(self, record: PositionRecord | None, status: ServerStatus) -> int:
        if record is None:
            return 0
        moved = record.position.server_uuid != status.server_uuid
        return record.seq + (RENUMBERED if moved else 0)

    def _pump(
        self, holding: Holding, endpoint: Endpoint, dump: BinlogDump, tracker: Tracker, seq: int, router: Router
    ) -> Outcome:
        definition, start = self._definition, tracker.position
        id_prefix = b"%d" % holding.epoch if definition.sink.delivery == "at_least_once" else None
        keying = Keying(not definition.topic_per_table, definition.sink.partition_by)
        catalog = Catalog(definition.table_filter, self._template, keying, router, SchemaLookup(endpoint, self._stop.proceed))
        decoder = Decoder(catalog, inflate, id_prefix)
        decoder.seq = seq
        catalog.place = lambda: (decoder.file, decoder.offset)
        if start.txn is not None:
            decoder.resume(start.txn, start.rows_done)
        self._figures.new_dump()
        return Pump(
            Stream(dump, decoder, self._failpoint),
            self._sink,
            Statements(definition.table_filter, self._template, router.ddl(), catalog, self._sink, id_prefix),
            router,
            tracker,
            self._rule,
            holding,
            self._figures,
            self._failpoint,
            self._end,
        ).run()
