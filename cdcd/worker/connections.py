"""What an instance connects to by its definition: the source, the brokers, its topics.

Made on first use, and anew with each definition that names others.
"""

from collections.abc import Iterable
from functools import cached_property

from cdcd.config.definition import Definition
from cdcd.config.kafka_cluster import client_properties
from cdcd.config.network import Endpoint as Address
from cdcd.config.secrets import Credentials
from cdcd.config.settings import Settings
from cdcd.kafka.at_least_once import AtLeastOnceSink
from cdcd.kafka.client import ClientConfig
from cdcd.kafka.exactly_once import ExactlyOnceSink
from cdcd.kafka.opening import Waiting
from cdcd.kafka.positions import PositionTopic, position_topic_name, transactional_id
from cdcd.kafka.producer import ProducerSettings
from cdcd.kafka.reading import CommittedReader
from cdcd.kafka.schemas import SchemaTopic, schema_topic_name
from cdcd.kafka.sink import Sink
from cdcd.kafka.topics import Topics
from cdcd.mysql.connection import Endpoint, Tls
from cdcd.observe.failpoints import Failpoint

BROKER_DEFAULT = -1
"""Replicas as the brokers' `default.replication.factor` says."""


class Connections:
    """Of one definition; FindingError where the settings have no such cluster."""

    def __init__(
        self,
        definition: Definition,
        settings: Settings,
        credentials: Credentials,
        *,
        waiting: Waiting,
        failpoint: Failpoint,
    ) -> None:
        self._definition = definition
        self._credentials = credentials
        self._waiting = waiting
        self._failpoint = failpoint
        self._cluster = settings.kafka_cluster(definition.sink.kafka)
        self.position_topic = position_topic_name(settings.cluster, definition.name)
        self._schema_topic = schema_topic_name(settings.cluster, definition.name)
        self._transactional_id = transactional_id(settings.cluster, definition.name)

    # ---------------------------------------------------------------- MySQL

    def endpoints(self) -> list[Endpoint]:
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
    def sink(self) -> Sink:
        kind = ExactlyOnceSink if self._definition.sink.delivery == "exactly_once" else AtLeastOnceSink
        return kind(
            self._client,
            self._transactional_id,
            self.position_topic,
            settings=ProducerSettings(
                message_max_bytes=self._cluster.message_max_bytes,
                queue_bytes=self._cluster.queue_memory,
                transaction_timeout=self._cluster.transaction_timeout,
            ),
            failpoint=self._failpoint,
            waiting=self._waiting,
        )

    @cached_property
    def reader(self) -> CommittedReader:
        """Of both topics below."""
        return CommittedReader(self._client, self.position_topic)

    @cached_property
    def positions(self) -> PositionTopic:
        return PositionTopic(self.reader, self.position_topic)

    @cached_property
    def schemas(self) -> SchemaTopic:
        return SchemaTopic(self.reader, self._schema_topic, lambda: self.topics, self._replication(self._definition))

    def ensure_position_topic(self) -> None:
        self.topics.check_brokers()
        self.positions.ensure(self.topics, self._replication(self._definition))

    def ensure_topic(self, definition: Definition, topic: str, partitions: int) -> int:
        """Make it, as the definition says by now, unless it is there; the number of partitions that it has."""
        return self.topics.ensure(topic, partitions, self._replication(definition))

    def foresee(self, topics: Iterable[str]) -> None:
        """Their first `ensure_topic` is to be answered at once."""
        self.topics.foresee(topics)

    def rest(self) -> None:
        """Nothing happens: what is needed seldom may go."""
        self.topics.rest()

    @property
    def part_interval(self) -> float:
        """Longest time inside one source transaction (worker/rule.py)."""
        return self._cluster.transaction_timeout / 4

    @cached_property
    def _client(self) -> ClientConfig:
        return dict(client_properties(self._cluster, self._credentials))

    @cached_property
    def topics(self) -> Topics:
        return Topics(self._client)

    def _replication(self, definition: Definition) -> int:
        return definition.sink.create.replication or self._cluster.replication or BROKER_DEFAULT
