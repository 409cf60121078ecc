"""`cdcctl apply` and `cdcctl diff`."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import click

from cdcd.cli.ctl.documents import Wanted, wanted
from cdcd.cli.ctl.options import config_option, dry_run_option, wait_options
from cdcd.cli.ctl.output import printable, say, tell
from cdcd.cli.ctl.reach import printable_lines, reach
from cdcd.cli.ctl.running import wait_until_running, wait_until_stopped
from cdcd.cli.exit_code import ExitCode
from cdcd.cli.failures import Failure, failures
from cdcd.config.definition import Definition, to_canonical_json
from cdcd.fleet.operators import Operators
from cdcd.fleet.view import Defined

Outcome = Literal["created", "configured", "unchanged"]

file_option = click.option(
    "-f", "--file", "files", multiple=True, required=True, metavar="FILE", help="YAML or JSON; - is stdin."
)


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done about one definition."""

    definition: Definition
    stands: Defined | None
    """What is there now."""

    @property
    def outcome(self) -> Outcome:
        if self.stands is None:
            return "created"
        return "unchanged" if self.stands.definition == self.definition else "configured"


@click.command()
@file_option
@config_option
@dry_run_option
@wait_options(wait=False, timeout="1m")
def apply(files: tuple[str, ...], config: Path | None, dry_run: bool, wait: bool, timeout: float) -> None:
    """Create or change instances as files define them.

    All files are checked before anything is written. Prints for each instance `created`, `configured` or `unchanged`;
    a running instance takes a change over by itself, others are not touched. A file that does not say `paused` leaves
    a paused instance paused. A new instance of a name that was there before goes on at its stored position, and
    `start` does not count then; a message says so.

    \b
    Examples:
        $ cdcctl apply -f orders.yaml
        $ cdcctl apply -f orders.yaml -f crm.yaml --dry-run
        $ cdcctl apply -f fleet.yaml --wait              # several documents; return when all of them run
        $ cdcctl get orders -o json | jq '.[0].definition' | cdcctl apply -f -

    Exit status: 0 ok, 3 a file does not exist, 4 somebody else changed a definition meanwhile, 5 a definition is
    invalid, 6 ZooKeeper does not answer, or (with --wait) an instance does not run in time; 1 other errors, 2 usage.
    """
    with failures(printable_lines):
        asked = wanted(files)
    with reach(config) as reached:
        steps = [_step(reached.operators, each) for each in asked]
        for step in steps:
            if not dry_run:
                _write(reached.operators, step)
            say(f"{step.definition.name} {step.outcome}{' (dry run)' if dry_run else ''}")
            _remark(reached.operators, step)
        if wait and not dry_run:
            names = [step.definition.name for step in steps if not step.definition.paused]
            wait_until_running(reached.operators, names, timeout)
            wait_until_stopped(reached.operators, [s.definition.name for s in steps if s.definition.paused], timeout)


@click.command()
@file_option
@config_option
@click.option("--exit-code", is_flag=True, help="Exit with 1 if there are differences.")
@click.pass_context
def diff(context: click.Context, files: tuple[str, ...], config: Path | None, exit_code: bool) -> None:
    """Show what `apply` would change, line by line.

    Definitions are compared as what they mean: order of fields, comments, and fields set to their defaults make no
    difference. Prints nothing where nothing would change.

    \b
    Examples:
        $ cdcctl diff -f orders.yaml
        $ cdcctl diff -f orders.yaml --exit-code >/dev/null || echo "differs"

    Exit status: 0 ok (with --exit-code: no differences), 1 other errors (with --exit-code: also differences), 3 a file
    does not exist, 5 a definition is invalid, 6 ZooKeeper does not answer, 2 usage.
    """
    with failures(printable_lines):
        asked = wanted(files)
    with reach(config) as reached:
        steps = [_step(reached.operators, each) for each in asked]
    for step in steps:
        for line in differences(step):
            say(line)
    if exit_code and any(step.outcome != "unchanged" for step in steps):
        context.exit(ExitCode.ERROR)


def _step(operators: Operators, asked: Wanted) -> Step:
    stands = operators.defined(asked.definition.name)
    keeps_pause = stands is not None and stands.paused and not asked.says_paused
    definition = asked.definition.model_copy(update={"paused": True}) if keeps_pause else asked.definition
    return Step(definition, stands)


def _write(operators: Operators, step: Step) -> None:
    if step.outcome == "unchanged":
        return
    name, version = step.definition.name, step.stands.stored.version if step.stands else None
    if not operators.define(name, to_canonical_json(step.definition), version):
        raise changed_meanwhile(name)


def changed_meanwhile(name: str) -> Failure:
    """Somebody else was quicker."""
    return Failure(
        f"{name}: somebody else changed the definition at the same moment; nothing of it was written\n"
        f"See what it is now: cdcctl get {name} -o yaml. Then repeat the command.",
        ExitCode.CONFLICT,
    )


def _remark(operators: Operators, step: Step) -> None:
    name = step.definition.name
    if step.definition.paused and step.outcome != "unchanged":
        tell(f"{name} is paused; it runs after: cdcctl resume {name}")
    if step.outcome != "created":
        return
    mirror = operators.details(name).mirror
    if mirror is not None:
        tell(
            f"{name} was there before: it goes on at its stored position, `start` does not count. "
            f"To begin elsewhere: cdcctl pause {name}; cdcctl position set {name} WHERE; cdcctl resume {name}"
        )


def differences(step: Step) -> Iterator[str]:
    """Unified diff of the definition that stands and the one that is wanted."""
    name = step.definition.name
    before = _lines(step.stands)
    after = _shown(step.definition)
    origin = f"/instances/{name}" if step.stands else "/dev/null"
    for line in difflib.unified_diff(before, after, origin, f"{name} as given", lineterm=""):
        yield _coloured(printable(line))


def _lines(stands: Defined | None) -> list[str]:
    if stands is None:
        return []
    if stands.definition is None:
        return stands.stored.data.decode(errors="backslashreplace").splitlines()
    return _shown(stands.definition)


def _shown(definition: Definition) -> list[str]:
    import json

    from cdcd.cli.ctl.output import document

    return document(json.loads(to_canonical_json(definition)), "yaml").splitlines()


def _coloured(line: str) -> str:
    colour = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
    return click.style(line, fg=colour) if colour and not line.startswith(("+++", "---")) else line
