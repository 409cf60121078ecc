"""Smoothed rates of counters: pure, over the time that really passed between two looks."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """Exponentially weighted mean of a counter's growth a second, over about `window` seconds.

    Early on it is the mean of what was seen so far: it needs no time to rise from zero.
    """

    window: float
    seconds: float = 0.0
    """Observed in all."""
    _seen: tuple[float, float] | None = None
    """(time, counter) of the last look."""
    _mean: float = 0.0
    _weight: float = 0.0
    """1 less what is still the zero that `_mean` began with."""

    @property
    def value(self) -> float:
        """A second; 0 before anything is known."""
        return self._mean / self._weight if self._weight else 0.0

    def look(self, counter: float, now: float) -> "Rate":
        """The counter stands at `counter`. One that has become smaller began at zero since: its worker was restarted."""
        if self._seen is None:
            return Rate(self.window, self.seconds, (now, counter), self._mean, self._weight)
        passed, grown = now - self._seen[0], counter - self._seen[1]
        if passed <= 0:
            return self
        share = 1 - math.exp(-passed / self.window)
        sample = (grown if grown >= 0 else counter) / passed
        return Rate(
            self.window,
            self.seconds + passed,
            (now, counter),
            self._mean + share * (sample - self._mean),
            self._weight + share * (1 - self._weight),
        )

    def interrupted(self) -> "Rate":
        """Nobody counts for now; the time until the next look is no part of the measurement."""
        return Rate(self.window, self.seconds, None, self._mean, self._weight)
