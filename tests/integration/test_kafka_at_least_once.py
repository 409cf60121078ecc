"""Rows at once, positions behind their acknowledgements, on a real broker."""

import secrets
import time
from contextlib import suppress

import pytest

from cdcd.errors import FindingError, HoldingLost
from cdcd.kafka.at_least_once import POSITION_INTERVAL, AtLeastOnceSink
from cdcd.kafka.failures import Fenced
from cdcd.observe.failpoints import FailpointName
from tests.servers import KafkaServer
from tests.sinks import Place, numbered, record, until


@pytest.fixture
def place(kafka: KafkaServer) -> Place:
    return Place(kafka.bootstrap)


def _ids(*numbers: int) -> list[bytes]:
    return [b"1;%d;u:1" % number for number in numbers]


def _polled_until_durable(sink: AtLeastOnceSink, seq: int) -> bool:
    sink.poll()
    return sink.durable is not None and sink.durable.seq == seq


def test_rows_are_visible_before_any_checkpoint_and_carry_their_identity(place: Place) -> None:
    sink = place.at_least_once()
    sink.open()
    sink.write(place.name, 1, [b"a", None], numbered(1, 2), _ids(1, 2))
    assert (sink.open_records, sink.open_bytes) == (2, 10)
    until(lambda: place.values() == numbered(1, 2))
    assert place.headers(1) == [[("cdcd-id", identity)] for identity in _ids(1, 2)]
    assert place.stored() is None
    assert sink.close(30)


def test_rows_without_identity_are_refused(place: Place) -> None:
    sink = place.at_least_once()
    sink.open()
    with pytest.raises(ValueError, match="identities"):
        sink.write(place.name, 0, [b"a"], numbered(1))
    sink.close(5)


def test_a_checkpoint_follows_the_acknowledgements_by_itself(place: Place) -> None:
    sink = place.at_least_once()
    sink.open()
    sink.write(place.name, 0, [b"a"] * 100, numbered(*range(100)), _ids(*range(100)))
    sink.checkpoint(record(1, 100))
    assert (sink.open_records, sink.open_bytes) == (0, 0)
    until(lambda: _polled_until_durable(sink, 100))
    assert place.stored() == record(1, 100)
    sink.close(5)


def test_a_waited_checkpoint_is_durable_on_return(place: Place) -> None:
    sink = place.at_least_once()
    sink.open()
    for seq in range(1, 6):
        sink.write(place.name, seq % 4, [b"a"], numbered(seq), _ids(seq))
        sink.checkpoint(record(1, seq))
    sink.checkpoint(record(1, 9), wait=True)
    assert sink.durable == record(1, 9) == place.stored()
    assert place.values() == numbered(*range(1, 6))
    sink.close(5)


def test_positions_go_out_seldom_and_never_backwards(place: Place) -> None:
    stored: list[int] = []

    def note(name: FailpointName) -> None:
        if name == "kafka.after_commit":
            stored.append(1)

    sink = place.at_least_once(failpoint=note)
    sink.open()
    began, seq = time.monotonic(), 0
    seen: list[int] = []
    while time.monotonic() - began < 1:
        seq += 1
        sink.write(place.name, seq % 4, [b"a"], numbered(seq), _ids(seq))
        sink.checkpoint(record(1, seq))
        if sink.durable:
            seen.append(sink.durable.seq)
    sink.checkpoint(record(1, seq), wait=True)
    assert seen == sorted(seen)
    assert 2 <= len(stored) <= (time.monotonic() - began) / POSITION_INTERVAL + 2
    assert seq > 2 * len(stored)
    sink.close(5)


def test_a_message_the_broker_refuses_moves_no_position(kafka: KafkaServer) -> None:
    place = Place(kafka.bootstrap, topic_config={"cleanup.policy": "compact"})
    sink = place.at_least_once()
    sink.open()
    sink.write(place.name, 0, [None], numbered(1), _ids(1))
    with pytest.raises(FindingError) as caught:
        sink.checkpoint(record(1, 1), wait=True)
    assert (caught.value.finding.code, caught.value.finding.kind) == ("kafka-record-refused", "operator")
    assert place.name in caught.value.finding.what
    assert place.stored() is None


def test_a_message_over_the_topics_limit_moves_no_position(kafka: KafkaServer) -> None:
    place = Place(kafka.bootstrap, topic_config={"max.message.bytes": "100"})
    sink = place.at_least_once()
    with pytest.raises(FindingError) as caught:
        _publish_at_last(sink, place, [bytes(range(256)) * 4])
    assert caught.value.finding.code == "message-too-large"
    assert "1,025 bytes" in caught.value.finding.what
    assert place.stored() == record(1, 0)


def test_batches_shrink_to_a_topics_limit_when_no_message_is_over_it(kafka: KafkaServer) -> None:
    place = Place(kafka.bootstrap, topic_config={"max.message.bytes": "20000"})
    values = [b"%03d" % number + secrets.token_bytes(1000) for number in range(200)]
    sink = place.at_least_once()
    _publish_at_last(sink, place, values)
    assert {found.value for found in place.records()} == set(values)
    assert place.stored() == record(1, 200)
    sink.close(5)


def _publish_at_last(sink: AtLeastOnceSink, place: Place, values: list[bytes]) -> None:
    """By as many take-overs as it takes to find a size of batches that the topic takes."""
    for _ in range(6):
        sink.open()
        sink.checkpoint(record(1, 0), wait=True)
        with suppress(HoldingLost):
            sink.write(place.name, 0, [b"a"] * len(values), values, _ids(*range(1, len(values) + 1)))
            sink.checkpoint(record(1, len(values)), wait=True)
            return


def test_a_successor_fences_the_positions(place: Place) -> None:
    old, new = place.at_least_once(), place.exactly_once()
    old.open()
    old.checkpoint(record(1, 1), wait=True)
    new.open()
    new.checkpoint(record(2, 1))
    old.write(place.name, 0, [b"a"], numbered(1), _ids(1))
    with pytest.raises(Fenced):
        old.checkpoint(record(1, 2), wait=True)
    assert place.stored() == record(2, 1)
    new.close(5)


def test_an_unknown_outcome_of_a_position_loses_the_holding(place: Place) -> None:
    def lose_the_answer(name: FailpointName) -> None:
        if name == "kafka.commit_unknown":
            raise TimeoutError

    sink = place.at_least_once(failpoint=lose_the_answer)
    sink.open()
    with pytest.raises(HoldingLost):
        sink.checkpoint(record(1, 1), wait=True)
    sink.open()
    assert sink.durable is None
    sink.close(5)
