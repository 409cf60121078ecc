"""Topics on a real broker: made once, known when `ensure` returns, refused with a reason."""

import secrets
from concurrent.futures import ThreadPoolExecutor

import pytest
from confluent_kafka.admin import TopicDescription

from cdcd.errors import FindingError
from cdcd.kafka.topics import Topics
from tests.servers import KafkaFactory, KafkaServer


@pytest.fixture
def topics(kafka: KafkaServer) -> Topics:
    return Topics({"bootstrap.servers": kafka.bootstrap})


@pytest.fixture
def name() -> str:
    return f"k-{secrets.token_hex(4)}"


def test_an_absent_topic_is_made_and_an_existing_one_left_alone(topics: Topics, name: str) -> None:
    assert topics.ensure(name, 3, 1, {"max.message.bytes": "5000"}) == 3
    assert topics.ensure(name, 8, 1, {"max.message.bytes": "9000"}) == 3
    limits = topics.limits(name)
    assert limits is not None
    assert limits.max_message_bytes == 5000


def test_what_was_foreseen_is_not_asked_for_again(topics: Topics, name: str) -> None:
    assert topics.ensure(name, 3, 1) == 3
    asked: list[str] = []
    describe = topics._describe

    def ask(topic: str) -> TopicDescription | None:
        asked.append(topic)
        return describe(topic)

    topics._describe = ask  # type: ignore[method-assign]
    topics.foresee([name, f"{name}-absent"])
    assert [topics.ensure(name, 9, 1) for _ in range(2)] == [3, 3]
    assert asked == [name], "the first answer is for one question only"
    assert topics.ensure(f"{name}-absent", 2, 1) == 2
    assert asked[:2] == [name, f"{name}-absent"]
    topics.foresee([])


def test_made_by_several_at_once(kafka: KafkaServer, name: str) -> None:
    def ensure(_number: int) -> int:
        return Topics({"bootstrap.servers": kafka.bootstrap}).ensure(name, 5, 1)

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(ensure, range(4))) == [5] * 4


@pytest.mark.parametrize(
    ("topic", "replication", "code", "kind"),
    [
        ("no topic's name", 1, "kafka-topic-name", "operator"),
        ("x" * 250, 1, "kafka-topic-name", "operator"),
        ("k-too-many-replicas", 3, "kafka-replication", "retry"),
    ],
)
def test_what_cannot_be_made_is_a_finding(topics: Topics, topic: str, replication: int, code: str, kind: str) -> None:
    with pytest.raises(FindingError) as caught:
        topics.ensure(topic, 1, replication)
    assert (caught.value.finding.code, caught.value.finding.kind) == (code, kind)
    assert topic in caught.value.finding.what


def test_the_brokers_own_replication(topics: Topics, name: str) -> None:
    assert topics.ensure(name, 1, -1) == 1


def test_no_broker_is_a_finding_that_waiting_may_mend() -> None:
    with pytest.raises(FindingError) as caught:
        Topics({"bootstrap.servers": "127.0.0.1:1"}, timeout=1).ensure("x", 1, 1)
    assert (caught.value.finding.code, caught.value.finding.kind) == ("kafka-unreachable", "retry")
    assert "Connection refused" in caught.value.finding.what


def test_a_host_that_does_not_exist_is_a_finding_that_names_it() -> None:
    with pytest.raises(FindingError) as caught:
        Topics({"bootstrap.servers": "no-such-host.invalid:9092"}, timeout=1).ensure("x", 1, 1)
    assert "no-such-host.invalid" in caught.value.finding.what


def test_brokers_that_verify_transactions_pass(topics: Topics) -> None:
    topics.check_brokers()


def test_brokers_that_do_not_are_refused(kafka_server: KafkaFactory) -> None:
    unsafe = kafka_server({"transaction.partition.verification.enable": "false"})
    with pytest.raises(FindingError) as caught:
        Topics({"bootstrap.servers": unsafe.bootstrap}).check_brokers()
    assert (caught.value.finding.code, caught.value.finding.kind) == ("kafka-version", "operator")
