"""`cdcctl pause`, `cdcctl resume` and `cdcctl delete`: whether an instance is run at all."""

import sys
from pathlib import Path

import click

from cdcd.cli.ctl.apply import changed_meanwhile
from cdcd.cli.ctl.options import config_option, dry_run_option, instances_argument, wait_options, yes_option
from cdcd.cli.ctl.orders import ordered
from cdcd.cli.ctl.output import say, tell
from cdcd.cli.ctl.reach import not_found, printable_lines, reach
from cdcd.cli.ctl.running import existing, wait_until_running, wait_until_stopped
from cdcd.cli.exit_code import ExitCode
from cdcd.cli.failures import Failure
from cdcd.config.definition import Definition, to_canonical_json
from cdcd.fleet.operators import Details, Operators


@click.command()
@instances_argument
@config_option
@dry_run_option
@wait_options(wait=True, timeout="1m")
def pause(names: tuple[str, ...], config: Path | None, dry_run: bool, wait: bool, timeout: float) -> None:
    """Stop instances from publishing, and keep them defined.

    Sets `paused` in the definition. Returns when the instance has stopped: its worker has stored the position and let
    go of the lock, and no server lists it any more. Its position stays; `cdcctl resume` goes on there.

    \b
    Examples:
        $ cdcctl pause orders
        $ cdcctl get -o name | xargs cdcctl pause --timeout 5m

    Exit status: 0 stopped (also if it was before), 3 no such instance, 4 somebody else changed the definition
    meanwhile, 5 the definition is invalid, 6 not stopped in time (a message says what is still there), or ZooKeeper
    does not answer; 1 other errors, 2 usage.
    """
    with reach(config) as reached:
        outcomes = _set_paused(reached.operators, names, paused=True, dry_run=dry_run)
        if wait and not dry_run:
            wait_until_stopped(reached.operators, names, timeout)
    _report(names, outcomes, dry_run)


@click.command()
@instances_argument
@config_option
@dry_run_option
@wait_options(wait=True, timeout="1m")
def resume(names: tuple[str, ...], config: Path | None, dry_run: bool, wait: bool, timeout: float) -> None:
    """Let paused or parked instances run again.

    Of a paused one, takes `paused` out of the definition. Of a parked one, forgets what was wrong and which servers
    failed, and starts it anew: mend first what `cdcctl describe` names. Returns when the instance publishes, or says
    what keeps it from that.

    \b
    Examples:
        $ cdcctl resume orders
        $ cdcctl resume orders crm --no-wait

    Exit status: 0 it runs (also if it did before), 1 it is parked again, or other errors; 3 no such instance, 4
    somebody else changed the definition meanwhile or another order waits, 5 the definition is invalid, 6 it does not
    run in time, or ZooKeeper does not answer; 2 usage.
    """
    with reach(config) as reached:
        operators = reached.operators
        outcomes = _set_paused(operators, names, paused=False, dry_run=dry_run)
        for name, details in existing(operators, names).items():
            if outcomes[name] == "unchanged" and details.schedule and details.schedule.parked:
                outcomes[name] = "resumed"
                if not dry_run:
                    _unpark(operators, name, details)
        if wait and not dry_run:
            wait_until_running(operators, names, timeout)
    _report(names, outcomes, dry_run)


@click.command()
@instances_argument
@click.option("--forget-position", is_flag=True, help="Remove what the fleet remembers of it as well.")
@config_option
@dry_run_option
@yes_option
@wait_options(wait=True, timeout="1m")
def delete(
    *,
    names: tuple[str, ...],
    forget_position: bool,
    config: Path | None,
    dry_run: bool,
    yes: bool,
    wait: bool,
    timeout: float,
) -> None:
    """Stop instances, and remove their definitions.

    Returns when they have stopped, as `pause` does. The position stays: an instance that is created again under the
    same name goes on there. Topics and messages are never touched.

    With --forget-position /state/INSTANCE is removed too, once it has stopped. The position topic in Kafka is the
    position's true home, and `cdcctl` has no access to Kafka: a message names the topic to delete.

    \b
    Examples:
        $ cdcctl delete orders
        $ cdcctl delete orders --forget-position --yes

    Exit status: 0 deleted, 3 no such instance, 4 somebody else changed the definition meanwhile, 5 the settings are
    invalid, 6 not stopped in time (a message says what is still there), or ZooKeeper does not answer; 1 other errors,
    2 usage.
    """
    with reach(config) as reached:
        operators = reached.operators
        found = _deletable(operators, names, forget_position)
        if forget_position and not dry_run:
            confirm(f"Forget where {', '.join(names)} stood?", yes)
        kafka = {name: _kafka(details) for name, details in found.items()}
        for name, details in found.items():
            if details.defined and not dry_run and not operators.undefine(name, details.defined.stored.version):
                raise changed_meanwhile(name)
            if details.request is not None and not dry_run:
                _withdraw(operators, name)
        if (wait or forget_position) and not dry_run:
            wait_until_stopped(operators, names, timeout)
        for name in names:
            if forget_position:
                _forget(operators, name, kafka[name], dry_run)
            elif found[name].remembered:
                tell(f"{name}: its position is kept; created again under this name, it goes on there")
            say(f"{name} deleted{' (dry run)' if dry_run else ''}")


