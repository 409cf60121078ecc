"""TLS to a real MySQL server: what is accepted, what is refused by which finding, and what goes over the wire meanwhile."""

import datetime as dt
from collections.abc import Callable, Iterator
from uuid import UUID

import pytest

from cdcd.errors import Finding, FindingError
from cdcd.mysql.connection import Endpoint, Tls, TlsMode, connect
from cdcd.mysql.dump import BinlogDump
from cdcd.mysql.dump_request import Reader
from deploy.rig.process import until
from deploy.rig.worker import Instance
from tests.certificates import Certificate, Papers
from tests.instances import MakeInstance, source_of
from tests.proxy import Proxy
from tests.refusals import preflight, prepared, publishes, ran, refusal, state
from tests.servers import KafkaServer, MysqlFactory, MysqlServer
from tests.tailing import COMMAND as CDCD

pytestmark = pytest.mark.must_show("6.5")

SSL_REQUEST = 4 + 32
"""Bytes of the packet that asks for TLS (MySQL: Protocol::SSLRequest); it holds neither user nor password."""
HANDSHAKE = 0x16
"""First byte of a TLS record that carries a handshake (RFC 8446, section 5.1)."""
READER = Reader(4_000_000_777, UUID("5f9b6f0e-0000-4000-8000-000000000777"))


@pytest.fixture(scope="module")
def started(mysql_server: MysqlFactory, papers: Papers) -> MysqlServer:
    ca, certificate, key = papers.own.files
    return mysql_server(ssl_ca=ca, ssl_cert=certificate, ssl_key=key)


@pytest.fixture
def server(started: MysqlServer, papers: Papers) -> Iterator[MysqlServer]:
    """It shows `papers.own` at first."""
    yield started
    started.show(papers.own)


@pytest.fixture
def wire(server: MysqlServer) -> Iterator[Proxy]:
    with Proxy(server.host, server.port) as proxy:
        yield proxy


def _endpoint(server: MysqlServer, tls: Tls, *, host: str = "127.0.0.1", port: int | None = None) -> Endpoint:
    return Endpoint(host, port or server.port, server.user, server.password, tls)


def _login(endpoint: Endpoint) -> None:
    connect(endpoint).close()


def _register(endpoint: Endpoint) -> None:
    dump = BinlogDump(endpoint, READER)
    try:
        dump.prepare()
    finally:
        dump.close()


BOTH: tuple[Callable[[Endpoint], None], ...] = (_login, _register)
"""The two ways in: for questions, and for the binlog."""


def _finding(way: Callable[[Endpoint], None], endpoint: Endpoint) -> Finding:
    return refusal(lambda: way(endpoint))


def _said(wire: Proxy) -> list[bytes]:
    return [bytes(said) for said in wire.said]


@pytest.mark.parametrize("mode", ["verify-identity", "verify-ca"])
def test_the_right_certificate_is_accepted(server: MysqlServer, wire: Proxy, papers: Papers, mode: TlsMode) -> None:
    endpoint = _endpoint(server, Tls(mode, str(papers.own.ca)), port=wire.port)
    with connect(endpoint) as connection:
        cipher = connection.row("SHOW STATUS LIKE 'Ssl_cipher'")
        assert cipher is not None
        assert cipher[1].startswith("TLS_")
    _register(endpoint)
    for said in _said(wire):
        assert said[SSL_REQUEST] == HANDSHAKE
        assert server.user.encode() not in said


REFUSED: dict[str, tuple[str, Callable[[Papers], Tls]]] = {
    "another authority": ("own", lambda papers: Tls(ca=str(papers.foreign.ca))),
    "another authority, verify-ca": ("own", lambda papers: Tls("verify-ca", str(papers.foreign.ca))),
    "none of the system's": ("own", lambda papers: Tls()),  # noqa: ARG005 - like the others
    "another host": ("other_host", lambda papers: Tls(ca=str(papers.own.ca))),
}
"""What the server shows, what is asked for."""


@pytest.mark.parametrize("case", REFUSED)
def test_others_are_refused(server: MysqlServer, wire: Proxy, papers: Papers, case: str) -> None:
    shown, asked = REFUSED[case]
    server.show(getattr(papers, shown))
    tls = asked(papers)
    reason = "made for other host names" if shown == "other_host" else "not signed by an authority that is trusted"
    for way in BOTH:
        found = _finding(way, _endpoint(server, tls, port=wire.port))
        assert (found.code, found.kind) == ("tls-untrusted", "operator")
        assert reason in found.what
    assert len(wire.said) == len(BOTH)
    for said in _said(wire):
        assert said[SSL_REQUEST] == HANDSHAKE
        assert server.user.encode() not in said


def test_verify_ca_leaves_out_the_host_name_and_nothing_else(server: MysqlServer, papers: Papers) -> None:
    server.show(papers.other_host)
    for way in BOTH:
        way(_endpoint(server, Tls("verify-ca", str(papers.own.ca))))
        named = _finding(way, _endpoint(server, Tls("verify-identity", str(papers.own.ca)), host="localhost"))
        assert "'localhost'" in named.what


def test_disabled_is_plain_text(server: MysqlServer, wire: Proxy) -> None:
    with connect(_endpoint(server, Tls("disabled"), port=wire.port)) as connection:
        assert connection.row("SHOW STATUS LIKE 'Ssl_cipher'") == ("Ssl_cipher", "")
    assert all(server.user.encode() in said for said in _said(wire))


