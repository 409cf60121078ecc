"""What can be wrong with ZooKeeper: each trouble has its own finding, and none is for ever."""

import socket
import struct
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cdcd.config.network import parse_endpoint
from cdcd.config.secrets import Credentials
from cdcd.config.zookeeper import ZooKeeper, ZooKeeperAuth
from cdcd.errors import FindingError
from cdcd.fleet import paths
from cdcd.fleet.registry import acl_open, ensure_tree
from cdcd.fleet.session import LARGEST_NODE, Create, ZooKeeperAway
from cdcd.tls import speaks_tls
from tests.background import Background
from tests.proxy import Proxy
from tests.servers import ZookeeperFactory, ZookeeperServer
from tests.sessions import NO_CREDENTIALS, opened
from tests.waiting import until


def refused(ensemble: ZooKeeper, credentials: Credentials = NO_CREDENTIALS) -> str:
    """Code of the finding that keeps a session from starting."""
    with pytest.raises(FindingError) as error, opened(ensemble, credentials, timeout=1.5):
        pass
    return error.value.finding.code


@pytest.fixture
def proxy(zookeeper: ZookeeperServer) -> Iterator[Proxy]:
    endpoint = parse_endpoint(zookeeper.hosts)
    with Proxy(endpoint.host, endpoint.port) as made:
        yield made


@pytest.fixture
def credentials(tmp_path: Path) -> Credentials:
    for name, password in (("fleet", "right"), ("stranger", "wrong")):
        path = tmp_path / name
        path.write_text(f'{{"user": "cdcd", "password": "{password}", "hosts": ["127.0.0.1"]}}')
        path.chmod(0o600)
    return Credentials(tmp_path)


def test_nobody_there(zookeeper: ZookeeperServer) -> None:
    assert refused(zookeeper.ensemble(hosts=["127.0.0.1:1"])) == "zookeeper-unreachable"


def test_the_limit_of_connections(zookeeper_server: ZookeeperFactory) -> None:
    server = zookeeper_server({"maxClientCnxns": "2"})
    with opened(server.ensemble()), opened(server.ensemble()):
        assert refused(server.ensemble()) == "zookeeper-connection-limit"


def test_a_connection_that_is_reset_at_once_is_no_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    """As ZooKeeper resets those that are too many; here before a handshake could begin."""
    connect = socket.create_connection
    with socket.create_server(("127.0.0.1", 0)) as server:

        def connect_and_reset(address: tuple[str, int], timeout: float) -> socket.socket:
            connection = connect(address, timeout)
            with server.accept()[0] as accepted:
                accepted.shutdown(socket.SHUT_WR)
                accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return connection

        monkeypatch.setattr(socket, "create_connection", connect_and_reset)
        assert not speaks_tls("127.0.0.1", server.getsockname()[1], 10.0)


def test_a_session_timeout_that_zookeeper_does_not_allow(zookeeper: ZookeeperServer) -> None:
    for asked, given in (("60s", 10.0), ("1s", 1.0), ("5s", 5.0)):  # 2 to 20 ticks of 500 ms
        with opened(zookeeper.ensemble(session_timeout=asked)) as session:
            assert session.timeout == given
            assert (session.advice is not None) == (asked == "60s")
            assert session.advice is None or session.advice.code == "zookeeper-session-timeout"


def test_what_one_account_makes_is_its_own(zookeeper: ZookeeperServer, credentials: Credentials) -> None:
    ensemble = zookeeper.ensemble(auth={"scheme": "digest", "credential": "fleet"}, session_timeout="10s")
    with opened(ensemble, credentials) as session:
        ensure_tree(session, "main")
        session.create(paths.definition("orders"), b"{}")
        session.multi(Create(paths.request("orders")))
        session.create(paths.running("orders"), ephemeral=True)
        assert not acl_open(session)
    for other in (ensemble.model_copy(update={"auth": None}), zookeeper.ensemble(
        auth={"scheme": "digest", "credential": "stranger"}, chroot=ensemble.chroot, session_timeout="10s"
    )):  # fmt: skip
        with opened(other, credentials) as session:
            forbidden: list[Callable[[], object]] = [
                partial(session.get, paths.definition("orders")),
                partial(session.get, paths.request("orders")),
                partial(session.create, paths.definition("x")),
                partial(session.multi, Create(paths.definition("x"))),
                partial(session.children, paths.INSTANCES),
            ]
            for call in forbidden:
                with pytest.raises(FindingError) as error:
                    call()
                assert error.value.finding.code == "zookeeper-no-rights"


