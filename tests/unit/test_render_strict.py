"""Values as canal shows them (`compat: strict`): texts of the Java API's documentation, and of Python for the rest.

tests/integration/test_java_text.py compares with a JVM.
"""

import json
import struct
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cdcd.binlog.core.native import ShortRead, Zone, render
from cdcd.binlog.schema import Column
from cdcd.formats.zones import changes, zone

UTC_ZONE = Zone([0], [0])
FLOAT, DOUBLE, TIMESTAMP, TIMESTAMP2, ENUM, SET, GEOMETRY = 4, 5, 7, 17, 247, 248, 255


def shown(type_: int, raw: bytes, meta: int = 0, collation: int = 0, where: Zone = UTC_ZONE) -> str:
    text: str = json.loads(
        b'"' + render(Column("c", type_, meta, nullable=True, collation=collation), raw, where) + b'"'
    )
    return text


JAVA_DOUBLES = {
    0.0: "0.0", 1.0: "1.0", 100.0: "100.0", 0.001: "0.001", 0.002: "0.002", 0.00099: "9.9E-4",
    9999999.0: "9999999.0", 1e7: "1.0E7", 12345678.9: "1.23456789E7", -1.5e-300: "-1.5E-300", 2e23: "2.0E23",
    5e-324: "4.9E-324", 1.7976931348623157e308: "1.7976931348623157E308", 2.2250738585072014e-308: "2.2250738585072014E-308",
    1.1: "1.1", 123456.789: "123456.789", 9007199254740993.0: "9.007199254740992E15", 0.1 + 0.2: "0.30000000000000004",
}  # fmt: skip
"""Double.MIN_VALUE, MAX_VALUE, MIN_NORMAL and the borders of the notations (Java SE 19 API, Double.toString)."""


@pytest.mark.parametrize(("value", "text"), JAVA_DOUBLES.items())
def test_doubles_as_java_shows_them(value: float, text: str) -> None:
    assert shown(DOUBLE, struct.pack("<d", value)) == text


def test_negative_zero_is_not_zero() -> None:
    assert [shown(DOUBLE, struct.pack("<d", value)) for value in (0.0, -0.0)] == ["0.0", "-0.0"]
    assert [shown(FLOAT, struct.pack("<f", value)) for value in (0.0, -0.0)] == ["0.0", "-0.0"]


def java(digits: Decimal) -> str:
    """Layout of Double.toString for the shortest decimal."""
    sign, figures, exponent = digits.normalize().as_tuple()
    assert isinstance(exponent, int)
    text, point = "".join(map(str, figures)), len(figures) + exponent
    if -3 < point <= 7:
        plain = f"{abs(digits):f}"
        return "-" * sign + (plain if "." in plain else plain + ".0")
    return "-" * sign + f"{text[0]}.{text[1:] or '0'}E{point - 1}"


@given(st.floats(allow_nan=False, allow_infinity=False).filter(lambda value: abs(value) > 1e-320))
@example(1e-3)
@example(9.999e-4)
@example(1e22)
def test_any_double(value: float) -> None:
    assert shown(DOUBLE, struct.pack("<d", value)) == java(Decimal(repr(value)))


JAVA_FLOATS = {
    1.1: "1.1", 1e10: "1.0E10", 16777216.0: "1.6777216E7", 1.4e-45: "1.4E-45", 2.8e-45: "2.8E-45", 3.4028235e38: "3.4028235E38",
    0.3: "0.3", 123456.789: "123456.79", 9.8e-45: "9.8E-45",
}  # fmt: skip
"""Float.MIN_VALUE and MAX_VALUE are among them."""


@pytest.mark.parametrize(("value", "text"), JAVA_FLOATS.items())
def test_floats_as_java_shows_them(value: float, text: str) -> None:
    assert shown(FLOAT, struct.pack("<f", value)) == text


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_any_float_reads_back(value: float) -> None:
    assert struct.pack("<f", float(shown(FLOAT, struct.pack("<f", value)))) == struct.pack("<f", value)


@pytest.mark.parametrize(
    ("type_", "size", "number"), [(ENUM, 1, 2), (ENUM, 1, 0), (ENUM, 2, 65535), (SET, 1, 5), (SET, 8, 2**64 - 1)]
)
def test_members_are_numbers(type_: int, size: int, number: int) -> None:
    assert shown(type_, number.to_bytes(size, "little"), size) == str(number)


@pytest.mark.parametrize("type_", [15, 252, 254])
def test_binary_is_latin_1(type_: int) -> None:
    """BINARY(n) as it stands in the binlog: without its trailing zero bytes."""
    every = bytes(range(256))
    assert shown(type_, every, 300 if type_ != 252 else 2, 63) == every.decode("latin-1")
    assert shown(GEOMETRY, every, 4) == every.decode("latin-1")


@pytest.mark.parametrize("name", ["UTC", "Asia/Shanghai", "America/New_York", "Africa/Monrovia", "Australia/Lord_Howe"])
@given(seconds=st.integers(1, 2**32 - 1), digits=st.integers(0, 6))
@example(seconds=1, digits=0)
@example(seconds=2**32 - 1, digits=6)
@example(seconds=1710054000, digits=0)  # the first second of summer time in New York, 2024
@example(seconds=1710053999, digits=3)
def test_timestamps_in_the_zone_of_the_jvm(name: str, seconds: int, digits: int) -> None:
    size = (digits + 1) // 2
    raw = (
        seconds.to_bytes(4, "big") + (5 * 10 ** (2 * size - 1)).to_bytes(size, "big")
        if size
        else seconds.to_bytes(4, "big")
    )
    local = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)).astimezone(ZoneInfo(name))
    text = local.strftime("%Y-%m-%d %H:%M:%S")
    assert shown(TIMESTAMP2, raw, digits, where=zone(name)) == text + (f".5{'0' * (digits - 1)}" if digits else "")
    assert shown(TIMESTAMP, seconds.to_bytes(4, "little"), where=zone(name)) == text


def test_the_zero_date_has_no_zone() -> None:
    assert shown(TIMESTAMP2, bytes(5), 2, where=zone("Asia/Tokyo")) == "0000-00-00 00:00:00.00"


def test_changes_of_a_zone() -> None:
    """Shanghai's last summer time ended on 1991-09-15, at 02:00 by the clock before it (tz database)."""
    starts, offsets = changes(ZoneInfo("Asia/Shanghai"))
    assert (starts[0], offsets[0], offsets[-1]) == (0, 28800, 28800)
    assert datetime.fromtimestamp(starts[-1], UTC).isoformat() == "1991-09-14T17:00:00+00:00"


@pytest.mark.parametrize(
    ("starts", "offsets"), [([], []), ([1], [0]), ([0, 5, 5], [0, 1, 2]), ([0], [86400]), ([0, 9], [0])]
)
def test_no_zone(starts: list[int], offsets: list[int]) -> None:
    with pytest.raises(ValueError, match="time zone"):
        Zone(starts, offsets)


@pytest.mark.parametrize("type_", [FLOAT, DOUBLE, TIMESTAMP, TIMESTAMP2, ENUM, SET])
def test_values_of_another_size(type_: int) -> None:
    with pytest.raises(ShortRead):
        shown(type_, bytes(3), 1 if type_ in {ENUM, SET} else 0)
