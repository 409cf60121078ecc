"""Hosts, ports and what counts as this machine."""

from functools import partial

import pytest

from cdcd.config.network import Endpoint, check_host, is_loopback, parse_endpoint, split_endpoint


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("mysql-a", "mysql-a", 3306),
        ("mysql-a:3307", "mysql-a", 3307),
        ("10.0.0.1:1", "10.0.0.1", 1),
        ("db.example.net.", "db.example.net.", 3306),
        ("a_b.svc:65535", "a_b.svc", 65535),
        ("::1", "::1", 3306),
        ("[fd00::2]", "fd00::2", 3306),
        ("[fd00::2]:3307", "fd00::2", 3307),
    ],
)
def test_an_endpoint_is_taken_apart(text: str, host: str, port: int) -> None:
    assert parse_endpoint(text, 3306) == Endpoint(host, port)


@pytest.mark.parametrize(
    "text",
    ["", ":3306", "a:", "a:0", "a:65536", "a:x", "a b", "a/b", "-a", "a..b", "user@a", "[::1", "[a]:1", "[::1]x", "::1:::",
     "a\n", "a" * 300, "mysql://a"],
)  # fmt: skip
def test_what_is_no_endpoint_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_endpoint(text, 3306)


def test_a_port_is_asked_for_where_there_is_no_usual_one() -> None:
    with pytest.raises(ValueError, match="needs a port"):
        parse_endpoint("broker")


def test_an_endpoint_prints_as_it_is_written() -> None:
    assert str(Endpoint("fd00::2", 1)) == "[fd00::2]:1"
    assert str(Endpoint("a", 1)) == "a:1"


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST", "localhost.", "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"]
)
def test_these_are_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["10.0.0.1", "0.0.0.0", "::", "localhost.example.net", "mysql-a", "1270.0.0.1", "fd00::1"]
)
def test_these_are_not(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize("text", ["cdcd:hunter2@db", "mysql://cdcd:hunter2@db:3306", "hunter2@db:1"])
def test_a_password_in_an_address_is_not_repeated(text: str) -> None:
    for take in (split_endpoint, check_host, partial(parse_endpoint, default_port=1)):
        with pytest.raises(ValueError, match="user and password stand in the credential") as caught:
            take(text)
        assert "hunter2" not in str(caught.value)
