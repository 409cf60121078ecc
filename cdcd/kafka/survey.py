"""What a Kafka cluster says of everything that may keep cdcd from publishing well, for the preflight. Makes and changes nothing."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from confluent_kafka.admin import AclOperation, ConfigEntry, TopicDescription

from cdcd.kafka.topics import Topics

_OPERATIONS = {AclOperation.WRITE: "Write", AclOperation.READ: "Read", AclOperation.DESCRIBE_CONFIGS: "DescribeConfigs"}
MOST_TOPICS = 500
"""Looked at; of an instance with more the first."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Of a broker or topic; those that the account may not read are not there."""

    values: Mapping[str, str]

    def number(self, name: str) -> int | None:
        """None where it is not known."""
        value = self.values.get(name)
        return int(value) if value else None

    def get(self, name: str) -> str:
        """Empty where it is not known."""
        return self.values.get(name, "")


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """One topic as it is."""

    name: str
    partitions: int
    replicas: int
    """Of the partition with the fewest."""
    settings: Settings
    denied: tuple[str, ...]
    """Rights that the account lacks, where the brokers tell."""


@dataclass(frozen=True, slots=True)
class KafkaFacts:
    """One reading of one cluster, for one instance."""

    cluster: str
    """Its name in the settings."""
    brokers: Mapping[int, Settings]
    topics: tuple[TopicFacts, ...]
    """Of rows and statements, those that exist."""
    position_topic: TopicFacts | None
    message_bytes: int
    """Largest message that cdcd sends, by its settings."""
    transaction_seconds: float


def survey(
    topics: Topics,
    cluster: str,
    published: Iterable[str],
    position_topic: str,
    *,
    message_bytes: int,
    transaction_seconds: float,
) -> KafkaFacts:
    """Raises FindingError where the brokers do not answer or refuse the account."""
    described = topics.descriptions([*sorted(set(published) - {position_topic})[:MOST_TOPICS], position_topic])
    settings = topics.settings(name for name, each in described.items() if each is not None)
    found = {name: _topic(name, each, settings.get(name)) for name, each in described.items()}
    return KafkaFacts(
        cluster=cluster,
        brokers={node: _settings(entries) for node, entries in topics.brokers().items()},
        topics=tuple(topic for name, topic in found.items() if name != position_topic),
        position_topic=found.get(position_topic),
        message_bytes=message_bytes,
        transaction_seconds=transaction_seconds,
    )


def _topic(name: str, described: TopicDescription | None, entries: Mapping[str, ConfigEntry] | None) -> TopicFacts:
    """`described` None: the account may not see it."""
    if described is None:
        return TopicFacts(name, 0, 0, Settings({}), ("Describe", *_OPERATIONS.values()))
    return TopicFacts(
        name=name,
        partitions=len(described.partitions),
        replicas=min((len(partition.replicas) for partition in described.partitions), default=0),
        settings=_settings(entries),
        denied=_denied(described),
    )


def _denied(described: TopicDescription) -> tuple[str, ...]:
    allowed = described.authorized_operations
    return () if allowed is None else tuple(name for each, name in _OPERATIONS.items() if each not in allowed)


def _settings(entries: Mapping[str, ConfigEntry] | None) -> Settings:
    return Settings({name: entry.value for name, entry in (entries or {}).items() if entry.value is not None})
