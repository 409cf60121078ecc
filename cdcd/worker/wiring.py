"""The composition root of a worker: from a definition and settings to an Instance. Reads like the diagram in docs/architecture.md."""

from functools import cached_property

from cdcd.binlog.compression import inflate
from cdcd.binlog.core.native import Decoder
from cdcd.binlog.position import Position
from cdcd.config.definition import Definition
from cdcd.config.kafka_cluster import client_properties
from cdcd.config.network import Endpoint as Address
from cdcd.config.secrets import Credentials
from cdcd.config.settings import Settings
from cdcd.formats.canal import CANAL_JSON
from cdcd.formats.plan import Keying
from cdcd.formats.template import Format
from cdcd.kafka.at_least_once import AtLeastOnceSink
from cdcd.kafka.client import ClientConfig
from cdcd.kafka.exactly_once import ExactlyOnceSink
from cdcd.kafka.positions import PositionTopic, position_topic_name, transactional_id
from cdcd.kafka.producer import ProducerSettings
from cdcd.kafka.sink import Sink
from cdcd.kafka.topics import Topics
from cdcd.mysql.connection import Endpoint, Tls
from cdcd.mysql.schema import SchemaLookup
from cdcd.observe.failpoints import Failpoint
from cdcd.observe.metrics import InstanceMetrics
from cdcd.worker.catalog import Catalog
from cdcd.worker.figures import Figures
from cdcd.worker.instance import Instance
from cdcd.worker.journal import Journal
from cdcd.worker.lag import LagWatch
from cdcd.worker.pump import Pump
from cdcd.worker.router import Router
from cdcd.worker.rule import CommitRule
from cdcd.worker.source import Identity, Source
from cdcd.worker.statements import Statements
from cdcd.worker.stopping import StopSignal
from cdcd.worker.stream import Stream
from cdcd.worker.takeover import Held, TakeOver

FORMATS: dict[str, Format] = {form.name: form for form in (CANAL_JSON,)}

BROKER_DEFAULT = -1
"""Replicas as the brokers' `default.replication.factor` says."""


class Wiring:
    """Makes the parts of one instance; what asks a server is made on first use, inside the instance's own error handling."""

    def __init__(
        self,
        *,
        definition: Definition,
        settings: Settings,
        credentials: Credentials,
        stop: StopSignal,
        failpoint: Failpoint,
    ) -> None:
        self._definition = definition
        self._settings = settings
        self._credentials = credentials
        self._stop = stop
        self._failpoint = failpoint
        self._cluster = settings.kafka_cluster(definition.sink.kafka)
        self._journal = Journal(definition.name)
        self.figures = Figures(InstanceMetrics())

    def instance(self, *, until_end: bool) -> Instance:
        take_over = TakeOver(
            start=self._definition.start,
            source=Source(
                self._definition,
                self._endpoints,
                Identity.of(self._settings.cluster, self._definition.name),
                lambda advice: self._journal.note("source.advice", advice, "warning"),
            ),
            sink=self._sink,
            positions=PositionTopic(self._client, self._position_topic),
            ensure_position_topic=self._ensure_position_topic,
            router=self._router,
            pump=self._pump,
            lag=lambda held: LagWatch(held.endpoint, self._stored_position, self.figures.metrics),
            stop=self._stop,
            failpoint=self._failpoint,
            until_end=until_end,
        )
        return Instance(self._definition.name, take_over, self.figures, self._journal, self._stop, park=not until_end)

    def _pump(self, held: Held) -> Pump:
        definition, template, start = self._definition, FORMATS[self._definition.format.type], held.tracker.position
        id_prefix = b"%d" % held.holding.epoch if definition.sink.delivery == "at_least_once" else None
        keying = Keying(not definition.topic_per_table, definition.sink.partition_by)
        names = SchemaLookup(held.endpoint, self._stop.proceed)
        catalog = Catalog(definition.table_filter, template, keying, held.router, names)
        decoder = Decoder(catalog, inflate, id_prefix)
        decoder.seq = held.seq
        if start.gtid_set is not None:
            decoder.pass_over(start.gtid_set.gap)  # a dump by place also sends what is published
        catalog.place = lambda: (decoder.file, decoder.transaction_start)
        if start.txn is not None:
            decoder.resume(start.txn, start.rows_done)
        statements = Statements(
            tables=definition.table_filter,
            template=template,
            route=held.router.ddl(),
            catalog=catalog,
            sink=self._sink,
            id_prefix=id_prefix,
        )
        self.figures.new_dump()
        return Pump(
            stream=Stream(held.dump, decoder, self._failpoint),
            sink=self._sink,
            statements=statements,
            router=held.router,
            tracker=held.tracker,
            rule=self._rule(),
            holding=held.holding,
            figures=self.figures,
            failpoint=self._failpoint,
            end=held.end,
        )

    # ---------------------------------------------------------------- MySQL

    def _endpoints(self) -> list[Endpoint]:
        """The servers with the login each may be given; read anew each time, so that a mended credential is seen."""
        credential = self._credentials.load(self._definition.source.credential)
        return [
            self._endpoint(address, *credential.login_for(*address)) for address in self._definition.source.endpoints
        ]

    def _endpoint(self, address: Address, user: str, password: str) -> Endpoint:
        tls = self._definition.source.effective_tls(address.host)

        def path(name: str | None, *, secret: bool = False) -> str | None:
            return None if name is None else str(self._credentials.path(name, secret=secret))

        files = Tls(tls.mode, path(tls.ca), path(tls.cert), path(tls.key, secret=True))
        return Endpoint(address.host, address.port, user, password, files)

    # ---------------------------------------------------------------- Kafka

    @cached_property
    def _client(self) -> ClientConfig:
        return dict(client_properties(self._cluster, self._credentials))

    @cached_property
    def _topics(self) -> Topics:
        return Topics(self._client)

    @property
    def _replication(self) -> int:
        return self._definition.sink.create.replication or self._cluster.replication or BROKER_DEFAULT

    @property
    def _position_topic(self) -> str:
        return position_topic_name(self._settings.cluster, self._definition.name)

    def _ensure_position_topic(self) -> None:
        self._topics.check_brokers()
        PositionTopic(self._client, self._position_topic).ensure(self._topics, self._replication)

    def _router(self, recorded: dict[str, int]) -> Router:
        return Router(
            self._definition.name,
            self._definition.sink,
            lambda topic, partitions: self._topics.ensure(topic, partitions, self._replication),
            recorded,
            self._journal.warn,
            shared=not self._definition.topic_per_table,
        )

    @cached_property
    def _sink(self) -> Sink:
        kind = ExactlyOnceSink if self._definition.sink.delivery == "exactly_once" else AtLeastOnceSink
        return kind(
            self._client,
            transactional_id(self._settings.cluster, self._definition.name),
            self._position_topic,
            settings=ProducerSettings(
                message_max_bytes=self._cluster.message_max_bytes,
                queue_bytes=self._cluster.queue_memory,
                transaction_timeout=self._cluster.transaction_timeout,
            ),
            failpoint=self._failpoint,
            waiting=self._stop.insist,
        )

    def _stored_position(self) -> Position | None:
        """What Kafka has confirmed; what only waits for it is lag."""
        record = self._sink.durable
        return None if record is None else record.position

    def _rule(self) -> CommitRule:
        commit = self._definition.sink.commit
        return CommitRule(
            commit.min_interval, commit.max_interval, commit.max_bytes, self._cluster.transaction_timeout / 4
        )
