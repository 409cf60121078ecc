"""The scheduler's term: killed, stopped and brought back, deposed, without ZooKeeper, with an empty one."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from kazoo.exceptions import NotEmptyError

from cdcd.config.secrets import Credentials
from cdcd.config.zookeeper import ZooKeeper
from cdcd.fleet import paths
from cdcd.fleet.session import close_session
from cdcd.observe.failpoints import FailpointName
from tests.scheduler_process import SchedulerProcess
from tests.scheduling import ScheduledFleet, scheduled_fleet
from tests.servers import ZookeeperFactory
from tests.waiting import until

NAMES = [f"i{number:02}" for number in range(60)]
"""More than go into one multi."""


@pytest.fixture
def fleet(lasting: ZooKeeper) -> Iterator[ScheduledFleet]:
    with scheduled_fleet(lasting) as made:
        yield made


class Barrier:
    """A failpoint that holds the first thread that passes the place until it is told to go on."""

    def __init__(self, place: FailpointName) -> None:
        self._place = place
        self.reached = threading.Event()
        self.released = threading.Event()

    def __call__(self, name: FailpointName) -> None:
        if name == self._place and not self.reached.is_set():
            self.reached.set()
            assert self.released.wait(120)


PLACES: list[FailpointName] = ["scheduler.after_plan", "scheduler.mid_writes"]


@pytest.mark.parametrize("place", PLACES)
def test_a_leader_killed_at_work_is_followed_by_another(
    fleet: ScheduledFleet, ensemble: ZooKeeper, tmp_path: Path, place: str
) -> None:
    for name in NAMES:
        fleet.define(name)
    fleet.server("a")
    first = SchedulerProcess(ensemble, "s1", tmp_path, f"{place}@1=crash")
    try:
        until(lambda: first.ended, 60)
        written = set(fleet.operator.get_children(paths.SCHEDULE))
        assert len(written) == (0 if place == "scheduler.after_plan" else 50)
        assert fleet.assigned("a") == written, "with the schedule nodes the index was written"
        fleet.scheduler("s2")
        until(lambda: len(fleet.assigned("a")) == len(NAMES))
        fleet.settled()
    finally:
        first.close()


@pytest.mark.must_show("4.6")
@pytest.mark.parametrize("place", PLACES)
def test_a_stopped_scheduler_that_comes_back_writes_nothing(
    fleet: ScheduledFleet, ensemble: ZooKeeper, tmp_path: Path, place: str
) -> None:
    """SIGSTOP with a plan in its hands, until its session is over and another one has decided differently."""
    for name in NAMES:
        fleet.define(name)
    a = fleet.server("a")
    fleet.define("zoned", placement={"require": {"server": "a"}})
    first = SchedulerProcess(ensemble, "s1", tmp_path, f"{place}@1=pause")
    try:
        until(lambda: first.stopped, 60)
        second = fleet.scheduler("s2")
        until(lambda: second.leads)
        fleet.server("b")
        a.die()
        until(lambda: len(fleet.assigned("b")) == len(NAMES))
        # Nothing but the fence keeps the first one from placing this one on the dead server: its node is as it was.
        until(lambda: fleet.where("zoned") is None or place == "scheduler.mid_writes")
        fleet.settled()
        before = fleet.everything()

        first.go_on()
        until(lambda: first.logged("scheduler.ended"))
        until(lambda: first.logged("zookeeper.connected")[1:])
        until(lambda: first.logged("scheduler.interrupted"))
        assert fleet.everything() == before
        written = [each["sync_instance"] for each in first.logged("schedule.changed")]
        assert len(written) == (0 if place == "scheduler.after_plan" else 50), "all of it before it was stopped"
        assert second.leads
    finally:
        first.close()


@pytest.mark.must_show("4.6")
@pytest.mark.parametrize("place", PLACES)
def test_two_that_both_believe_to_be_elected(fleet: ScheduledFleet, place: FailpointName) -> None:
    """The first one's session lives on: somebody removed the leader's node by hand."""
    barrier = Barrier(place)
    for name in NAMES:
        fleet.define(name)
    fleet.server("a")
    first = fleet.scheduler("s1", barrier)
    assert barrier.reached.wait(60)
    second = fleet.scheduler("s2")
    fleet.operator.delete(paths.LEADER)
    until(lambda: second.leads and len(fleet.assigned("a")) == len(NAMES))
    fleet.settled()
    before = fleet.everything()
    assert first.leads, "by force"
    barrier.released.set()
    until(lambda: not first.leads)
    assert fleet.everything() == before
    assert second.leads
    fleet.define("another")
    until(lambda: fleet.where("another") == "a")
    fleet.settled()


def test_a_lost_session_ends_the_term_and_another_begins(fleet: ScheduledFleet, ensemble: ZooKeeper) -> None:
    first = fleet.scheduler("s1")
    until(lambda: first.leads)
    second = fleet.scheduler("s2")
    fleet.server("a")
    close_session(ensemble, Credentials(None), first.session.id, first.session.password)
    until(lambda: second.leads and not first.leads)
    fleet.define("orders")
    until(lambda: fleet.where("orders") == "a")
    second.stop()
    until(lambda: first.leads)
    fleet.define("orders", paused=True)
    until(lambda: fleet.schedule("orders") is None)


def removed(fleet: ScheduledFleet, folder: str) -> bool:
    """Unless a node was made again in it before it was empty."""
    try:
        fleet.operator.delete(folder, recursive=True)
    except NotEmptyError:
        return False
    return True


def test_folders_that_somebody_removed_are_made_again(fleet: ScheduledFleet) -> None:
    fleet.scheduler()
    fleet.server("a")
    fleet.define("orders")
    until(lambda: fleet.where("orders") == "a")
    fleet.settled()
    for folder in (paths.SCHEDULE, paths.ASSIGNED, paths.SERVER_IDS):
        until(lambda path=folder: removed(fleet, path))  # type: ignore[misc]
    until(lambda: fleet.operator.exists(paths.SERVER_IDS) and fleet.where("orders") == "a")
    fleet.settled()


def test_without_zookeeper_and_with_an_empty_one(zookeeper_server: ZookeeperFactory) -> None:
    """It comes back as it was: the term goes on or a new one begins. It comes back empty: definitions are put in again."""
    server = zookeeper_server()
    with scheduled_fleet(server.ensemble()) as fleet:
        scheduler = fleet.scheduler()
        fleet.server("a")
        fleet.define("orders")
        until(lambda: fleet.where("orders") == "a")
        server.stop(kill=True)
        until(lambda: not scheduler.leads)
        until(lambda: scheduler.scheduler.look().get("trouble"))
        server.start()
        until(lambda: scheduler.leads, 60)
        fleet.reconnect()
        fleet.server("b")
        fleet.define("stock")
        until(lambda: fleet.where("stock"), 60)

        server.wipe()
        until(lambda: scheduler.leads, 60)
        fleet.reconnect()
        until(lambda: all(map(fleet.operator.exists, paths.FOLDERS)))
        fleet.server("c")
        fleet.define("orders")
        until(lambda: fleet.where("orders") == "c", 60)
        assert fleet.operator.get_children(paths.SCHEDULE) == ["orders"]
        fleet.settled()
