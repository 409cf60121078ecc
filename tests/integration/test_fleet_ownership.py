"""The lock of an instance with a real ZooKeeper: taking, losing, handing over, fencing."""

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from cdcd.binlog.gtid import GtidSet
from cdcd.binlog.position import Position, PositionRecord
from cdcd.config.network import parse_endpoint
from cdcd.config.secrets import Credentials
from cdcd.config.zookeeper import ZooKeeper
from cdcd.errors import HoldingLost, NotOwner, Stopped
from cdcd.fleet import paths
from cdcd.fleet.nodes import Epoch, Mirror, Request, Running, Schedule, Standby, Status, decode, encode
from cdcd.fleet.ownership import ZooKeeperOwnership
from cdcd.fleet.session import Session, close_session
from cdcd.observe.failpoints import off
from tests.background import Background
from tests.proxy import Proxy
from tests.servers import ZookeeperFactory, ZookeeperServer
from tests.waiting import until

NO_CREDENTIALS = Credentials(None)
NAME = "orders"


class Owner(ZooKeeperOwnership):
    """As a worker has it; remembers what it was told."""

    def __init__(self, ensemble: ZooKeeper, server: str) -> None:
        self.news = 0
        self.stopped = False
        self.stuck_because: list[str] = []
        super().__init__(
            ensemble,
            NO_CREDENTIALS,
            NAME,
            server,
            proceed=self._stop_if_asked,
            news=self._count,
            failpoint=off,
            stuck=self.stuck_because.append,
        )

    def _count(self) -> None:
        self.news += 1

    def _stop_if_asked(self) -> None:
        if self.stopped:
            raise Stopped("asked to stop")


class Fleet:
    """The rest of the fleet: writes what scheduler and operators write, and looks."""

    def __init__(self, ensemble: ZooKeeper) -> None:
        self.ensemble = ensemble
        self.session = Session(ensemble, NO_CREDENTIALS, "fleet")
        self.session.start()
        self.generation = 0
        self._owners: list[Owner] = []

    def schedule(self, server: str | None, successor: str | None = None) -> None:
        self.generation += 1
        data = encode(Schedule(server, self.generation, "test", time.time(), next=successor))
        if not self.session.set(paths.schedule(NAME), data):
            self.session.create(paths.schedule(NAME), data)

    def owner(self, server: str) -> Owner:
        made = Owner(self.ensemble, server)
        self._owners.append(made)
        made.connect()
        return made

    def runner(self) -> str | None:
        found = self.session.get(paths.running(NAME))
        running = decode(Running, found.data) if found else None
        return running.server if running else None

    def epoch(self) -> int:
        found = self.session.get(paths.epoch(NAME))
        epoch = decode(Epoch, found.data) if found else None
        return epoch.epoch if epoch else 0

    def close(self) -> None:
        for owner in self._owners:
            owner.close()
        self.session.close()


@pytest.fixture
def fleet(lasting: ZooKeeper) -> Iterator[Fleet]:
    made = Fleet(lasting)
    yield made
    made.close()


def _record(epoch: int, nonce: str = "n", seq: int = 1) -> PositionRecord:
    return PositionRecord(epoch, nonce, Position("u", GtidSet.parse(""), "binlog.000001", 4, 100), seq)


def _holding(owner: Owner, newest: PositionRecord | None = None) -> int:
    owner.acquire()
    epoch = owner.claim(newest)
    owner.confirm()
    owner.check()
    return epoch


def _lost(owner: Owner) -> bool:
    try:
        owner.check()
    except (HoldingLost, NotOwner):
        return True
    return False


def _last_check(owner: Owner) -> float:
    """When the last check began that passed: who waits for the first that does not may be late himself."""
    passed, asked, deadline = 0.0, time.monotonic(), time.monotonic() + 30
    while not _lost(owner):
        passed = asked
        assert passed < deadline
        time.sleep(0.01)
        asked = time.monotonic()
    return passed


