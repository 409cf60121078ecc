"""A server in place of the real one asks for the password."""

import pytest

from cdcd.errors import FindingError
from cdcd.mysql.connection import Endpoint, Tls, connect
from tests.listeners import mysql_listener

pytestmark = pytest.mark.must_show("6.5")

PASSWORD = "kAnArIe-LoGiN"


@pytest.mark.parametrize("plugin", [b"mysql_clear_password", b"dialog", b"mysql_old_password"])
def test_without_tls_no_server_gets_the_password(plugin: bytes) -> None:
    with mysql_listener(plugin) as impostor, pytest.raises(FindingError) as refused:
        connect(Endpoint("127.0.0.1", impostor.port, "cdcd", PASSWORD, Tls("disabled")))
    assert impostor.connections == 1
    assert b"cdcd" in impostor.received, "it came as far as the login"
    assert PASSWORD.encode() not in impostor.received
    finding = refused.value.finding
    assert (finding.code, finding.kind) == ("access-denied", "operator")
    assert "not sent without TLS" in finding.what


def test_a_server_that_offers_no_tls_gets_nothing_where_it_is_asked_for() -> None:
    with mysql_listener(b"mysql_clear_password") as impostor, pytest.raises(FindingError) as refused:
        connect(Endpoint("127.0.0.1", impostor.port, "cdcd", PASSWORD, Tls()))
    assert refused.value.finding.code == "tls-failed"
    assert b"cdcd" not in impostor.received
