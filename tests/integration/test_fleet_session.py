"""The session with a real ZooKeeper: reads, writes, watches, and every kind of trouble."""

from collections.abc import Iterator

import pytest

from cdcd.config.secrets import Credentials
from cdcd.config.zookeeper import ZooKeeper
from cdcd.fleet.session import Check, Create, Delete, Session, Set, close_session
from tests.waiting import until

NO_CREDENTIALS = Credentials(None)


@pytest.fixture
def session(lasting: ZooKeeper) -> Iterator[Session]:
    made = Session(lasting, NO_CREDENTIALS, "test")
    made.start()
    yield made
    made.close()


def test_what_is_written_is_read(session: Session) -> None:
    assert session.get("/a/b") is None
    assert session.create("/a/b", b"one")
    assert not session.create("/a/b", b"two")
    found = session.get("/a/b")
    assert found
    assert (found.data, found.version, found.owner) == (b"one", 0, 0)
    assert session.set("/a/b", b"two", version=0)
    assert not session.set("/a/b", b"three", version=0)
    assert not session.set("/a/c", b"three")
    assert session.children("/a") == {"b"}
    assert session.children("/nothing") == set()
    assert not session.delete("/a")
    assert session.delete("/a/b", version=1)
    assert not session.delete("/a/b")


def test_a_multi_is_done_whole_or_not_at_all(session: Session) -> None:
    session.create("/m/guard")
    assert not session.multi(Check("/m/guard", 7), Create("/m/x"))
    assert session.get("/m/x") is None
    assert session.multi(Check("/m/guard", 0), Create("/m/x", b"1", ephemeral=True), Set("/m/guard", b"2"))
    assert not session.multi(Check("/m/guard", 0), Delete("/m/x"))
    assert session.multi(Check("/m/guard", 1), Delete("/m/x"))


def test_many_reads_at_once(session: Session) -> None:
    for number in range(40):
        session.create(f"/many/{number}", str(number).encode())
    found = session.many(f"/many/{number}" for number in range(41))
    assert {path: node.data for path, node in found.items() if node} == {
        f"/many/{number}": str(number).encode() for number in range(40)
    }
    assert found["/many/40"] is None


def test_a_watch_tells_once(session: Session) -> None:
    told: list[str] = []
    assert session.get("/w/x", told.append) is None
    session.create("/w/x")
    until(lambda: told == ["/w/x"])
    session.set("/w/x", b"1")
    session.children("/w", told.append)
    session.get("/w/x", told.append)
    session.delete("/w/x")
    until(lambda: sorted(told) == ["/w", "/w/x", "/w/x"])


def test_a_session_that_somebody_else_closes_is_lost(lasting: ZooKeeper) -> None:
    states: list[str] = []
    session = Session(lasting, NO_CREDENTIALS, "victim", states.append)
    session.start()
    session.create("/x", ephemeral=True)
    old, password = session.id, session.password
    other = Session(lasting, NO_CREDENTIALS, "other")
    other.start()
    assert close_session(lasting, NO_CREDENTIALS, old, password)
    assert other.get("/x") is None
    until(lambda: states[-1] == "connected" and "lost" in states)
    assert session.id not in {0, old}
    assert session.losses == 1
    assert not close_session(lasting, NO_CREDENTIALS, old, password)
    session.close()
    other.close()
