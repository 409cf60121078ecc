"""Durations and sizes as operators write them: `250ms`, `16MiB`.

A bare number is refused: its reader would have to guess the unit.
"""

import re

_DURATION_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}
_SIZE_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}

DURATION_PATTERN = r"^[0-9]{1,12}(ms|s|m|h)$"
SIZE_PATTERN = r"^[0-9]{1,15}(B|KiB|MiB|GiB)$"


def parse_duration(text: str) -> float:
    """`5ms`, `10s`, `5m`, `1h` in seconds. ValueError for anything else."""
    number, unit = _split(text, DURATION_PATTERN, "a whole number with a unit ms, s, m or h, such as 250ms")
    return number * _DURATION_UNITS_MS[unit] / 1000


def format_duration(seconds: float) -> str:
    """The inverse of `parse_duration`, in the largest unit that divides it; finer than 1 ms is rounded."""
    return _largest(round(seconds * 1000), _DURATION_UNITS_MS, "s")


def parse_size(text: str) -> int:
    """`512B`, `64KiB`, `16MiB`, `1GiB` in bytes. ValueError for anything else."""
    number, unit = _split(text, SIZE_PATTERN, "a whole number with a unit B, KiB, MiB or GiB, such as 16MiB")
    return number * _SIZE_UNITS[unit]


def format_size(size: int) -> str:
    """The inverse of `parse_size`, in the largest unit that divides it."""
    return _largest(size, _SIZE_UNITS, "B")


def _split(text: str, pattern: str, expected: str) -> tuple[int, str]:
    match = re.fullmatch(pattern.strip("^$"), text, re.ASCII)
    if match is None:
        raise ValueError(f"must be {expected}")
    unit = match[1]
    return int(text.removesuffix(unit)), unit


def _largest(amount: int, units: dict[str, int], unit_of_zero: str) -> str:
    if amount == 0:
        return f"0{unit_of_zero}"
    unit = max((unit for unit in units if amount % units[unit] == 0), key=units.__getitem__)
    return f"{amount // units[unit]}{unit}"
