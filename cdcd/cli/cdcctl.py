"""`cdcctl`, the operators' command."""

import json
import os
import sys
from pathlib import Path
from typing import NamedTuple

import click

from cdcd.cli.exit_code import ExitCode
from cdcd.cli.version import version
from cdcd.config.definition import Definition, Source, load_definition
from cdcd.config.document import MAX_BYTES
from cdcd.config.network import Endpoint
from cdcd.errors import InvalidConfig, Problem

STDIN = "-"


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit status: 0 ok, 1 error, 2 usage, 3 not found, 5 invalid.",
)
def main() -> None:
    """Check the definitions of cdcd's instances.

    A definition says which tables of which MySQL server go to which Kafka topics. The least there is:

    \b
        name: orders
        source: {host: mysql-a, credential: orders-db}
        tables: {include: ["shop.*"]}
        sink: {topic: "cdc.{database}.{table}"}

    \b
        $ cdcctl validate -f orders.yaml
    """


main.add_command(version)


@main.command()
@click.option("-f", "--file", "files", multiple=True, required=True, metavar="FILE", help="YAML or JSON; - is stdin.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_context
def validate(context: click.Context, files: tuple[str, ...], output: str) -> None:
    """Check definitions, without any server.

    Shows all mistakes at once, each with the path of its field, and of a definition without mistakes what it comes
    to. Nothing is sent anywhere: whether MySQL and Kafka agree shows when the instance starts.

    \b
    Examples:
        $ cdcctl validate -f orders.yaml
        $ cdcctl validate -f orders.yaml -f crm.yaml -o json
        $ ./generate-definition | cdcctl validate -f -

    Exit status: 0 all are valid, 3 a file does not exist, 5 one is invalid, 1 one cannot be read, 2 usage.
    """
    verdicts = [_judge(file) for file in files]
    if output == "json":
        click.echo(json.dumps([verdict.as_json() for verdict in verdicts], indent=2, ensure_ascii=False))
    else:
        for verdict in verdicts:
            _print(verdict)
    context.exit(_status(verdicts))


class _Verdict(NamedTuple):
    file: str
    code: ExitCode
    definition: Definition | None = None
    problems: tuple[Problem, ...] = ()

    def as_json(self) -> dict[str, object]:
        problems = [{"path": problem.path, "message": problem.message} for problem in self.problems]
        definition = self.definition.model_dump(mode="json") if self.definition else None
        return {"file": self.file, "valid": not problems, "problems": problems, "definition": definition}


def _judge(file: str) -> _Verdict:
    try:
        if file == STDIN:
            definition = load_definition(sys.stdin.buffer.read(MAX_BYTES + 1), "stdin")
        else:
            definition = load_definition(Path(file))
    except InvalidConfig as error:
        return _Verdict(file, ExitCode.INVALID, problems=error.problems)
    except FileNotFoundError:
        return _Verdict(file, ExitCode.NOT_FOUND, problems=(Problem("", "no such file"),))
    except OSError as error:
        return _Verdict(file, ExitCode.ERROR, problems=(Problem("", f"cannot be read: {error.strerror}"),))
    return _Verdict(file, ExitCode.OK, definition)


def _status(verdicts: list[_Verdict]) -> ExitCode:
    """What could not be looked at at all comes first: the rest may say nothing of it."""
    codes = {verdict.code for verdict in verdicts}
    order = (ExitCode.NOT_FOUND, ExitCode.ERROR, ExitCode.INVALID)
    return next((code for code in order if code in codes), ExitCode.OK)


def _print(verdict: _Verdict) -> None:
    if verdict.definition is not None:
        _say(f"{verdict.file}: {click.style('valid', fg='green')}")
        for label, text in _summary(verdict.definition):
            _say(f"  {label:<10} {_printable(text)}")
        return
    count = "1 problem" if len(verdict.problems) == 1 else f"{len(verdict.problems)} problems"
    _say(f"{verdict.file}: {click.style(count, fg='red')}", err=True)
    for problem in verdict.problems:
        _say(f"  {_printable(str(problem))}", err=True)


def _summary(definition: Definition) -> list[tuple[str, str]]:
    """What the definition comes to, defaults included."""
    source, sink, tables = definition.source, definition.sink, definition.tables
    start = definition.model_dump(mode="json", include={"start"})["start"]
    partition_by = sink.partition_by if isinstance(sink.partition_by, str) else ", ".join(sink.partition_by)
    return [
        ("instance", definition.name + (" (paused)" if definition.paused else "")),
        ("source", f"{', '.join(_server(source, one) for one in source.endpoints)}; credential {source.credential}"),
        ("tables", ", ".join(tables.include) + (f"; not {', '.join(tables.exclude)}" if tables.exclude else "")),
        ("start", start if isinstance(start, str) else ", ".join(f"{key} {value}" for key, value in start.items())),
        ("topic", f"{sink.topic} in Kafka cluster {sink.kafka}, partition by {partition_by}"),
        ("DDL topic", sink.ddl_topic.format(instance=definition.name) if sink.ddl_topic else "none"),
        ("messages", f"{definition.format.type} ({definition.format.compat}), {sink.delivery}"),
    ]


def _server(source: Source, endpoint: Endpoint) -> str:
    mode = source.effective_tls(endpoint.host).mode
    return f"{endpoint} ({'plain text' if mode == 'disabled' else f'TLS {mode}'})"


def _printable(text: str) -> str:
    """A definition may be anybody's: its text must not steer the terminal."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def _say(line: str, *, err: bool = False) -> None:
    click.echo(line, err=err, color=False if os.environ.get("NO_COLOR") else None)
