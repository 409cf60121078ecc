"""Rows and position in one transaction, and the fence around it, on a real broker."""

import random
import time

import pytest

from cdcd.errors import Finding, FindingError, HoldingLost, Stopped
from cdcd.kafka.exactly_once import ExactlyOnceSink
from cdcd.kafka.failures import Fenced
from cdcd.kafka.opening import Waiting
from cdcd.kafka.producer import ProducerSettings, not_stopped
from cdcd.observe.failpoints import FailpointName
from deploy.rig.topics import open_transaction, topics_like
from tests.servers import KafkaServer
from tests.sinks import Place, numbered, record, until


@pytest.fixture
def place(kafka: KafkaServer) -> Place:
    return Place(kafka.bootstrap)


def test_rows_and_position_appear_together_and_in_order(place: Place) -> None:
    sink = place.exactly_once()
    sink.open()
    sink.write(place.name, 2, [b"a", b"b"], numbered(1, 2))
    sink.write(place.name, 2, [b"c", None], numbered(3, 4))
    sink.write(place.name, 0, [b"d"], numbered(5))
    assert (sink.open_records, sink.open_bytes) == (5, 25)
    assert sink.open_since is not None
    sink.checkpoint(record(1, 5))
    assert (sink.open_records, sink.open_bytes) == (0, 0)
    assert sink.open_since is None
    assert sink.durable == record(1, 5) == place.stored()
    seen = [(found.partition, found.key, found.value) for found in place.records()]
    assert [row for row in seen if row[0] == 2] == [
        (2, b"a", b"row 1"),
        (2, b"b", b"row 2"),
        (2, b"c", b"row 3"),
        (2, None, b"row 4"),
    ]
    assert [row for row in seen if row[0] == 0] == [(0, b"d", b"row 5")]
    assert sink.close(30)


def test_a_checkpoint_without_rows_moves_the_position_alone(place: Place) -> None:
    sink = place.exactly_once()
    sink.open()
    sink.checkpoint(record(1, 0))
    sink.checkpoint(record(1, 7))
    assert place.stored() == record(1, 7)
    assert place.records() == []
    sink.close(5)


def test_ids_become_headers(place: Place) -> None:
    sink = place.exactly_once()
    sink.open()
    sink.write(place.name, 0, [b"a", None], numbered(1, 2), [b"1;1;u:1", b"1;2;u:1"])
    sink.checkpoint(record(1, 2))
    sink.close(5)
    assert place.headers() == [[("cdcd-id", b"1;1;u:1")], [("cdcd-id", b"1;2;u:1")]]


def test_a_successor_fences_the_old_owner(place: Place) -> None:
    old, new = place.exactly_once(), place.exactly_once()
    old.open()
    old.write(place.name, 0, [b"a"], numbered(1))
    old.checkpoint(record(1, 1))
    old.write(place.name, 0, [b"a"], numbered(2))
    new.open()
    with pytest.raises(Fenced):
        old.checkpoint(record(1, 2))
    assert place.stored() == record(1, 1)
    new.write(place.name, 0, [b"a"], numbered(3))
    new.checkpoint(record(2, 2))
    assert place.values() == numbered(1, 3)
    assert place.stored() == record(2, 2)
    new.close(5)


def test_who_was_fenced_can_open_again_and_fences_in_turn(place: Place) -> None:
    old, new = place.exactly_once(), place.exactly_once()
    old.open()
    new.open()
    with pytest.raises(HoldingLost):
        old.checkpoint(record(1, 1))
    old.open()
    old.checkpoint(record(3, 1))
    with pytest.raises(HoldingLost):
        new.checkpoint(record(2, 1))
    assert place.stored() == record(3, 1)
    old.close(5)


def test_closing_aborts_what_is_open_and_holds_nobody_back(place: Place) -> None:
    sink = place.exactly_once()
    sink.open()
    sink.write(place.name, 0, [b"a"], numbered(1))
    _until_open(sink, place)
    assert sink.close(30)
    assert place.values() == []