def test_only_a_server_that_the_schedule_names_gets_the_lock(fleet: Fleet) -> None:
    with pytest.raises(NotOwner):
        fleet.owner("a")
    fleet.schedule("a")
    with pytest.raises(NotOwner):
        fleet.owner("b")
    owner = fleet.owner("a")
    assert owner.role == "waiting"
    assert _lost(owner)
    owner.acquire()
    assert (owner.role, fleet.runner()) == ("owner", "a")


def test_epochs_only_grow(fleet: Fleet) -> None:
    fleet.schedule("a")
    owner = fleet.owner("a")
    first = _holding(owner)
    found = fleet.session.get(paths.running(NAME))
    assert found
    assert first == found.created, "the lock's transaction id, where nothing is greater"
    owner.acquire()
    assert owner.claim(_record(first + 50)) == first, "one holding has one epoch"
    owner.close()
    second = fleet.owner("a")
    above = _holding(second, _record(first + 1000))
    assert above == first + 1001, "above the newest record"
    second.close()
    assert _holding(fleet.owner("a")) == first + 1002, "above the epoch node"
    assert fleet.epoch() == first + 1002


def test_the_second_waits_until_the_first_has_gone(fleet: Fleet, background: Background) -> None:
    fleet.schedule("a")
    first, second = fleet.owner("a"), fleet.owner("a")
    epoch = _holding(first)
    waiting = background.start(lambda: _holding(second))
    assert not waiting.done(0.5)
    first.close()
    assert waiting.result() > epoch


def test_a_stop_ends_the_wait(fleet: Fleet, background: Background) -> None:
    fleet.schedule("a")
    first, second = fleet.owner("a"), fleet.owner("a")
    first.acquire()
    waiting = background.start(second.acquire)
    assert not waiting.done(0.3)
    second.stopped = True
    with pytest.raises(Stopped):
        waiting.result()


def test_of_many_that_race_one_wins(fleet: Fleet, background: Background) -> None:
    fleet.schedule("a")
    owners = [fleet.owner("a") for _ in range(4)]
    racing = [background.start(lambda owner=owner: _holding(owner)) for owner in owners]  # type: ignore[misc]
    epochs: list[int] = []
    while racing:
        until(lambda: any(each.done(0) for each in racing))
        assert sum(each.done(0) for each in racing) == 1
        winner = next(index for index, each in enumerate(racing) if each.done(0))
        epochs.append(racing.pop(winner).result())
        owners.pop(winner).close()
    assert epochs == sorted(set(epochs))


def test_who_is_not_named_any_more_is_told_to_leave(fleet: Fleet, background: Background) -> None:
    fleet.schedule("a")
    owner, waiter = fleet.owner("a"), fleet.owner("a")
    _holding(owner)
    waiting = background.start(waiter.acquire)
    told = owner.news
    fleet.schedule("b")
    with pytest.raises(NotOwner):
        waiting.result()
    until(lambda: owner.order == "leave" and owner.news > told)
    owner.check()  # it may still publish what it has begun
    fleet.session.delete(paths.schedule(NAME))
    until(lambda: owner.order == "leave")


def test_a_changed_definition_is_an_order(fleet: Fleet) -> None:
    fleet.schedule("a")
    fleet.session.create(paths.definition(NAME), b"one")
    owner = fleet.owner("a")
    _holding(owner)
    assert owner.definition() == b"one"
    assert owner.order is None
    fleet.session.set(paths.definition(NAME), b"two")
    until(lambda: owner.order == "reconfigure")
    assert owner.definition() == b"two"
    assert owner.order is None


def test_a_hand_over_waits_for_the_standby_and_takes_no_time(fleet: Fleet, background: Background) -> None:
    fleet.schedule("a")
    old = fleet.owner("a")
    epoch = _holding(old)
    fleet.schedule("a", "b")
    assert not old.hand_over()
    successor = fleet.owner("b")
    assert old.order is None
    taking = background.start(lambda: _holding(successor))
    until(lambda: old.order == "hand_over")
    assert successor.role == "standby"
    assert old.hand_over()
    with pytest.raises(NotOwner):
        old.check()
    assert taking.result() > epoch
    assert fleet.runner() == "b"
    assert close_session(fleet.ensemble, NO_CREDENTIALS, *old.session), "nobody had to wait for its end"
    assert fleet.session.get(paths.standby(NAME)) is None
    old.close()
    fleet.schedule("b")
    successor.check()
    assert successor.order is None


