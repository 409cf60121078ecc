"""Two instances that change places, where no single one fits."""

from bisect import bisect_left
from collections.abc import Sequence

Weighed = tuple[float, str]
"""(weight, instance)"""


def best_swap(ours: Sequence[Weighed], theirs: Sequence[Weighed], wanted: float) -> tuple[Weighed, Weighed] | None:
    """The pair whose difference in weight comes closest to `wanted`, of ours that weigh more than theirs."""
    ordered = sorted(theirs)
    pairs = (
        (mine, ordered[at]) for mine in ours for at in _near(ordered, mine[0] - wanted) if ordered[at][0] < mine[0]
    )
    return min(pairs, key=lambda pair: (abs(pair[0][0] - pair[1][0] - wanted), pair[0][1], pair[1][1]), default=None)


def _near(ordered: Sequence[Weighed], weight: float) -> range:
    """Where the weights next to `weight` are, below and above."""
    at = bisect_left(ordered, (weight, ""))
    return range(max(at - 1, 0), min(at + 1, len(ordered)))
