"""What becomes of each end of a take-over: again, another try later, or an end of the run."""

from collections.abc import Callable
from typing import Any, cast

import pytest

from cdcd.errors import Finding, FindingError, HoldingLost, MalformedEvent, NotOwner, Replaced, Stopped
from cdcd.observe.metrics import InstanceMetrics
from cdcd.worker import instance as worker_instance
from cdcd.worker.figures import Figures
from cdcd.worker.instance import Instance, Patience
from cdcd.worker.journal import Journal
from cdcd.worker.ownership import Alone, Order
from cdcd.worker.stopping import StopSignal
from cdcd.worker.takeover import Outcome

AWAY = FindingError(Finding("source-unreachable", "retry", "MySQL is away", "Wait"))
NO_ZOOKEEPER = FindingError(Finding("zookeeper-slow", "retry", "ZooKeeper is slow", "Wait"))
PURGED = FindingError(Finding("position-purged", "operator", "The position is gone", "Choose another"))
RAN = "ran"

Step = Outcome | Exception
Run = Callable[..., Instance]


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_instance, "FIRST_PAUSE", 0.001)


class Script:
    """Take-overs that end as written, one after the other; `RAN` before one says that it came to publishing."""

    def __init__(self, steps: tuple[Any, ...]) -> None:
        self._steps = list(steps)
        self.last_record = None

    def run(self, running: Callable[[int, str], None]) -> Outcome:
        step = self._steps.pop(0)
        if step == RAN:
            running(1, "a place")
            step = self._steps.pop(0)
        if isinstance(step, Exception):
            raise step
        return cast(Outcome, step)


def an_instance(
    *steps: Any, attempts: int | None = 2, ownership: Alone | None = None, changed: Callable[[], None] = lambda: None
) -> Instance:
    script = Script(steps)
    return Instance(
        "orders",
        lambda: cast(Any, script),
        ownership=ownership or Alone(),
        figures=Figures(InstanceMetrics()),
        journal=Journal("orders", changed),
        stop=StopSignal(),
        patience=Patience(park=False, attempts=attempts),
    )


@pytest.mark.parametrize(
    ("steps", "ending"),
    [
        (["end"], "end"),
        (["handed_over"], "handed_over"),
        (["left"], "not_owner"),
        ([NotOwner("the lock was lost")], "not_owner"),
        ([Replaced("epoch 9 runs it")], "replaced"),
        ([PURGED], "parked"),
        ([MalformedEvent("too short")], "parked"),
        (["reconfigured", "reconfigured", "left"], "not_owner"),
        ([HoldingLost("a commit is unknown"), RAN, HoldingLost("fenced"), "left"], "not_owner"),
        ([AWAY, AWAY, RAN, AWAY, AWAY, AWAY, AWAY, PURGED], "parked"),
        ([AWAY, AWAY, AWAY], "gave_up"),
        ([NO_ZOOKEEPER, NO_ZOOKEEPER, NO_ZOOKEEPER, NO_ZOOKEEPER, AWAY, "left"], "not_owner"),
    ],
)
def test_endings(steps: list[Any], ending: str) -> None:
    assert an_instance(*steps).run() == ending


def test_alone_trouble_is_never_given_up() -> None:
    assert an_instance(*[AWAY] * 12, PURGED, attempts=None).run() == "parked"


def test_the_finding_is_kept_until_it_runs() -> None:
    given_up = an_instance(AWAY, AWAY, AWAY)
    given_up.run()
    assert given_up.finding is AWAY.finding
    mended = an_instance(AWAY, RAN, "left")
    mended.run()
    assert mended.finding is None


def test_who_is_told_of_trouble_finds_it() -> None:
    """Whoever hears that something has happened asks at once: a state never comes without its finding."""
    told: list[tuple[str, bool]] = []

    def ask() -> None:
        status = instance.status()
        told.append((status["state"], status["finding"] is not None))

    instance = an_instance(AWAY, RAN, PURGED, changed=ask)
    instance.run()
    assert told == [("starting", False), ("retrying", True), ("running", False), ("parked", True)]


def test_a_stop_ends_it_whatever_it_does() -> None:
    stopped = an_instance(Stopped("asked to stop"))
    stopped._stop.ask()
    assert stopped.run() == "stopped"


class Between(Alone):
    """Has an order for who waits between two attempts."""

    def __init__(self, order: Order, *, lost: Exception | None = None, refused: bool = False) -> None:
        super().__init__()
        self.order = order
        self._lost = lost
        self._refused = refused

    def check(self) -> None:
        if self._lost is not None:
            raise self._lost

    def hand_over(self) -> bool:
        return not self._refused


@pytest.mark.parametrize(
    ("ownership", "ending"),
    [
        (Between("leave"), "not_owner"),
        (Between("hand_over"), "handed_over"),
        (Between("hand_over", refused=True), "parked"),
        (Between("reconfigure"), "parked"),
        (Between("leave", lost=HoldingLost("suspended")), "not_owner"),
        (Between("reconfigure", lost=NotOwner("another holds the lock")), "not_owner"),
    ],
)
def test_orders_reach_who_waits_for_better_times(ownership: Between, ending: str) -> None:
    assert an_instance(AWAY, AWAY, PURGED, attempts=9, ownership=ownership).run() == ending


def test_a_finding_that_goes_away_meanwhile_is_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those who ask are other threads."""
    retrying = an_instance(AWAY, AWAY, AWAY)
    retrying.run()
    found = [None, AWAY.finding, None, AWAY.finding]
    monkeypatch.setattr(Instance, "finding", property(lambda _: found.pop()), raising=False)
    assert retrying.activity() == "MySQL is away"
    assert retrying._journal.last_reason == retrying.activity()
    found[:] = [None, AWAY.finding] * 2
    assert retrying.status()["finding"]["code"] == "source-unreachable"
