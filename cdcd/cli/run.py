"""`cdcd run`."""

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cdcd.cli.failures import failures
from cdcd.cli.version import versions

if TYPE_CHECKING:
    from cdcd.config.settings import Settings
    from cdcd.observe.logging import Logs


@click.command()
@click.option("--config", type=click.Path(path_type=Path), help="Settings file (TOML). Default: /etc/cdcd/cdcd.toml.")
@click.option(
    "--standalone",
    "definition",
    type=click.Path(path_type=Path),
    metavar="DEFINITION",
    help="Run this one instance without ZooKeeper. Its position is kept in Kafka; a second worker that is started "
    "takes it over, and the first one ends.",
)
@click.option("--until-end", is_flag=True, help="With --standalone: stop at the end of the binlog as it is now.")
@click.option("--server-id", metavar="NAME", help="Name of this server in the fleet. Default: the host name.")
@click.option("--http-port", type=click.IntRange(0, 65535), help="Port of /metrics and /status; 0 takes a free one.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="Least level to log.")
def run(  # noqa: PLR0917 - click's: an argument for each option
    config: Path | None,
    definition: Path | None,
    until_end: bool,
    server_id: str | None,
    http_port: int | None,
    log_level: str | None,
) -> None:
    """Publish changes to Kafka until stopped.

    Without --standalone this is a server of a fleet: it finds the other servers through ZooKeeper, runs the instances
    that the fleet's scheduler gives it, one worker process for each, and takes over from servers that die. Instances
    are made and looked after with `cdcctl`. If ZooKeeper cannot be reached it waits, and /status says why.

    \b
    Examples:
        cdcd run --config cdcd.toml                                     a server of a fleet
        cdcd run --config cdcd.toml --server-id cdc-2 --http-port 9465  a second one on the same machine
        cdcd run --standalone orders.yaml                               one instance, without ZooKeeper

    \b
    Signals: SIGTERM or SIGINT stops. A server of a fleet first hands over what it runs to other servers, for at most
    fleet.stop_timeout; then its workers store their positions and let go. A second signal ends at once; the workers
    notice it within 2 seconds and end as well. SIGHUP reads the settings anew: log level, fleet, scheduling and kafka
    change in a running server (kafka for workers that start from then on), the others take a restart.

    \b
    Exit status:
        0  stopped, at the end (--until-end), or replaced by a newer worker (--standalone)
        1  it cannot run: no ZooKeeper in the settings or its login refused, the server id in use, the HTTP address
           taken; or parked by a finding (--until-end). The message says what to do. Also a second signal
        2  wrong command line
        3  the settings or definition file does not exist
        5  definition or settings not valid; all mistakes are listed

    A parked instance ends neither server nor process: it stays, and /status and `cdcctl describe` show its finding.
    """
    from cdcd.config.settings import load_settings
    from cdcd.observe.logging import Logs
    from cdcd.observe.uncaught import show_native_crashes
    from cdcd.server.control import hold_signals

    if definition is None and until_end:
        raise click.UsageError("--until-end goes with --standalone: a fleet has no end.")
    with failures():
        read_settings = partial(load_settings, config, _flags(server_id, http_port, log_level))
        settings = read_settings()
        runs = _server if definition is None else _standalone(definition, until_end)
        hold_signals()
        show_native_crashes()
        with Logs(sys.stdout, level=settings.log_level, context={"server": settings.server_id}) as logs:
            code = runs(settings, logs, read_settings)
    # A Kafka client that hangs in its close must not keep the process (field-lessons K: close is bounded).
    sys.stdout.flush()
    os._exit(code)


def _flags(server_id: str | None, http_port: int | None, log_level: str | None) -> dict[str, object]:
    http = None if http_port is None else {"port": http_port}
    flags = {"server_id": server_id, "http": http, "log_level": log_level}
    return {name: value for name, value in flags.items() if value is not None}


def _server(settings: "Settings", logs: "Logs", read_settings: "Callable[[], Settings]") -> int:
    from cdcd.server.daemon import run_server

    run_server(settings, logs, versions(), read_settings)
    return 0


def _standalone(definition: Path, until_end: bool) -> "Callable[[Settings, Logs, Callable[[], Settings]], int]":
    """Reads the definition at once: a mistake in it comes before the first log line."""
    from cdcd.config.definition import load_definition
    from cdcd.server.standalone import run_standalone

    loaded = load_definition(definition)

    def runs(settings: "Settings", logs: "Logs", read_settings: "Callable[[], Settings]") -> int:
        ending = run_standalone(loaded, settings, logs, versions(), read_settings, until_end=until_end)
        return 1 if ending == "parked" else 0

    return runs
