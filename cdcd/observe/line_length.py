"""Log lines that reach a shared pipe whole.

A server and its workers write to one pipe. What is written to it in one call comes out in one piece up to PIPE_BUF bytes
(pipe(7)); of a longer line another process's could come in between.
"""

import select
from collections.abc import Mapping
from typing import Any

import orjson

LINE_BYTES = select.PIPE_BUF - 1
"""Of JSON, without the newline."""

_MARK_CHARACTERS = 50
"""At most, of what says how much was left out."""
_ROUNDS = 8
"""Texts whose characters take more bytes in the middle than at the ends take several."""


def fitted(event: Mapping[str, Any], limit: int = LINE_BYTES) -> bytes:
    """`event` as JSON of at most `limit` bytes: of the longest values the middle is left out, as often as it takes."""
    line = orjson.dumps(event)
    for _ in range(len(event) + _ROUNDS):
        if len(line) <= limit:
            break
        sizes = {name: len(orjson.dumps(value)) for name, value in event.items()}
        longest = max(sizes, key=lambda name: sizes[name])
        share = 1 - (len(line) - limit) / sizes[longest]
        text = _text(event[longest])
        event = {**event, longest: both_ends(text, int(len(text) * share))}
        line = orjson.dumps(event)
    return line


def both_ends(text: str, characters: int) -> str:
    """So many characters of a longer text: a traceback begins with what was called, and ends with what went wrong."""
    half = max(0, characters - _MARK_CHARACTERS) // 2
    return f"{text[:half]} ...[{len(text) - 2 * half} characters left out]... {text[len(text) - half :]}"


def _text(value: object) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()
