"""`cdcd tail`."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import click

from cdcd.cli.failures import Failure, failures

START_HELP = (
    "Where to begin: latest (now), earliest (the oldest binlog there is), gtid:SET (after those transactions), "
    "file:NAME:POSITION, or time:ISO-8601 (first transaction committed then or later), such as "
    "time:2026-11-01T00:00:00Z."
)
_FLAGS = {
    "user and password of source.credential": "--user and the password of --password-env",
    "source.host": "--host",
    "source.port": "--port",
    "tls.mode ": "--tls-mode ",
    "tls.ca": "--tls-ca",
    "tls.cert": "--tls-cert",
    "tls.key": "--tls-key",
    "Set start.time to ": "Set --start to time:",
    "start: earliest": "--start earliest",
    "start: latest": "--start latest",
    "start.": "--start ",
    " (tables.exclude)": " of --tables",
}


@click.command()
@click.option("--host", required=True, help="MySQL server.")
@click.option("--port", default=3306, show_default=True, type=click.IntRange(1, 65535), help="Its port.")
@click.option("--user", required=True, help="Account with REPLICATION SLAVE, REPLICATION CLIENT and SELECT.")
@click.option("--password-env", metavar="NAME", help="Environment variable that holds the password.")
@click.option(
    "--tables", "tables", required=True, multiple=True, metavar="GLOB...", help="Tables to show, as database.table."
)
@click.argument("more_tables", nargs=-1, metavar="")
@click.option("--start", "start_text", default="latest", show_default=True, metavar="WHERE", help=START_HELP)
@click.option("--until-end", is_flag=True, help="Stop at the end of the binlog as it is now.")
@click.option(
    "--format",
    "format_name",
    default="canal-json",
    show_default=True,
    type=click.Choice(["canal-json"]),
    help="Layout of the lines.",
)
@click.option(
    "--tls-mode",
    type=click.Choice(["verify-identity", "verify-ca", "disabled"]),
    help="Default: verify-identity, but plain text to a loopback address.",
)
@click.option("--tls-ca", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Trusted issuers (PEM).")
@click.option("--tls-cert", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Client certificate.")
@click.option("--tls-key", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Its private key.")
def tail(
    *,
    host: str,
    port: int,
    user: str,
    password_env: str | None,
    tables: tuple[str, ...],
    more_tables: tuple[str, ...],
    start_text: str,
    until_end: bool,
    format_name: str,
    tls_mode: Any,
    tls_ca: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
) -> None:
    """Print row changes as JSON lines on standard output, in commit order.

    Reads the binlog as a replica of its own identity and writes nothing anywhere: no Kafka, no ZooKeeper, no stored
    position. Messages go to standard error.

    \b
    Examples:
        export MYSQL_PWD=...
        cdcd tail --host db1 --user cdcd --password-env MYSQL_PWD --tables 'shop.*' 'crm.customer_?'
        cdcd tail --host db1 --user cdcd --password-env MYSQL_PWD --tables 'shop.*' \\
            --start time:2026-11-01T00:00:00Z --until-end | jq .data
    """
    from cdcd.config.start import parse_start
    from cdcd.config.tables import TableFilter, check_rule
    from cdcd.mysql.connection import Endpoint, Tls
    from cdcd.observe.logging import Logs
    from cdcd.worker.tail import Tail
    from cdcd.worker.wiring import FORMATS

    password = _password(password_env)
    rules = (*tables, *more_tables)
    for rule in rules:
        _checked("--tables", rule, check_rule)
    files = [None if path is None else str(path) for path in (tls_ca, tls_cert, tls_key)]
    if any(files) and tls_mode is None:
        tls_mode = "verify-identity"
    follow = Tail(
        Endpoint(host, port, user, password, None if tls_mode is None else Tls(tls_mode, *files)),
        TableFilter(rules),
        _checked("--start", start_text, parse_start),
        FORMATS[format_name],
        until_end,
    )
    with Logs(sys.stderr) as logs, failures(_in_flags):
        if password:
            logs.hide(password)
        _print_lines(follow)


def _in_flags(text: str) -> str:
    """Findings name fields of a definition; here the same is said by flags."""
    for field, flag in _FLAGS.items():
        text = text.replace(field, flag)
    return text


def _print_lines(follow: Any) -> None:
    """A reader that goes away (`| head`) ends the command without noise."""
    output = sys.stdout.buffer

    def write(lines: list[bytes]) -> None:
        output.write(b"\n".join(lines) + b"\n")
        output.flush()

    def stop_on_signal(dump: Any) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: dump.stop())

    try:
        follow.run(write, stop_on_signal)
    except BrokenPipeError:
        # Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _password(name: str | None) -> str:
    if name is None:
        return ""
    if name not in os.environ:
        raise Failure(f"--password-env: the environment variable {name} is not set. Set it: export {name}=...", 2)
    return os.environ[name]


def _checked(flag: str, text: str, parse: Any) -> Any:
    try:
        return parse(text)
    except ValueError as error:
        raise click.UsageError(f"{flag} {text!r} {error}") from None
