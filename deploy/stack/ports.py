"""TCP ports of 127.0.0.1 that no two servers share.

A port is remembered in the folder of the server that has it and kept over restarts. New ones are taken under a lock, never one
that another stack remembers, and below the range from which the kernel serves outgoing connections, so that nobody takes a
stopped server's port by chance. A stranger may still be quicker: then the server fails to bind and `forget` makes way for another.
"""

import errno
import random
import socket
from collections.abc import Sequence
from pathlib import Path

from deploy.stack.endpoints import LOOPBACK
from deploy.stack.home import Home, fail, read_json, write_json

FILE = "ports.json"
LOWEST, HIGHEST = 20000, 32000


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                return False
            raise
        return True


def accepts(port: int) -> bool:
    """Whether something listens on `port`."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((LOOPBACK, port)) == 0


def reserve(home: Home, folder: Path, names: Sequence[str]) -> dict[str, int]:
    """The ports of the server in `folder`, one for each of `names`: the remembered ones, else new ones."""
    path = folder / FILE
    with home.lock("ports"):
        known: dict[str, int] = read_json(path) or {}
        missing = [name for name in names if name not in known]
        if missing:
            taken = {port for other in home.stacks.glob(f"*/*/{FILE}") for port in (read_json(other) or {}).values()}
            known |= dict(zip(missing, _unused(len(missing), taken), strict=True))
            write_json(path, known)
    return known


def _unused(count: int, taken: set[int]) -> list[int]:
    found: list[int] = []
    for port in random.sample(range(LOWEST, HIGHEST), HIGHEST - LOWEST):
        if len(found) == count:
            break
        if port not in taken and is_free(port):
            found.append(port)
    return found if len(found) == count else fail(f"no free TCP port between {LOWEST} and {HIGHEST}")


def forget(folder: Path) -> None:
    """Give up the ports of the server in `folder`."""
    (folder / FILE).unlink(missing_ok=True)
