"""Flags for what lines look like, of the commands that print row changes."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import click

if TYPE_CHECKING:
    from cdcd.formats.template import Format

FORMAT = click.option(
    "--format",
    "format_name",
    default="canal-json",
    show_default=True,
    type=click.Choice(["canal-json"]),
    help="Layout of the lines.",
)
STRICT = click.option(
    "--strict-timezone",
    metavar="ZONE",
    help="Values, types and times as canal itself shows them; ZONE is that of its JVM, such as Asia/Shanghai.",
)


def format_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--format, --strict-timezone: `format_name`, `strict_timezone`."""
    return FORMAT(STRICT(command))


def chosen_format(format_name: Literal["canal-json"], strict_timezone: str | None) -> "Format":
    """click.UsageError for an unknown time zone."""
    from cdcd.config.definition import Format, check_zone
    from cdcd.formats.chosen import format_of

    compat: Literal["fixed", "strict"] = "fixed"
    if strict_timezone is not None:
        compat = "strict"
        try:
            check_zone(strict_timezone)
        except ValueError as error:
            raise click.UsageError(f"--strict-timezone {strict_timezone!r} {error}") from None
    return format_of(Format(type=format_name, compat=compat, strict_timezone=strict_timezone))