def test_the_old_owner_goes_on_when_the_hand_over_is_called_off(fleet: Fleet, background: Background) -> None:
    fleet.schedule("a")
    old = fleet.owner("a")
    _holding(old)
    fleet.schedule("a", "b")
    successor = fleet.owner("b")
    waiting = background.start(successor.acquire)
    until(lambda: old.order == "hand_over")
    fleet.schedule("a")  # too late for what the old owner has seen
    assert not old.hand_over()
    old.acquire()
    old.check()
    with pytest.raises(NotOwner):
        waiting.result()
    until(lambda: old.order is None)
    assert fleet.runner() == "a"


def test_a_standby_of_another_generation_is_not_handed_over_to(fleet: Fleet, background: Background) -> None:
    fleet.schedule("a")
    old = fleet.owner("a")
    _holding(old)
    fleet.schedule("a", "b")
    fleet.session.create(paths.standby(NAME), encode(Standby("b", fleet.generation - 1)), ephemeral=True)
    assert not old.hand_over()
    successor = fleet.owner("b")
    taking = background.start(successor.acquire)
    fleet.session.delete(paths.standby(NAME))
    until(lambda: old.order == "hand_over")
    fleet.schedule("a", "b")  # a new generation: the standby node follows
    until(lambda: old.order == "hand_over" and old.hand_over())
    taking.result()


def test_a_server_does_not_take_the_lock_back_from_its_successor(fleet: Fleet, background: Background) -> None:
    fleet.schedule("a", "b")
    fleet.session.create(paths.standby(NAME), encode(Standby("b", fleet.generation)), ephemeral=True)
    back = fleet.owner("a")
    waiting = background.start(back.acquire)
    assert not waiting.done(1.0)
    fleet.session.delete(paths.standby(NAME))
    waiting.result()


def test_the_successor_takes_over_when_the_old_owner_dies(fleet: Fleet, background: Background) -> None:
    fleet.schedule("a")
    old = fleet.owner("a")
    _holding(old)
    fleet.schedule("a", "b")
    successor = fleet.owner("b")
    taking = background.start(lambda: _holding(successor))
    until(lambda: successor.role == "standby")
    close_session(fleet.ensemble, NO_CREDENTIALS, *old.session)
    taking.result()
    assert fleet.runner() == "b"
    until(lambda: _lost(old))


def test_an_expired_session_is_the_end(fleet: Fleet) -> None:
    fleet.schedule("a")
    owner = fleet.owner("a")
    _holding(owner)
    close_session(fleet.ensemble, NO_CREDENTIALS, *owner.session)
    until(lambda: _lost(owner))
    with pytest.raises(NotOwner):
        owner.acquire()


def test_a_lock_that_somebody_deletes_is_lost(fleet: Fleet) -> None:
    fleet.schedule("a")
    owner = fleet.owner("a")
    _holding(owner)
    fleet.session.delete(paths.running(NAME))
    with pytest.raises(NotOwner):
        owner.confirm()
    with pytest.raises(NotOwner):
        owner.acquire()


def test_mirror_and_status_are_written_by_the_owner_and_fenced(fleet: Fleet) -> None:
    fleet.schedule("a")
    owner = fleet.owner("a")
    epoch = _holding(owner)
    owner.stored(_record(epoch, owner.nonce, seq=7))
    owner.tell(Status("running", 1.0, 1.0, server="a", epoch=epoch))

    def mirror() -> Mirror | None:
        found = fleet.session.get(paths.position(NAME))
        return decode(Mirror, found.data) if found else None

    def status() -> Status | None:
        found = fleet.session.get(paths.status(NAME))
        return decode(Status, found.data) if found else None

    until(lambda: (written := mirror()) is not None and written.record["seq"] == 7)
    until(lambda: (told := status()) is not None and told.state == "running")
    owner.stored(_record(epoch, owner.nonce, seq=8))
    owner.tell(Status("parked", 2.0, 2.0, server="a", epoch=epoch))
    until(lambda: (told := status()) is not None and told.state == "parked")
    waiter = fleet.owner("a")
    waiter.tell(Status("waiting", 3.0, 3.0, server="a"))
    assert (told := status()) is not None
    assert told.state == "parked", "it is the owner's word while there is one"
    owner.close()
    assert (written := mirror()) is not None
    assert written.record["seq"] == 8, "the last one, though the one before was less than 5 s ago"
    until(lambda: (told := status()) is not None and told.state == "waiting")


