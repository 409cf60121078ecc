"""The lag that operators see."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cdcd.binlog.position import Position, PositionRecord
from cdcd.binlog.prepared import Prepared
from cdcd.observe.metrics import InstanceMetrics
from cdcd.worker.figures import Figures

STREAM: Any = SimpleNamespace(
    received_bytes=0,
    take_waited=lambda: 0.0,
    decoder=SimpleNamespace(
        transactions=0,
        inserts=0,
        updates=0,
        deletes=0,
        filtered=0,
        in_transaction=False,
        transaction_length=0,
        transaction_done=0,
        ignored=cast(dict[int, int], {}),
        commit_us=0,
    ),
)


@pytest.fixture
def caught_up(monkeypatch: pytest.MonkeyPatch) -> Figures:
    """At the time 1000 the source had nothing more."""
    monkeypatch.setattr("cdcd.worker.figures.time.time", lambda: 1000.0)
    made = Figures(InstanceMetrics())
    made.metrics.source_connected = 1
    made.look(STREAM, caught_up=True)
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


def test_a_lost_source_makes_lag(caught_up: Figures) -> None:
    caught_up.metrics.source_connected = 0
    assert caught_up.lag(1000.5) == 0.5
