"""The composition root of a worker: from a definition and settings to an Instance. Reads like the diagram in docs/architecture.md."""

import time
from functools import partial

from cdcd.binlog.compression import inflate
from cdcd.binlog.core.native import Decoder
from cdcd.binlog.position import Position
from cdcd.binlog.spans import Place
from cdcd.config.definition import Definition
from cdcd.config.secrets import Credentials
from cdcd.config.settings import Settings
from cdcd.formats.chosen import format_of
from cdcd.formats.plan import Keying
from cdcd.mysql.held_rows import HeldRows
from cdcd.mysql.schema import SchemaLookup
from cdcd.observe.failpoints import Failpoint, off
from cdcd.observe.metrics import InstanceMetrics
from cdcd.worker.catalog import Catalog
from cdcd.worker.connections import Connections
from cdcd.worker.definitions import Definitions
from cdcd.worker.figures import Figures
from cdcd.worker.guard import Guard
from cdcd.worker.instance import Instance, Patience
from cdcd.worker.journal import Journal
from cdcd.worker.lag import LagWatch
from cdcd.worker.memory import SchemaMemory
from cdcd.worker.names import RememberedNames
from cdcd.worker.ownership import Ownership
from cdcd.worker.preflight import LEVELS, Preflight, StartCheck
from cdcd.worker.publication import MakePublication, Publication
from cdcd.worker.pump import Pump
from cdcd.worker.router import Router
from cdcd.worker.rule import CommitRule
from cdcd.worker.source import Identity, Source
from cdcd.worker.statements import Statements
from cdcd.worker.stopping import StopSignal
from cdcd.worker.stream import TORN_BYTES, Stream
from cdcd.worker.takeover import Held, TakeOver


