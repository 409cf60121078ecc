"""Each finding about brokers and topics, provoked on a real broker, its remedy carried out, and the finding gone."""

import re
import tomllib
from typing import Any

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from cdcd.config.quantities import parse_duration
from cdcd.kafka.client import ClientConfig
from cdcd.kafka.survey import survey
from cdcd.kafka.topics import Topics
from cdcd.preflight.found import Found
from cdcd.preflight.kafka import kafka as checks
from tests.instances import Figures
from tests.servers import KafkaFactory, KafkaServer
from tests.waiting import until

pytestmark = pytest.mark.must_show("6.4")

TOPICS: dict[str, tuple[str, str]] = {
    "topic-not-writable": ("min.insync.replicas", "2"),
    "topic-message-size": ("max.message.bytes", "5000"),
    "topic-unclean-election": ("unclean.leader.election.enable", "true"),
    "topic-compacted": ("cleanup.policy", "compact"),
    "topic-retention": ("retention.ms", "60000"),
    "topic-recompressed": ("compression.type", "gzip"),
}
"""Setting and value that provoke each."""
POSITIONS = "__cdcd_positions.preflight.orders"
BROKER = {"transaction.max.timeout.ms": "20000"}
MENDED = re.compile(r"--entity-type (\w+) --entity-name (\S+) --add-config ([\w.]+)=(\S+)")


class Cluster:
    """A broker on which all is wrong."""

    def __init__(self, server: KafkaServer, account: ClientConfig | None = None) -> None:
        self.admin = AdminClient({"bootstrap.servers": server.bootstrap})
        self.topics = Topics(account or {"bootstrap.servers": server.bootstrap})
        self.transaction_seconds = 30.0

    def make(self, name: str, **config: str) -> None:
        self.admin.create_topics([NewTopic(name, 1, 1, config=config)])[name].result(10)

    def alter(self, kind: str, name: str, setting: str, value: str) -> None:
        entry = ConfigEntry(setting, value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType[kind.removesuffix("s").upper()], name, incremental_configs=[entry])
        self.admin.incremental_alter_configs([resource])[resource].result(10)

    def findings(self) -> dict[str, Found]:
        return {found.code: found for found in self.each()}

    def each(self) -> list[Found]:
        facts = survey(
            self.topics,
            "default",
            [*TOPICS, "absent"],
            POSITIONS,
            message_bytes=1_000_000,
            transaction_seconds=self.transaction_seconds,
        )
        return list(checks(facts))

    def carry_out(self, found: Found) -> None:
        for line in found.fix.splitlines():
            if line.startswith("kafka."):
                self.transaction_seconds = parse_duration(
                    tomllib.loads(line)["kafka"]["default"]["transaction_timeout"]
                )
                continue
            (change,) = MENDED.findall(line)
            self.alter(*change)


@pytest.mark.prove
def test_everything_at_once_and_one_after_the_other(kafka_server: KafkaFactory, figures: Figures) -> None:
    cluster = Cluster(kafka_server(BROKER))
    for code, (setting, value) in TOPICS.items():
        cluster.make(code, **{setting: value})
    cluster.make(POSITIONS)
    cluster.alter("brokers", "1", "transaction.partition.verification.enable", "false")
    expected: set[Any] = {*TOPICS, "kafka-version", "kafka-transaction-timeout", "position-topic-unfit"}
    until(lambda: cluster.findings().keys() == expected)
    provoked = cluster.findings()
    for code in sorted(expected):
        cluster.carry_out(provoked[code])
        until(lambda code=code: code not in cluster.findings())  # type: ignore[misc]
    until(lambda: cluster.findings() == {})
    figures({"system": "kafka", "provoked and mended": sorted(expected)})


@pytest.mark.prove
def test_three_brokers(kafka_server: KafkaFactory, figures: Figures) -> None:
    cluster = Cluster(kafka_server(brokers=3))
    new = NewTopic("topic-retention", 1, 3, config={"min.insync.replicas": "1"})
    cluster.admin.create_topics([new])["topic-retention"].result(10)
    until(lambda: cluster.findings().keys() == {"topic-under-replicated"})
    cluster.carry_out(cluster.findings()["topic-under-replicated"])
    until(lambda: cluster.findings() == {})
    figures({"system": "kafka", "provoked and mended": ["topic-under-replicated"]})


@pytest.mark.prove
def test_missing_rights(kafka_server: KafkaFactory, figures: Figures) -> None:
    """The account may see the topic, and nothing else."""
    server = kafka_server(sasl=True)
    account = {
        "bootstrap.servers": server.sasl.bootstrap,
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.username": server.sasl.limited_user,
        "sasl.password": server.sasl.limited_password,
    }
    cluster = Cluster(server, account)
    cluster.make("topic-retention")

    def grant(operation: str, topic: str) -> None:
        kind, pattern = ResourceType.TOPIC, ResourcePatternType.LITERAL
        user, allow = f"User:{server.sasl.limited_user}", AclPermissionType.ALLOW
        known = AclOperation[re.sub(r"(?<=[a-z])(?=[A-Z])", "_", operation).upper()]
        binding = AclBinding(kind, topic, pattern, user, "*", known, allow)
        cluster.admin.create_acls([binding])[binding].result(10)

    grant("Describe", "topic-retention")
    expected = {"kafka-topic-denied", "kafka-settings-hidden"}
    until(lambda: len(cluster.each()) > len(TOPICS))
    provoked = cluster.each()
    assert {found.code for found in provoked} == expected
    for found in provoked:
        (topic,) = re.findall(r"--topic (\S+)", found.fix)
        for operation in re.findall(r"--operation (\w+)", found.fix):
            grant(operation, topic)
    until(lambda: not cluster.each())
    figures({"system": "kafka", "provoked and mended": sorted(expected)})
