"""What ZooKeeper says of everything that may keep a fleet from running well, for the preflight."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass

from cdcd.config.network import Endpoint
from cdcd.config.zookeeper import ZooKeeper
from cdcd.fleet import paths
from cdcd.fleet.session import Session

ANSWER_SECONDS = 2.0
"""A four-letter word to a server that is starting can hang for ever."""
MOST_ANSWER = 1 << 16


@dataclass(frozen=True, slots=True)
class ZookeeperFacts:
    """One reading."""

    chroot: str
    open_to_all: tuple[str, ...]
    """Paths that everybody may change."""
    asked_timeout: float
    timeout: float
    """That the servers grant; seconds."""
    connection_limits: dict[str, int | None]
    """Of each server, for one address; 0: none. None: it does not say. Empty where only TLS is spoken: it is not asked."""
    instances: int
    sizes: dict[str, int]
    """Bytes of the definitions, by path."""


def survey(session: Session, ensemble: ZooKeeper) -> ZookeeperFacts:
    """Raises FindingError where ZooKeeper does not answer."""
    names = session.children(paths.INSTANCES)
    nodes = session.many(f"{paths.INSTANCES}/{name}" for name in sorted(names))
    asked = ensemble.endpoints if ensemble.effective_encryption == "plaintext" else ()
    return ZookeeperFacts(
        chroot=ensemble.chroot,
        open_to_all=tuple(ensemble.chroot + path for path in sorted(_open_to_all(session))),
        asked_timeout=ensemble.session_timeout,
        timeout=session.timeout,
        connection_limits={str(each): connection_limit(each) for each in asked},
        instances=len(names),
        sizes={path: len(node.data) for path, node in nodes.items() if node is not None},
    )


def _open_to_all(session: Session) -> Iterator[str]:
    """Of the whole tree, level by level: a list that is changed later does not change those below it."""
    level = [""]
    while level:
        seen = session.access(level)
        yield from (node.path for node in seen if node.open_to_all)
        level = session.below(node.path for node in seen if node.parent)


def connection_limit(endpoint: Endpoint) -> int | None:
    """By the command `conf` (ZooKeeper Administrator's Guide, "The Four Letter Words"), where the server allows it."""
    for line in _said(endpoint, b"conf").splitlines():
        name, _, value = line.partition("=")
        if name == "maxClientCnxns" and value.isdigit():
            return int(value)
    return None


def _said(endpoint: Endpoint, word: bytes) -> str:
    """Empty where no answer comes."""
    said = b""
    try:
        with socket.create_connection((endpoint.host, endpoint.port), ANSWER_SECONDS) as connection:
            connection.sendall(word)
            while len(said) < MOST_ANSWER and (part := connection.recv(4096)):
                said += part
    except OSError:
        return ""
    return said.decode("utf-8", "replace")
