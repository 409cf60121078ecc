"""What a running instance is doing, in words; and whether it is kept from it. Pure."""

from dataclasses import dataclass
from typing import Literal

Stage = Literal["kafka", "commit", "acknowledgement"]

STALLED = 3.0
"""Seconds. What takes longer is no longer the ordinary course of things."""

_WAITS: dict[Stage, str] = {
    "kafka": "it takes no more messages",
    "commit": "a commit is not answered",
    "acknowledgement": "messages are not acknowledged",
}
_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB")
_NOTABLE = 10_000_000
"""Bytes; a smaller transaction is through before anybody has read of it."""


@dataclass(frozen=True, slots=True)
class Doing:
    """What the words are made of."""

    wait: tuple[Stage, float] | None
    """On what Kafka keeps it waiting, and for how many seconds by now."""
    transaction_bytes: int
    """0: between transactions, or not announced."""
    transaction_read: int
    """0: between transactions."""
    silent: bool
    """The source does not even send heartbeats."""
    caught_up: bool
    lag_seconds: float | None
    lag_bytes: int | None


def blocked(wait: tuple[Stage, float] | None) -> bool:
    """Whether Kafka keeps it from publishing."""
    return wait is not None and wait[1] >= STALLED


def words(doing: Doing) -> str:
    """One phrase, the most telling one."""
    if doing.wait is not None and blocked(doing.wait):
        stage, seconds = doing.wait
        return f"blocked on Kafka for {seconds:.0f} s: {_WAITS[stage]}"
    if doing.silent:
        return "hears nothing from the source, not even a heartbeat"
    if doing.transaction_bytes >= _NOTABLE:
        done = 100 * doing.transaction_read // doing.transaction_bytes
        return f"in a transaction of {size(doing.transaction_bytes)}, {done} %"
    if doing.transaction_read >= _NOTABLE:
        return f"in a transaction, {size(doing.transaction_read)} of it so far"
    if doing.caught_up:
        return "caught up"
    return _behind(doing)


def _behind(doing: Doing) -> str:
    if doing.lag_seconds is None:
        return "reads the first events"
    more = f", {size(doing.lag_bytes)} of binlog" if doing.lag_bytes else ""
    return f"catching up: {doing.lag_seconds:.1f} s behind{more}"


def size(number: int) -> str:
    """`1.2 GB`; units of 1000."""
    value, unit = float(number), 0
    while value >= 1000 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.1f} {_UNITS[unit]}" if unit else f"{number} {_UNITS[0]}"
