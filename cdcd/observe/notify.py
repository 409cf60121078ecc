"""sd_notify(3): what a service tells systemd, by datagrams to the socket that it names. Silent where nobody listens."""

import os
import socket
import struct
import time
from collections.abc import Mapping, MutableMapping
from typing import Self

PATIENCE = 5
"""Seconds that what is said but once waits for room: systemd may be busy, and a lost READY=1 would be a failed start."""


class Notifier:
    """What to tell systemd, or nobody (`address` None). Any thread may use it; it never raises, nor waits for long.

    `address`: path of the socket; one that begins with `@` is in Linux' abstract name space. `watchdog`: seconds after
    which systemd takes the process for hanging, if it has not heard `alive`; None: it does not ask.
    """

    def __init__(self, address: str | None = None, watchdog: float | None = None) -> None:
        self.watchdog = watchdog
        self._address = f"\0{address[1:]}" if address and address.startswith("@") else address
        self._socket: socket.socket | None = None
        self._status = ""
        if address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", PATIENCE, 0))

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str] = os.environ) -> Self:
        """As systemd asks. Its variables are taken out: what the process starts must not speak for it."""
        address = environ.pop("NOTIFY_SOCKET", None)
        watchdog = _watchdog(environ)
        for name in ("WATCHDOG_USEC", "WATCHDOG_PID"):
            environ.pop(name, None)
        return cls(address, watchdog)

    def ready(self) -> None:
        """Started, or done with reading its settings anew."""
        self._send("READY=1")

    def alive(self) -> None:
        """It makes progress; to be said at least twice in `watchdog` seconds."""
        self._send("WATCHDOG=1", socket.MSG_DONTWAIT)

    def reloading(self) -> None:
        """It reads its settings anew; `ready` says that it has."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """One line for people, as `systemctl status` shows it; sent where it differs from the last one."""
        line = " ".join(text.split())
        if line != self._status:
            self._status = line
            self._send(f"STATUS={line}", socket.MSG_DONTWAIT)

    def _send(self, message: str, flags: int = 0) -> None:
        if self._socket is None or self._address is None:
            return
        try:
            self._socket.sendto(message.encode("utf-8", "backslashreplace"), flags, self._address)
        except OSError:
            # Whoever listens is gone or has no room; there is nobody else to tell, and the service is not to suffer.
            return


def _watchdog(environ: Mapping[str, str]) -> float | None:
    """Seconds. WATCHDOG_PID says whom systemd means, where a shell stands between."""
    usec, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not usec.isdecimal() or int(usec) == 0 or (pid and pid != str(os.getpid())):
        return None
    return int(usec) / 1e6
