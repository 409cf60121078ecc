"""What a definition decides about an instance's messages. It may be changed between two transactions, connections stay."""

from collections.abc import Callable
from dataclasses import dataclass

from cdcd.worker.router import Router
from cdcd.worker.rule import CommitRule
from cdcd.worker.statements import Statements


@dataclass(frozen=True, slots=True)
class Publication:
    """Made of one definition, for one decoder."""

    router: Router
    statements: Statements
    rule: CommitRule


MakePublication = Callable[[dict[str, int]], Publication]
"""By the definition as it is now, for topics whose keys are mapped to these numbers of partitions."""
