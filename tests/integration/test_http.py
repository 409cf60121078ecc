"""The HTTP side over real connections."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from structlog.testing import capture_logs

from cdcd.errors import FindingError
from cdcd.server import http as http_side
from cdcd.server.http import Pages, StatusServer
from tests.waiting import until

pytestmark = pytest.mark.must_show("6.5")


class Process:
    """What the pages show, to be changed by a test."""

    def __init__(self) -> None:
        self.live = True
        self.ready = True
        self.broken = False
        self.wait = threading.Event()
        self.wait.set()

    def status(self) -> dict[str, Any]:
        self.wait.wait(10)
        if self.broken:
            raise RuntimeError("secret detail")
        return {"instances": {"orders": {"state": "running"}}}

    def pages(self) -> Pages:
        return Pages(lambda: b"cdcd_up 1\n", lambda: self.live, lambda: self.ready, self.status)


@pytest.fixture
def process() -> Process:
    return Process()


@pytest.fixture
def server(process: Process) -> Iterator[StatusServer]:
    server = StatusServer(process.pages())
    yield server
    server.close()


def ask(server: StatusServer, path: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request(method, path)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders()), body


def test_pages(server: StatusServer) -> None:
    status, headers, body = ask(server, "/metrics?name=x")
    assert (status, body) == (200, b"cdcd_up 1\n")
    assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    status, headers, body = ask(server, "/status")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert json.loads(body) == {"instances": {"orders": {"state": "running"}}}
    assert headers["Server"] == "cdcd"


def test_health_follows_the_process(server: StatusServer, process: Process) -> None:
    assert (ask(server, "/livez")[0], ask(server, "/readyz")[0]) == (200, 200)
    process.ready = False
    assert (ask(server, "/livez")[0], ask(server, "/readyz")[0]) == (200, 503)
    process.live = False
    assert ask(server, "/livez")[0] == 503


@pytest.mark.parametrize("path", ["/", "/metrics/", "/etc/passwd", "/../metrics"])
def test_nothing_else_is_there(server: StatusServer, path: str) -> None:
    assert ask(server, path)[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "BREW"])
def test_get_only(server: StatusServer, method: str) -> None:
    status, headers, _ = ask(server, "/status", method)
    assert (status, headers["Allow"]) == (405, "GET")


def test_a_failing_page_is_logged_and_tells_nothing(server: StatusServer, process: Process) -> None:
    process.broken = True
    with capture_logs() as logs:
        status, _, body = ask(server, "/status")
    assert (status, b"secret" in body) == (500, False)
    assert [(line["event"], line["path"]) for line in logs] == [("http.page_failed", "/status")]
    assert ask(server, "/livez")[0] == 200


def connect(server: StatusServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=10)


def test_a_slow_client_blocks_nobody(server: StatusServer) -> None:
    slow = [connect(server) for _ in range(10)]
    for client in slow:
        client.sendall(b"GET /sta")
    begun = time.monotonic()
    assert ask(server, "/status")[0] == 200
    assert time.monotonic() - begun < http_side.READ_TIMEOUT
    for client in slow:
        client.close()


def drip(client: socket.socket, for_seconds: float) -> None:
    deadline = time.monotonic() + for_seconds
    while time.monotonic() < deadline:
        client.sendall(b"G")
        time.sleep(0.01)


def test_a_silent_client_is_dropped(server: StatusServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_side._Handler, "timeout", 0.1)
    with connect(server) as client:
        assert client.recv(1) == b""


def test_a_dripping_client_is_dropped(server: StatusServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_side, "TOTAL_TIMEOUT", 0.2)
    with connect(server) as client, pytest.raises((ConnectionResetError, BrokenPipeError)):
        drip(client, for_seconds=10)


def silent(server: StatusServer, count: int) -> list[socket.socket]:
    """Connections that ask for nothing, all of them known to the server."""
    made = [connect(server) for _ in range(count)]
    until(lambda: len(server._server._waiting) == count)
    return made


def test_silent_connections_are_bounded_and_make_room(server: StatusServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_side, "CONNECTIONS", 2)
    first, second = silent(server, 2)
    assert ask(server, "/livez")[0] == 200
    assert first.recv(1) == b"", "the oldest one is ended"
    second.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
    assert second.recv(100).startswith(b"HTTP/1.0 200")
    for client in (first, second):
        client.close()
    until(lambda: not server._server._deadlines)


def test_where_all_are_being_answered_further_ones_are_closed(
    server: StatusServer, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_side, "CONNECTIONS", 2)
    go_on = threading.Event()
    process.wait = go_on
    busy = silent(server, 2)
    for client in busy:
        client.sendall(b"GET /status HTTP/1.0\r\n\r\n")
    until(lambda: not server._server._waiting)
    with connect(server) as one_too_many:
        assert one_too_many.recv(1) == b""
    go_on.set()
    for client in busy:
        assert client.recv(100).startswith(b"HTTP/1.0 200")
        client.close()


LONG = b"x" * 70_000


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /" + LONG + b" HTTP/1.0\r\n\r\n", 414),
        (b"GET /livez HTTP/1.0\r\nX: " + LONG + b"\r\n\r\n", 431),
        (b"GET /livez HTTP/1.0\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431),
        (b"GET /livez HTTP/9.9\r\n\r\n", 505),
        (b"GET  /livez  HTTP/1.0 x\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\xfc\x03\x03 \r\n\r\n", 400),
        (b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.0\r\n\r\n", 404),
        (b"GET http://127.0.0.1/livez HTTP/1.0\r\n\r\n", 404),
        (b"GET /livez\x00.html HTTP/1.0\r\n\r\n", 404),
        (b"POST /livez HTTP/1.0\r\nContent-Length: 999999999999\r\n\r\n" + LONG, 405),
    ],
)
def test_requests_that_mean_harm(server: StatusServer, request_: bytes, status: int) -> None:
    with connect(server) as client:
        client.sendall(request_)
        answer = b""
        with suppress(ConnectionResetError):  # what was not read is no longer wanted
            while more := client.recv(65536):
                answer += more
    assert b"%d" % status in answer, "without a status line where the request names no version"
    assert b"Python" not in answer
    assert len(answer) < 2_000
    assert ask(server, "/livez")[0] == 200


def test_a_taken_port_is_a_finding(server: StatusServer, process: Process) -> None:
    with pytest.raises(FindingError) as refused:
        StatusServer(process.pages(), port=server.port)
    assert refused.value.finding.code == "http-address"
    assert str(server.port) in refused.value.finding.what
    for host, port in (("no-such-host.invalid", 0), ("127.0.0.1", 99999)):
        with pytest.raises(FindingError):
            StatusServer(process.pages(), host, port)


def test_bound_to_loopback_unless_told(server: StatusServer) -> None:
    assert server.host == "127.0.0.1"
    assert server._server.socket.getsockname()[0] == "127.0.0.1"


def test_nothing_is_left_after_close(process: Process) -> None:
    before = set(threading.enumerate())
    server = StatusServer(process.pages())
    assert ask(server, "/livez")[0] == 200
    server.close()
    with pytest.raises(ConnectionRefusedError):
        connect(server)
    until(lambda: not set(threading.enumerate()) - before)
