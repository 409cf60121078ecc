"""How long a process may believe that its lock still stands, without asking anybody."""

SHARE = 2 / 3
"""Of the session timeout. The last third is for what was begun in time: a commit takes milliseconds, at worst a second."""


class Lease:
    """Counted on CLOCK_BOOTTIME from when the answered request was **sent**: ZooKeeper cannot have heard of us earlier than that,
    so it cannot have let the session expire before `sent` + timeout. Holds also for a process that was stopped meanwhile.
    """

    def __init__(self) -> None:
        self._until = 0.0

    def extend(self, sent: float, timeout: float) -> None:
        """A request sent at `sent` was answered and showed our lock; `timeout` is the session's. An older answer changes nothing."""
        self._until = max(self._until, sent + SHARE * timeout)

    def end(self) -> None:
        """The lock is not ours any more."""
        self._until = 0.0

    def left(self, now: float) -> float:
        """Seconds for which it holds, 0 or less: it is over."""
        return self._until - now
