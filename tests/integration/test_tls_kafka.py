"""TLS and SASL to a real Kafka broker: what is accepted, what is refused by which finding, and what goes over the wire."""

import secrets
from pathlib import Path

import pytest
from confluent_kafka import KafkaError
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from cdcd.config.kafka_cluster import KafkaCluster, client_properties
from cdcd.config.secrets import Credentials
from cdcd.errors import Finding, HoldingLost
from cdcd.kafka.client import ClientConfig
from cdcd.kafka.topics import Topics
from deploy.rig.worker import Instance
from tests.certificates import Certificate, Papers
from tests.instances import MakeInstance
from tests.proxy import Proxy
from tests.refusals import preflight, prepared, publishes, refusal, state
from tests.servers import KafkaServer
from tests.sinks import Place, numbered, record, until

pytestmark = pytest.mark.must_show("6.5")

HANDSHAKE = b"\x16\x03"
"""Begins the first TLS record: handshake, version 3.x (RFC 8446, section 5.1)."""
PATIENCE = 2.0
PASSWORD = "scram-secret"
MECHANISMS = {"SCRAM-SHA-256": ScramMechanism.SCRAM_SHA_256, "SCRAM-SHA-512": ScramMechanism.SCRAM_SHA_512}


def _config(server: str, trusted: Certificate | None, shown: Certificate | None = None) -> ClientConfig:
    tls = {"ca": trusted.ca} if trusted else {}
    if shown:
        tls |= {"cert": shown.cert, "key": shown.key}
    cluster = KafkaCluster.model_validate({"bootstrap_servers": [server], "security_protocol": "ssl", "tls": tls})
    return dict(client_properties(cluster, Credentials(None)))


def _ask(config: ClientConfig) -> None:
    Topics(config, timeout=PATIENCE).check_brokers()


def _findings(config: ClientConfig) -> list[Finding]:
    """Of whatever comes first: the topics, or the producer."""
    place = Place.__new__(Place)
    place.config, place.transactional_id, place.position_topic = config, "cdcd.test.tls", "__cdcd_positions.test.tls"
    return [refusal(lambda: _ask(config)), refusal(place.exactly_once(open_timeout=PATIENCE).open)]


def test_the_right_certificate_is_accepted(guarded: KafkaServer, papers: Papers) -> None:
    _ask(_config(guarded.tls["own"], papers.own))
