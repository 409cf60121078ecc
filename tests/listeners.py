"""Servers that are not what they say: they record what they are sent."""

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self


class Listener:
    """On a free port of the loopback address. `received`: all bytes of all connections; `connections`: how many there were.

    A connection is sent `greeting`, and `answers` one by one, each after something was received.
    """

    def __init__(self, greeting: bytes = b"", *answers: bytes) -> None:
        self.received = b""
        self.connections = 0
        self._lines = (greeting, *answers)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._socket.accept()
                self.connections += 1
                threading.Thread(target=self._talk, args=(client,), daemon=True).start()

    def _talk(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            client.settimeout(10)
            for line in (*self._lines, b""):
                client.sendall(line)
                self.received += client.recv(65536)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def mysql_listener(plugin: bytes) -> Listener:
    """A MySQL server without TLS that asks whoever logs in to do it by `plugin` (MySQL manual, "Protocol::HandshakeV10",
    "Protocol::AuthSwitchRequest").
    """
    flags = 0x00BFF7DF & ~0x0800  # all that 8.0 can do, but TLS
    greeting = (
        b"\x0a8.4.0\0" + b"\x01\0\0\0" + b"s" * 8 + b"\0" + (flags & 0xFFFF).to_bytes(2, "little") + b"\xff\x02\0"
        + (flags >> 16).to_bytes(2, "little") + bytes([21]) + bytes(10) + b"s" * 12 + b"\0" + b"caching_sha2_password\0"
    )  # fmt: skip
    switch = b"\xfe" + plugin + b"\0" + (b"\x04Password: " if plugin == b"dialog" else b"s" * 20 + b"\0")
    return Listener(_packet(0, greeting), _packet(2, switch))


def _packet(number: int, content: bytes) -> bytes:
    return len(content).to_bytes(3, "little") + bytes([number]) + content
