"""`cdcctl drain`, `cdcctl uncordon` and `cdcctl retire`: whether a server takes instances, and whether it is one."""

from pathlib import Path

import click

from cdcd.cli.ctl.options import config_option, dry_run_option, server_argument, wait_options
from cdcd.cli.ctl.output import say
from cdcd.cli.ctl.reach import not_found, reach
from cdcd.cli.ctl.running import SHOWN, nobody
from cdcd.cli.ctl.waiting import wait_until_done
from cdcd.cli.exit_code import ExitCode
from cdcd.cli.failures import Failure
from cdcd.fleet.operators import Operators


@click.command()
@server_argument
@click.option("--why", default="", metavar="TEXT", help="For others to read: shown by `get servers` and `describe`.")
@config_option
@dry_run_option
@wait_options(wait=True, timeout="10m")
def drain(*, server: str, why: str, config: Path | None, dry_run: bool, wait: bool, timeout: float) -> None:
    """Empty a server, and give it no instances any more.

    Its instances are handed over to others a few at a time, each without a gap in publishing. Returns when the server
    runs nothing. It stays drained, over restarts too, until `cdcctl uncordon`.

    \b
    Examples:
        $ cdcctl drain cdc-2 --why "kernel update"
        $ cdcctl drain cdc-2 && ssh cdc-2 reboot

    Exit status: 0 it is empty (also if it was drained before), 3 no such server, 5 the settings are invalid, 6 not
    empty in time (a message says what it still runs), or ZooKeeper does not answer; 1 other errors, 2 usage.
    """
    with reach(config) as reached:
        operators = reached.operators
        _check_server(operators, server)
        changed = server not in operators.drained() if dry_run else operators.drain(server, why)
        if wait and not dry_run:
            wait_until_done(lambda: _left(operators, server), timeout, _STUCK)
    say(f"{server} {'drained' if changed else 'unchanged'}{' (dry run)' if dry_run else ''}")


@click.command()
@server_argument
@config_option
@dry_run_option
def uncordon(server: str, config: Path | None, dry_run: bool) -> None:
    """Let a drained server take instances again.

    New instances go to it at once, running ones when that improves the balance.

    \b
    Example:
        $ cdcctl uncordon cdc-2

    Exit status: 0 ok (also if it was not drained), 3 no such server, 5 the settings are invalid, 6 ZooKeeper does not
    answer; 1 other errors, 2 usage.
    """
    with reach(config) as reached:
        _check_server(reached.operators, server)
        drained = server in reached.operators.drained()
        changed = drained if dry_run else reached.operators.uncordon(server)
    say(f"{server} {'uncordoned' if changed else 'unchanged'}{' (dry run)' if dry_run else ''}")


@click.command()
@server_argument
@config_option
@dry_run_option
def retire(server: str, config: Path | None, dry_run: bool) -> None:
    """Take a server that will not come back off the list.

    It has to be down: drain and stop it first. What it had still to run goes to others at once, without waiting for
    `scheduling.grace`. If it does come back, it is a new server: it takes instances even if it was drained before.

    \b
    Examples:
        $ cdcctl drain cdc-3 && ssh cdc-3 systemctl disable --now cdcd
        $ cdcctl retire cdc-3

    Exit status: 0 ok, 3 no such server, 4 it is up, 5 the settings are invalid, 6 ZooKeeper does not answer; 1 other
    errors, 2 usage.
    """
    with reach(config) as reached:
        _check_server(reached.operators, server)
        if server in reached.operators.live_servers():
            raise Failure(f"server {server} is up\nDrain it, stop it there, and then retire it.", ExitCode.CONFLICT)
        if not dry_run:
            reached.operators.retire(server)
    say(f"{server} retired{' (dry run)' if dry_run else ''}")


_STUCK = (
    "The server stays drained, and is emptied as soon as others can take what it runs: "
    "`cdcctl plan` and `cdcctl describe INSTANCE` say why they do not."
)


def _check_server(operators: Operators, server: str) -> None:
    known = operators.server_names()
    if server not in known:
        raise not_found("server", server, known)


def _left(operators: Operators, server: str) -> str | None:
    left = operators.left_on(server)
    if not left:
        return None
    more = ", ..." if len(left) > SHOWN else ""
    count = "1 instance" if len(left) == 1 else f"{len(left)} instances"
    return f"{server} to give away {count}: {', '.join(left[:SHOWN])}{more}{nobody(operators)}"
