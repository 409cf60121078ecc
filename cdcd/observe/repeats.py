"""Lines of client libraries, which say the same again and again while a server is away."""

import re
import time
from collections.abc import Callable

QUIET_SECONDS = 60.0
MOST_TEXTS = 100

_PASSING = re.compile(r"(?<=#producer-)\d+|(?<=#consumer-)\d+|\d+(?=ms\b| identical| message)")
"""Numbers that differ from line to line: of the client, of a wait, of what there was of something."""


class Repeats:
    """Of lines of one text the first counts, and one each minute; of all texts MOST_TEXTS a minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told: dict[str, tuple[float, int]] = {}
        """Text -> when it was last told, and how often it came since."""

    def new(self, text: str) -> int | None:
        """None: not to be told. Else how often it came untold since it was told last."""
        kind = _PASSING.sub("#", text)
        now = self._clock()
        at, untold = self._told.get(kind, (now - QUIET_SECONDS, 0))
        if now - at < QUIET_SECONDS:
            self._told[kind] = at, untold + 1
            return None
        if len(self._told) >= MOST_TEXTS:
            self._told = {each: told for each, told in self._told.items() if now - told[0] < QUIET_SECONDS}
        if len(self._told) >= MOST_TEXTS:
            return None
        self._told[kind] = now, 0
        return untold


def told_again(untold: int) -> dict[str, int]:
    """What the line says of those that were kept back."""
    return {"repeated": untold} if untold else {}
