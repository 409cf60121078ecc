"""`cdcd run`."""

import os
import sys
from pathlib import Path

import click

from cdcd.cli.failures import failures
from cdcd.cli.version import versions


@click.command()
@click.option(
    "--standalone",
    "definition",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DEFINITION",
    help="Run this one instance without ZooKeeper. Its position is kept in Kafka; a second worker that is started "
    "takes it over, and the first one ends.",
)
@click.option("--config", type=click.Path(path_type=Path), help="Settings file (TOML). Default: /etc/cdcd/cdcd.toml.")
@click.option("--until-end", is_flag=True, help="Stop at the end of the binlog as it is now, position stored.")
@click.option("--http-port", type=click.IntRange(0, 65535), help="Port of /metrics and /status; 0 takes a free one.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="Least level to log.")
def run(definition: Path, config: Path | None, until_end: bool, http_port: int | None, log_level: str | None) -> None:
    """Publish changes to Kafka until stopped (SIGTERM; a second one ends at once).

    \b
    Example:
        cdcd run --standalone orders.yaml --config cdcd.toml

    Exit status: 0 stopped, at the end, or replaced by a newer worker; 1 parked by a finding (with --until-end)
    or failed; 5 definition or settings not valid. Without --until-end a parked instance stays and shows its
    finding at /status until it is stopped.
    """
    from cdcd.config.definition import load_definition
    from cdcd.config.settings import load_settings
    from cdcd.observe.logging import Logs
    from cdcd.server.control import hold_stop_signals
    from cdcd.server.standalone import run_standalone

    flags: dict[str, object] = {}
    if http_port is not None:
        flags["http"] = {"port": http_port}
    if log_level is not None:
        flags["log_level"] = log_level
    with failures():
        settings = load_settings(config, flags)
        loaded = load_definition(definition)
        hold_stop_signals()
        with Logs(sys.stdout, level=settings.log_level, context={"server": settings.server_id}) as logs:
            ending = run_standalone(loaded, settings, logs, versions(), until_end=until_end)
    # A Kafka client that hangs in its close must not keep the process (field-lessons K: close is bounded).
    sys.stdout.flush()
    os._exit(1 if ending == "parked" else 0)
