"""Options that verbs share, and the names that a shell completes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

Command = TypeVar("Command", bound=Callable[..., Any])

FORMATS = ("table", "wide", "json", "yaml", "name")


class DurationType(click.ParamType[float]):
    """`30s`, `5m`: seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        from cdcd.config.quantities import parse_duration

        if isinstance(value, float):
            return value
        try:
            return parse_duration(value)
        except ValueError as error:
            self.fail(f"{value!r} {error}", param, ctx)


def config_option(command: Command) -> Command:
    return click.option(
        "--config",
        type=click.Path(path_type=Path),
        help="Settings file (TOML). Default: /etc/cdcd/cdcd.toml; CDCD_ variables of the environment win over it.",
    )(command)


def output_option(command: Command) -> Command:
    return click.option(
        "-o", "--output", type=click.Choice(FORMATS), default="table", show_default=True, help="How to print it."
    )(command)


def watch_options(command: Command) -> Command:
    command = click.option(
        "--interval", type=DurationType(), default="2s", show_default=True, help="How often --watch looks."
    )(command)
    return click.option("-w", "--watch", is_flag=True, help="Go on, and print what changes, until Ctrl-C.")(command)


def dry_run_option(command: Command) -> Command:
    return click.option("--dry-run", is_flag=True, help="Say what would be done, and change nothing.")(command)


def yes_option(command: Command) -> Command:
    return click.option("-y", "--yes", is_flag=True, help="Do not ask. Needed where nobody can be asked.")(command)


def wait_options(*, wait: bool, timeout: str) -> Callable[[Command], Command]:
    """--wait/--no-wait and --timeout with their defaults."""

    def add(command: Command) -> Command:
        command = click.option(
            "--timeout", type=DurationType(), default=timeout, show_default=True, help="How long to wait at most."
        )(command)
        return click.option("--wait/--no-wait", default=wait, show_default=True, help="Return only when it is done.")(
            command
        )

    return add


def instance_names(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """For the shell: names of instances."""
    return _completed(context, incomplete, servers=False)


def server_names(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """For the shell: names of servers."""
    return _completed(context, incomplete, servers=True)


def things(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """For the shell: `servers` or names of instances; after `servers` names of servers."""
    named = tuple(context.params.get(parameter.name or "") or ())
    if named[:1] in {("servers",), ("server",)}:
        return server_names(context, parameter, incomplete)
    words = [] if named else [CompletionItem(word) for word in ("servers",) if word.startswith(incomplete)]
    return words + instance_names(context, parameter, incomplete)


def _completed(context: click.Context, incomplete: str, *, servers: bool) -> list[CompletionItem]:
    """Nothing where ZooKeeper does not answer: somebody who types must not be bothered."""
    from cdcd.cli.ctl.reach import known_names

    names = known_names(context.params.get("config"), servers=servers)
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


instances_argument = click.argument(
    "names", nargs=-1, required=True, metavar="INSTANCE...", shell_complete=instance_names
)
instance_argument = click.argument("name", metavar="INSTANCE", shell_complete=instance_names)
server_argument = click.argument("server", metavar="SERVER", shell_complete=server_names)
