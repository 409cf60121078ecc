"""What an operator reads of a running instance."""

from typing import Any

import pytest

from cdcd.worker.activity import Doing, blocked, size, words

QUIET: dict[str, Any] = {
    "wait": None,
    "transaction_bytes": 0,
    "transaction_read": 0,
    "silent": False,
    "caught_up": True,
    "lag_seconds": 0.0,
    "lag_bytes": 0,
}


@pytest.mark.parametrize(
    ("doing", "said"),
    [
        ({}, "caught up"),
        ({"wait": ("commit", 12.4)}, "blocked on Kafka for 12 s: a commit is not answered"),
        ({"wait": ("kafka", 600.0)}, "blocked on Kafka for 600 s: it takes no more messages"),
        ({"wait": ("acknowledgement", 4.0)}, "blocked on Kafka for 4 s: messages are not acknowledged"),
        ({"wait": ("commit", 0.4)}, "caught up"),
        (
            {"transaction_bytes": 1_200_000_000, "transaction_read": 516_000_000, "caught_up": False},
            "in a transaction of 1.2 GB, 43 %",
        ),
        ({"transaction_read": 30_000_000, "caught_up": False}, "in a transaction, 30.0 MB of it so far"),
        ({"silent": True, "caught_up": False}, "hears nothing from the source, not even a heartbeat"),
        (
            {"caught_up": False, "lag_seconds": 61.53, "lag_bytes": 3_400_000_000},
            "catching up: 61.5 s behind, 3.4 GB of binlog",
        ),
        ({"caught_up": False, "lag_seconds": None}, "reads the first events"),
    ],
)
def test_words(doing: dict[str, Any], said: str) -> None:
    assert words(Doing(**(QUIET | doing))) == said


def test_an_ordinary_wait_blocks_nothing() -> None:
    assert [blocked(wait) for wait in (None, ("commit", 2.9), ("commit", 3.0))] == [False, False, True]


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (10**18, "1000.0 PB")]
)
def test_size(number: int, said: str) -> None:
    assert size(number) == said
