"""Tree, registration, election, cache: with a real ZooKeeper."""

from collections.abc import Callable, Iterator

import pytest

from cdcd.config.secrets import Credentials
from cdcd.config.zookeeper import ZooKeeper
from cdcd.errors import FindingError
from cdcd.fleet import paths
from cdcd.fleet.cache import Cache
from cdcd.fleet.election import Election, Term, TermOver
from cdcd.fleet.nodes import Load, Server, decode
from cdcd.fleet.registry import Registration, acl_open, check_tree, ensure_tree
from cdcd.fleet.session import Create, Session, close_session
from tests.waiting import until

NO_CREDENTIALS = Credentials(None)
SERVER = Server("host-a", 4711, 1.0, "0.1.0")
Connect = Callable[[str], Session]


@pytest.fixture
def connect(lasting: ZooKeeper) -> Iterator[Connect]:
    made: list[Session] = []

    def one(name: str) -> Session:
        session = Session(lasting, NO_CREDENTIALS, name)
        session.start()
        made.append(session)
        return session

    yield one
    for session in made:
        session.close()


def _code(error: pytest.ExceptionInfo[FindingError]) -> str:
    return error.value.finding.code


def test_a_tree_is_made_once_and_belongs_to_one_fleet(connect: Connect) -> None:
    session = connect("a")
    with pytest.raises(FindingError) as missing:
        check_tree(session, "main")
    assert _code(missing) == "fleet-missing"
    ensure_tree(session, "main")
    ensure_tree(session, "main")
    assert session.children("/") >= {"instances", "schedule", "cluster", "state"}
    with pytest.raises(FindingError) as mismatch:
        ensure_tree(session, "other")
    assert _code(mismatch) == "fleet-mismatch"
    session.set(paths.CLUSTER, b"\xff")
    with pytest.raises(FindingError) as unreadable:
        check_tree(session, "main")
    assert _code(unreadable) == "fleet-unreadable"
    assert acl_open(session)


def test_a_server_id_belongs_to_one_process(connect: Connect, ensemble: ZooKeeper) -> None:
    first, second = connect("first"), connect("second")
    ensure_tree(first, "main")
    one = Registration(first, "a", SERVER)
    one.enter()
    one.enter()
    two = Registration(second, "a", Server("host-b", 1, 2.0, "0.1.0"))
    with pytest.raises(FindingError) as taken:
        two.hold()
    assert _code(taken) == "server-id-taken"
    assert "process 4711 on host-a" in str(taken.value.finding)
    old = first.id
    close_session(ensemble, NO_CREDENTIALS, old, first.password)
    two.enter()  # as after the other's crash
    until(lambda: first.id not in {0, old})
    with pytest.raises(FindingError):
        one.hold()
    two.leave()
    one.hold()
    one.report(Load(1.0, 2.0))
    one.report(Load(2.0, 2.0))
    found = second.get(paths.load("a"))
    assert found
    assert decode(Load, found.data) == Load(2.0, 2.0)


def test_one_scheduler_and_what_a_late_one_writes_is_refused(connect: Connect, ensemble: ZooKeeper) -> None:
    sessions = [connect(name) for name in "ab"]
    ensure_tree(sessions[0], "main")
    elections = [Election(session, Cache(session), name) for session, name in zip(sessions, "ab", strict=True)]

    def campaign() -> list[Term | None]:
        return [election.campaign() for election in elections]

    first, none = campaign()
    assert first
    assert none is None
    assert campaign() == [first, None]
    assert first.write(Create("/schedule/x"))
    assert not first.write(Create("/schedule/x"))
    close_session(ensemble, NO_CREDENTIALS, sessions[0].id, sessions[0].password)
    until(lambda: elections[1].campaign() is not None)
    second = elections[1].campaign()
    assert second
    assert second.number > first.number
    # Even with the new session of the old one, which is not what its term was won with.
    until(lambda: sessions[0].state == "connected" and sessions[0].id != first.session_id)
    with pytest.raises(TermOver):
        first.write(Create("/schedule/y"))
    with pytest.raises(TermOver):  # nor by force
        Term(sessions[0], sessions[0].id, first.number, first.version).write(Create("/schedule/y"))
    assert sessions[1].get("/schedule/y") is None
    assert elections[0].campaign() is None
    elections[1].resign()
    until(lambda: elections[0].campaign() is not None)


def test_the_cache_asks_only_for_what_changed(connect: Connect) -> None:
    session, other = connect("reader"), connect("writer")
    cache = Cache(session)
    for number in range(50):
        other.create(f"/c/{number}", b"0")
    asked = [f"/c/{number}" for number in range(51)]
    assert cache.children("/c") == {str(number) for number in range(50)}
    assert cache.nodes(asked)["/c/50"] is None
    answered = session.answered
    for _ in range(3):
        cache.children("/c")
        cache.nodes(asked)
    assert session.answered == answered, "a tick without news costs no request"
    assert not cache.wait(0)
    other.set("/c/7", b"7")
    assert cache.wait(10)
    assert [path for path, node in cache.nodes(asked).items() if node and node.data == b"7"] == ["/c/7"]
    other.create("/c/50", b"50")
    until(lambda: "50" in cache.children("/c") and cache.node("/c/50") is not None)


def test_a_broken_connection_makes_the_cache_read_again(connect: Connect, ensemble: ZooKeeper) -> None:
    session, other = connect("reader"), connect("writer")
    cache = Cache(session)
    other.create("/c/x", b"0")
    cache.node("/c/x")
    close_session(ensemble, NO_CREDENTIALS, session.id, session.password)
    assert cache.wait(10)
    until(lambda: session.state == "connected" and session.losses == 1)
    answered = session.answered
    assert cache.node("/c/x")
    assert session.answered > answered
