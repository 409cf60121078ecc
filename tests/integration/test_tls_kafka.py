"""TLS and SASL to a real Kafka broker: what is accepted, what is refused by which finding, and what goes over the wire."""

from pathlib import Path

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialUpsertion,
)

from cdcd.config.kafka_cluster import KafkaCluster, client_properties
from cdcd.config.network import parse_endpoint
from cdcd.config.secrets import Credentials
from cdcd.errors import Finding, FindingError
from cdcd.kafka.client import ClientConfig
from cdcd.kafka.exactly_once import ExactlyOnceSink
from cdcd.kafka.topics import Topics
from deploy.rig.worker import Instance, write_credential
from tests.certificates import Certificate, Papers
from tests.instances import MakeInstance
from tests.proxy import Proxy
from tests.refusals import preflight, prepared, publishes, refusal, state
from tests.servers import KafkaServer
from tests.sinks import Place, numbered, record, until

pytestmark = pytest.mark.must_show("6.5")

HANDSHAKE = b"\x16\x03"
"""Begins the first TLS record: handshake, version 3.x (RFC 8446, section 5.1)."""
PATIENCE = 30.0
"""Seconds; a refusal is told long before."""
SILENCE = 2.0
"""Where nothing is told but that nobody answers."""
PASSWORD = "scram-secret"
MECHANISMS = {"SCRAM-SHA-256": ScramMechanism.SCRAM_SHA_256, "SCRAM-SHA-512": ScramMechanism.SCRAM_SHA_512}


@pytest.fixture(scope="module")
def admin(guarded: KafkaServer) -> AdminClient:
    """With all rights. There are accounts for SCRAM: `writer` may do everything, `nobody` nothing."""
    made = AdminClient({"bootstrap.servers": guarded.bootstrap, "log_level": 0})
    for mechanism in MECHANISMS.values():  # a request may name an account only once
        secret = ScramCredentialInfo(mechanism, 4096)
        accounts: list[UserScramCredentialAlteration] = [
            UserScramCredentialUpsertion(user, secret, PASSWORD.encode()) for user in ("writer", "nobody")
        ]
        for done in made.alter_user_scram_credentials(accounts).values():
            done.result(30)
    _allow(made, "writer")
    return made


def _allow(admin: AdminClient, account: str) -> None:
    """Everything with topics and transactional ids."""
    rights = (AclOperation.ALL, AclPermissionType.ALLOW)
    kinds = (ResourceType.TOPIC, ResourceType.TRANSACTIONAL_ID)
    made = [AclBinding(kind, "*", ResourcePatternType.LITERAL, f"User:{account}", "*", *rights) for kind in kinds]
    for done in admin.create_acls(made).values():
        done.result(30)


def _properties(server: str, folder: Path, **settings: object) -> ClientConfig:
    cluster = KafkaCluster.model_validate({"bootstrap_servers": [server]} | settings)
    return dict(client_properties(cluster, Credentials(None, folder / "credentials")))


def _tls(server: str, trusted: Certificate | None, shown: Certificate | None = None) -> ClientConfig:
    tls = {"ca": trusted.ca} if trusted else {}
    if shown:
        tls |= {"cert": shown.cert, "key": shown.key}
    return _properties(server, Path("/"), security_protocol="ssl", tls=tls)


def _sasl(server: str, folder: Path, trusted: Certificate, mechanism: str, login: tuple[str, str]) -> ClientConfig:
    write_credential(folder, "broker", login, server)
    sasl = {"mechanism": mechanism, "credential": "broker"}
    return _properties(server, folder, security_protocol="sasl_ssl", tls={"ca": trusted.ca}, sasl=sasl)


def _ask(config: ClientConfig, patience: float = PATIENCE) -> None:
    Topics(config, timeout=patience).check_brokers()


def _open(config: ClientConfig) -> None:
    ExactlyOnceSink(config, "cdcd.test.tls", "__cdcd_positions.test.tls", open_timeout=PATIENCE).open()


