"""The checks of a Kafka cluster. Pure; source: Kafka documentation, "Topic Configs" and "Broker Configs"."""

from collections.abc import Iterable, Iterator

from cdcd.kafka.survey import KafkaFacts, TopicFacts
from cdcd.preflight.found import MOST_NAMED, Checks, Said, listed

DAY_MS = 86_400_000
VERIFICATION = "transaction.partition.verification.enable"
_BROKER = "kafka-configs.sh --alter --entity-type brokers"
_OLDER = "transaction.max.timeout.ms"
"""Every broker that knows transactions has it: where it is missing the settings may not be read."""

kafka = Checks[KafkaFacts]("kafka")


def _alter(topics: Iterable[TopicFacts], change: str) -> str:
    """One command for each topic."""
    commands = [
        f"kafka-configs.sh --alter --entity-type topics --entity-name {topic.name} --add-config {change}"
        for topic in topics
    ]
    return "\n".join(commands[:MOST_NAMED])


def _named(topics: Iterable[TopicFacts], setting: str) -> str:
    return listed(f"{topic.name} ({topic.settings.get(setting)})" for topic in topics)


@kafka.rule(
    "kafka-version", "fatal", "A late request of a dead producer can end the next transaction: rows lost or doubled"
)
def verification(facts: KafkaFacts) -> Iterator[Said]:
    """Brokers verify transactions (KIP-890, Kafka 3.6)."""
    bare = [
        node
        for node, settings in facts.brokers.items()
        if settings.get(_OLDER) and settings.get(VERIFICATION) != "true"
    ]
    if bare:
        yield (
            f"{VERIFICATION} is not true on broker {listed(map(str, bare))}",
            "\n".join(f"{_BROKER} --entity-name {node} --add-config {VERIFICATION}=true" for node in bare),
        )


@kafka.rule("kafka-transaction-timeout", "fatal", "The brokers refuse the producer")
def transaction_timeout(facts: KafkaFacts) -> Iterator[Said]:
    """`transaction_timeout` is one that the brokers allow."""
    allowed = [ms for settings in facts.brokers.values() if (ms := settings.number(_OLDER)) is not None]
    if allowed and facts.transaction_seconds * 1000 > min(allowed):
        yield (
            f"kafka.{facts.cluster}.transaction_timeout is {facts.transaction_seconds:g} s, the brokers' {_OLDER} {min(allowed)}",
            f'kafka.{facts.cluster}.transaction_timeout = "{min(allowed)}ms"',
        )


def _granted(topic: TopicFacts, operations: Iterable[str]) -> str:
    asked = " ".join(f"--operation {name}" for name in operations)
    return f"kafka-acls.sh --add --allow-principal User:<account> {asked} --topic {topic.name}"


@kafka.rule("kafka-topic-denied", "fatal", "The instance cannot publish there, or not read its position")
def rights(facts: KafkaFacts) -> Iterator[Said]:
    """The account may write to its topics, and read its position."""
    needed = [(topic, {"Describe", "Write"}) for topic in facts.topics]
    if facts.position_topic is not None:
        needed.append((facts.position_topic, {"Describe", "Write", "Read"}))
    for topic, operations in needed:
        if lacking := [name for name in topic.denied if name in operations]:
            yield f"topic {topic.name}: no right to {', '.join(lacking)}", _granted(topic, lacking)


@kafka.rule(
    "kafka-settings-hidden", "notice", "Whether the topic takes what is sent to it shows only when it refuses a message"
)
def hidden(facts: KafkaFacts) -> Iterator[Said]:
    """The account may see the settings of its topics."""
    for topic in facts.topics:
        if "DescribeConfigs" in topic.denied:
            yield f"topic {topic.name}: no right to DescribeConfigs", _granted(topic, ["DescribeConfigs"])


