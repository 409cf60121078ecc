"""A successor that waits: everything is connected, nobody is disturbed, and what it finds then is the newest."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from cdcd.errors import FindingError, HoldingLost
from cdcd.kafka.positions import PositionTopic
from cdcd.kafka.reading import CommittedReader
from deploy.rig.topics import open_transaction
from tests.servers import KafkaFactory, KafkaServer
from tests.sinks import Place, numbered, positions_in, record, until

KINDS = ["exactly_once", "at_least_once"]


@pytest.fixture
def place(kafka: KafkaServer) -> Place:
    return Place(kafka.bootstrap)


def write(sink: Any, place: Place, *numbers: int) -> None:
    ids = [b"1;%d;t" % number for number in numbers]
    sink.write(place.name, 0, [None] * len(numbers), numbered(*numbers), ids)


@pytest.mark.parametrize("kind", KINDS)
def test_one_that_waits_fences_nobody(place: Place, kind: str) -> None:
    owner, successor = getattr(place, kind)(), getattr(place, kind)()
    owner.open()
    for seq in range(1, 4):
        successor.construct()
        write(owner, place, seq)
        owner.checkpoint(record(1, seq), wait=True)
    successor.open()
    write(owner, place, 9)
    with pytest.raises(HoldingLost):
        owner.checkpoint(record(1, 9), wait=True)
    assert place.stored() == record(1, 3)
    write(successor, place, 4)
    successor.checkpoint(record(2, 4), wait=True)
    assert place.stored() == record(2, 4)
    if kind == "exactly_once":
        assert place.values() == numbered(1, 2, 3, 4)
    assert successor.close(30)


@pytest.mark.parametrize("kind", KINDS)
def test_one_that_is_closed_unopened_can_be_used_again(place: Place, kind: str) -> None:
    sink = getattr(place, kind)()
    for seq in range(1, 3):
        sink.construct()
        assert sink.close(30)
        sink.construct()
        sink.open()
        sink.checkpoint(record(seq, seq), wait=True)
        assert sink.close(30)
    assert place.stored() == record(2, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_no_broker_is_seen_before_anything_depends_on_it(kind: str) -> None:
    place = Place.__new__(Place)
    place.config, place.transactional_id, place.position_topic = {"bootstrap.servers": "127.0.0.1:1"}, "t", "p"
    sink = getattr(place, kind)(open_timeout=0.5)
    with pytest.raises(FindingError) as caught:
        sink.construct()
    assert (caught.value.finding.code, caught.value.finding.kind) == ("kafka-unreachable", "retry")
    assert sink.close(30)


def test_a_broker_that_restarts_meanwhile_delays_it_only(kafka_server: KafkaFactory) -> None:
    server = kafka_server()
    place = Place(server.bootstrap)
    sink, positions = (
        place.exactly_once(),
        positions_in(place.config, place.position_topic),
    )
    sink.construct()
    assert positions.peek() is None
    server.restart()
    assert positions.peek() is None
    sink.open()
    assert positions.read() is None
    sink.checkpoint(record(1, 1), wait=True)
    assert place.stored() == record(1, 1)
    assert sink.close(30)


def test_peeking_sees_what_is_committed_and_reading_all_of_it(place: Place) -> None:
    """A warm reader is no snapshot: each call asks how far the topic goes by then."""
    owner, positions = (
        place.exactly_once(),
        positions_in(place.config, place.position_topic),
    )
    owner.open()
    assert positions.peek() is None
    for seq in range(1, 150):
        owner.checkpoint(record(1, seq))
        if seq % 10 == 0:
            until(lambda seq=seq: positions.peek() == record(1, seq))  # type: ignore[misc] # its marker comes after the answer
    assert positions.read(patience=20) == record(1, 149)
    owner.checkpoint(record(1, 150))
    assert positions.read(patience=20) == record(1, 150)
    assert owner.close(30)


def test_peeking_does_not_wait_for_an_open_transaction(place: Place) -> None:
    owner, positions = (
        place.exactly_once(),
        positions_in(place.config, place.position_topic),
    )
    owner.open()
    owner.checkpoint(record(1, 1))
    owner._producer.begin()
    owner._producer.write(place.position_topic, 0, [b"position"], [record(1, 2).to_json()])
    assert owner._producer._producer is not None
    owner._producer._producer.flush(10)
    assert positions.peek() == record(1, 1)
    assert open_transaction(place.bootstrap, place.position_topic)
    with pytest.raises(HoldingLost):
        positions.read(patience=0.2)
    assert owner.close(30)
    assert positions.read(patience=20) == record(1, 1)


def test_nothing_is_left_behind(place: Place) -> None:
    """Threads and descriptors of a hundred take-overs that came to nothing."""

    def counts() -> tuple[int, int]:
        return len(list(Path("/proc/self/task").iterdir())), len(list(Path("/proc/self/fd").iterdir()))

    def once() -> None:
        sink, reader = place.exactly_once(), CommittedReader(place.config, place.position_topic)
        sink.construct()
        PositionTopic(reader, place.position_topic).peek()
        reader.close()
        assert sink.close(30)

    once()
    before = counts()
    for _ in range(20):
        once()
    deadline = time.monotonic() + 10
    while counts() > before and time.monotonic() < deadline:
        threading.Event().wait(0.05)
    assert counts() <= before