def test_a_credential_is_sent_only_where_it_may(zookeeper: ZookeeperServer, credentials: Credentials) -> None:
    auth = {"scheme": "digest", "credential": "fleet"}
    elsewhere = zookeeper.ensemble(auth=auth, hosts=["127.0.0.1:2181", "localhost:2181"])
    assert refused(elsewhere, credentials) == "credential-host"


def test_no_answer_is_waited_for_only_so_long(zookeeper_server: ZookeeperFactory, background: Background) -> None:
    server = zookeeper_server()
    with opened(server.ensemble()) as session:
        server.pause()
        try:
            for _ in range(2):  # the first notices, the second fails at once
                with pytest.raises(ZooKeeperAway) as error:
                    background.start(lambda: session.get("/x")).result(10.0)
                assert error.value.finding.code in {"zookeeper-lost", "zookeeper-slow"}
            assert refused(server.ensemble()) == "zookeeper-unreachable"
        finally:
            server.resume()
        until(lambda: session.state == "connected")
        assert session.get("/x") is None


def test_a_create_without_an_answer_is_looked_at(
    zookeeper: ZookeeperServer, proxy: Proxy, background: Background
) -> None:
    ensemble = zookeeper.ensemble(session_timeout="10s")
    through = ensemble.model_copy(update={"hosts": (f"127.0.0.1:{proxy.port}",)})
    with opened(ensemble) as direct, opened(through) as session:
        direct.make("/made")
        for path, ephemeral in (("/made/ephemeral", True), ("/made/persistent", False)):
            proxy.mute = True
            making = background.start(lambda p=path, e=ephemeral: session.create(p, b"me", ephemeral=e))  # type: ignore[misc]
            until(lambda p=path: direct.get(p) is not None)  # type: ignore[misc]
            proxy.drop()
            proxy.mute = False
            assert making.result() is True
            found = direct.get(path)
            assert found
            assert found.owner == (session.id if ephemeral else 0)
        assert session.breaks == 2


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # that is what kazoo does
def test_a_client_that_gave_up_is_started_again(lasting: ZooKeeper) -> None:
    class Broken:
        type = 1

        def serialize(self) -> bytes:
            raise RuntimeError("as an answer does that makes no sense")

    with opened(lasting) as session:
        session.create("/x", ephemeral=True)
        client: Any = session._client
        client._call(Broken(), client.handler.async_result())
        until(lambda: session.state == "lost")
        until(lambda: session.state == "connected")
        assert session.get("/") is not None


def test_a_node_that_is_too_large_does_not_break_the_connection(lasting: ZooKeeper) -> None:
    with opened(lasting) as session:
        session.create("/x", b"")
        with pytest.raises(FindingError) as error:
            session.set("/x", bytes(LARGEST_NODE + 1))
        assert error.value.finding.code == "zookeeper-node-too-large"
        assert session.set("/x", bytes(LARGEST_NODE))
        assert session.breaks == 0


def test_sasl(zookeeper_server: ZookeeperFactory, credentials: Credentials) -> None:
    server = zookeeper_server(accounts={"cdcd": "right", "other": "another"})
    mine = server.ensemble(auth={"scheme": "sasl", "credential": "fleet"})
    with opened(mine, credentials) as session:
        ensure_tree(session, "main")
        session.create(paths.running("orders"), ephemeral=True)
        assert not acl_open(session)
    with opened(server.ensemble(chroot=mine.chroot)) as session, pytest.raises(FindingError) as error:
        session.get(paths.CLUSTER)
    assert error.value.finding.code == "zookeeper-no-rights"
    wrong = server.ensemble(auth={"scheme": "sasl", "credential": "stranger"}, chroot=mine.chroot)
    with opened(wrong, credentials) as session, pytest.raises(FindingError) as error:
        until(lambda: session.get(paths.CLUSTER))
    assert error.value.finding.code == "zookeeper-auth-failed"


def test_sasl_without_its_package(
    ensemble: ZooKeeper, credentials: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cdcd.fleet.client.find_spec", lambda name: None)  # noqa: ARG005 - any name
    auth = ZooKeeperAuth(scheme="sasl", credential="fleet")
    assert refused(ensemble.model_copy(update={"auth": auth}), credentials) == "zookeeper-sasl-missing"
