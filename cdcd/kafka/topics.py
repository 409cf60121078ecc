"""Topics: create what is missing, learn what is there, before the first row depends on it."""

import time
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import (
    AclOperation,
    AdminClient,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
    TopicDescription,
)

from cdcd.errors import Finding, FindingError
from cdcd.kafka.client import SLICE, ClientConfig, Trouble, with_callbacks
from cdcd.kafka.failures import Subject, explained, refused, unreachable

FORESEEN_SECONDS = 60.0
_MOST_FORESEEN = 1000
_ABSENT = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.LEADER_NOT_AVAILABLE})
_DENIED = frozenset({KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED})


@dataclass(frozen=True, slots=True)
class Limits:
    """A topic's settings that decide what may be published to it."""

    max_message_bytes: int
    """Of one record batch as the broker stores it."""
    compacted: bool
    """Its newest record of each key is kept for ever; messages without a key are refused."""
    deleted: bool
    """Its records are deleted after a time."""


class Topics:
    """The topics of one cluster. Every method raises FindingError: `retry` while no broker answers."""

    def __init__(self, config: ClientConfig, *, timeout: float = 10.0) -> None:
        self._trouble = Trouble()
        self._timeout = timeout
        self._brokers_checked = False
        self._config = with_callbacks(config, self._trouble)
        self._client: AdminClient | None = None
        self._foreseen: dict[str, TopicDescription] = {}
        self._foreseen_at = 0.0

    @property
    def _admin(self) -> AdminClient:
        if self._client is None:
            try:
                self._client = AdminClient(self._config)
            except KafkaException as error:
                raise refused(error.args[0], Subject("set up the Kafka client")) from error
        return self._client

    def rest(self) -> None:
        """Let go of the client, whose threads cost something as long as it is there; the next question makes another."""
        self._client = None
        self._foreseen = {}

    def foresee(self, topics: Iterable[str]) -> None:
        """Ask once for all of these, so that within the next FORESEEN_SECONDS the first `ensure` of each need not.

        Of what cannot be said of one now `ensure` will tell; FindingError only where the brokers do not answer.
        """
        names = sorted(topics)[:_MOST_FORESEEN]
        if not names:
            return
        futures = self._descriptions(names)
        self._foreseen, self._foreseen_at = {}, time.monotonic()
        for name in names:
            described = self._ask(partial(futures.__getitem__, name), _looked_up(name), unless=_ABSENT | _DENIED)
            if described is not None:
                self._foreseen[name] = described

    def ensure(self, topic: str, partitions: int, replication: int, config: Mapping[str, str] | None = None) -> int:
        """Create `topic` unless it exists, wait until the cluster knows it; its actual number of partitions.

        An existing topic is left as it is, whatever `partitions`, `replication` and `config` say.
        """
        described = self._foretold(topic) or self._describe(topic)
        if described is None:
            self._create(NewTopic(topic, partitions, replication, config=dict(config or {})))
            described = self._await(topic)
        _check_rights(described)
        return len(described.partitions)

    def exists(self, topic: str) -> bool:
        """Whether there is such a topic now, and we may know of it."""
        self._foreseen.pop(topic, None)
        self.foresee([topic])
        return topic in self._foreseen

    def limits(self, topic: str) -> Limits | None:
        """Limits of a topic; None where the right to read them (DescribeConfigs) is missing."""
        entries = self.settings([topic])[topic]
        if entries is None:
            return None
        policy = entries["cleanup.policy"].value or ""
        return Limits(int(entries["max.message.bytes"].value or 0), "compact" in policy, "delete" in policy)

    def check_brokers(self) -> None:
        """Refuse brokers without transaction verification (KIP-890, Kafka 3.6): there a late request of a dead
        producer can tear a transaction. A cluster whose settings may not be read is taken on trust. Asks only once.
        """
        if self._brokers_checked:
            return
        for node, entries in self.brokers().items():
            if entries is not None:
                _check_verification(node, entries)
        self._brokers_checked = True

    def brokers(self) -> dict[int, dict[str, ConfigEntry] | None]:
        """The settings of each broker by its id; None where the right to read them is missing."""
        cluster = self._ask(lambda: self._admin.describe_cluster(request_timeout=self._timeout), _CLUSTER)
        return {
            node.id: self._configs(ConfigResource(ResourceType.BROKER, str(node.id)), _CLUSTER)
            for node in cluster.nodes
        }

    def descriptions(self, topics: Iterable[str]) -> dict[str, TopicDescription | None]:
        """What there is of these topics now, by one request; None: the right to see it is missing."""
        names = list(topics)
        futures = self._descriptions(names) if names else {}
        found: dict[str, TopicDescription | None] = {}
        for name in names:
            try:
                described = self._ask(partial(futures.__getitem__, name), _looked_up(name), unless=_ABSENT)
            except FindingError as error:
                if error.finding.code != "kafka-topic-denied":
                    raise
                found[name] = None
            else:
                found.update({name: described} if described is not None else {})
        return found

    def settings(self, topics: Iterable[str]) -> dict[str, dict[str, ConfigEntry] | None]:
        """All settings of these topics, by one request; None where the right to read them (DescribeConfigs) is missing."""
        resources = {name: ConfigResource(ResourceType.TOPIC, name) for name in topics}
        if not resources:
            return {}
        futures = self._admin.describe_configs([*resources.values()], request_timeout=self._timeout)
        return {
            name: self._ask(
                partial(futures.__getitem__, resource), Subject("read its settings", (name,)), unless=_DENIED
            )
            for name, resource in resources.items()
        }

    def _descriptions(self, names: list[str]) -> "dict[str, Future[TopicDescription]]":
        return self._admin.describe_topics(
            TopicCollection(names), include_authorized_operations=True, request_timeout=self._timeout
        )

    def _foretold(self, topic: str) -> TopicDescription | None:
        fresh = time.monotonic() - self._foreseen_at < FORESEEN_SECONDS
        return self._foreseen.pop(topic, None) if fresh else None

    def _describe(self, topic: str) -> TopicDescription | None:
        described: TopicDescription | None = self._ask(
            lambda: self._descriptions([topic])[topic], _looked_up(topic), unless=_ABSENT
        )
        return described

    def _create(self, new: NewTopic) -> None:
        timeout = self._timeout
        self._ask(
            lambda: self._admin.create_topics([new], operation_timeout=timeout, request_timeout=timeout)[new.topic],
            Subject("create the topic", (new.topic,)),
            unless=frozenset({KafkaError.TOPIC_ALREADY_EXISTS}),
        )

    def _await(self, topic: str) -> TopicDescription:
        """Other brokers than the controller learn of a new topic a little later."""
        deadline = time.monotonic() + self._timeout
        while time.monotonic() < deadline:
            described = self._describe(topic)
            if described is not None and all(partition.leader for partition in described.partitions):
                return described
            time.sleep(0.02)
        raise unreachable(f"it has no leader after {self._timeout:g} s", Subject("use the new topic", (topic,)))

    def _configs(self, resource: ConfigResource, subject: Subject) -> dict[str, ConfigEntry] | None:
        entries: dict[str, ConfigEntry] | None = self._ask(
            lambda: self._admin.describe_configs([resource], request_timeout=self._timeout)[resource],
            subject,
            unless=_DENIED,
        )
        return entries

    def _ask(
        self, request: Callable[[], "Future[Any]"], subject: Subject, unless: AbstractSet[int] = frozenset()
    ) -> Any:
        """The answer to `request`; None if the brokers refuse it with one of the codes `unless`, else FindingError."""
        self._trouble.clear()
        future = request()
        deadline = time.monotonic() + self._timeout + SLICE
        while True:
            self._look(subject)
            try:
                return future.result(timeout=SLICE / 5)
            except TimeoutError:
                if time.monotonic() > deadline:
                    raise unreachable(self._trouble.reason(), subject) from None
            except KafkaException as error:
                if error.args[0].code() in unless:
                    return None
                self._admin.poll(0)
                raise explained(error.args[0], self._trouble, subject) from error

    def _look(self, subject: Subject) -> None:
        """Hear the brokers out: a refused credential would only end as a timeout."""
        self._admin.poll(0)
        told = self._trouble.telling()
        if told is not None:
            raise explained(told, self._trouble, subject)


def _looked_up(topic: str) -> Subject:
    return Subject("look the topic up", (topic,))


_CLUSTER = Subject("read the brokers' settings")
_VERIFICATION = "transaction.partition.verification.enable"
_OLDER_SETTING = "transaction.max.timeout.ms"
"""Every broker that knows transactions has it."""


def _check_rights(described: TopicDescription) -> None:
    allowed = described.authorized_operations
    if allowed is not None and AclOperation.WRITE not in allowed:
        denied = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED, "the right Write is missing")
        raise refused(denied, Subject("publish", (described.name,)))


def _check_verification(broker: int, entries: Mapping[str, ConfigEntry]) -> None:
    entry = entries.get(_VERIFICATION)
    hidden = entry is None and _OLDER_SETTING not in entries  # a hosted service shows only some
    if hidden or (entry is not None and entry.value == "true"):
        return
    raise FindingError(
        Finding(
            "kafka-version",
            "operator",
            f"Broker {broker} does not verify transactions ({_VERIFICATION} is {'absent' if entry is None else entry.value})",
            f"cdcd needs Kafka 3.6 or later, with {_VERIFICATION}=true",
        )
    )