class Wiring:
    """Makes the parts of one instance; what asks a server is made on first use, inside the instance's own error handling."""

    def __init__(
        self,
        *,
        definitions: Definitions,
        settings: Settings,
        credentials: Credentials,
        identity: Identity,
        ownership: Ownership,
        journal: Journal,
        stop: StopSignal,
        failpoint: Failpoint,
    ) -> None:
        self._definitions = definitions
        self._settings = settings
        self._credentials = credentials
        self._identity = identity
        self._ownership = ownership
        self._journal = journal
        self._stop = stop
        self._failpoint = failpoint
        self.figures = Figures(InstanceMetrics())
        self.guard = Guard(stop, ownership)
        self._connections = self._connect()
        self._memory = SchemaMemory(self._connections.schemas)
        self._catalog: Catalog | None = None
        self._made: tuple[Definition, TakeOver] | None = None

    def instance(self, patience: Patience, *, until_end: bool = False) -> Instance:
        return Instance(
            self._definitions.current.name,
            lambda: self._take_over(until_end=until_end),
            ownership=self._ownership,
            figures=self.figures,
            journal=self._journal,
            stop=self._stop,
            patience=patience,
        )

    def tables(self) -> list[str]:
        """Those with changes that are published, by the present definition."""
        return [] if self._catalog is None else sorted(self._catalog.seen)

    def _take_over(self, *, until_end: bool) -> TakeOver:
        """By the definition as it is now; the same one as long as that stays."""
        self._definitions.renew()
        if self._made is None or self._made[0] is not self._definitions.current:
            if self._made is not None:
                self._connections = self._connect()
                self._memory = SchemaMemory(self._connections.schemas)
            self._made = self._definitions.current, self._new_take_over(until_end=until_end)
        return self._made[1]

    def _new_take_over(self, *, until_end: bool) -> TakeOver:
        definition, connections = self._definitions.current, self._connections
        return TakeOver(
            start=definition.start,
            source=Source(
                definition,
                connections.endpoints,
                self._identity,
            ),
            sink=connections.sink,
            reader=connections.reader,
            positions=connections.positions,
            memory=self._memory,
            ensure_position_topic=connections.ensure_position_topic,
            foresee=connections.foresee,
            ownership=self._ownership,
            pump=self._pump,
            lag=partial(self._lag_watch, self._start_check(definition)),
            warn=self._journal.warn,
            guard=self.guard,
            stop=self._stop,
            failpoint=self._failpoint,
            until_end=until_end,
        )

    def _connect(self) -> Connections:
        return Connections(
            self._definitions.current,
            self._settings,
            self._credentials,
            waiting=self.guard,
            failpoint=self._failpoint,
        )

    def _start_check(self, definition: Definition) -> StartCheck:
        """With connections of its own: it runs beside the hot thread."""

        def make() -> Preflight:
            lag = self.figures.lag(time.time())
            return Preflight(definition, self._settings, self._connect(), self._identity, lag)

        return StartCheck(
            make,
            lambda found: self._journal.note(
                "preflight.finding", str(found), LEVELS[found.severity], finding=found.code
            ),
        )

    def _lag_watch(self, check: StartCheck, held: Held) -> LagWatch:
        self.figures.compared(
            held.clock_offset
        )  # else the first transactions would be dated by the former source's clock
        return LagWatch(held.endpoint, self._stored_position, self.figures, self._journal.note, check)

    def _pump(self, held: Held) -> Pump:
        start, id_prefix = held.tracker.position, self._id_prefix(held)
        decoder = Decoder(_nothing, inflate, id_prefix, self._held_rows(held))
        if self._failpoint is off:
            decoder.hold(start.held)
        else:
            decoder.hold(start.held, TORN_BYTES)  # so that faults also strike where rows are read again
        lookup = SchemaLookup(held.endpoint, self._stop.proceed, self._wanted)
        self._memory.oldest_file = lookup.oldest_file
        names = RememberedNames(self._memory, lookup, lambda: Place(*decoder.reading))
        decoder.seq = held.seq
        if start.gtid_set is not None:
            decoder.pass_over(start.gtid_set.gap)  # a dump by place also sends what is published
        if start.txn is not None:
            decoder.resume(start.txn, start.rows_done)
        self.figures.new_dump()
        return Pump(
            stream=Stream(held.dump, decoder, self._failpoint),
            sink=self._connections.sink,
            ownership=self._ownership,
            renew=self._definitions.renew,
            publication=self._publications(decoder, names, id_prefix),
            memory=self._memory,
            partitions=held.partitions,
            tracker=held.tracker,
            holding=held.holding,
            figures=self.figures,
            failpoint=self._failpoint,
            rest=lambda: self._rest(lookup),
            close=lookup.close,
            end=held.end,
        )

    def _held_rows(self, held: Held) -> HeldRows:
        def watch() -> None:
            self._stop.proceed()
            self._ownership.check()

        def searching(what: str) -> None:
            self._journal.note("source.search", what)

        return HeldRows(held.endpoint, held.tracker.position.server_uuid, watch, searching, self._failpoint)

    def _publications(self, decoder: Decoder, names: RememberedNames, id_prefix: bytes | None) -> MakePublication:
        """What each definition makes of one dump; the decoder follows the newest."""

        def make(partitions: dict[str, int]) -> Publication:
            definition, tables = self._definitions.current, self._definitions.current.table_filter
            template = format_of(definition.format)
            router = self._router(partitions)
            keying = Keying(not definition.topic_per_table, definition.sink.partition_by)
            catalog = Catalog(tables, template, keying, router, names)
            catalog.place = lambda: Place(*decoder.place)
            catalog.passed = self._memory.passed
            decoder.use(catalog)
            self._catalog = catalog
            statements = Statements(
                tables=tables,
                template=template,
                route=router.ddl(),
                catalog=catalog,
                sink=self._connections.sink,
                id_prefix=id_prefix,
                publish_changes=definition.sink.statements == "ddl-topic",
            )
            return Publication(router, statements, self._rule())

        return make

    def _wanted(self, database: str, table: str) -> bool:
        return self._definitions.current.table_filter.matches(database, table)

    def _rest(self, lookup: SchemaLookup) -> None:
        lookup.close()
        self._connections.rest()

    def _router(self, recorded: dict[str, int]) -> Router:
        definition, connections = self._definitions.current, self._connections
        return Router(
            definition.name,
            definition.sink,
            lambda topic, partitions: connections.ensure_topic(definition, topic, partitions),
            recorded,
            self._journal.warn,
            shared=not definition.topic_per_table,
        )

    def _rule(self) -> CommitRule:
        commit = self._definitions.current.sink.commit
        return CommitRule(commit.min_interval, commit.max_interval, commit.max_bytes, self._connections.part_interval)

    def _id_prefix(self, held: Held) -> bytes | None:
        """Of the identities in headers; with exactly-once there are none."""
        at_least_once = self._definitions.current.sink.delivery == "at_least_once"
        return b"%d" % held.holding.epoch if at_least_once else None

    def _stored_position(self) -> Position | None:
        """What Kafka has confirmed; what only waits for it is lag."""
        record = self._connections.sink.durable
        return None if record is None else record.position


def _nothing(_: object) -> None:
    """The catalog of a decoder that has no definition yet."""
