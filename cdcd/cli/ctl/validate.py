"""`cdcctl validate`."""

from typing import NamedTuple

import click

from cdcd.cli.ctl.documents import Document, documents
from cdcd.cli.ctl.output import document as written
from cdcd.cli.ctl.output import printable, say
from cdcd.cli.ctl.summary import summary
from cdcd.cli.exit_code import ExitCode
from cdcd.config.definition import Definition, load_definition
from cdcd.errors import InvalidConfig, Problem


@click.command()
@click.option("-f", "--file", "files", multiple=True, required=True, metavar="FILE", help="YAML or JSON; - is stdin.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_context
def validate(context: click.Context, files: tuple[str, ...], output: str) -> None:
    """Check definitions, without any server.

    Shows all mistakes at once, each with the path of its field, and of a definition without mistakes what it comes
    to. Nothing is sent anywhere: whether MySQL and Kafka agree shows when the instance starts. A file may hold
    several YAML documents between `---` lines.

    \b
    Examples:
        $ cdcctl validate -f orders.yaml
        $ cdcctl validate -f orders.yaml -f crm.yaml -o json
        $ ./generate-definition | cdcctl validate -f -

    Exit status: 0 all are valid, 3 a file does not exist, 5 one is invalid, 1 one cannot be read, 2 usage.
    """
    verdicts = [verdict for file in files for verdict in _of_file(file)]
    if output == "json":
        say(written([verdict.as_json() for verdict in verdicts], "json"))
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


def _of_file(file: str) -> list[_Verdict]:
    try:
        return [_judge(document) for document in documents(file)]
    except InvalidConfig as error:
        return [_Verdict(file, ExitCode.INVALID, problems=error.problems)]
    except FileNotFoundError:
        return [_Verdict(file, ExitCode.NOT_FOUND, problems=(Problem("", "no such file"),))]
    except OSError as error:
        return [_Verdict(file, ExitCode.ERROR, problems=(Problem("", f"cannot be read: {error.strerror}"),))]


def _judge(document: Document) -> _Verdict:
    try:
        return _Verdict(document.origin, ExitCode.OK, load_definition(document.text, document.origin))
    except InvalidConfig as error:
        return _Verdict(document.origin, ExitCode.INVALID, problems=error.problems)


def _status(verdicts: list[_Verdict]) -> ExitCode:
    """What could not be looked at at all comes first: the rest may say nothing of it."""
    codes = {verdict.code for verdict in verdicts}
    order = (ExitCode.NOT_FOUND, ExitCode.ERROR, ExitCode.INVALID)
    return next((code for code in order if code in codes), ExitCode.OK)


def _print(verdict: _Verdict) -> None:
    if verdict.definition is not None:
        say(f"{verdict.file}: {click.style('valid', fg='green')}")
        for label, text in summary(verdict.definition):
            say(f"  {label:<10} {printable(text)}")
        return
    count = "1 problem" if len(verdict.problems) == 1 else f"{len(verdict.problems)} problems"
    say(f"{verdict.file}: {click.style(count, fg='red')}", err=True)
    for problem in verdict.problems:
        say(f"  {printable(str(problem))}", err=True)
