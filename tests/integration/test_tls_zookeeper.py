"""TLS to a real ZooKeeper server, and its access control lists: what is accepted, what is refused by which finding."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import NoAuthError, NotEmptyError
from kazoo.security import ACL, Id, Permissions, make_digest_acl

from cdcd.config.network import parse_endpoint
from cdcd.config.secrets import Credentials
from cdcd.config.settings import load_settings
from cdcd.config.zookeeper import ZooKeeper
from cdcd.errors import Finding
from cdcd.fleet import paths
from cdcd.fleet.registry import acl_open, ensure_tree
from deploy.rig.fleet import Fleet
from deploy.rig.process import until
from deploy.rig.worker import write_credential
from tests.certificates import Certificate, Papers
from tests.fleets import MakeFleet, loaded_instance
from tests.proxy import Proxy
from tests.refusals import CDCCTL, ran, refusal
from tests.servers import MysqlServer, ZookeeperFactory, ZookeeperServer
from tests.sessions import NO_CREDENTIALS, opened

pytestmark = pytest.mark.must_show("6.5")

HANDSHAKE = b"\x16\x03"
"""Begins the first TLS record: handshake, version 3.x (RFC 8446, section 5.1)."""
LOGIN = ("cdcd", "fleet-secret")
DIGEST = {"scheme": "digest", "credential": "fleet"}
UNAVAILABLE = 6
FOLDERS_IN_USE = {"instances", "schedule", "assigned", "load", "servers", "server_ids", "scheduler", "state"}


@pytest.fixture(scope="module")
def started(zookeeper_server: ZookeeperFactory, papers: Papers) -> ZookeeperServer:
    return zookeeper_server({"client.certReload": "true"}, certificate=papers.own.files)


@pytest.fixture
def server(started: ZookeeperServer, papers: Papers) -> Iterator[ZookeeperServer]:
    """It shows `papers.own` at first."""
    yield started
    started.show(papers.own)


@pytest.fixture
def credentials(tmp_path: Path) -> Credentials:
    write_credential(tmp_path, "fleet", LOGIN, "127.0.0.1", "localhost")
    return Credentials(None, tmp_path / "credentials")


def _tls(trusted: Certificate | None, shown: Certificate | None = None) -> dict[str, object]:
    files = {"ca": str(trusted.ca)} if trusted else {}
    if shown:
        files |= {"cert": str(shown.cert), "key": str(shown.key)}
    return {"encryption": "tls", "tls": files}


def _finding(ensemble: ZooKeeper, credentials: Credentials = NO_CREDENTIALS, timeout: float = 10.0) -> Finding:
    return refusal(lambda: opened(ensemble, credentials, timeout).__enter__())


def _before_long(code: str, ensemble: ZooKeeper, credentials: Credentials = NO_CREDENTIALS) -> Finding:
    """The finding that an attempt to connect leaves; on a busy machine none may have failed by the first look."""

    def found() -> Finding | None:
        finding = _finding(ensemble, credentials, 1.5)
        return finding if finding.code == code else None

    return until(found, code, 30)


# ------------------------------------------------------------------------------------------------ TLS


def test_the_servers_certificate(server: ZookeeperServer, papers: Papers) -> None:
    def found(trusted: Certificate | None, at: str = server.secure) -> tuple[str, str, str]:
        finding = _finding(server.ensemble(hosts=[at], **_tls(trusted)))
        assert at in finding.what
        return finding.code, finding.kind, finding.what

    with opened(server.ensemble(hosts=[server.secure], **_tls(papers.own))) as session:
        session.create("/x", b"1")
        assert session.get("/x")
    for trusted in (papers.foreign, None):
        code, kind, what = found(trusted)
        assert (code, kind) == ("zookeeper-tls", "operator")
        assert "not signed by an authority that is trusted" in what
    named = server.secure.replace("127.0.0.1", "localhost")
    code, kind, what = found(papers.own, named)
    assert (code, kind) == ("zookeeper-tls", "operator")
    assert "made for other host names: Hostname mismatch" in what
    server.show(papers.other_host)
    code, kind, what = found(papers.own)
    assert (code, kind) == ("zookeeper-tls", "operator")
    assert "made for other host names" in what


def test_the_clients_certificate_is_its_account(server: ZookeeperServer, papers: Papers) -> None:
    mine = server.ensemble(hosts=[server.secure], auth={"scheme": "x509"}, **_tls(papers.own, papers.own))
    with opened(mine) as session:
        ensure_tree(session, "main")
        assert not acl_open(session)
    with opened(server.ensemble(hosts=[server.secure], chroot=mine.chroot, **_tls(papers.own))) as session:
        assert refusal(lambda: session.get(paths.CLUSTER)).code == "zookeeper-no-rights"
    found = _before_long("zookeeper-tls", server.ensemble(hosts=[server.secure], **_tls(papers.own, papers.foreign)))
    assert found.kind == "operator"
    assert "refuses our certificate" in found.what


def test_a_port_without_tls_is_told_nothing(server: ZookeeperServer, papers: Papers, credentials: Credentials) -> None:
    with Proxy(*parse_endpoint(server.hosts)) as wire:
        ensemble = server.ensemble(hosts=[f"127.0.0.1:{wire.port}"], auth=DIGEST, **_tls(papers.own))
        found = _before_long("zookeeper-no-tls", ensemble, credentials)
        assert found.kind == "retry"
        assert wire.said
        for said in map(bytes, wire.said):
            assert not said or said.startswith(HANDSHAKE)
            assert LOGIN[1].encode() not in said


def test_a_port_with_tls_where_none_is_asked_for(server: ZookeeperServer) -> None:
    found = _before_long("zookeeper-tls", server.ensemble(hosts=[server.secure]))
    assert found.kind == "operator"
    assert 'zookeeper.encryption = "tls"' in found.remedy


@pytest.mark.parametrize("name", ["no-such-file", "own.key"])
def test_files_that_are_none(server: ZookeeperServer, papers: Papers, name: str) -> None:
    path = papers.own.ca.with_name(name)
    found = _finding(server.ensemble(hosts=[server.secure], encryption="tls", tls={"ca": str(path)}))
    assert (found.code, found.kind) == ("zookeeper-tls-files", "operator")
    assert str(path) in found.what


# ------------------------------------------------------------------------------------------------ as operators see it


def _fleet(make_fleet: MakeFleet, server: ZookeeperServer, trusted: Certificate) -> Fleet:
    """With TLS and an account; server `a` has its credential."""
    fleet = make_fleet(zookeeper=server.secure, ensemble={**_tls(trusted), "auth": DIGEST})
    write_credential(fleet.folder / "a", "fleet", LOGIN, "127.0.0.1")
    return fleet


def _said(fleet: Fleet, name: str, word: str) -> Callable[[], bool]:
    return lambda: any(word in (line["event"], line.get("finding")) for line in fleet.servers[name].log())


def _cdcctl(fleet: Fleet, name: str, *arguments: str) -> tuple[int, str]:
    """Exit status, and what it says, by the settings of a server."""
    done = ran(*CDCCTL, *arguments, "--config", str(fleet.write_settings(name)))
    return done.returncode, done.stdout + done.stderr


def test_an_authority_that_is_not_trusted(make_fleet: MakeFleet, server: ZookeeperServer, papers: Papers) -> None:
    """It will not be by waiting: the daemon ends."""
    fleet = _fleet(make_fleet, server, papers.foreign)
    daemon = fleet.start("a")
    assert daemon.wait() == 1
    assert "Set `zookeeper.tls.ca` to the file of the authority" in daemon.said()
    assert "Traceback" not in daemon.said()
    status, said = _cdcctl(fleet, "a", "get")
    assert status == 1
    assert "Set `zookeeper.tls.ca` to the file of the authority" in said


def test_a_certificate_that_has_expired(make_fleet: MakeFleet, server: ZookeeperServer, papers: Papers) -> None:
    """The daemon waits for another one, visibly."""
    server.show(papers.expired)
    fleet = _fleet(make_fleet, server, papers.own)
    fleet.start("a")
    until(_said(fleet, "a", "zookeeper-tls-expired"), "it says what is wrong")
    status, said = _cdcctl(fleet, "a", "get")
    assert status == UNAVAILABLE
    assert "certificate has expired" in said
    server.show(papers.own)
    until(_said(fleet, "a", "server.registered"), "it goes on by itself")


# ------------------------------------------------------------------------------------------------ access control lists


@contextmanager
def _client(server: ZookeeperServer, login: tuple[str, str] | None) -> Iterator[KazooClient]:
    client = KazooClient(server.hosts, auth_data=[("digest", ":".join(login))] if login else None)
    client.start()
    try:
        yield client
    finally:
        client.stop()
        client.close()


def _tree(client: KazooClient, path: str) -> Iterator[str]:
    yield path
    for name in client.get_children(path):
        yield from _tree(client, f"{path}/{name}")


def test_every_node_is_the_accounts_alone(
    make_fleet: MakeFleet, server: ZookeeperServer, papers: Papers, mysql: MysqlServer
) -> None:
    fleet = _fleet(make_fleet, server, papers.own)
    instance = loaded_instance(fleet, "guarded", mysql)
    fleet.start("a")
    until(_said(fleet, "a", "server.registered"), "it is part of the fleet")
    assert _cdcctl(fleet, "a", "apply", "-f", str(instance.write()), "--wait")[0] == 0
    with _client(server, LOGIN) as own:
        every = list(_tree(own, fleet.chroot))
        alone = [make_digest_acl(*LOGIN, all=True)]
        assert {path: own.get_acls(path)[0] for path in every} == dict.fromkeys(every, alone)
    used = {path.split("/")[2] for path in every if path.count("/") > 2}
    assert used >= FOLDERS_IN_USE
    for login in (None, ("cdcd", "not-the-password"), ("other", LOGIN[1])):
        with _client(server, login) as stranger:
            for path in every:
                _keeps_out(stranger, path, fleet.chroot)
    status, said = _cdcctl(fleet, "a", "get", "-o", "json")
    assert status == 0
    assert [each["state"] for each in json.loads(said)] == ["running"]


def _keeps_out(stranger: KazooClient, path: str, chroot: str) -> None:
    for attempt in (
        partial(stranger.get, path),
        partial(stranger.get_children, path),
        partial(stranger.get_acls, path),
        partial(stranger.set, path, b"{}"),
        partial(stranger.set_acls, path, [ACL(Permissions.ALL, Id("world", "anyone"))]),
        partial(stranger.create, f"{path}/x", b"{}"),
    ):
        with pytest.raises(NoAuthError):
            attempt()
    with pytest.raises(NotEmptyError if path == chroot else NoAuthError):  # what the root holds is not the fleet's
        stranger.delete(path)


def test_another_account_is_told_so(make_fleet: MakeFleet, server: ZookeeperServer, papers: Papers) -> None:
    fleet = _fleet(make_fleet, server, papers.own)
    settings = load_settings(fleet.write_settings("a"))
    with opened(settings.ensemble(), Credentials.of(settings.credentials_dir)) as session:
        ensure_tree(session, fleet.cluster)
    write_credential(fleet.folder / "b", "fleet", ("cdcd", "not-the-password"), "127.0.0.1")
    daemon = fleet.start("b")
    assert daemon.wait() == 1
    status, said = _cdcctl(fleet, "b", "get")
    assert status == 1
    for text in (daemon.said(), said):
        assert "gives this account no right" in text
        assert "Set `zookeeper.auth` to the account that made the tree" in text
        assert "not-the-password" not in text
        assert "Traceback" not in text, text[-6000:]
