"""Waiting until instances run, or have stopped."""

from collections.abc import Iterable, Sequence

from cdcd.cli.ctl.output import printable, tell
from cdcd.cli.ctl.reach import not_found
from cdcd.cli.ctl.waiting import wait_until_done
from cdcd.cli.exit_code import ExitCode
from cdcd.cli.failures import Failure
from cdcd.fleet.operators import Details, Operators

SHOWN = 5
"""Names in one line of progress."""


def existing(operators: Operators, names: Iterable[str]) -> dict[str, Details]:
    """What is known of each, looked up before anything is changed. Failure (not found) if one does not exist."""
    found = {name: operators.details(name) for name in names}
    for name, details in found.items():
        if details.defined is None:
            raise not_found("instance", name, operators.names())
    return found


def wait_until_stopped(operators: Operators, names: Sequence[str], timeout: float) -> None:
    """Until there is no schedule node, no lock, and no load node that lists them (coordination.md, rule 10)."""

    def look() -> str | None:
        left = {name: words for name in names if (words := operators.remains(name))}
        if not left:
            return None
        said = "; ".join(f"{name}: {' and '.join(words)} to go" for name, words in sorted(left.items())[:SHOWN])
        more = f"; and {len(left) - SHOWN} more" if len(left) > SHOWN else ""
        return said + more + nobody(operators)

    wait_until_done(look, timeout, "It is stopped as soon as the scheduler gets to it: `cdcctl get` shows it.")


def wait_until_running(
    operators: Operators, names: Sequence[str], timeout: float, since: dict[str, int] | None = None
) -> None:
    """Until each holds its lock and publishes. Failure (error) where one is parked, (invalid) where its definition is.

    `since`: transaction ids of locks that do not count any more.
    """
    waiting = list(names)

    def look() -> str | None:
        words = {name: missing(operators, name, (since or {}).get(name)) for name in waiting}
        for name in [name for name, word in words.items() if word is None]:
            tell(f"{name} runs")
            waiting.remove(name)
        said = "; ".join(f"{name}: {words[name]}" for name in waiting[:SHOWN])
        return said + nobody(operators) if waiting else None

    wait_until_done(look, timeout, "It goes on by itself: `cdcctl get` shows how far it is, `cdcctl describe` why.")


def missing(operators: Operators, name: str, before: int | None = None) -> str | None:
    """What keeps an instance from being called running, in words; None: nothing.

    `before`: transaction id of a lock that does not count any more.
    """
    details = operators.details(name)
    if details.defined is None:
        raise Failure(f"{name} was deleted meanwhile", ExitCode.CONFLICT)
    if details.defined.paused:
        raise Failure(f"{name} was paused meanwhile\nResume it: cdcctl resume {name}", ExitCode.CONFLICT)
    if details.defined.problems:
        raise Failure(
            f"{name}: its definition is not valid: {printable(str(details.defined.problems[0]))}", ExitCode.INVALID
        )
    if details.request is not None and details.request.kind != "set_position":
        return "the scheduler to take the order"
    schedule = details.schedule
    if schedule is None:
        return "the scheduler to place it"
    if schedule.parked and schedule.parked.definition < details.defined.stored.changed:
        return "the scheduler to start it anew"
    if schedule.parked:
        raise parked(name, details)
    if details.lock is None or details.running is None or details.lock.created == before:
        to_start = f"{schedule.server} to start it" if schedule.server else f"a server ({printable(schedule.reason)})"
        return to_start + _trouble(details)
    return _not_yet(details)


def _not_yet(details: Details) -> str | None:
    status, running = details.status, details.running
    if status is None or running is None or status.epoch is None or status.epoch != details.epoch:
        return "its worker's first report"
    if status.state == "running" and status.server == running.server:
        return None
    return printable(f"{status.state} on {status.server}") + _trouble(details)


def _trouble(details: Details) -> str:
    """What its worker, or its server after a crash, said last."""
    finding = details.status.finding if details.status else None
    return printable(f": {finding.get('what', '')}") if finding else ""


def parked(name: str, details: Details) -> Failure:
    """Of an instance that waits for somebody to act."""
    node = details.schedule.parked if details.schedule else None
    said = f"{node.reason} ({node.code})\n{node.remedy}" if node else "it is parked"
    lines = "\n".join(map(printable, said.splitlines()))
    return Failure(f"{name} is parked: {lines}\nThen: cdcctl resume {name}")


def nobody(operators: Operators) -> str:
    """Said where nothing can happen."""
    return "" if operators.live_servers() else " (no server is alive)"
