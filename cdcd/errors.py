"""What can go wrong, as types.

    CdcdError
    ├── InvalidConfig       a definition or setting does not validate: every problem with its path
    ├── FindingError        the operator's systems are at fault: carries a Finding (retry or operator)
    ├── BinlogError         the stream cannot be read: file, position, event type
    │   ├── MalformedEvent      shorter, longer or other than its type allows
    │   └── UnsupportedEvent    well formed, but cdcd cannot publish it without losing something
    ├── HoldingLost         the result of a Kafka call is unknown, or the producer was fenced: take over anew
    ├── Replaced            a newer owner runs the instance: exit, publish nothing more
    ├── NotOwner            this process does not own the instance (any more): exit, publish nothing more
    └── Stopped             the worker was asked to stop

A *finding* is about the user's system and says how to mend it; any other exception is a defect of cdcd.
"""

from dataclasses import dataclass
from typing import Literal

FindingClass = Literal["retry", "operator"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something in the operator's systems that stops an instance.

    `retry`: waiting may mend it, so the instance tries again with back-off and shows it meanwhile.
    `operator`: waiting cannot mend it, so the instance is parked until somebody acts.
    """

    code: str
    """Stable kebab-case name, the runbook's heading: `position-purged`."""
    kind: FindingClass
    what: str
    """What is wrong and why, naming the field, table or server."""
    remedy: str
    """What to do about it: the exact statement or setting where there is one."""

    def __str__(self) -> str:
        return f"{self.what}. {self.remedy}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a definition or settings file."""

    path: str
    """Where: `tables.include[0]`."""
    message: str
    """What is wrong, and what is allowed."""

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class CdcdError(Exception):
    """Base of everything cdcd raises on purpose; `hint` says what to do next."""

    hint: str = ""


class InvalidConfig(CdcdError):
    """A definition or settings file that does not validate; holds all its problems, not the first."""

    def __init__(self, origin: str, problems: tuple[Problem, ...]) -> None:
        super().__init__(f"{origin}: " + "; ".join(map(str, problems)))
        self.origin = origin
        self.problems = problems


class FindingError(CdcdError):
    """An operator's system stops the instance; see `finding`."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.what)
        self.finding = finding
        self.hint = finding.remedy


class BinlogError(CdcdError):
    """The binlog stream cannot be read further: `reason` at `file`:`position` in an event of type `event_type`."""

    def __init__(self, reason: str, file: str = "", position: int = 0, event_type: int = -1) -> None:
        super().__init__(f"{reason} (event type {event_type} at {file}:{position})")
        self.reason = reason
        self.file = file
        self.position = position
        self.event_type = event_type


class MalformedEvent(BinlogError):
    """An event that is not what its type and table map say: a broken source, transport or decoder."""


class UnsupportedEvent(BinlogError):
    """A well-formed event that cdcd cannot publish without losing something."""


class HoldingLost(CdcdError):
    """The outcome of a Kafka call is unknown or the producer was fenced.

    Nothing in memory can be trusted: destroy the producer and take over from the stored position again.
    """


class Replaced(CdcdError):
    """A newer owner runs this instance. Exit without publishing."""


class NotOwner(CdcdError):
    """The lock is gone, or the schedule does not name this server: exit without publishing."""


class Stopped(CdcdError):
    """The worker was asked to stop while it waited."""
