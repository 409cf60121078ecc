"""`cdcctl preflight`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click

from cdcd.cli.ctl.documents import documents
from cdcd.cli.ctl.options import config_option, instance_names
from cdcd.cli.ctl.output import document, printable, say, tell
from cdcd.cli.ctl.reach import not_found, printable_lines, reach
from cdcd.cli.exit_code import ExitCode
from cdcd.cli.failures import failures
from cdcd.config.definition import Definition, load_definition
from cdcd.config.secrets import Credentials
from cdcd.config.settings import Settings, load_settings
from cdcd.errors import FindingError
from cdcd.fleet.survey import survey
from cdcd.observe.failpoints import off
from cdcd.preflight.found import Found, Severity, by_severity
from cdcd.preflight.zookeeper import zookeeper
from cdcd.worker.connections import Connections
from cdcd.worker.preflight import Preflight
from cdcd.worker.source import Identity

FLEET = ""
"""Stands for an instance's name where the fleet's ZooKeeper was looked at."""
_COLOURS: dict[Severity, str] = {"fatal": "red", "warning": "yellow", "notice": "cyan"}


class _Examined(NamedTuple):
    instance: str
    findings: list[Found]


@click.command()
@click.argument("names", nargs=-1, metavar="[INSTANCE]...", shell_complete=instance_names)
@config_option
@click.option(
    "-f", "--file", "files", multiple=True, metavar="FILE", help="Definitions that need not be applied; - is stdin."
)
@click.option("-o", "--output", type=click.Choice(["text", "json", "yaml"]), default="text", show_default=True)
@click.option("--strict", is_flag=True, help="Warnings count as well for the exit status.")
def preflight(names: tuple[str, ...], config: Path | None, files: tuple[str, ...], output: str, strict: bool) -> None:
    """Say what is wrong with your MySQL, Kafka and ZooKeeper, and how to mend it. Changes nothing.

    Of each instance (all, if none is named) its source and its brokers are asked, and the fleet's ZooKeeper. With -f the
    definitions in files instead, before they are applied; ZooKeeper is left out then. Run it where the servers
    run: it needs their settings and credentials, and the clock of this machine is compared.

    \b
    Severities:
        fatal    the instance cannot run, or would lose changes
        warning  it will stop or lose something in a case that is likely to come
        notice   worth knowing

    \b
    Examples:
        $ cdcctl preflight
        $ cdcctl preflight orders
        $ cdcctl preflight -f orders.yaml -o json | jq '.[].findings[].fix'

    Exit status: 0 nothing is fatal, 1 something is (with --strict: or a warning), 3 no such instance, 5 a definition or
    the settings are invalid, 6 ZooKeeper does not answer; 2 usage.
    """
    examined = list(_of_files(config, files) if files else _of_fleet(config, names))
    if output == "text":
        for each in examined:
            _print(each)
    else:
        say(document([_data(each) for each in examined], output))
    bad = {"fatal", "warning"} if strict else {"fatal"}
    click.get_current_context().exit(
        ExitCode.ERROR if any(f.severity in bad for each in examined for f in each.findings) else ExitCode.OK
    )


def _of_files(config: Path | None, files: tuple[str, ...]) -> Iterator[_Examined]:
    with failures(printable_lines):
        settings = load_settings(config)
        for file in files:
            for each in documents(file):
                definition = load_definition(each.text, each.origin)
                yield _examine(definition, settings, Identity.of(settings.cluster, definition.name))


def _of_fleet(config: Path | None, names: tuple[str, ...]) -> Iterator[_Examined]:
    with reach(config) as reached:
        known = reached.operators.names()
        for name in names:
            if name not in known:
                raise not_found("instance", name, known)
        yield _Examined(FLEET, by_severity(zookeeper(survey(reached.session, reached.settings.ensemble()))))
        fleet = reached.operators.fleet(names or known)
        statuses = reached.operators.statuses(fleet.defined)
    for name, stands in sorted(fleet.defined.items()):
        if stands.definition is None:
            tell(f"{name}: its definition has mistakes, `cdcctl describe {name}` shows them")
        else:
            with failures(printable_lines):
                node, status = fleet.schedule.get(name), statuses.get(name)
                identity = Identity.of(reached.settings.cluster, name, node.server_id if node else 0)
                yield _examine(stands.definition, reached.settings, identity, status.lag_seconds if status else None)


def _examine(
    definition: Definition, settings: Settings, identity: Identity, lag_seconds: float | None = None
) -> _Examined:
    credentials = Credentials.of(settings.credentials_dir)
    try:
        connections = Connections(definition, settings, credentials, waiting=lambda: None, failpoint=off)
    except FindingError as error:  # the settings have no such Kafka cluster
        return _Examined(definition.name, [Found.of(error.finding, "kafka")])
    return _Examined(definition.name, Preflight(definition, settings, connections, identity, lag_seconds).run())


def _data(each: _Examined) -> dict[str, Any]:
    return {"instance": each.instance or None, "findings": each.findings}


def _print(each: _Examined) -> None:
    title = f"Instance {each.instance}" if each.instance else "Fleet"
    say(f"{printable(title)}: {_count(each.findings)}")
    for found in each.findings:
        say("")
        say(f"  {click.style(found.severity, fg=_COLOURS[found.severity])}  {found.code}  ({found.system})")
        say(f"    what  {printable(found.what)}")
        say(f"    why   {printable(found.why)}")
        for number, line in enumerate(found.fix.splitlines()):
            say(f"    {'fix ' if number == 0 else '    '}  {printable(line)}")
    say("")


def _count(findings: list[Found]) -> str:
    if not findings:
        return "nothing to mend"
    return "1 finding" if len(findings) == 1 else f"{len(findings)} findings"
