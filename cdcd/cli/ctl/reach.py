"""How a verb gets at the fleet: settings, a ZooKeeper session, and what becomes of errors."""

import getpass
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cdcd.cli.ctl.output import printable, tell
from cdcd.cli.exit_code import ExitCode
from cdcd.cli.failures import Failure, failures
from cdcd.config.secrets import Credentials
from cdcd.config.settings import Settings, load_settings
from cdcd.errors import FindingError
from cdcd.fleet.operators import Operators
from cdcd.fleet.session import Session, ZooKeeperAway

LONGEST_CONNECT = 10.0
"""Seconds, if sessions are not shorter."""
COMPLETION_SECONDS = 1.5
MANY = 20


@dataclass(frozen=True, slots=True)
class Reach:
    """The fleet, within reach of a verb."""

    settings: Settings
    session: Session
    operators: Operators


@contextmanager
def reach(config: Path | None, *, quietly: bool = False) -> Iterator[Reach]:
    """A session for as long as the verb runs. Whatever goes wrong becomes a message and an exit status."""
    with failures(printable_lines), _away():
        settings = load_settings(config)
        credentials = Credentials.of(settings.credentials_dir)
        ensemble = settings.ensemble()
        session = Session(ensemble, credentials, "cdcctl")
        try:
            session.start(COMPLETION_SECONDS if quietly else min(ensemble.session_timeout, LONGEST_CONNECT))
            made = Reach(settings, session, Operators(session, _caller()))
            if not quietly:
                _warn(made)
            yield made
        finally:
            session.close(0.5)


def known_names(config: Any, *, servers: bool) -> list[str]:
    """Names of instances or servers, for a shell that completes; none where that fails, whatever the reason."""
    try:
        with reach(Path(config) if config else None, quietly=True) as made:
            return made.operators.server_names() if servers else made.operators.names()
    except Exception:  # noqa: BLE001 - a shell that completes has no place for any message
        return []


def not_found(kind: str, name: str, known: list[str], remark: str = "") -> Failure:
    """Says what there is instead, if it is not much."""
    hint = f"There are: {', '.join(known)}." if known else f"There is no {kind} at all."
    if len(known) > MANY:
        hint = f"`cdcctl get{' servers' if kind == 'server' else ''}` lists what there is."
    return Failure(printable_lines(f"{kind} {name} not found\n{remark or hint}"), ExitCode.NOT_FOUND)


def printable_lines(text: str) -> str:
    return "\n".join(map(printable, text.splitlines()))


@contextmanager
def _away() -> Iterator[None]:
    try:
        yield
    except ZooKeeperAway as error:
        raise Failure(printable_lines(f"{error}\n{error.hint}"), ExitCode.UNAVAILABLE) from None
    except FindingError as error:
        raise Failure(printable_lines(f"{error}\n{error.hint}")) from None


def _warn(made: Reach) -> None:
    chroot = made.settings.ensemble().chroot
    if made.operators.cluster() is None:
        tell(f"warning: no cdcd server has ever run at {chroot} of this ZooKeeper; is zookeeper.chroot right?")
    if made.operators.open_to_all():
        tell(f"warning: everybody who reaches ZooKeeper may change {chroot}; set zookeeper.auth (zookeeper-open)")


def hush() -> None:
    """No log lines in this process: what goes wrong is raised, and told once, in words."""
    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.CRITICAL)


def _caller() -> str:
    """Who asks: user and machine. Of use to people, proof of nothing."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
