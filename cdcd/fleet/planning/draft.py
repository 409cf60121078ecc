"""A schedule node while it is decided what it shall say."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from cdcd.fleet.nodes import FailedServer, Schedule
from cdcd.fleet.planning.types import Change, PlannedInstance

Wants = Literal["nothing", "server", "next"]
"""What an instance still needs: `server`: one to run on, at once; `next`: one to be handed over to."""


class Draft:
    """One instance's node: as it stands, as it shall be, and why."""

    def __init__(self, name: str, instance: PlannedInstance, before: Schedule | None, now: float) -> None:
        self.name, self.instance, self.before, self.node = name, instance, before, before
        self.wants: Wants = "nothing"
        self.why = ""
        """Why it wants that, the first half of a sentence."""
        self.failing = False
        """It failed where it is."""
        self.served = False
        self._now = now
        self._anew = False
        self._reasons: list[str] = []

    @property
    def avoided(self) -> dict[str, FailedServer]:
        """Servers that failed it, and whose time is not over."""
        failed: Mapping[str, FailedServer] = self.node.failed if self.node else {}
        return {name: each for name, each in failed.items() if self.counts(each) and each.until > self._now}

    def counts(self, failed: FailedServer) -> bool:
        """Whether that failure was with the definition as it stands now."""
        return failed.definition >= self.instance.changed

    def want(self, what: Wants, why: str) -> None:
        self.wants, self.why = what, why

    def change_members(self, **members: Any) -> None:
        """Change members of the node; a new one starts from nothing."""
        if self.node is None:
            self.node = Schedule(**{"server": None, "generation": 0, "reason": "", "at": self._now, **members})
        else:
            self.node = replace(self.node, **members)

    def write(self, reason: str, **members: Any) -> None:
        """Change members for that reason."""
        self.change_members(**members)
        self._reasons.append(reason)

    def note(self, reason: str) -> None:
        """Say why nothing changes, unless the node says so already."""
        if self.node is not None and (self._reasons or self.node.reason != reason):
            self._reasons.append(reason)

    def forgive(self, server: str) -> None:
        """An operator asks for that server: it is tried whatever it did before, and keeps the instance for a while."""
        failed: Mapping[str, FailedServer] = self.node.failed if self.node else {}
        kept = {name: each for name, each in failed.items() if name != server}
        self.change_members(failed=kept, moved=self._now)

    def try_anew(self) -> None:
        """Have the server start again what it gave up on."""
        self._anew = True

    def remove(self, reason: str) -> None:
        self.node = None
        self._reasons.append(reason)

    def serve(self, reason: str = "") -> None:
        """The request is done, or can't be; the reason tells which, unless one is given already."""
        self.served = True
        if reason:
            self._reasons.append(reason)

    def change(self) -> Change | None:
        """What is to be written, if anything is."""
        reason = "; ".join(self._reasons)
        serves = self.instance.request if self.served else None
        node = self._finished(reason) if self.node else None
        if node == self.before and serves is None:
            return None
        return Change(self.name, node, reason, serves)

    def _finished(self, reason: str) -> Schedule | None:
        node, before = self.node, self.before
        assert node is not None
        if not self._reasons:
            return node
        moved = before is None or (node.server, node.next) != (before.server, before.next)
        generation, definition, at = node.generation, node.definition, self._now
        if moved or self._anew:
            generation = generation + 1 if before else self.instance.changed
            definition = self.instance.changed
        elif node.next is not None:
            at = node.at  # the time of a hand-over runs from its start
        return replace(
            node,
            generation=generation,
            definition=definition,
            reason=reason,
            at=at,
            failed=self._remembered(node),
        )

    def _remembered(self, node: Schedule) -> dict[str, FailedServer]:
        """Failures with this definition that are not long over."""
        return node.failed and {
            name: each
            for name, each in node.failed.items()
            if self.counts(each) and self._now < each.until + FORGET_AFTER
        }


FORGET_AFTER = 86_400.0
"""Seconds after which a failure that is over no longer makes the next one last longer; the most that one lasts."""
