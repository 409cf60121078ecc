"""What a failed handshake means: real ones, in memory."""

import ssl
from pathlib import Path

import pytest

from cdcd.tls import objection, reason_of, refuses_ours
from tests.certificates import HOUR, Authority, Certificate, Papers


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    return Papers(tmp_path_factory.mktemp("papers"))


def _client(trusted: Certificate, shown: Certificate | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=trusted.ca)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if shown is not None:
        context.load_cert_chain(shown.cert, shown.key)
    return context


def _server(shown: Certificate, trusted: Certificate | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(shown.cert, shown.key)
    if trusted is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(trusted.ca)
    return context


def _shake(client: ssl.SSLContext, server: ssl.SSLContext) -> ssl.SSLError:
    """What the client meets, in the handshake or when it reads afterwards."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(to_client, to_server, server_hostname="127.0.0.1")
    far = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(5):
        for step in (near.do_handshake, lambda: near.read(1), far.do_handshake):
            try:
                step()
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                pass
            except ssl.SSLError as error:
                if step != far.do_handshake:
                    return error
    raise AssertionError("nothing was wrong")


@pytest.mark.parametrize(
    ("shown", "trusted", "kind", "said"),
    [
        ("expired", "own", "time", "certificate has expired"),
        ("other_host", "own", "name", "IP address mismatch, certificate is not valid for '127.0.0.1'"),
        ("own", "foreign", "issuer", ""),
    ],
)
def test_what_is_wrong_with_a_servers_certificate(
    papers: Papers, shown: str, trusted: str, kind: str, said: str
) -> None:
    error = _shake(_client(getattr(papers, trusted)), _server(getattr(papers, shown)))
    assert isinstance(error, ssl.SSLCertVerificationError)
    assert objection(error) == kind
    assert said in reason_of(error)
    assert not reason_of(error).endswith(".")
    assert not refuses_ours(error)


def test_an_authority_that_itself_has_expired(tmp_path: Path) -> None:
    """Also a matter of time."""
    old = Authority(tmp_path, lasts=-HOUR).sign("server", "127.0.0.1")
    error = _shake(_client(old), _server(old))
    assert isinstance(error, ssl.SSLCertVerificationError)
    assert objection(error) == "time"


TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


@pytest.mark.parametrize(
    ("shown", "version"),  # that none is shown has no alert of its own before TLS 1.3
    [(None, TLS13), ("foreign", TLS12), ("foreign", TLS13), ("expired", TLS12), ("expired", TLS13)],
)
def test_a_server_that_refuses_our_certificate(papers: Papers, shown: str | None, version: ssl.TLSVersion) -> None:
    client = _client(papers.own, getattr(papers, shown) if shown else None)
    client.maximum_version = version
    error = _shake(client, _server(papers.own, trusted=papers.own))
    assert refuses_ours(error)
    assert refuses_ours(str(error))


def test_other_alerts_are_not_about_our_certificate(papers: Papers) -> None:
    client = _client(papers.own)
    client.maximum_version = TLS12
    server = _server(papers.own)
    server.minimum_version = TLS13
    error = _shake(client, server)
    assert "ALERT" in str(error)
    assert not refuses_ours(error)
    assert not refuses_ours(OSError("CERTIFICATE"))
    assert not refuses_ours(None)