def _unpark(operators: Operators, name: str, details: Details) -> None:
    """By a restart; where a new position waits in the place of requests, by writing the definition again."""
    if details.request is None or details.request.kind != "set_position":
        ordered(operators, name, "restart")
    elif details.defined is not None and not operators.touch(details.defined):
        raise changed_meanwhile(name)


def confirm(question: str, yes: bool) -> None:
    """Ask, on a terminal; without one --yes has to be given. Aborts on no."""
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise Failure(
            f"{question} Nobody can be asked here\nGive --yes to go ahead, or --dry-run to see.", ExitCode.USAGE
        )
    click.confirm(question, abort=True, err=True)


def _deletable(operators: Operators, names: tuple[str, ...], forget: bool) -> dict[str, Details]:
    found = {name: operators.details(name) for name in names}
    for name, details in found.items():
        if not details.exists and not (forget and details.remembered):
            kept = f"Its position is kept; to remove that: cdcctl delete {name} --forget-position"
            raise not_found("instance", name, operators.names(), kept if details.remembered else "")
    return found


def _withdraw(operators: Operators, name: str) -> None:
    """An order that was not served: it must not reach the next instance of this name."""
    waits = operators.request(name)
    if waits is not None and operators.withdraw(name, waits[1]):
        kind = waits[0].kind if waits[0] else "order"
        tell(f"{name}: withdrew the {kind} that waited")


def _kafka(details: Details) -> str:
    definition = details.defined.definition if details.defined else None
    return f"Kafka cluster `{definition.sink.kafka}`" if definition else "Kafka"


def _forget(operators: Operators, name: str, kafka: str, dry_run: bool) -> None:
    if not dry_run:
        operators.forget(name)
    topic = f"__cdcd_positions.{operators.cluster() or '<cluster>'}.{name}"
    tell(
        f"{name}: the position itself stands in the topic {topic} of {kafka}. Delete that topic too "
        f"(kafka-topics.sh --delete --topic {topic}), or a new instance of this name goes on there"
    )


def _set_paused(operators: Operators, names: tuple[str, ...], *, paused: bool, dry_run: bool) -> dict[str, str]:
    """Name -> what was done about it. All are looked at before the first is changed."""
    found = {name: _valid(name, details) for name, details in existing(operators, names).items()}
    outcomes = {}
    for name, (definition, version) in found.items():
        changes = definition.paused is not paused
        outcomes[name] = ("paused" if paused else "resumed") if changes else "unchanged"
        if changes and not dry_run:
            text = to_canonical_json(definition.model_copy(update={"paused": paused}))
            if not operators.define(name, text, version):
                raise changed_meanwhile(name)
    return outcomes


def _valid(name: str, details: Details) -> tuple[Definition, int]:
    stands = details.defined
    assert stands is not None
    if stands.definition is None:
        problems = "".join(f"\n  {problem}" for problem in stands.problems)
        raise Failure(
            printable_lines(f"{name}: the definition that stands there is not valid:{problems}")
            + f"\nApply one that is: cdcctl apply -f FILE; or: cdcctl delete {name}",
            ExitCode.INVALID,
        )
    return stands.definition, stands.stored.version


def _report(names: tuple[str, ...], outcomes: dict[str, str], dry_run: bool) -> None:
    for name in names:
        say(f"{name} {outcomes[name]}{' (dry run)' if dry_run else ''}")
