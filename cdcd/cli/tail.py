"""`cdcd tail`."""

import signal
import sys
from typing import Any, Literal

import click

from cdcd.cli.failures import failures
from cdcd.cli.format_options import chosen_format, format_options
from cdcd.cli.lines import standard_output
from cdcd.cli.source_options import endpoint, source_options

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
@click.option(
    "--tables", "tables", required=True, multiple=True, metavar="GLOB...", help="Tables to show, as database.table."
)
@click.argument("more_tables", nargs=-1, metavar="")
@click.option("--start", "start_text", default="latest", show_default=True, metavar="WHERE", help=START_HELP)
@click.option("--until-end", is_flag=True, help="Stop at the end of the binlog as it is now.")
@format_options
@source_options(required=True)
def tail(
    *,
    tables: tuple[str, ...],
    more_tables: tuple[str, ...],
    start_text: str,
    until_end: bool,
    format_name: Literal["canal-json"],
    strict_timezone: str | None,
    **source: Any,
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
    from cdcd.observe.logging import Logs
    from cdcd.worker.tail import Tail

    where = endpoint(**source)
    rules = (*tables, *more_tables)
    for rule in rules:
        checked("--tables", rule, check_rule)
    template = chosen_format(format_name, strict_timezone)
    follow = Tail(where, TableFilter(rules), checked("--start", start_text, parse_start), template, until_end)
    with Logs(sys.stderr) as logs, failures(in_flags):
        if where.password:
            logs.hide(where.password)
        with standard_output(live=True) as write:
            follow.run(write, _stop_on_signal)


def in_flags(text: str) -> str:
    """Findings name fields of a definition; here the same is said by flags."""
    for field, flag in _FLAGS.items():
        text = text.replace(field, flag)
    return text


def _stop_on_signal(dump: Any) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: dump.stop())


def checked(flag: str, text: str, parse: Any) -> Any:
    """What `parse` makes of an option's text; its ValueError becomes a usage error that names the option."""
    try:
        return parse(text)
    except ValueError as error:
        raise click.UsageError(f"{flag} {text!r} {error}") from None
