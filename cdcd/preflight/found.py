"""What a check is, and what it finds."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from cdcd.errors import Finding

Severity = Literal["fatal", "warning", "notice"]
"""`fatal`: the instance cannot run, or loses changes. `warning`: it will stop or lose something in a case that is likely to
come. `notice`: worth knowing; a decision may be behind it."""
SEVERITIES: tuple[Severity, ...] = ("fatal", "warning", "notice")

Facts = TypeVar("Facts")
Said = tuple[str, str]
"""(what, fix)."""
MOST_NAMED = 10


@dataclass(frozen=True, slots=True)
class Found:
    """One finding of the preflight."""

    code: str
    """Stable kebab-case name."""
    severity: Severity
    system: str
    """mysql, kafka or zookeeper."""
    what: str
    why: str
    """What comes of it if it stays."""
    fix: str
    """The exact statements (one a line, each with its semicolon), setting or command."""

    def __str__(self) -> str:
        return f"{self.what}. {self.why}. {self.fix}"

    @classmethod
    def of(cls, finding: Finding, system: str) -> "Found":
        """Of what keeps the preflight from looking, and the instance from running."""
        return cls(finding.code, "fatal", system, finding.what, "The instance does not run with it", finding.remedy)


@dataclass(frozen=True, slots=True)
class Rule(Generic[Facts]):
    """One check, as it stands in the table."""

    code: str
    severity: Severity
    why: str
    check: Callable[[Facts], Iterable[Said]]

    @property
    def title(self) -> str:
        """What it looks at: the first line of the check's docstring."""
        return (self.check.__doc__ or "").strip().partition("\n")[0]


class Checks(Generic[Facts]):
    """The checks of one system, in the order in which they are shown."""

    def __init__(self, system: str) -> None:
        self.system = system
        self.rules: list[Rule[Facts]] = []

    def rule(
        self, code: str, severity: Severity, why: str
    ) -> Callable[[Callable[[Facts], Iterable[Said]]], Callable[[Facts], Iterable[Said]]]:
        """Declare a check: it yields (what, fix) for each thing that is not as it should be."""

        def add(check: Callable[[Facts], Iterable[Said]]) -> Callable[[Facts], Iterable[Said]]:
            self.rules.append(Rule(code, severity, why, check))
            return check

        return add

    def __call__(self, facts: Facts) -> Iterator[Found]:
        for rule in self.rules:
            for what, fix in rule.check(facts):
                yield Found(rule.code, rule.severity, self.system, what, rule.why, fix)


def by_severity(found: Iterable[Found]) -> list[Found]:
    """The worst first."""
    return sorted(found, key=lambda each: SEVERITIES.index(each.severity))


def listed(names: Iterable[str]) -> str:
    """`a, b and 7 more`."""
    every = list(names)
    more = f" and {len(every) - MOST_NAMED} more" if len(every) > MOST_NAMED else ""
    return ", ".join(every[:MOST_NAMED]) + more


def statements(each: Iterable[str]) -> str:
    """One a line; of very many the first."""
    return "\n".join(f"{statement};" for statement in list(each)[:MOST_NAMED])
