"""The lag that operators see."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cdcd.binlog.gtid import GtidSet
from cdcd.binlog.position import Position, PositionRecord
from cdcd.binlog.prepared import Prepared
from cdcd.observe.metrics import InstanceMetrics
from cdcd.worker.figures import Figures


def a_stream(**decoder: Any) -> Any:
    counts = dict.fromkeys(("transactions", "inserts", "updates", "deletes", "filtered"), 0)
    state = {"in_transaction": False, "transaction_length": 0, "transaction_done": 0, "first_us": 0, "logged_us": 0}
    return SimpleNamespace(
        received_bytes=0,
        take_waited=lambda: 0.0,
        dump=SimpleNamespace(silent=False),
        decoder=SimpleNamespace(**{**counts, **state, "ignored": cast(dict[int, int], {}), **decoder}),
    )


def a_sink(**more: Any) -> Any:
    return SimpleNamespace(**{"open_since": None, "acknowledged": None, "durable": None, **more})


RECORD = PositionRecord(1, "n", Position("s", GtidSet(), "binlog.000001", 4, 4), 7, {}, 1_002_000)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Its only member is the time."""
    now = [1000.0]
    monkeypatch.setattr("cdcd.worker.figures.time.time", lambda: now[0])
    return now


@pytest.fixture
def caught_up(clock: list[float]) -> Figures:
    """At the time 1000 the source had nothing more."""
    assert clock
    made = Figures(InstanceMetrics())
    made.metrics.source_connected = 1
    made.look(a_stream(), a_sink(), idle=True)
    return made


def test_no_lag_is_known_before_anything_was_read() -> None:
    assert Figures(InstanceMetrics()).lag(1000.0) is None


def test_caught_up_means_no_lag(caught_up: Figures) -> None:
    assert caught_up.lag(1000.5) == 0.0


def test_a_commit_that_hangs_makes_lag_although_the_last_step_was_caught_up(caught_up: Figures) -> None:
    assert caught_up.lag(1008.0) == 8.0


def test_prepared_xa_transactions_have_an_age(caught_up: Figures) -> None:
    held = tuple(
        Prepared(f"X'{n}',X'',1", None, "binlog.000001", 4, 0, since_ms) for n, since_ms in ((1, 990_000), (2, 940_000))
    )
    position = Position("u", None, "binlog.000001", 4, 4, held=held)
    caught_up.last_record = PositionRecord(1, "n", position, 0)
    metrics = caught_up.read()
    assert (metrics.held_transactions, metrics.held_oldest_seconds) == (2, 60.0)
    caught_up.last_record = PositionRecord(1, "n", replace(position, held=()), 0)
    metrics = caught_up.read()
    assert (metrics.held_transactions, metrics.held_oldest_seconds) == (0, None)


def test_a_position_that_goes_away_meanwhile_is_no_trouble(caught_up: Figures, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dump begins while a scrape reads."""
    found = [None, RECORD]
    monkeypatch.setattr(Figures, "last_record", property(lambda _: found.pop()), raising=False)
    assert caught_up.read().held_transactions == 0


def test_a_lost_source_makes_lag(caught_up: Figures) -> None:
    caught_up.metrics.source_connected = 0
    assert caught_up.lag(1000.5) == 0.5


def test_a_source_that_misses_its_heartbeat_is_not_believed_to_be_idle(caught_up: Figures, clock: list[float]) -> None:
    stream = a_stream()
    stream.dump.silent = True
    clock[0] = 1040.0
    caught_up.look(stream, a_sink(), idle=True)
    assert caught_up.lag(1040.0) == 40.0


@pytest.mark.parametrize("offset", [0.0, 3600.0, -3600.0])
def test_the_offset_of_the_sources_clock_is_taken_out(caught_up: Figures, clock: list[float], offset: float) -> None:
    caught_up.compared(offset)
    caught_up.safe_until(5000.0 + offset)
    clock[0] = 1010.0
    stamp = int((1004 + offset) * 1e6)
    caught_up.look(a_stream(first_us=stamp, logged_us=stamp), a_sink(open_since=1.0), idle=False)
    assert caught_up.lag(1010.0) == 6.0
    assert caught_up.headroom(1010.0) == 3990.0
    assert caught_up.read().clock_offset == offset


def test_latency_is_observed_when_readers_see_it(caught_up: Figures, clock: list[float]) -> None:
    """At-least-once: the checkpoint is taken before the brokers have answered."""
    stream, sink = a_stream(transactions=3, first_us=1_001_000_000, logged_us=1_001_500_000), a_sink()
    clock[0] = 1002.0
    caught_up.committed(stream, sink, RECORD, 3, 100)
    caught_up.look(stream, sink, idle=True)
    assert caught_up.lag(1002.0) == 1.0
    assert sum(caught_up.metrics.latency.counts) == 0
    sink.acknowledged = sink.durable = RECORD
    clock[0] = 1006.0
    caught_up.look(stream, sink, idle=True)
    assert caught_up.lag(1006.0) == 0.0
    assert (sum(caught_up.metrics.latency.counts), caught_up.metrics.latency.total) == (3, 15.0)
    assert caught_up.metrics.checkpoint == 1002.0


def test_a_wait_that_goes_on_shows_at_once_and_is_not_counted_twice(caught_up: Figures) -> None:
    caught_up.metrics.state = "running"
    caught_up.waits("commit", lambda: 7.0)
    assert caught_up.read().blocked_seconds["commit"] == 7.0
    caught_up.waited()
    assert caught_up.read().blocked_seconds == {"source": 0, "kafka": 0, "commit": 7.0}


def test_what_kafka_does_not_take_blocks_the_instance(caught_up: Figures, monkeypatch: pytest.MonkeyPatch) -> None:
    caught_up.metrics.state = "running"
    now = [50.0]
    monkeypatch.setattr("cdcd.worker.figures.time.monotonic", lambda: now[0])
    caught_up.waits("kafka", lambda: now[0] - 50.0)
    assert caught_up.state == "running"
    now[0] = 62.0
    assert (caught_up.state, caught_up.activity()) == (
        "blocked",
        "blocked on Kafka for 12 s: it takes no more messages",
    )
    caught_up.metrics.state = "retrying"
    assert caught_up.read().state == "retrying"