def _findings(config: ClientConfig) -> list[Finding]:
    """Of whatever comes first."""
    return [refusal(lambda: _ask(config)), refusal(lambda: _open(config))]


def _before_long(code: str, config: ClientConfig) -> Finding:
    """The finding that attempts to connect leave; on a busy machine none may have failed by the end of the first."""
    found: list[Finding] = []

    def told() -> bool:
        found.append(refusal(lambda: _ask(config, SILENCE)))
        return found[-1].code == code

    until(told)
    return found[-1]


def _publishes(place: Place) -> None:
    """Exactly once. Brokers hear of an account and its rights a little later than the controller."""
    sink = place.exactly_once(open_timeout=PATIENCE)
    until(lambda: _opened(sink))
    sink.write(place.name, 0, [b"a"], numbered(1))
    sink.checkpoint(record(1, 1))
    assert sink.close(30)
    assert place.values() == numbered(1)
    assert place.stored() == record(1, 1)


def _opened(sink: ExactlyOnceSink) -> bool:
    try:
        sink.open()
    except FindingError:
        return False
    return True


# ------------------------------------------------------------------------------------------------ TLS

REFUSED = {
    "another authority": ("own", "foreign", "kafka-tls", "operator", "not signed by an authority that is trusted"),
    "none of the system's": ("own", None, "kafka-tls", "operator", "not signed by an authority that is trusted"),
    "another host": ("other_host", "own", "kafka-tls", "operator", "made for other host names"),
    "expired": ("expired", "own", "kafka-tls-expired", "retry", "certificate has expired"),
}
"""What the broker shows, what is trusted; code and kind of the finding, and what it says."""


@pytest.mark.parametrize("case", REFUSED)
def test_other_certificates_are_refused(guarded: KafkaServer, papers: Papers, case: str) -> None:
    shown, trusted, code, kind, reason = REFUSED[case]
    for found in _findings(_tls(guarded.tls[shown], getattr(papers, trusted) if trusted else None)):
        assert (found.code, found.kind) == (code, kind)
        assert guarded.tls[shown] in found.what
        assert reason in found.what


def test_a_listener_without_tls_is_told_nothing(
    guarded: KafkaServer, papers: Papers, tmp_path: Path, admin: AdminClient
) -> None:
    del admin
    with Proxy(*parse_endpoint(guarded.bootstrap)) as wire:
        config = _sasl(f"127.0.0.1:{wire.port}", tmp_path, papers.own, "PLAIN", ("writer", PASSWORD))
        assert _before_long("kafka-no-tls", config).kind == "retry"
        assert wire.said
        for said in map(bytes, wire.said):
            assert not said or said.startswith(HANDSHAKE)
            assert b"writer" not in said
            assert PASSWORD.encode() not in said


def test_a_listener_that_asks_for_tls(guarded: KafkaServer) -> None:
    config = _properties(guarded.tls["own"], Path("/"), security_protocol="plaintext")
    found = refusal(lambda: _ask(config, SILENCE))
    assert (found.code, found.kind) == ("kafka-unreachable", "retry")
    assert "security_protocol" in found.remedy


def test_the_clients_certificate_is_its_account(guarded: KafkaServer, papers: Papers, admin: AdminClient) -> None:
    place = Place(guarded.bootstrap, config=_tls(guarded.tls["own"], papers.own, papers.own))
    denied = refusal(place.exactly_once(open_timeout=PATIENCE).open)
    assert denied.code == "kafka-transaction-denied"
    _allow(admin, "CN=own")
    _publishes(place)
    for found in _findings(_tls(guarded.tls["own"], papers.own, papers.foreign)):
        assert (found.code, found.kind) == ("kafka-tls", "operator")
        assert "refuses our certificate" in found.what
        assert "tls.cert" in found.remedy


