"""A cdcd process whose wall clock differs from ours.

Only what Python code reads is shifted. Shifted below it, in the C library, librdkafka would wait for that much longer: it
waits until points in time.
"""

from pathlib import Path

_SOURCE = """\
import os
import time

_shift = int(os.environ["CLOCK_SHIFT_SECONDS"])
_time, _time_ns = time.time, time.time_ns
time.time = lambda: _time() + _shift
time.time_ns = lambda: _time_ns() + _shift * 1_000_000_000
"""


def other_clock(folder: Path, seconds: int) -> dict[str, str]:
    """Environment of a Python process whose clock is to be `seconds` ahead of ours; `folder` takes what it loads first."""
    (folder / "sitecustomize.py").write_text(_SOURCE)
    return {"PYTHONPATH": str(folder), "CLOCK_SHIFT_SECONDS": str(seconds)}
