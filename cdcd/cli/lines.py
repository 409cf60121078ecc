"""Messages on standard output, one a line."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Write = Callable[[list[bytes]], None]


@contextmanager
def standard_output(*, live: bool) -> Iterator[Write]:
    """Where to write messages; `live`: each is seen at once. A reader that goes away (`| head`) ends it without noise."""
    output = sys.stdout.buffer

    def write(lines: list[bytes]) -> None:
        output.write(b"\n".join(lines) + b"\n")
        if live:
            output.flush()

    try:
        try:
            yield write
        finally:
            output.flush()
    except BrokenPipeError:
        # Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
