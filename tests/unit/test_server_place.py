"""What a server shows of an instance whose worker says nothing any more."""

from collections.abc import Iterator
from functools import partial
from itertools import chain, repeat
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cdcd.observe.metrics import InstanceMetrics
from cdcd.server.place import Place
from cdcd.server.reconcile import Slot
from cdcd.worker.channel import Report


def next_of(answers: Iterator[Any], _: Place) -> Any:
    return next(answers)


@pytest.fixture
def place() -> Place:
    """Its worker reported at 100: two seconds behind, an hour until the source purges."""
    made = Place("orders", Slot(1), 10.0)
    made.started(cast(Any, SimpleNamespace(pid=1)))
    figures = InstanceMetrics(
        owned=1,
        source_connected=1,
        state="running",
        lag_seconds=2.0,
        lag_bytes=0,
        lag_transactions=0,
        purge_headroom=3600.0,
    )
    made.reported(Report(figures, {"role": "standby", "activity": "caught up"}), 100.0)
    return made


def test_a_worker_that_reports_is_believed(place: Place) -> None:
    assert (place.shown(105.0).lag_seconds, place.shown(105.0).owned) == (2.0, 1)


def test_the_lag_of_one_that_has_stopped_in_its_tracks_grows(place: Place) -> None:
    shown = place.shown(160.0)
    assert (shown.lag_seconds, shown.purge_headroom) == (62.0, 3540.0)
    assert shown.lag_bytes is shown.lag_transactions is None
    assert (shown.owned, shown.source_connected) == (0, 0), "or the next owner would look like a second one"


def test_what_it_does_is_not_told_for_ever(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [101.0]
    monkeypatch.setattr("cdcd.server.place.time.monotonic", lambda: now[0])
    assert place.status()["activity"] == "caught up"
    now[0] = 160.0
    assert (place.status()["activity"], place.status()["lag_seconds"]) == ("its worker has said nothing for 60 s", 62.0)
    place.ended(Slot(1))
    assert place.status()["activity"] == "its worker has ended"


def test_so_does_that_of_one_that_has_ended(place: Place) -> None:
    assert (place.shown(101.0).lag_bytes, place.shown(101.0).lag_transactions) == (0, 0)
    place.ended(Slot(1))
    assert place.shown(101.0).lag_seconds == 3.0
    assert place.shown(101.0).lag_bytes is place.shown(101.0).lag_transactions is None


def test_a_process_that_ends_meanwhile_is_no_trouble(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The supervisor's thread takes it away while another one asks."""
    for times in range(10):
        answers = chain(repeat(SimpleNamespace(pid=1), times), repeat(None))
        monkeypatch.setattr(Place, "process", property(partial(next_of, answers)), raising=False)
        assert place.status()["pid"] in (1, None)


def test_what_was_never_known_stays_unknown() -> None:
    assert Place("orders", Slot(1), 10.0).shown(1000.0).lag_seconds is None


def test_lines_that_workers_drop_add_up(place: Place) -> None:
    def dropped(lines: int) -> int:
        return place.dropped(Report(InstanceMetrics(), {}, lines))

    assert [dropped(0), dropped(3), dropped(7)] == [0, 3, 4]
    place.started(cast(Any, SimpleNamespace(pid=2)))
    assert dropped(2) == 2, "the next worker counts from none"
