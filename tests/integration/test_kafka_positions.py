"""The newest committed position, past whatever else lies in its topic, on a real broker."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import NewTopic

from cdcd.errors import FindingError
from cdcd.kafka.positions import KEY, position_topic_name, transactional_id
from cdcd.kafka.reading import PositionHeld
from cdcd.kafka.topics import Topics
from tests.servers import KafkaServer
from tests.sinks import Place, positions_in, record


@pytest.fixture
def place(kafka: KafkaServer) -> Place:
    return Place(kafka.bootstrap)


def _transactional(place: Place, name: str) -> Producer:
    producer = Producer({"bootstrap.servers": place.bootstrap, "transactional.id": name, "linger.ms": 0})
    producer.init_transactions(30)
    return producer


def _append(producer: Producer, place: Place, value: bytes | None, key: bytes = KEY) -> None:
    producer.begin_transaction()
    producer.produce(place.position_topic, value, key, 0)
    producer.flush(30)


def test_no_record_at_all(place: Place) -> None:
    assert place.stored() is None


def test_the_newest_committed_one_past_aborted_ones(place: Place) -> None:
    producer = _transactional(place, place.name)
    for seq in range(3):
        _append(producer, place, record(1, seq).to_json())
        producer.commit_transaction(30)
    for seq in range(100):  # more than the first reach
        _append(producer, place, record(9, seq).to_json())
        producer.abort_transaction(30)
    assert place.stored() == record(1, 2)


def test_nothing_but_aborted_ones(place: Place) -> None:
    producer = _transactional(place, place.name)
    for seq in range(40):
        _append(producer, place, record(9, seq).to_json())
        producer.abort_transaction(30)
    assert place.stored() is None


def test_what_a_dead_owner_left_open_ends_with_init_transactions(place: Place) -> None:
    dead = _transactional(place, place.transactional_id)
    _append(dead, place, record(1, 1).to_json())
    dead.commit_transaction(30)
    _append(dead, place, record(1, 2).to_json())
    with pytest.raises(PositionHeld):
        place.stored(patience=1.0)
    sink = place.exactly_once()
    sink.open()
    assert place.stored() == record(1, 1)
    sink.close(5)


def test_a_late_ones_open_transaction_is_waited_for(place: Place) -> None:
    first = _transactional(place, place.name)
    _append(first, place, record(1, 1).to_json())
    first.commit_transaction(30)
    _append(first, place, record(1, 2).to_json())
    threading.Timer(0.3, first.commit_transaction).start()
    assert positions_in(place.config, place.position_topic).read(patience=20) == record(1, 2)


@pytest.mark.parametrize("value", [b"{}", b"no JSON", None])
def test_a_damaged_newest_record_is_never_passed_over(place: Place, value: bytes | None) -> None:
    producer = _transactional(place, place.name)
    for content in (record(1, 1).to_json(), value):
        _append(producer, place, content)
        producer.commit_transaction(30)
    with pytest.raises(FindingError) as caught:
        place.stored()
    assert (caught.value.finding.code, caught.value.finding.kind) == ("position-record-damaged", "operator")


def test_a_foreign_key_is_damage_too(place: Place) -> None:
    producer = _transactional(place, place.name)
    _append(producer, place, record(1, 1).to_json(), b"another")
    producer.commit_transaction(30)
    with pytest.raises(FindingError) as caught:
        place.stored()
    assert caught.value.finding.code == "position-record-damaged"


def test_a_missing_topic_is_a_finding(kafka: KafkaServer) -> None:
    with pytest.raises(FindingError) as caught:
        positions_in({"bootstrap.servers": kafka.bootstrap}, "k-no-such-topic").read()
    assert caught.value.finding.code == "kafka-topic-missing"


def test_no_broker_is_a_finding_that_waiting_may_mend() -> None:
    with pytest.raises(FindingError) as caught:
        positions_in({"bootstrap.servers": "127.0.0.1:1"}, "nothing").read(timeout=0.5)
    assert (caught.value.finding.code, caught.value.finding.kind) == ("kafka-unreachable", "retry")
    assert "Connection refused" in caught.value.finding.what


def test_ensure_makes_a_compacted_topic_whoever_else_does_so_too(kafka: KafkaServer) -> None:
    config = {"bootstrap.servers": kafka.bootstrap}
    name = position_topic_name("test", "at-once")

    def ensure(_number: int) -> None:
        positions_in(config, name).ensure(Topics(config), 1)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(ensure, range(4)))
    limits = Topics(config).limits(name)
    assert limits is not None
    assert limits.compacted
    assert not limits.deleted
    assert Topics(config).ensure(name, 7, 1) == 1


@pytest.mark.parametrize(
    ("partitions", "policy", "told"),
    [(2, "compact", "2 partitions"), (1, "delete", "newest"), (1, "compact,delete", "newest")],
)
def test_ensure_refuses_a_topic_that_would_lose_positions(
    place: Place, partitions: int, policy: str, told: str
) -> None:
    name = f"{place.name}-{policy.replace(',', '-')}"
    place.admin.create_topics([NewTopic(name, partitions, 1, config={"cleanup.policy": policy})])[name].result(30)
    with pytest.raises(FindingError) as caught:
        positions_in(place.config, name).ensure(Topics(place.config), 1)
    assert (caught.value.finding.code, caught.value.finding.kind) == ("position-topic-unfit", "operator")
    assert told in caught.value.finding.what


def test_names_of_an_instance() -> None:
    assert position_topic_name("main", "a.b") == "__cdcd_positions.main.a.b"
    assert transactional_id("main", "a.b") == "cdcd.main.a.b"
    with pytest.raises(ValueError, match="dot"):
        position_topic_name("main.a", "b")
