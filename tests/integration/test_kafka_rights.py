"""Wrong credentials and missing rights: each is one finding that names what to mend."""

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)

from cdcd.errors import Finding, FindingError, HoldingLost
from cdcd.kafka.client import ClientConfig
from cdcd.kafka.topics import Topics
from tests.servers import KafkaServer
from tests.sinks import Place, numbered, positions_in, record, until

_LITERAL = ResourcePatternType.LITERAL


def _login(server: KafkaServer, password: str | None = None) -> ClientConfig:
    return {
        "bootstrap.servers": server.sasl.bootstrap,
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.username": server.sasl.limited_user,
        "sasl.password": password or server.sasl.limited_password,
    }


@pytest.fixture
def place(guarded: KafkaServer) -> Place:
    return Place(guarded.bootstrap, config=_login(guarded))


def _grant(place: Place, guarded: KafkaServer, kind: ResourceType, name: str, *operations: AclOperation) -> None:
    user = f"User:{guarded.sasl.limited_user}"
    bindings = [
        AclBinding(kind, name, _LITERAL, user, "*", operation, AclPermissionType.ALLOW) for operation in operations
    ]
    for done in place.admin.create_acls(bindings).values():
        done.result(30)
    # Brokers hear of it a little later than the controller.
    given = AclBindingFilter(kind, name, _LITERAL, user, "*", AclOperation.ANY, AclPermissionType.ALLOW)
    until(lambda: len(place.admin.describe_acls(given).result(30)) >= len(operations))


def _open_finding(place: Place) -> Finding:
    with pytest.raises(FindingError) as caught:
        place.exactly_once(open_timeout=10).open()
    return caught.value.finding


def test_a_wrong_password_is_told_by_whatever_comes_first(guarded: KafkaServer, place: Place) -> None:
    place.config = _login(guarded, "wrong")
    findings = [_open_finding(place)]
    with pytest.raises(FindingError) as caught:
        place.at_least_once().open()
    findings.append(caught.value.finding)
    with pytest.raises(FindingError) as caught:
        Topics(place.config).ensure(place.name, 1, 1)
    findings.append(caught.value.finding)
    with pytest.raises(FindingError) as caught:
        place.stored()
    findings.append(caught.value.finding)
    assert [(found.code, found.kind) for found in findings] == [("kafka-credentials", "operator")] * 4
    assert not any("wrong" in str(found) for found in findings)


def test_no_right_to_the_transactional_id(place: Place) -> None:
    found = _open_finding(place)
    assert (found.code, found.kind) == ("kafka-transaction-denied", "operator")
    assert place.transactional_id in found.remedy


def test_no_right_to_write_to_the_topic(guarded: KafkaServer, place: Place) -> None:
    _grant(
        place, guarded, ResourceType.TRANSACTIONAL_ID, place.transactional_id, AclOperation.WRITE, AclOperation.DESCRIBE
    )
    _grant(place, guarded, ResourceType.TOPIC, place.position_topic, AclOperation.WRITE, AclOperation.READ)
    _grant(place, guarded, ResourceType.TOPIC, place.name, AclOperation.DESCRIBE)
    with pytest.raises(FindingError) as caught:
        Topics(place.config).ensure(place.name, 4, 1)
    assert (caught.value.finding.code, caught.value.finding.kind) == ("kafka-topic-denied", "operator")
    assert place.name in caught.value.finding.what
    sink = place.exactly_once()
    sink.open()
    sink.checkpoint(record(1, 0))
    sink.write(place.name, 0, [b"a"], numbered(1))
    with pytest.raises(FindingError) as caught:
        sink.checkpoint(record(1, 1))
    assert (caught.value.finding.code, caught.value.finding.kind) == ("kafka-topic-denied", "operator")
    assert place.name in caught.value.finding.what
    assert place.stored() == record(1, 0)


def test_at_least_once_without_the_right_to_write(guarded: KafkaServer, place: Place) -> None:
    _grant(
        place, guarded, ResourceType.TRANSACTIONAL_ID, place.transactional_id, AclOperation.WRITE, AclOperation.DESCRIBE
    )
    _grant(place, guarded, ResourceType.TOPIC, place.position_topic, AclOperation.WRITE, AclOperation.READ)
    _grant(place, guarded, ResourceType.TOPIC, place.name, AclOperation.DESCRIBE)
    sink = place.at_least_once()
    sink.open()
    sink.write(place.name, 0, [b"a"], numbered(1), [b"1;1;u:1"])
    with pytest.raises(FindingError) as caught:
        sink.checkpoint(record(1, 1), wait=True)
    assert (caught.value.finding.code, caught.value.finding.kind) == ("kafka-topic-denied", "operator")
    assert place.stored() is None


def test_no_right_to_see_or_make_the_topic(guarded: KafkaServer, place: Place) -> None:
    for name in (place.name, f"{place.name}-absent"):
        with pytest.raises(FindingError) as caught:
            Topics(place.config).ensure(name, 4, 1)
        assert (caught.value.finding.code, caught.value.finding.kind) == ("kafka-topic-denied", "operator")
        assert name in caught.value.finding.what


def test_no_right_to_read_positions(place: Place) -> None:
    with pytest.raises(FindingError) as caught:
        place.stored()
    assert (caught.value.finding.code, caught.value.finding.kind) == ("kafka-topic-denied", "operator")
    assert place.position_topic in caught.value.finding.what


def test_settings_that_may_not_be_read_are_taken_on_trust(guarded: KafkaServer, place: Place) -> None:
    operations = (AclOperation.WRITE, AclOperation.READ)
    _grant(place, guarded, ResourceType.TOPIC, place.position_topic, *operations)
    topics = Topics(place.config)
    positions_in(place.config, place.position_topic).ensure(topics, 1)
    assert topics.limits(place.position_topic) is None
    topics.check_brokers()


def test_the_rights_that_the_docs_ask_for_are_enough(guarded: KafkaServer, place: Place) -> None:
    _grant(
        place, guarded, ResourceType.TRANSACTIONAL_ID, place.transactional_id, AclOperation.WRITE, AclOperation.DESCRIBE
    )
    for topic in (place.name, place.position_topic):
        operations = (AclOperation.WRITE, AclOperation.READ, AclOperation.DESCRIBE, AclOperation.DESCRIBE_CONFIGS)
        _grant(place, guarded, ResourceType.TOPIC, topic, *operations)
    assert Topics(place.config).ensure(place.name, 4, 1) == 4
    sink = place.exactly_once()
    try:
        sink.open()
        sink.write(place.name, 0, [b"a"], numbered(1))
        sink.checkpoint(record(1, 1))
    except HoldingLost as error:
        pytest.fail(str(error))
    assert place.stored() == record(1, 1)
    assert sink.close(30)
