"""Waiting until the fleet has done what was asked, with its progress told on standard error."""

import time
from collections.abc import Callable

from cdcd.cli.ctl.output import span, tell
from cdcd.cli.exit_code import ExitCode
from cdcd.cli.failures import Failure
from cdcd.fleet.session import ZooKeeperAway

PAUSE = 0.2
"""Seconds between two looks."""


def wait_until_done(look: Callable[[], str | None], timeout: float, advice: str) -> None:
    """Look until there is nothing left to wait for.

    `look` says in words what is waited for, None when it is done, and raises Failure where it cannot be done any more.
    Failure (unavailable) after `timeout` seconds, with those words and `advice`. The order itself stands.
    """
    deadline = time.monotonic() + timeout
    told = ""
    while True:
        try:
            words = look()
        except ZooKeeperAway as error:
            words = f"ZooKeeper to answer ({error})"
        if words is None:
            return
        if time.monotonic() >= deadline:
            raise Failure(f"not done within {span(timeout)}: still waiting for {words}\n{advice}", ExitCode.UNAVAILABLE)
        if words != told:
            tell(f"waiting for {words}")
            told = words
        _pause(advice)


def _pause(advice: str) -> None:
    try:
        time.sleep(PAUSE)
    except KeyboardInterrupt:
        raise Failure(f"stopped waiting; what was asked for stands\n{advice}") from None
