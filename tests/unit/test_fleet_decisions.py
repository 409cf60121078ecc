"""The lease, counted from sending; what a worker does by schedule and standby; which reads the cache trusts."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdcd.fleet.cache import DOUBT_SECONDS, DOUBTED_AT_ONCE, FORGET_SECONDS, Cache
from cdcd.fleet.lease import Lease
from cdcd.fleet.nodes import Schedule, Standby
from cdcd.fleet.session import Changed, Stored
from cdcd.fleet.stance import order, stance


def _schedule(server: str | None, successor: str | None = None, generation: int = 5) -> Schedule:
    return Schedule(server, generation, "test", 0.0, next=successor)


READY = Standby("b", 5)


def test_a_lease_ends_two_thirds_of_a_session_after_the_request_was_sent() -> None:
    lease = Lease()
    assert lease.left(1000.0) <= 0, "nothing was answered yet"
    lease.extend(1000.0, 9.0)
    assert lease.left(1005.9) > 0
    assert lease.left(1006.1) < 0
    lease.extend(990.0, 9.0)  # an older answer that comes late
    assert lease.left(1005.9) > 0
    lease.end()
    assert lease.left(1000.0) <= 0


@given(st.lists(st.tuples(st.floats(1, 1e6), st.floats(1, 300))))
def test_a_lease_never_outlives_what_was_answered(answers: list[tuple[float, float]]) -> None:
    lease = Lease()
    for sent, timeout in answers:
        lease.extend(sent, timeout)
    latest = max((sent + timeout * 2 / 3 for sent, timeout in answers), default=0.0)
    assert lease.left(latest + 1e-6) <= 0


@pytest.mark.parametrize(
    ("schedule", "standby", "redefined", "expected"),
    [
        (_schedule("a"), None, False, None),
        (_schedule("a"), None, True, "reconfigure"),
        (None, None, False, "leave"),
        (_schedule(None), None, True, "leave"),
        (_schedule("b"), None, False, "leave"),
        (_schedule("b", "a"), None, False, None),  # it has taken over as `next`, the scheduler has not seen it yet
        (_schedule("a", "b"), None, False, None),  # never without a standby
        (_schedule("a", "b"), READY, True, "hand_over"),
        (_schedule("a", "b"), Standby("b", 4), False, None),
        (_schedule("a", "c"), READY, False, None),
        (_schedule("a"), READY, False, None),
    ],
)
def test_what_the_owner_on_a_is_told(
    schedule: Schedule | None, standby: Standby | None, redefined: bool, expected: str | None
) -> None:
    assert order("a", schedule, standby, redefined=redefined) == expected


@pytest.mark.parametrize(
    ("schedule", "standby", "free", "expected"),
    [
        (_schedule("a"), None, True, "take"),
        (_schedule("a"), None, False, "wait"),
        (_schedule("b"), None, True, "leave"),
        (None, None, True, "leave"),
        (_schedule("a", "b"), None, True, "take"),  # the successor is not ready
        (_schedule("a", "b"), READY, True, "wait"),  # it is: no lock is taken back from it
        (_schedule("a", "b"), Standby("b", 4), True, "take"),
        (_schedule("z", "a"), None, False, "stand_by"),
        (_schedule("z", "a"), None, True, "stand_by"),  # never without having stood by
        (_schedule("z", "a"), Standby("a", 5), True, "take"),
        (_schedule("z", "a"), Standby("a", 5), False, "stand_by"),
        (_schedule("z", "a"), Standby("a", 4), True, "stand_by"),
        (_schedule(None, "a"), None, True, "stand_by"),
    ],
)
def test_what_a_worker_on_a_does_that_wants_the_lock(
    schedule: Schedule | None, standby: Standby | None, free: bool, expected: str
) -> None:
    assert stance("a", schedule, standby, free=free) == expected


class Tree:
    """Answers the cache as a session does, and counts what it is asked."""

    def __init__(self) -> None:
        self.breaks = 0
        self.asked: list[str] = []
        self.watches: dict[str, Changed] = {}
        self.fails = False

    def many(self, paths: Iterable[str], changed: Changed) -> dict[str, Stored | None]:
        asked = list(paths)
        self.asked += asked
        if self.fails:
            raise OSError("away")
        self.watches |= dict.fromkeys(asked, changed)
        return {path: Stored(path.encode(), 0, 1, 1, 0, 0.0) for path in asked}

    def children(self, path: str, changed: Changed) -> frozenset[str]:
        self.many([path], changed)
        return frozenset({"x"})

    def fire(self, path: str) -> None:
        self.watches.pop(path)(path)


class Time:
    """A clock that the test turns."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def tree() -> Tree:
    return Tree()


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def cache(tree: Tree, time: Time) -> Cache:
    return Cache(tree, time)  # type: ignore[arg-type]


def test_what_was_read_is_asked_for_again_when_its_watch_has_fired(tree: Tree, cache: Cache) -> None:
    for _ in range(3):
        cache.nodes(["/a", "/b"])
        cache.children("/c")
    assert tree.asked == ["/a", "/b", "/c"]
    tree.fire("/b")
    tree.fire("/c")
    assert cache.wait(0)
    assert not cache.wait(0)
    cache.nodes(["/a", "/b"])
    cache.children("/c")
    assert tree.asked == ["/a", "/b", "/c", "/b", "/c"]


def test_a_watch_that_fires_before_the_answer_is_in_is_not_missed(tree: Tree, cache: Cache) -> None:
    answer = tree.many

    def many(paths: Iterable[str], changed: Changed) -> dict[str, Stored | None]:
        found = answer(paths, changed)
        tree.fire("/a")
        return found

    tree.many = many  # type: ignore[method-assign]
    cache.node("/a")
    tree.many = answer  # type: ignore[method-assign]
    cache.node("/a")
    assert tree.asked == ["/a", "/a"]


def test_nothing_is_remembered_of_a_question_without_an_answer(tree: Tree, cache: Cache) -> None:
    tree.fails = True
    for ask in (cache.node, cache.children):
        with pytest.raises(OSError, match="away"):
            ask("/a")
    tree.fails = False
    assert cache.node("/a")
    assert cache.children("/a")


def test_a_broken_connection_makes_all_doubtful(tree: Tree, cache: Cache) -> None:
    cache.node("/a")
    tree.breaks += 1
    cache.node("/a")
    cache.node("/a")
    assert tree.asked == ["/a", "/a"]


def test_old_answers_are_asked_for_again_a_few_at_a_time(tree: Tree, cache: Cache, time: Time) -> None:
    paths = [f"/{number}" for number in range(3 * DOUBTED_AT_ONCE)]
    cache.nodes(paths)
    time.now += DOUBT_SECONDS + 1
    for turn in range(1, 4):
        tree.asked.clear()
        cache.nodes(paths)
        assert len(tree.asked) == DOUBTED_AT_ONCE, turn
    tree.asked.clear()
    cache.nodes(paths)
    assert not tree.asked


def test_what_nobody_asks_for_is_forgotten(tree: Tree, cache: Cache, time: Time) -> None:
    cache.nodes(["/a", "/b"])
    assert len(cache) == 2
    for _ in range(int(FORGET_SECONDS / DOUBT_SECONDS) + 2):
        time.now += DOUBT_SECONDS
        cache.node("/a")
    assert len(cache) == 1
    tree.fire("/b")
    assert not cache.wait(0), "nor does it wake anybody"