def test_a_transaction_that_outlives_its_time_limit_is_lost_and_nothing_of_it_seen(place: Place) -> None:
    sink = place.exactly_once(settings=ProducerSettings(transaction_timeout=5.0))
    sink.open()
    sink.write(place.name, 0, [b"a"], numbered(1))
    _until_open(sink, place)
    _until_given_up(place)
    with pytest.raises(HoldingLost):
        sink.checkpoint(record(1, 1))
    assert place.values() == []
    sink.open()
    sink.checkpoint(record(2, 1))
    sink.close(5)


def test_an_unknown_outcome_loses_the_holding_although_it_was_committed(place: Place) -> None:
    def lose_the_answer(name: FailpointName) -> None:
        if name == "kafka.commit_unknown":
            raise TimeoutError

    sink = place.exactly_once(failpoint=lose_the_answer)
    sink.open()
    sink.write(place.name, 0, [b"a"], numbered(1))
    with pytest.raises(HoldingLost):
        sink.checkpoint(record(1, 1))
    assert sink.durable is None
    assert place.stored() == record(1, 1)
    assert place.values() == numbered(1)


def test_failpoints_are_passed_in_their_order(place: Place) -> None:
    passed: list[FailpointName] = []
    sink = place.exactly_once(failpoint=passed.append)
    sink.open()
    sink.write(place.name, 0, [b"a"], numbered(1))
    sink.checkpoint(record(1, 1))
    sink.close(5)
    assert passed == [
        "producer.before_init",
        "producer.after_init",
        "kafka.after_begin",
        "kafka.mid_rows",
        "kafka.before_position",
        "kafka.before_commit",
        "kafka.commit_unknown",
        "kafka.after_commit",
    ]


def test_a_full_queue_waits_and_keeps_the_order(place: Place) -> None:
    sink = place.exactly_once(settings=ProducerSettings(queue_bytes=256 << 10))
    sink.open()
    values = [b"%06d" % number + b"x" * 1000 for number in range(5000)]
    sink.write(place.name, 1, [b"k"] * 5000, values)
    sink.checkpoint(record(1, 5000))
    assert [found.value for found in place.records()] == values
    sink.close(5)


def test_a_message_larger_than_the_queue_gets_through(place: Place) -> None:
    sink = place.exactly_once(settings=ProducerSettings(queue_bytes=100 << 10))
    sink.open()
    sink.write(place.name, 0, [b"k"] * 5, [_incompressible(900_000)] * 5)
    sink.checkpoint(record(1, 5))
    assert [len(found.value) for found in place.records()] == [900_000] * 5
    sink.close(5)


def test_larger_than_our_limit_names_topic_and_size(place: Place) -> None:
    sink = place.exactly_once(settings=ProducerSettings(message_max_bytes=20_000))
    sink.open()
    sink.write(place.name, 0, [b"a"], numbered(1))
    with pytest.raises(FindingError) as caught:
        sink.write(place.name, 0, [b"a"], [b"x" * 30_000])
    finding = caught.value.finding
    assert (finding.code, finding.kind) == ("message-too-large", "operator")
    assert place.name in finding.what
    assert "30,00" in finding.what
    assert place.values() == []


def test_larger_than_the_topics_limit_names_topic_and_size(kafka: KafkaServer) -> None:
    place = Place(kafka.bootstrap, topic_config={"max.message.bytes": "5000"})
    sink = place.exactly_once()
    finding = _publish_until_found(sink, place, [b"a"], [_incompressible(7000)])
    assert (finding.code, finding.kind) == ("message-too-large", "operator")
    assert place.name in finding.what
    assert "7,00" in finding.what
    assert place.values() == []


