"""A TCP proxy in a thread, for network faults without rights over the network: silence, torn packets, resets."""

import contextlib
import random
import select
import socket
import struct
import threading
import time
from types import TracebackType
from typing import Self

_CHUNK = 65536
_SECONDS = 0.05
"""Longest wait between two looks at what is asked for."""


class Proxy:
    """Stands before one server. What it does to connections may change while they run.

    Counts bytes from the server only; what a client sends is kept and forwarded as it is, unless all is silent.
    """

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._closed = False
        self.silent = False
        """Sockets stay open, nothing passes: a half-open connection."""
        self.mute = False
        """What the server says does not pass, what the client says does."""
        self.slice = 0
        """Largest piece sent on at a time, 0 for no limit; small ones tear packets and events."""
        self.reset_after: tuple[int, int] | None = None
        """(least, most): each connection that carried that many bytes of the server, by chance, is reset."""
        self.resets = 0
        self.swallow = 0
        """A MySQL command (first byte of its packet) that never reaches the server; 0 for none."""
        self.swallowed = 0
        self.said: list[bytearray] = []
        """What clients sent, one entry for each connection."""
        self._ends: set[socket.socket] = set()
        self._chance = random.Random(7)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server, timeout=10)
            except OSError:
                continue
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                end.settimeout(None)
                self._ends.add(end)
            self.said.append(said := bytearray())  # before the server's first word can reach the client
            threading.Thread(target=self._pump, args=(client, server, said, False), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, bytearray(), True), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, said: bytearray, counted: bool) -> None:
        left = self._chance.randint(*self.reset_after) if counted and self.reset_after else None
        with contextlib.suppress(OSError, ValueError):  # ValueError: closed by the other direction's thread
            while not self._closed:
                data = self._take(source, counted)
                if data == b"":
                    break
                if data is None or (not counted and self._swallowed(data)):
                    continue
                said += data
                if left is not None and self.reset_after and len(data) >= left:
                    self._send(target, data[:left])
                    self._reset(source, target)
                    return
                left = None if left is None else left - len(data)
                self._send(target, data)
        for end in (source, target):
            self._ends.discard(end)
            end.close()

    def drop(self) -> None:
        """Break all connections, as a reboot of what is in between does; new ones are let through."""
        for end in list(self._ends):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _take(self, source: socket.socket, from_server: bool) -> bytes | None:
        """What came, b"" at the end, None if nothing did. Never waits long: a socket is closed only when nobody does."""
        readable, _, _ = select.select([source], [], [], _SECONDS)
        if self.silent or (self.mute and from_server):  # asked after the wait: it may have been set meanwhile
            time.sleep(_SECONDS)
            return None
        return source.recv(_CHUNK) if readable else None

    def _swallowed(self, data: bytes) -> bool:
        hit = bool(self.swallow) and data[3:5] == bytes((0, self.swallow))  # a command is packet number 0
        self.swallowed += hit

        return hit

    def _send(self, target: socket.socket, data: bytes) -> None:
        size = self.slice or len(data)
        for at in range(0, len(data), size):
            target.sendall(data[at : at + size])

    def _reset(self, *ends: socket.socket) -> None:
        self.resets += 1
        for end in ends:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.close()

    def close(self) -> None:
        self._closed = True
        self._listener.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
