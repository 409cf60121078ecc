"""The read-only HTTP side of a process: /metrics, /livez, /readyz, /status. GET only."""

import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import orjson
import structlog

from cdcd.errors import Finding, FindingError

READ_TIMEOUT = 5.0
"""Seconds a client may be silent."""
TOTAL_TIMEOUT = 30.0
"""Seconds a connection lives at most, however it drips."""
CONNECTIONS = 32
"""At one time. A further one takes the place of the one that has asked for nothing for longest, if there is one."""

Page = tuple[HTTPStatus, str, bytes]
"""(status, content type, body)."""

_PLAIN = "text/plain; charset=utf-8"
_METRICS = "text/plain; version=0.0.4; charset=utf-8"


class Pages(NamedTuple):
    """What to show; each is called in a thread of its own for each request and must not wait."""

    metrics: Callable[[], bytes]
    """Prometheus text."""
    live: Callable[[], bool]
    """Whether the control loop ticks; says nothing of MySQL or Kafka."""
    ready: Callable[[], bool]
    status: Callable[[], dict[str, Any]]
    """JSON-able; holds no secret."""

    def page(self, path: str) -> Page:
        match path:
            case "/metrics":
                return HTTPStatus.OK, _METRICS, self.metrics()
            case "/livez":
                return _verdict(self.live())
            case "/readyz":
                return _verdict(self.ready())
            case "/status":
                body = orjson.dumps(self.status(), default=str, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
                return HTTPStatus.OK, "application/json", body
        return _text(HTTPStatus.NOT_FOUND, "there is /metrics, /livez, /readyz, /status")


class StatusServer:
    """Serves `pages` on `host`:`port` from construction until `close`.

    Port 0 takes a free one; `port` then says which. Raises FindingError where the address cannot be had.
    """

    def __init__(self, pages: Pages, host: str = "127.0.0.1", port: int = 0) -> None:
        try:
            self._server = _Server(host, port, pages)
        except (OSError, OverflowError) as error:
            raise FindingError(_unavailable(host, port, error)) from error
        self.host = host
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.2,), name="http", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening. Requests in progress are not waited for."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    """With the usual 5 whoever comes in a crowd waits for a second, until his system tries again."""

    def __init__(self, host: str, port: int, pages: Pages) -> None:
        self._deadlines: dict[socket.socket, float] = {}
        self._waiting: dict[socket.socket, None] = {}
        """Those of them that have asked for nothing yet, oldest first."""
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), partial(_Handler, pages))

    def server_bind(self) -> None:
        # HTTPServer's own asks the name service for the host's full name, which can take seconds.
        socket.socket.setsockopt(self.socket, socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002 - signature of socketserver
        if len(self._deadlines) >= CONNECTIONS and not self._make_room():
            return False
        self._deadlines[request] = time.monotonic() + TOTAL_TIMEOUT
        self._waiting[request] = None
        return True

    def _make_room(self) -> bool:
        """Whoever asks at once, as a probe does, gets an answer however many others are silent or drip."""
        silent = next(iter(list(self._waiting)), None)  # copied: other threads take theirs out
        if silent is None:
            return False
        self._forget(silent)
        _shut(silent)
        return True

    def asked(self, connection: socket.socket) -> None:
        """Its request is read: it is answered, whoever else comes."""
        self._waiting.pop(connection, None)

    def _forget(self, connection: socket.socket) -> None:
        self._waiting.pop(connection, None)
        self._deadlines.pop(connection, None)

    def shutdown_request(self, request: Any) -> None:
        self._forget(request)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Five times a second: end connections that last too long."""
        now = time.monotonic()
        for connection, deadline in list(self._deadlines.items()):
            if deadline < now:
                _shut(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no event; pages report their own trouble."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = READ_TIMEOUT

    def __init__(self, pages: Pages, *request: Any) -> None:
        self._pages = pages
        super().__init__(*request)

    def do_GET(self) -> None:
        self.server.asked(self.connection)
        self._send(*self._page(self.path.partition("?")[0]))

    def __getattr__(self, name: str) -> Callable[[], None]:
        # http.server looks up do_<METHOD>; every method but GET ends here.
        if name.startswith("do_"):
            return self._refuse
        raise AttributeError(name)

    def _page(self, path: str) -> Page:
        try:
            return self._pages.page(path)
        except Exception:  # noqa: BLE001 - whatever a page raises is a defect: it is logged, the others go on
            structlog.get_logger().exception("http.page_failed", path=path)
            return _text(HTTPStatus.INTERNAL_SERVER_ERROR, "the log says why")

    def _refuse(self) -> None:
        self._send(*_text(HTTPStatus.METHOD_NOT_ALLOWED, "GET only"))

    def _send(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET")
        self.end_headers()
        self.wfile.write(body if self.command != "HEAD" else b"")

    def version_string(self) -> str:
        return "cdcd"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - signature of http.server
        """Requests are not logged: scrapes are all there is."""


def _verdict(good: bool) -> Page:
    return _text(HTTPStatus.OK, "ok") if good else _text(HTTPStatus.SERVICE_UNAVAILABLE, "no: /status says why")


def _text(status: HTTPStatus, text: str) -> Page:
    return status, _PLAIN, f"{text}\n".encode()


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:  # its thread was quicker
        return


def _unavailable(host: str, port: int, error: Exception) -> Finding:
    return Finding(
        code="http-address",
        kind="operator",
        what=f"The HTTP address {host}:{port} cannot be had: {error}",
        remedy="Stop what listens there, or set another http address; port 0 takes a free one",
    )
