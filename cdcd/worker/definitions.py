"""The definition that an instance runs by: the newest valid one."""

from collections.abc import Callable

from cdcd.config.definition import Definition, load_definition
from cdcd.errors import Finding, FindingError, InvalidConfig, NotOwner, Problem
from cdcd.worker.change import Change, change_of
from cdcd.worker.journal import Journal

Read = Callable[[], bytes | None]
"""The definition as it stands now; None: it is deleted."""


class Definitions:
    """Of one instance. A definition that does not validate changes nothing but `problems`."""

    def __init__(self, current: Definition, journal: Journal, read: Read = lambda: None) -> None:
        self.current = current
        self.problems: tuple[Problem, ...] = ()
        """Mistakes of the definition as it stands now, if the instance runs by an older one."""
        self._journal = journal
        self._read = read
        self._seen: bytes | None = None

    @classmethod
    def first(cls, name: str, journal: Journal, read: Read) -> "Definitions":
        """NotOwner where there is none, FindingError (operator) for one that does not validate."""
        raw = read()
        if raw is None:
            raise NotOwner(f"there is no definition of {name} any more")
        try:
            first = cls(_named(name, raw), journal, read)
        except InvalidConfig as error:
            raise FindingError(_invalid(name, error)) from None
        first._seen = raw
        return first

    def renew(self) -> Change:
        """Read again, and say what is to be done about `current`, which is the new one from now on."""
        old, raw = self.current, self._read()
        if raw is None or raw == self._seen:  # a deleted one: the scheduler sees that too, and takes the instance away
            return "none"
        self._seen = raw
        try:
            self.current = _named(old.name, raw)
        except InvalidConfig as error:
            self.problems = error.problems
            self._journal.note("definition.invalid", f"{_list(error)}; the one before stays in force", "warning")
            return "none"
        self.problems = ()
        change = change_of(old, self.current)
        self._journal.note("definition.changed", _TAKEN[change])
        return change


_TAKEN: dict[Change, str] = {
    "none": "nothing in it concerns the running instance",
    "live": "it holds from the next transaction on",
    "reconnect": "it needs other connections: the instance is taken over anew",
}


def _named(name: str, raw: bytes) -> Definition:
    definition = load_definition(raw, f"definition of {name}")
    if definition.name != name:
        problem = Problem("name", f"must be {name}, as its node in ZooKeeper is called")
        raise InvalidConfig(f"definition of {name}", (problem,))
    return definition


def _list(error: InvalidConfig) -> str:
    return "; ".join(map(str, error.problems))


def _invalid(name: str, error: InvalidConfig) -> Finding:
    what = f"the definition of {name} is not valid: {_list(error)}"
    return Finding(
        "definition-invalid", "operator", what, "Correct it: cdcctl validate shows all mistakes, with their fields"
    )
