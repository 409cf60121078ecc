"""What librdkafka's errors mean to the worker and to the operator."""

import logging
import threading

import pytest
from confluent_kafka import KafkaError
from structlog.testing import capture_logs

from cdcd.errors import FindingError, HoldingLost
from cdcd.kafka.client import ClientLog, Trouble, with_callbacks, within
from cdcd.kafka.failures import Fenced, Subject, explained, lost, refused

SUBJECT = Subject("publish a message", ("shop.orders",), "cdcd.main.orders", 12_345)


@pytest.mark.parametrize(
    ("code", "finding"),
    [
        (KafkaError.MSG_SIZE_TOO_LARGE, "message-too-large"),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, "kafka-topic-denied"),
        (KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, "kafka-transaction-denied"),
        (KafkaError.CLUSTER_AUTHORIZATION_FAILED, "kafka-cluster-denied"),
        (KafkaError._AUTHENTICATION, "kafka-credentials"),
        (KafkaError._SSL, "kafka-tls"),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, "kafka-topic-missing"),
        (KafkaError._UNKNOWN_PARTITION, "kafka-topic-missing"),
        (KafkaError.INVALID_RECORD, "kafka-record-refused"),
        (KafkaError.UNSUPPORTED_VERSION, "kafka-version"),
    ],
)
def test_the_operators_trouble(code: int, finding: str) -> None:
    error = lost(KafkaError(code, "the broker's own words"), SUBJECT)
    assert isinstance(error, FindingError)
    assert (error.finding.code, error.finding.kind) == (finding, "operator")
    assert "the broker's own words" in error.finding.what
    assert error.finding.remedy


def test_a_large_message_is_named_by_topic_and_size() -> None:
    error = refused(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE), SUBJECT)
    assert "12,345 bytes" in error.finding.what
    assert "topic shop.orders" in error.finding.what


def test_the_right_to_grant_names_the_transactional_id() -> None:
    error = refused(KafkaError(KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED), SUBJECT)
    assert "--transactional-id 'cdcd.main.orders'" in error.finding.remedy


@pytest.mark.parametrize(
    ("topics", "told"),
    [
        ((), "use a topic:"),
        (("a",), "use topic a:"),
        (("a", "b"), "use one of the topics a, b:"),
        (tuple("abcdefg"), "use one of the topics a, b, c, d, e and 2 more:"),
    ],
)
def test_topics_are_named(topics: tuple[str, ...], told: str) -> None:
    denied = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    assert told in refused(denied, Subject("publish", topics)).finding.what


@pytest.mark.parametrize("code", [KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED])
def test_fenced(code: int) -> None:
    assert isinstance(lost(KafkaError(code), SUBJECT), Fenced)


@pytest.mark.parametrize(
    "code",
    [KafkaError._TIMED_OUT, KafkaError._MSG_TIMED_OUT, KafkaError._TRANSPORT, KafkaError._STATE, KafkaError._FATAL],
)
def test_what_is_not_known_for_certain_is_lost(code: int) -> None:
    error = lost(KafkaError(code), SUBJECT)
    assert isinstance(error, HoldingLost)
    assert not isinstance(error, Fenced)


def test_silence_is_explained_by_what_was_heard_meanwhile() -> None:
    trouble, silence = Trouble(), KafkaError(KafkaError._TIMED_OUT, "timed out")
    assert "timed out" in explained(silence, trouble, SUBJECT).finding.what
    trouble(KafkaError(KafkaError._TRANSPORT, "connection refused"))
    found = explained(silence, trouble, SUBJECT).finding
    assert (found.code, found.kind) == ("kafka-unreachable", "retry")
    assert "connection refused" in found.what


def test_a_refused_credential_is_believed_when_it_is_refused_again_and_again() -> None:
    trouble, silence = Trouble(), KafkaError(KafkaError._TIMED_OUT)
    refusal = KafkaError(KafkaError._AUTHENTICATION, "invalid credentials")
    trouble(refusal)
    trouble(refusal)
    assert explained(silence, trouble, SUBJECT).finding.kind == "retry"
    trouble(refusal)
    assert explained(silence, trouble, SUBJECT).finding.code == "kafka-credentials"
    trouble.clear()
    assert explained(silence, trouble, SUBJECT).finding.kind == "retry"


def test_a_client_logs_one_text_once() -> None:
    log = ClientLog()
    with capture_logs() as lines:
        for _ in range(5):
            log.log(logging.ERROR, "%s is %s", "broker 1", "down")
        log.log(logging.CRITICAL, "FATAL")
        log.log(logging.WARNING, "coordinator busy: retrying")
        log.log(logging.INFO, "idle")
    found = [(line["log_level"], line["reason"]) for line in lines if line["log_level"] != "debug"]
    assert found == [("warning", "broker 1 is down"), ("error", "FATAL"), ("info", "idle")]
    assert {line["event"] for line in lines} == {"kafka.client"}


def test_the_clusters_settings_are_left_as_they_are() -> None:
    config = {"bootstrap.servers": "broker:9092", "client.id": "mine"}
    made = with_callbacks(config, Trouble())
    assert made["client.id"] == "mine"
    assert set(config) == {"bootstrap.servers", "client.id"}


def test_what_hangs_is_left_behind() -> None:
    release = threading.Event()
    assert not within(0.05, release.wait)
    release.set()
    assert within(5, release.wait)
    assert not within(5, lambda: 1 // 0)


ALERT = "ssl://b:9093/1: Receive failed: error:0A000416:SSL routines::ssl/tls alert {}: SSL alert number {} (after 1ms)"


@pytest.mark.parametrize(
    ("said", "code", "kind"),
    [
        (ALERT.format("certificate unknown", 46), "kafka-tls", "operator"),
        (ALERT.format("certificate required", 116), "kafka-tls", "operator"),
        (ALERT.format("internal error", 80), "kafka-unreachable", "retry"),
        (ALERT.format("handshake failure", 40), "kafka-unreachable", "retry"),
        ("ssl://b:9093/1: SSL handshake failed: Disconnected: closed by peer", "kafka-no-tls", "retry"),
    ],
)
def test_what_librdkafka_takes_for_a_broken_connection(said: str, code: str, kind: str) -> None:
    trouble = Trouble()
    for _ in range(3):
        trouble(KafkaError(KafkaError._TRANSPORT, said))
    found = explained(KafkaError(KafkaError._TIMED_OUT), trouble, SUBJECT).finding
    assert (found.code, found.kind) == (code, kind)
    assert said in found.what


def test_a_broker_that_does_not_answer_any_more_is_not_asked_for_long() -> None:
    """Why its certificate was refused stays unknown then. It may be starting anew, with another one."""
    trouble = Trouble()
    for _ in range(3):
        trouble(
            KafkaError(KafkaError._SSL, "ssl://127.0.0.1:1/bootstrap: SSL handshake failed: certificate verify failed")
        )
    found = explained(KafkaError(KafkaError._TIMED_OUT), trouble, SUBJECT).finding
    assert (found.code, found.kind) == ("kafka-unreachable", "retry")
    assert "certificate verify failed" in found.what
