"""Secrets never reach a log line."""

import re
import threading
from collections.abc import Mapping
from typing import Any

from cdcd.observe.line_length import both_ends

HIDDEN = "[redacted]"
TEXT_LIMIT = 16_384
"""Characters of one value; of a longer one the middle is left out."""
SHORTEST = 6
"""Characters of a secret that is blotted out in texts: of a shorter one, such as `root`, every place where the word happens to stand would tell it."""

_SECRET_NAME = re.compile(r"passw|secret|token|private_?key", re.IGNORECASE)


class Redactor:
    """Makes values plain (text, numbers, None, lists, dicts) and blots out secrets.

    Secrets are the values it was told of, and whatever stands under a name such as `password`.
    """

    def __init__(self) -> None:
        self._secrets: tuple[str, ...] = ()
        self._adding = threading.Lock()

    def hide(self, secret: str) -> None:
        """Blot out `secret` from now on wherever it appears, also as repr() shows it. From any thread."""
        if len(secret) < SHORTEST or secret in self._secrets:
            return
        forms = {secret, repr(secret)[1:-1]}
        with self._adding:
            # Longest first: a secret may contain another.
            self._secrets = tuple(sorted({*self._secrets, *forms}, key=len, reverse=True))

    def plain(self, value: object) -> Any:
        match value:
            case None | bool() | float():
                return value
            case int():
                return value if -(2**63) <= value < 2**64 else str(value)
            case str():
                return self._text(value)
            case Mapping():
                return {self._text(str(name)): self.member(str(name), each) for name, each in value.items()}
            case list() | tuple() | set() | frozenset():
                return [self.plain(each) for each in value]
        return self._text(str(value))

    def member(self, name: str, value: object) -> Any:
        """`value` as it may be shown under `name`."""
        return HIDDEN if _SECRET_NAME.search(name) and value is not None else self.plain(value)

    def _text(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        if len(text) > TEXT_LIMIT:
            text = both_ends(text, TEXT_LIMIT)
        # Lone surrogates, as os.fsdecode makes them, are no UTF-8.
        return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