def test_batches_shrink_to_a_topics_limit_when_no_message_is_over_it(kafka: KafkaServer) -> None:
    place = Place(kafka.bootstrap, topic_config={"max.message.bytes": "20000"})
    sink = place.exactly_once()
    values = [b"%03d" % number + _incompressible(1000) for number in range(200)]
    for _ in range(5):
        sink.open()
        try:
            sink.write(place.name, 0, [b"a"] * 200, values)
            sink.checkpoint(record(1, 200))
        except HoldingLost:
            continue
        break
    assert [found.value for found in place.records()] == values
    sink.close(5)


def test_a_record_the_broker_refuses_is_a_finding(kafka: KafkaServer) -> None:
    place = Place(kafka.bootstrap, topic_config={"cleanup.policy": "compact"})
    finding = _publish_until_found(place.exactly_once(), place, [None], numbered(1))
    assert (finding.code, finding.kind) == ("kafka-record-refused", "operator")
    assert place.name in finding.what


def test_a_topic_deleted_while_in_use_is_a_finding(place: Place) -> None:
    sink = place.exactly_once()
    sink.open()
    sink.write(place.name, 0, [b"a"], numbered(1))
    sink.checkpoint(record(1, 1))
    place.admin.delete_topics([place.name])[place.name].result(30)
    until(lambda: not topics_like(place.bootstrap, place.name))  # the controller answers before the broker knows
    finding = _publish_until_found(sink, place, [b"a"], numbered(2))
    assert (finding.code, finding.kind) == ("kafka-topic-missing", "operator")
    assert place.name in finding.what


def test_no_broker_is_a_finding_that_waiting_may_mend() -> None:
    sink = _unreachable_sink()
    began = time.monotonic()
    with pytest.raises(FindingError) as caught:
        sink.open()
    assert (caught.value.finding.code, caught.value.finding.kind) == ("kafka-unreachable", "retry")
    assert "Connection refused" in caught.value.finding.what
    assert time.monotonic() - began < 20


def test_waiting_for_a_broker_ends_when_asked() -> None:
    def stop() -> None:
        raise Stopped("asked to")

    sink = _unreachable_sink(waiting=stop)
    with pytest.raises(Stopped):
        sink.open()
    assert sink.close(1)


def test_too_long_a_transaction_timeout_is_a_finding(place: Place) -> None:
    sink = place.exactly_once(settings=ProducerSettings(transaction_timeout=3600.0))
    with pytest.raises(FindingError) as caught:
        sink.open()
    assert caught.value.finding.code == "kafka-transaction-timeout"


def test_unknown_settings_are_a_finding(kafka: KafkaServer) -> None:
    place = Place(kafka.bootstrap)
    place.config["no.such.setting"] = "1"
    with pytest.raises(FindingError) as caught:
        place.exactly_once().open()
    assert caught.value.finding.code == "kafka-settings"
    assert "no.such.setting" in caught.value.finding.what


def _unreachable_sink(waiting: Waiting = not_stopped) -> ExactlyOnceSink:
    nobody = {"bootstrap.servers": "127.0.0.1:1"}
    return ExactlyOnceSink(nobody, "cdcd.test.nobody", "nothing", waiting=waiting, open_timeout=1.0)


def _until_open(sink: ExactlyOnceSink, place: Place) -> None:
    """Until the brokers have some of the transaction."""
    sink.poll()
    until(lambda: open_transaction(place.bootstrap, place.name))


def _until_given_up(place: Place) -> None:
    """Until the brokers have aborted it by themselves."""
    until(lambda: not open_transaction(place.bootstrap, place.name))


def _incompressible(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def _publish_until_found(sink: ExactlyOnceSink, place: Place, keys: list[bytes | None], values: list[bytes]) -> Finding:
    """The finding that publishing ends in, when lost holdings are taken over again, as a worker does."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        sink.open()
        try:
            sink.write(place.name, 0, keys, values)
            sink.checkpoint(record(1, 1))
        except HoldingLost:
            continue
        except FindingError as error:
            return error.finding
        pytest.fail("the broker took it")
    pytest.fail("no finding within a minute")