def test_a_mirror_of_an_older_epoch_is_refused(fleet: Fleet) -> None:
    fleet.schedule("a")
    owner = fleet.owner("a")
    epoch = _holding(owner)
    fleet.session.set(paths.epoch(NAME), encode(Epoch(epoch + 1)))
    owner.stored(_record(epoch, owner.nonce))
    until(lambda: _lost(owner))
    with pytest.raises(NotOwner, match="greater epoch"):
        owner.check()
    assert fleet.session.get(paths.position(NAME)) is None


def test_an_order_to_set_the_position_is_removed_by_who_served_it(fleet: Fleet) -> None:
    fleet.schedule("a")
    owner = fleet.owner("a")
    _holding(owner)
    assert owner.position_request() is None
    fleet.session.create(paths.request(NAME), encode(Request("1", "move", "me", 1.0, server="b")))
    assert owner.position_request() is None
    fleet.session.set(paths.request(NAME), encode(Request("2", "set_position", "me", 1.0, position="latest")))
    request = owner.position_request()
    assert request
    assert request.position == "latest"
    fleet.session.set(paths.request(NAME), encode(Request("3", "set_position", "me", 1.0, position="earliest")))
    owner.served(request)
    newer = owner.position_request()
    assert newer, "another order has taken its place"
    owner.served(newer)
    assert owner.position_request() is None


# ---------------------------------------------------------------- ZooKeeper itself in trouble


@pytest.fixture
def server(zookeeper_server: ZookeeperFactory) -> ZookeeperServer:
    return zookeeper_server()


@pytest.fixture
def own_fleet(server: ZookeeperServer) -> Iterator[Fleet]:
    made = Fleet(server.ensemble())
    yield made
    made.close()


def _frozen(server: ZookeeperServer, seconds: float, meanwhile: Callable[[], None]) -> None:
    server.pause()
    try:
        began = time.monotonic()
        meanwhile()
        while time.monotonic() < began + seconds:
            time.sleep(0.05)
    finally:
        server.resume()


def _goes_on(fleet: Fleet, owner: Owner, epoch: int) -> None:
    """With the same session and epoch, or, where ZooKeeper says that the session is over (as on a slow machine), with others."""
    try:
        assert _holding(owner) == epoch
    except NotOwner:
        assert _holding(fleet.owner("a")) > epoch


def test_zookeeper_frozen_for_less_than_a_session(server: ZookeeperServer, own_fleet: Fleet) -> None:
    own_fleet.schedule("a")
    owner = own_fleet.owner("a")
    epoch = _holding(owner)
    began = time.monotonic()
    _frozen(server, 2.5, lambda: until(lambda: _lost(owner)))
    assert time.monotonic() - began < 10
    _goes_on(own_fleet, owner, epoch)


def test_zookeeper_frozen_for_longer_than_a_session(server: ZookeeperServer, own_fleet: Fleet) -> None:
    own_fleet.schedule("a")
    owner = own_fleet.owner("a")
    epoch = _holding(owner)
    held_for = 0.0

    def watch() -> None:
        nonlocal held_for
        began = time.monotonic()
        held_for = _last_check(owner) - began

    _frozen(server, 5.0, watch)
    assert held_for < 2.2, "the lease is two thirds of the session"
    _goes_on(own_fleet, owner, epoch)


def test_zookeeper_restarted(server: ZookeeperServer, own_fleet: Fleet) -> None:
    own_fleet.schedule("a")
    owner = own_fleet.owner("a")
    epoch = _holding(owner)
    server.stop(kill=True)
    until(lambda: _lost(owner))
    with pytest.raises(HoldingLost):
        owner.confirm()
    server.start()
    _goes_on(own_fleet, owner, epoch)