@pytest.mark.parametrize("name", ["no-such-file", "own.key"])
def test_files_that_are_none(guarded: KafkaServer, papers: Papers, name: str) -> None:
    settings = {"security_protocol": "ssl", "tls": {"ca": papers.own.ca.with_name(name)}}
    for found in _findings(_properties(guarded.tls["own"], Path("/"), **settings)):
        assert (found.code, found.kind) == ("kafka-settings", "operator")
        assert "ssl.ca.location" in found.what


# ------------------------------------------------------------------------------------------------ SASL over TLS


@pytest.mark.parametrize("mechanism", ["PLAIN", *MECHANISMS])
def test_user_and_password(
    guarded: KafkaServer, papers: Papers, tmp_path: Path, admin: AdminClient, mechanism: str
) -> None:
    user, password = "writer", PASSWORD
    if mechanism == "PLAIN":
        user, password = guarded.sasl.admin_user, guarded.sasl.admin_password
    with Proxy(*parse_endpoint(guarded.tls["own-sasl"])) as wire:
        config = _sasl(f"127.0.0.1:{wire.port}", tmp_path, papers.own, mechanism, (user, password))
        _publishes(Place(guarded.bootstrap, config=config))
        assert all(bytes(said).startswith(HANDSHAKE) and user.encode() not in said for said in wire.said)
    wrong = _sasl(guarded.tls["own-sasl"], tmp_path, papers.own, mechanism, (user, "not-the-password"))
    found = refusal(lambda: _ask(wrong))
    assert (found.code, found.kind) == ("kafka-credentials", "operator")
    assert "not-the-password" not in str(found)
    del admin


# ------------------------------------------------------------------------------------------------ as operators see it


def _instance(make_instance: MakeInstance, guarded: KafkaServer, papers: Papers, listener: str = "own") -> Instance:
    """One that logs in with SCRAM-SHA-512, which is the default."""
    instance = prepared(make_instance("sasl", bootstrap=guarded.tls[f"{listener}-sasl"]))
    instance.settings = {
        "CDCD_KAFKA__DEFAULT__SECURITY_PROTOCOL": "sasl_ssl",
        "CDCD_KAFKA__DEFAULT__TLS__CA": str(papers.own.ca),
        "CDCD_KAFKA__DEFAULT__SASL__CREDENTIAL": "broker",
    }
    instance.write_credential("broker", ("writer", PASSWORD), instance.bootstrap)
    return instance


def test_an_instance_by_user_and_password(
    make_instance: MakeInstance, guarded: KafkaServer, papers: Papers, admin: AdminClient
) -> None:
    del admin
    instance = _instance(make_instance, guarded, papers)
    worker = instance.run()
    state(worker, "running")
    publishes(instance, guarded.bootstrap)
    worker.stop()
    instance.write_credential("broker", ("nobody", PASSWORD), instance.bootstrap)
    denied = state(instance.run(), "parked", "kafka-topic-denied")
    assert instance.position_topic in denied
    assert "kafka-acls --add --allow-principal User:<user>" in denied
    instance.write_credential("broker", ("writer", "not-the-password"), instance.bootstrap)
    worker = instance.run()
    assert "Correct the user name, password or mechanism" in state(worker, "parked", "kafka-credentials")
    assert "not-the-password" not in worker.said()
    assert preflight(instance, "kafka").keys() == {"kafka-credentials"}


def test_the_reason_is_seen_everywhere(make_instance: MakeInstance, guarded: KafkaServer, papers: Papers) -> None:
    for listener, wanted, code, words in (
        ("other_host", "parked", "kafka-tls", "Use a name that is in it"),
        ("expired", "retrying", "kafka-tls-expired", "certificate has expired"),
    ):
        instance = _instance(make_instance, guarded, papers, listener)
        assert words in state(instance.run(), wanted, code)
        assert words in preflight(instance, "kafka")[code]
    instance = _instance(make_instance, guarded, papers)
    instance.settings["CDCD_KAFKA__DEFAULT__TLS__CA"] = str(papers.foreign.ca)
    assert "Set `tls.ca` of the Kafka cluster's settings" in state(instance.run(), "parked", "kafka-tls")
