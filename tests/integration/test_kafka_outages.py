"""Brokers that die, stay away and come back, while something is being written."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from cdcd.errors import FindingError, HoldingLost, Stopped
from cdcd.kafka.producer import ProducerSettings
from cdcd.kafka.sink import Sink
from tests.servers import KafkaFactory, KafkaServer
from tests.sinks import Place, record

ROWS = 20_000
KILL_AT = 4_250  # in mid transaction: a commit each thousand


def _row(number: int) -> bytes:
    return b"%06d" % number + b"x" * 400


def _publish_from_the_stored_position(place: Place, under_way: threading.Event) -> None:
    """As a worker does: publish all rows, each lost holding taken over from what is stored."""
    sink = place.exactly_once(settings=ProducerSettings(transaction_timeout=10.0))
    epoch, deadline = 0, time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            sink.open()
            stored = place.stored()
            epoch = max(epoch, stored.epoch if stored else 0) + 1
            done = stored.seq if stored else 0
            while done < ROWS:
                numbers = range(done, done + 250)
                sink.write(place.name, 0, [b"k"] * 250, [_row(number) for number in numbers])
                done += 250
                if done % 1000 == 0:
                    sink.checkpoint(record(epoch, done))
                if done == KILL_AT:
                    under_way.set()
        except HoldingLost:
            continue
        except FindingError as error:
            if error.finding.kind == "operator":
                raise
            continue
        sink.close(5)
        return
    pytest.fail("not done in two minutes")


def test_a_broker_killed_and_restarted_in_mid_write_loses_and_repeats_nothing(kafka_server: KafkaFactory) -> None:
    broker = kafka_server()
    place = Place(broker.bootstrap)
    under_way = threading.Event()
    with ThreadPoolExecutor(1) as thread:
        published = thread.submit(_publish_from_the_stored_position, place, under_way)
        assert under_way.wait(60)
        broker.restart(kill=True)
        published.result()
    assert [found.value for found in place.records()] == [_row(number) for number in range(ROWS)]


class Gone:
    """Sinks that were opened while the broker still lived, one for each test below."""

    def __init__(self, broker: KafkaServer) -> None:
        self.broker = broker
        self.place = Place(broker.bootstrap)
        self.asked = threading.Event()
        self.exactly_once = self._sinks(Place.exactly_once, broker)
        self.at_least_once = self._sinks(Place.at_least_once, broker)
        self.committing = Place(broker.bootstrap).exactly_once(settings=ProducerSettings(transaction_timeout=2.0))
        self.committing.open()
        self.stopping = self.place.exactly_once(waiting=self.stop)
        self.stopping.open()
        broker.stop(kill=True)

    def stop(self) -> None:
        if self.asked.is_set():
            raise Stopped("asked to")

    def _sinks(self, kind: Callable[..., Sink], broker: KafkaServer) -> tuple[Sink, Sink]:
        closing = kind(Place(broker.bootstrap))
        full = kind(Place(broker.bootstrap), settings=ProducerSettings(queue_bytes=1 << 20), waiting=self.stop)
        closing.open()
        full.open()
        return closing, full


@pytest.fixture(scope="module")
def gone(kafka_server: KafkaFactory) -> Gone:
    """A broker that was killed: the one of the test above, which leaves it running."""
    return Gone(kafka_server())


@pytest.mark.parametrize("kind", ["exactly_once", "at_least_once"])
def test_closing_is_bounded_with_the_broker_gone(gone: Gone, kind: str) -> None:
    sink, _ = getattr(gone, kind)
    sink.write(gone.place.name, 0, [b"k"] * 100, [_row(1)] * 100, [b"1;1;u:1"] * 100)
    began = time.monotonic()
    sink.close(2)
    assert time.monotonic() - began < 20, "as asked, not for as long as rows are tried again"


@pytest.mark.parametrize("kind", ["exactly_once", "at_least_once"])
def test_a_full_queue_with_the_broker_gone_waits_until_stopped(gone: Gone, kind: str) -> None:
    _, sink = getattr(gone, kind)
    gone.asked.clear()
    began = time.monotonic()
    threading.Timer(1, gone.asked.set).start()
    with pytest.raises(Stopped):
        sink.write(gone.place.name, 0, [b"k"] * ROWS, [_row(1)] * ROWS, [b"1;1;u:1"] * ROWS)
    assert 0.9 < time.monotonic() - began < 20
    sink.close(1)


def test_an_unanswered_commit_waits_until_stopped(gone: Gone) -> None:
    gone.asked.clear()
    gone.stopping.write(gone.place.name, 0, [b"k"], [_row(1)])
    began = time.monotonic()
    threading.Timer(1, gone.asked.set).start()
    with pytest.raises(Stopped):
        gone.stopping.checkpoint(record(1, 1))
    assert 0.9 < time.monotonic() - began < 20
    gone.stopping.close(1)


def test_a_commit_that_nobody_answers_is_given_up_and_all_goes_on_when_the_broker_is_back(gone: Gone) -> None:
    sink = gone.committing
    sink.write(gone.place.name, 0, [b"k"], [_row(1)])
    with pytest.raises(HoldingLost):
        sink.checkpoint(record(1, 1))
    with pytest.raises(FindingError) as caught:
        gone.place.exactly_once(open_timeout=1.0).open()
    assert (caught.value.finding.code, caught.value.finding.kind) == ("kafka-unreachable", "retry")
    gone.broker.start()
    sink.open()
    assert gone.place.values() == []
    sink.close(5)
