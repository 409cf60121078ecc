"""`compat: strict` beside a JVM: texts of floats, doubles and TIMESTAMP as canal's own runtime makes them."""

import random
import re
import struct
import subprocess
from pathlib import Path

import pytest

from cdcd.binlog.core.native import Zone, render
from cdcd.binlog.schema import Column
from cdcd.formats.zones import zone
from tests.instances import Figures

SEED = 20261123
EACH = 6_000
ZONES = ("UTC", "Asia/Shanghai", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "America/Sao_Paulo")
UTC_ZONE = Zone([0], [0])


def said(lines: list[str]) -> list[str]:
    """What the JVM says to each line; skips where it cannot compile."""
    program = Path(__file__).with_name("JavaText.java")
    done = subprocess.run(["java", str(program)], input="\n".join(lines), capture_output=True, text=True, check=False)
    if "jdk.compiler" in done.stderr or "ClassNotFoundException" in done.stderr:
        pytest.skip("this Java has no compiler")
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def shown(type_: int, raw: bytes, where: Zone = UTC_ZONE) -> str:
    return render(Column("c", type_, 0, nullable=True), raw, where).decode()


def floats(random_: random.Random) -> list[int]:
    edges = [0, 1, 2, 3, 0x007FFFFF, 0x00800000, 0x7F7FFFFF, 0x3F800000, 0x4B800000]
    some = [struct.unpack("<I", struct.pack("<f", n / 1000))[0] for n in range(3000)]
    return [*edges, *(bits | 1 << 31 for bits in edges), *some, *(random_.getrandbits(32) for _ in range(EACH))]


def doubles(random_: random.Random) -> list[int]:
    edges = [0, 1, 2, 3, (1 << 52) - 1, 1 << 52, 0x7FEFFFFFFFFFFFFF, 0x3FF0000000000000]
    some = [struct.unpack("<Q", struct.pack("<d", 10.0**n))[0] for n in range(-30, 31)]
    more = [struct.unpack("<Q", struct.pack("<d", random_.uniform(-1e8, 1e8)))[0] for _ in range(EACH)]
    return [*edges, *(bits | 1 << 63 for bits in edges), *some, *more, *(random_.getrandbits(64) for _ in range(EACH))]


def is_finite(bits: int, size: int) -> bool:
    mask = 0x7F800000 if size == 4 else 0x7FF0000000000000
    return bits & mask != mask


NOTATION = re.compile(r"-?\d+\.\d+(E-?\d+)?")


def test_floats_and_doubles(figures: Figures) -> None:
    """A JVM before 19 shows some with a digit too many: there ours is shorter, and the same value."""
    random_ = random.Random(SEED)
    values = [("F", 4, bits) for bits in floats(random_) if is_finite(bits, 4)]
    values += [("D", 8, bits) for bits in doubles(random_) if is_finite(bits, 8)]
    theirs = said([f"{kind} {bits:x}" for kind, _, bits in values])
    longer = 0
    for (kind, size, bits), java in zip(values, theirs, strict=True):
        raw = bits.to_bytes(size, "little")
        ours = shown(4 if kind == "F" else 5, raw)
        if ours == java:
            continue
        longer += 1
        assert NOTATION.fullmatch(ours)
        assert struct.pack("<f" if size == 4 else "<d", float(ours)) == raw
        assert len(ours) <= len(java), (ours, java)
        assert ("E" in ours) is ("E" in java)
    figures({"seed": SEED, "values": len(values), "shorter_than_java_17s": longer})
    assert longer < len(values) // 20


def test_timestamps(figures: Figures) -> None:
    """To 2106, as far as MariaDB counts."""
    random_ = random.Random(SEED)
    asked = [(name, random_.randrange(1, 2**32)) for name in ZONES for _ in range(600)]
    lines = [line for name in ZONES for line in (f"Z {name}", *(f"T {at}" for zone_, at in asked if zone_ == name))]
    theirs = [text.removesuffix(".0") for line, text in zip(lines, said(lines), strict=True) if line[0] == "T"]
    ours = [shown(7, at.to_bytes(4, "little"), zone(name)) for name, at in asked]
    wrong = [(ask, one, other) for ask, one, other in zip(asked, ours, theirs, strict=True) if one != other]
    assert not wrong
    figures({"seed": SEED, "timestamps": len(asked)})