def test_zookeeper_wiped(server: ZookeeperServer, own_fleet: Fleet) -> None:
    own_fleet.schedule("a")
    owner = own_fleet.owner("a")
    for _ in range(20):
        own_fleet.schedule("a")
    epoch = _holding(owner)
    server.wipe()
    with pytest.raises(NotOwner):
        owner.acquire()
    owner.close()
    until(lambda: own_fleet.session.state == "connected")
    own_fleet.schedule("a")
    found = own_fleet.session.get(paths.schedule(NAME))
    assert found
    assert found.created < epoch, "transaction ids begin anew"
    assert _holding(own_fleet.owner("a"), _record(epoch)) == epoch + 1


def test_a_hot_thread_that_hangs_is_reported(server: ZookeeperServer, own_fleet: Fleet) -> None:
    own_fleet.schedule("a")
    owner = own_fleet.owner("a")
    _holding(owner)
    _frozen(server, 0, lambda: until(lambda: owner.stuck_because))
    assert len(owner.stuck_because) == 1


# ---------------------------------------------------------------- the owner in trouble: it stops before another may begin


def test_an_owner_that_is_cut_off_stops_before_the_next_begins(
    zookeeper: ZookeeperServer, background: Background
) -> None:
    endpoint = parse_endpoint(zookeeper.hosts)
    ensemble = zookeeper.ensemble()
    with Proxy(endpoint.host, endpoint.port) as proxy, contextlib.closing(Fleet(ensemble)) as fleet:
        fleet.schedule("a")
        cut_off = Owner(ensemble.model_copy(update={"hosts": (f"127.0.0.1:{proxy.port}",)}), "a")
        cut_off.connect()
        epoch = _holding(cut_off)
        successor = fleet.owner("a")
        taking = background.start(lambda: (_holding(successor), time.monotonic()))
        assert not taking.done(0.5)
        proxy.silent = True
        stopped = _last_check(cut_off)
        next_epoch, began = taking.result()
        assert stopped < began
        assert next_epoch > epoch
        proxy.silent = False
        with pytest.raises(NotOwner):
            cut_off.acquire()
        cut_off.close()


FROZEN_OWNER = """
import sys, time
from cdcd.config.secrets import Credentials
from cdcd.config.zookeeper import ZooKeeper
from cdcd.errors import HoldingLost, NotOwner
from cdcd.fleet.ownership import ZooKeeperOwnership
from cdcd.observe.failpoints import off
from cdcd.observe.logging import Logs

with Logs(sys.stderr):
    owner = ZooKeeperOwnership(
        ZooKeeper.model_validate_json(sys.argv[1]), Credentials(None), "orders", "a",
        proceed=lambda: None, news=lambda: None, failpoint=off, stuck=lambda reason: None,
    )
    owner.connect()
    owner.acquire()
    owner.claim(None)
    checked = 0.0
    print("holding", flush=True)
    try:
        while True:
            began = time.clock_gettime(time.CLOCK_BOOTTIME)  # before: it may be stopped between the two
            owner.check()
            checked = began
            time.sleep(0.001)
    except (HoldingLost, NotOwner):
        print(checked, flush=True)
    try:
        owner.acquire()
    except NotOwner as error:
        print(error, flush=True)
    owner.close()
"""


def test_an_owner_that_was_stopped_for_longer_than_its_session_wakes_up_without_the_lock(
    ensemble: ZooKeeper,
) -> None:
    command = [sys.executable, "-c", FROZEN_OWNER, ensemble.model_dump_json()]
    with contextlib.closing(Fleet(ensemble)) as fleet:
        fleet.schedule("a")
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            try:
                assert process.stdout.readline() == "holding\n"
                process.send_signal(signal.SIGSTOP)
                stopped = time.clock_gettime(time.CLOCK_BOOTTIME)
                _holding(fleet.owner("a"))  # as soon as its session is over
                process.send_signal(signal.SIGCONT)
                last_check = float(process.stdout.readline())
                assert last_check < stopped + 0.1, "not one more commit after it woke up"
                assert process.stdout.readline().strip(), "it says why it is no owner any more"
            finally:
                process.kill()
