"""Mutated real events: a typed error with the event's place, or well-formed messages; never a crash, never an endless loop.

The machinery is that of `make fuzz` (tests/fuzz), which runs for as long as one likes.
"""

import json
import random
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from cdcd.binlog.core.native import NEED_BYTES
from cdcd.errors import BinlogError
from tests.decoding import NOW_MS, a_decoder, hear
from tests.fuzz.inputs import Case, Mutator, framed, seeds, stream
from tests.fuzz.judge import a_catalog, judge
from tests.recording import recorded

ROOT = Path(__file__).parents[2]
SEEDS = seeds()


def test_the_recording_itself() -> None:
    heard = hear(recorded(), a_decoder(a_catalog()))
    assert heard.decoder.transactions > 150
    assert len(heard.messages) > 500


def test_the_seeds_themselves() -> None:
    """What servers sent can be read, framed anew; what was made by hand holds refused events too."""
    assert len(SEEDS) > 150
    for case in SEEDS[::4]:
        assert judge(framed(case, checksums=True), sound=True) in {"read", "unsupported", "finding"}, case
    outcomes = [judge(framed(case, checksums=False), sound=True) for case in SEEDS[2::4]]
    assert outcomes.count("read") > 0.9 * len(outcomes)


def test_mutations_with_the_normal_core() -> None:
    rng = random.Random(2)
    mutator = Mutator(rng, list(SEEDS))
    outcomes: set[str] = set()
    for number in range(1500):
        data, sound = stream(rng, mutator.next())
        try:
            outcomes.add(judge(data, rng.choice((1, 1, 3)), sound=sound))
        except (BinlogError, AssertionError, ValueError, LookupError, TypeError, OverflowError) as error:
            pytest.fail(f"input {number}: {type(error).__name__}: {error}")
    assert outcomes >= {"malformed", "unsupported", "read"}


def test_mutations_with_the_sanitized_core() -> None:
    """A short run of `make fuzz`."""
    done = subprocess.run(
        (sys.executable, "-m", "tests.fuzz", "--seconds", "5"), cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode == 2:
        pytest.skip(done.stderr)
    told = json.loads(done.stdout)
    assert told["findings"] == []
    assert set(told["outcomes"]) >= {"malformed", "read"}


def test_sizes_that_lie() -> None:
    """A packet that announces more waits for it; an event that announces other than its packet is refused."""
    data = recorded()
    decoder = a_decoder(a_catalog())
    decoder.feed(b"\xfe\xff\xff\x01" + data[4:2000])
    assert decoder.decode(NOW_MS) == NEED_BYTES
    for size in (0, 18, 19, 20, 1 << 31, (1 << 32) - 1):
        assert judge(data[:14] + struct.pack("<I", size) + data[18:2000]) == "malformed"


def test_coverage_is_gone_on_from() -> None:
    mutator = Mutator(random.Random(3), list(SEEDS[:5]))
    one = Case(SEEDS[0].head, SEEDS[0].events[:1])
    mutator.learn(one)
    assert mutator.corpus[-1] is one