def test_a_server_without_tls_is_told_nothing(mysql56: MysqlServer, papers: Papers) -> None:
    with Proxy(mysql56.host, mysql56.port) as wire:
        for way in BOTH:
            found = _finding(way, _endpoint(mysql56, Tls(ca=str(papers.own.ca)), port=wire.port))
            assert (found.code, found.kind) == ("tls-failed", "operator")
        assert _said(wire) == [b"", b""]
    _login(_endpoint(mysql56, Tls("disabled")))


def test_a_server_that_asks_for_tls(server: MysqlServer, papers: Papers) -> None:
    server.query("CREATE USER strict@'127.0.0.1' IDENTIFIED BY 'pw' REQUIRE SSL")
    server.query("SET GLOBAL require_secure_transport = ON")
    try:
        found = _finding(_login, _endpoint(server, Tls("disabled")))
        assert (found.code, found.kind) == ("tls-failed", "operator")
        assert "verify-identity" in found.remedy
        _login(Endpoint("127.0.0.1", server.port, "strict", "pw", Tls(ca=str(papers.own.ca))))
    finally:
        server.query("SET GLOBAL require_secure_transport = OFF")
        server.query("DROP USER strict@'127.0.0.1'")


def test_a_client_certificate(server: MysqlServer, papers: Papers) -> None:
    server.query("CREATE USER certified@'127.0.0.1' IDENTIFIED BY 'pw' REQUIRE X509")
    server.query("GRANT REPLICATION SLAVE ON *.* TO certified@'127.0.0.1'")

    def showing(shown: Certificate | None) -> Endpoint:
        cert, key = (str(shown.cert), str(shown.key)) if shown else (None, None)
        return Endpoint(
            "127.0.0.1", server.port, "certified", "pw", Tls("verify-identity", str(papers.own.ca), cert, key)
        )

    try:
        for way in BOTH:
            way(showing(papers.own))
            missing = _finding(way, showing(None))
            assert (missing.code, missing.kind) == ("access-denied", "operator")
            assert "tls.cert" in missing.remedy
            # Where the server hangs up before we have written all, its alert is not heard the first time.
            until(lambda w=way: _finding(w, showing(papers.foreign)).code == "tls-failed", "its alert is heard")  # type: ignore[misc]
    finally:
        server.query("DROP USER certified@'127.0.0.1'")


@pytest.mark.parametrize("name", ["no-such-file", "own.key"])
def test_files_that_are_none(server: MysqlServer, papers: Papers, name: str) -> None:
    path = str(papers.own.ca.with_name(name))
    for way in BOTH:
        found = _finding(way, _endpoint(server, Tls(ca=path)))
        assert (found.code, found.kind) == ("tls-files", "operator")
        assert path in found.what


# ------------------------------------------------------------------------------------------------ as operators see it


def _instance(make_instance: MakeInstance, server: MysqlServer, trusted: Certificate) -> Instance:
    overrides = {"source": {"tls": {"mode": "verify-identity", "ca": "source-ca"}}}
    instance = prepared(make_instance("tls", source=source_of(server), overrides=overrides))
    _trust(instance, trusted)
    return instance


def _trust(instance: Instance, shown: Certificate) -> None:
    (instance.folder / "credentials" / "source-ca").write_bytes(shown.ca.read_bytes())


def _tail(server: MysqlServer, trusted: Certificate) -> str:
    """What it says on standard error, refused."""
    where = ("--host", server.host, "--port", str(server.port), "--user", server.user, "--password-env", "TAIL_PWD")
    done = ran(*CDCD, "tail", *where, "--tables", "x.*", "--tls-ca", str(trusted.ca), TAIL_PWD=server.password)
    assert (done.returncode, done.stdout) == (1, "")
    assert server.password not in done.stderr
    return done.stderr


def test_the_reason_is_seen_everywhere(make_instance: MakeInstance, server: MysqlServer, papers: Papers) -> None:
    instance = _instance(make_instance, server, papers.foreign)
    worker = instance.run()
    assert "Set tls.ca to the file of the authority" in state(worker, "parked", "tls-untrusted")
    assert "Set --tls-ca to the file of the authority" in _tail(server, papers.foreign)
    assert "Set tls.ca to the file of the authority" in preflight(instance, "mysql")["tls-untrusted"]
    worker.stop()
    server.show(papers.other_host)
    _trust(instance, papers.own)
    assert "Set source.host to a name that is in it" in state(instance.run(), "parked", "tls-untrusted")
    assert "Set --host to a name that is in it" in _tail(server, papers.own)


def test_a_certificate_expires_and_is_renewed(
    make_instance: MakeInstance, server: MysqlServer, papers: Papers, kafka: KafkaServer
) -> None:
    """A connection that there is lasts; the next is refused, tried again, and the instance goes on where it was."""
    instance = _instance(make_instance, server, papers.own)
    worker = instance.run()
    state(worker, "running")
    server.show(papers.authority.sign("soon", "127.0.0.1", lasts=dt.timedelta(seconds=3)))
    until(lambda: _expired(_endpoint(server, Tls(ca=str(papers.own.ca)))), "the certificate expires")
    publishes(instance, kafka.bootstrap)
    for session, _, _, _, command, *_ in server.query("SHOW PROCESSLIST"):
        if command.startswith("Binlog Dump"):
            server.query(f"KILL {session}")
    assert "certificate has expired" in state(worker, "retrying", "tls-expired")
    assert "certificate has expired" in _tail(server, papers.own)
    assert preflight(instance, "mysql").keys() == {"tls-expired"}
    server.show(papers.own)
    publishes(instance, kafka.bootstrap)


def _expired(endpoint: Endpoint) -> bool:
    try:
        _login(endpoint)
    except FindingError as error:
        return (error.finding.code, error.finding.kind) == ("tls-expired", "retry")
    return False
