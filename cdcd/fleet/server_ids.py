"""Which MySQL `server_id` an instance uses for its dumps: no two instances of the fleet the same.

A source ends the older of two dumps with equal ids, so that two such instances would throw each other out for ever
(MySQL manual, "Replication and Binary Logging Options", server_id).
"""

import zlib
from collections.abc import Container

LOWEST = 1 << 31
"""The upper half of the range, where no replica that was configured by hand is likely to be."""


def first_choice(cluster: str, instance: str) -> int:
    """The number that an instance has if no other instance has it."""
    return zlib.crc32(f"{cluster}/{instance}".encode()) | LOWEST


def choose(cluster: str, instance: str, taken: Container[int]) -> int:
    """The first choice or the next number that is free."""
    number = first_choice(cluster, instance)
    while number in taken:
        number = following(number)
    return number


def following(number: int) -> int:
    """The next one; after the highest the lowest."""
    return LOWEST | (number + 1) & 0xFFFFFFFF