@kafka.rule(
    "position-topic-unfit",
    "fatal",
    "The stored position is deleted after a time, and the instance starts somewhere else",
)
def position_topic(facts: KafkaFacts) -> Iterator[Said]:
    """The position topic is compacted and never deleted from."""
    topic = facts.position_topic
    if topic is not None and (policy := topic.settings.get("cleanup.policy")) not in {"compact", ""}:
        yield f"cleanup.policy of {topic.name} is {policy}", _alter([topic], "cleanup.policy=compact")


@kafka.rule("topic-not-writable", "fatal", "With acks=all, which cdcd always asks for, every message is refused")
def writable(facts: KafkaFacts) -> Iterator[Said]:
    """A topic has the replicas that it asks for."""
    short = [t for t in facts.topics if (t.settings.number("min.insync.replicas") or 0) > t.replicas]
    for topic in short:
        asked = topic.settings.get("min.insync.replicas")
        yield (
            f"topic {topic.name} has {topic.replicas} replica(s), its min.insync.replicas is {asked}",
            _alter([topic], f"min.insync.replicas={max(1, topic.replicas - 1)}"),
        )


@kafka.rule("topic-message-size", "warning", "A larger row stops the instance")
def message_size(facts: KafkaFacts) -> Iterator[Said]:
    """Topics take messages as large as cdcd may send."""
    name = "max.message.bytes"
    small = [t for t in facts.topics if (limit := t.settings.number(name)) is not None and limit < facts.message_bytes]
    if small:
        what = f"{name} is below kafka.{facts.cluster}.message_max_bytes ({facts.message_bytes})"
        yield f"{what}: {_named(small, name)}", _alter(small, f"{name}={facts.message_bytes + 10_000}")


@kafka.rule(
    "topic-unclean-election",
    "warning",
    "After a failure of brokers a replica that lags may become leader: committed messages are lost",
)
def unclean(facts: KafkaFacts) -> Iterator[Said]:
    """Only a replica in step becomes leader."""
    name = "unclean.leader.election.enable"
    if found := [t for t in facts.topics if t.settings.get(name) == "true"]:
        yield f"{name} is true: {listed(t.name for t in found)}", _alter(found, f"{name}=false")


@kafka.rule("topic-under-replicated", "notice", "One broker that is lost takes acknowledged messages with it")
def min_insync(facts: KafkaFacts) -> Iterator[Said]:
    """Messages are acknowledged by two brokers, where there are as many replicas."""
    name = "min.insync.replicas"
    if found := [t for t in facts.topics if t.replicas > 2 and t.settings.get(name) == "1"]:
        yield f"{name} is 1: {listed(t.name for t in found)}", _alter(found, f"{name}=2")


@kafka.rule(
    "topic-compacted",
    "notice",
    "Only the newest message of each key stays, and tables without a primary key cannot be published there",
)
def compacted(facts: KafkaFacts) -> Iterator[Said]:
    """Topics keep every message."""
    name = "cleanup.policy"
    if found := [t for t in facts.topics if "compact" in t.settings.get(name)]:
        yield f"{name}: {_named(found, name)}", _alter(found, f"{name}=delete")


@kafka.rule("topic-retention", "warning", "A consumer that is away for longer misses messages")
def retention(facts: KafkaFacts) -> Iterator[Said]:
    """Messages are kept for a day at least."""
    name = "retention.ms"
    short = [t for t in facts.topics if 0 <= (t.settings.number(name) or -1) < DAY_MS]
    if short:
        yield f"{name} is less than a day: {_named(short, name)}", _alter(short, f"{name}={7 * DAY_MS}")


@kafka.rule(
    "topic-recompressed", "notice", "The brokers unpack and pack every batch anew, which costs them processor time"
)
def recompressed(facts: KafkaFacts) -> Iterator[Said]:
    """Topics store batches as they come."""
    name = "compression.type"
    if found := [t for t in facts.topics if t.settings.get(name) not in {"producer", "lz4", ""}]:
        yield f"{name}: {_named(found, name)}", _alter(found, f"{name}=producer")
