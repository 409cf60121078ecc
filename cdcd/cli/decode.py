"""`cdcd decode`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import click

from cdcd.cli.failures import failures
from cdcd.cli.format_options import chosen_format, format_options
from cdcd.cli.lines import standard_output
from cdcd.cli.source_options import endpoint, source_options
from cdcd.cli.tail import checked, in_flags

BOUND = "file:NAME:POSITION, or time:ISO-8601 such as time:2026-11-01T00:00:00Z"


def _print_query(context: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if not wanted:
        return
    from cdcd.mysql.schema_file import SCHEMA_QUERY

    click.echo(SCHEMA_QUERY, nl=False)
    context.exit()


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(allow_dash=True))
@click.option(
    "--tables",
    "tables",
    multiple=True,
    metavar="GLOB",
    help="Tables to show, as database.table; repeatable. Default: all.",
)
@click.option(
    "--from", "begin", metavar="WHERE", help=f"First transaction: that begins or was committed there or later. {BOUND}."
)
@click.option(
    "--to",
    "end",
    metavar="WHERE",
    help="Stop before the first transaction that begins or was committed there or later.",
)
@click.option("--ddl", is_flag=True, help="Also print DDL statements.")
@format_options
@click.option(
    "--schema",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Columns of tables that the files do not name: what --schema-query gives.",
)
@click.option(
    "--schema-query",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_query,
    help="Print the query whose answer --schema reads.",
)
@source_options(required=False)
def decode(
    *,
    files: tuple[str, ...],
    tables: tuple[str, ...],
    begin: str | None,
    end: str | None,
    ddl: bool,
    format_name: Literal["canal-json"],
    strict_timezone: str | None,
    schema: Path | None,
    **source: Any,
) -> None:
    """Print the row changes in binlog files as JSON lines on standard output, in commit order.

    FILE: binlog files as the server wrote them or `mysqlbinlog --raw` copied them, in their order; also packed with gzip or
    zstd; - is standard input. Messages, and at the end what was read, go to standard error.

    \b
    Examples:
        cdcd decode binlog.000003 binlog.000004.zst
        cdcd decode --tables 'shop.*' --ddl --from time:2026-11-01T10:00:00Z --to time:2026-11-01T11:00:00Z binlog.0000*
        mysqlbinlog --read-from-remote-server --raw --host db1 binlog.000003 && cdcd decode binlog.000003

    Where the binlog does not name columns (binlog_row_metadata=MINIMAL, the server's default) they are shown as @1, @2 ...;
    two ways give them names, each checked against the shape of every table in the binlog:

    \b
        # the server that wrote the files, if it still has them and no DDL has touched the table since
        cdcd decode --host db1 --user cdcd --password-env MYSQL_PWD binlog.000003
        # columns saved from it or from any server with the same tables
        cdcd decode --schema-query | mysql --batch --default-character-set=utf8mb4 > columns.tsv
        cdcd decode --schema columns.tsv binlog.000003

    Exit status: 0, 1 when a file cannot be read to its end (what stands before that is printed), 2 for a wrong command line,
    3 when a file does not exist, 5 when --schema is not valid.
    """
    from cdcd.config.tables import TableFilter, check_rule
    from cdcd.worker.replay import Replay, parse_bound

    for rule in tables:
        checked("--tables", rule, check_rule)
    first, last = (
        None if text is None else checked(flag, text, parse_bound) for flag, text in (("--from", begin), ("--to", end))
    )
    if files.count("-") > 1:
        raise click.UsageError("- stands for standard input, which can be read once")
    template = chosen_format(format_name, strict_timezone)
    with failures(_in_options), _names(schema, source) as (names, server_id):
        replay = Replay(files, TableFilter(tables or ("*.*",)), template, names, server_id, first, last, ddl=ddl)
        with standard_output(live=False) as write:
            click.echo(replay.run(write, _note), err=True)


@contextmanager
def _names(schema: Path | None, source: dict[str, Any]) -> Iterator[tuple[Any, int | None]]:
    """Where the names of columns come from, and the server_id that files must have for it."""
    from cdcd.binlog.ordinals import Ordinals
    from cdcd.mysql.schema_file import SchemaFile

    if source["host"] is None:
        if given := [name for name in ("user", "password_env", "tls_mode") if source[name] is not None]:
            raise click.UsageError(f"--{given[0].replace('_', '-')} is of use with --host only")
        yield (Ordinals(_note) if schema is None else SchemaFile(schema)), None
        return
    if schema is not None:
        raise click.UsageError("--schema and --host: names come from one of them")
    if source["user"] is None:
        raise click.UsageError("--host needs --user")
    with _asking(source) as names:
        yield names


@contextmanager
def _asking(source: dict[str, Any]) -> Iterator[tuple[Any, int]]:
    """A server is asked: what its clients say goes to the log."""
    from cdcd.observe.logging import Logs
    from cdcd.worker.replay import names_of_source

    where = endpoint(**source)
    with Logs(sys.stderr) as logs:
        if where.password:
            logs.hide(where.password)
        yield names_of_source(where)


def _note(text: str) -> None:
    click.echo(f"note: {text}", err=True)


def _in_options(text: str) -> str:
    return in_flags(text).replace("begin anew behind this place", "give the columns with --schema")
