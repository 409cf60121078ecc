"""Dates and times as text, against datetime and values worked out by hand from the layouts in the MySQL manual."""

import datetime as dt
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdcd.binlog.core.native import ShortRead, render
from cdcd.binlog.schema import Column

TIMESTAMP, DATE, TIME, DATETIME, TIMESTAMP2, DATETIME2, TIME2 = 7, 10, 11, 12, 17, 18, 19


def text(type_: int, raw: bytes, digits: int = 0) -> str:
    return render(Column("c", type_, digits, nullable=True), raw).decode()


def stored_fraction(micros: int, digits: int) -> bytes:
    """`micros` cut to `digits` digits, in (digits + 1) / 2 bytes: hundredths, ten-thousandths or millionths."""
    size = (digits + 1) // 2
    kept: int = micros // 10 ** (6 - digits) * 10 ** (2 * size - digits)
    return kept.to_bytes(size, "big")


def shown_fraction(micros: int, digits: int) -> str:
    return f".{micros:06d}"[: digits + 1] if digits else ""


@given(st.dates())
def test_date(value: dt.date) -> None:
    raw = (value.year << 9 | value.month << 5 | value.day).to_bytes(3, "little")
    assert text(DATE, raw) == value.isoformat()


@pytest.mark.parametrize(
    ("year", "month", "day", "shown"),
    [(0, 0, 0, "0000-00-00"), (2024, 0, 15, "2024-00-15"), (2024, 2, 31, "2024-02-31"), (9999, 12, 31, "9999-12-31")],
)
def test_dates_no_calendar_has(year: int, month: int, day: int, shown: str) -> None:
    assert text(DATE, (year << 9 | month << 5 | day).to_bytes(3, "little")) == shown


@given(st.datetimes(), st.integers(0, 6))
def test_datetime(value: dt.datetime, digits: int) -> None:
    packed = (value.year * 13 + value.month) << 22 | value.day << 17
    packed |= value.hour << 12 | value.minute << 6 | value.second
    raw = (packed + 2**39).to_bytes(5, "big") + stored_fraction(value.microsecond, digits)
    shown = value.replace(microsecond=0).isoformat(" ") + shown_fraction(value.microsecond, digits)
    assert text(DATETIME2, raw, digits) == shown


def test_zero_datetime_keeps_its_digits() -> None:
    assert text(DATETIME2, (2**39).to_bytes(5, "big") + b"\0\0", 3) == "0000-00-00 00:00:00.000"


def test_datetime_below_zero_is_an_error() -> None:
    with pytest.raises(ShortRead):
        text(DATETIME2, bytes(5))


@given(st.integers(1, 2**32 - 1), st.integers(0, 999999), st.integers(0, 6))
def test_timestamp_is_utc(seconds: int, micros: int, digits: int) -> None:
    moment = dt.datetime(1970, 1, 1) + dt.timedelta(seconds=seconds)  # noqa: DTZ001 - UTC throughout
    raw = seconds.to_bytes(4, "big") + stored_fraction(micros, digits)
    assert text(TIMESTAMP2, raw, digits) == moment.isoformat(" ") + shown_fraction(micros, digits)
    assert text(TIMESTAMP, struct.pack("<I", seconds)) == moment.isoformat(" ")


def test_timestamp_zero_is_the_zero_date() -> None:
    assert text(TIMESTAMP2, bytes(6), 4) == "0000-00-00 00:00:00.0000"
    assert text(TIMESTAMP, bytes(4)) == "0000-00-00 00:00:00"


@given(st.integers(-(838 * 3600 + 59 * 60 + 59), 838 * 3600 + 59 * 60 + 59), st.integers(0, 999999), st.integers(0, 6))
def test_time(seconds: int, micros: int, digits: int) -> None:
    """As one number: (hour << 12 | minute << 6 | second) * 256^k + fraction, its sign, plus half of the range."""
    size = (digits + 1) // 2
    fraction = stored_fraction(micros, digits)
    hour, minute, second = abs(seconds) // 3600, abs(seconds) // 60 % 60, abs(seconds) % 60
    number = (hour << 12 | minute << 6 | second) << 8 * size | int.from_bytes(fraction, "big")
    raw = ((-number if seconds < 0 else number) + (0x800000 << 8 * size)).to_bytes(3 + size, "big")
    shown = f"{'-' if seconds < 0 else ''}{hour:02d}:{minute:02d}:{second:02d}{shown_fraction(micros, digits)}"
    assert text(TIME2, raw, digits) == shown


@pytest.mark.parametrize(
    ("raw", "digits", "shown"),
    # From the comment on my_time_packed_to_binary in MySQL's source: -00:00:00.01 and its neighbours.
    [
        ("7fffffff", 2, "-00:00:00.01"),
        ("7fffff9d", 2, "-00:00:00.99"),
        ("7fffff00", 2, "-00:00:01.00"),
        ("7ffffeff", 2, "-00:00:01.01"),
        ("7ffffef6", 2, "-00:00:01.10"),
        ("80000000", 2, "00:00:00.00"),
        ("80000001", 2, "00:00:00.01"),
    ],
)
def test_negative_times_with_fractions(raw: str, digits: int, shown: str) -> None:
    assert text(TIME2, bytes.fromhex(raw), digits) == shown


def test_types_of_old_tables() -> None:
    assert text(DATETIME, struct.pack("<Q", 20240229010203)) == "2024-02-29 01:02:03"
    assert text(DATETIME, bytes(8)) == "0000-00-00 00:00:00"
    assert text(TIME, (-8385959).to_bytes(3, "little", signed=True)) == "-838:59:59"
    assert text(TIME, (10203).to_bytes(3, "little")) == "01:02:03"


@pytest.mark.parametrize(
    ("type_", "digits", "raw", "shown"),
    # As MariaDB 10.5 logs them with mysql56_temporal_format=OFF.
    [
        (TIMESTAMP, 0, "a55d0d5e", "2020-01-02 03:04:05"),
        (TIMESTAMP, 3, "5e0d5da502a6", "2020-01-02 03:04:05.678"),
        (DATETIME, 2, "069a810a46b7", "2020-01-02 03:04:05.67"),
        (TIME, 0, "25d8ff", "-01:02:03"),
        (TIME, 6, "02be5fef0aeb", "-01:02:03.456789"),
    ],
)
def test_fractions_in_old_tables_of_mariadb(type_: int, digits: int, raw: str, shown: str) -> None:
    assert text(type_, bytes.fromhex(raw), digits) == shown


@pytest.mark.parametrize(("type_", "size"), [(TIMESTAMP, 6), (DATETIME, 7), (TIME, 5)])
def test_zero_with_a_fraction_in_old_tables_of_mariadb(type_: int, size: int) -> None:
    raw = (3_020_400 * 10**3 if type_ == TIME else 0).to_bytes(size, "big")
    assert text(type_, raw, 3) == ("00:00:00.000" if type_ == TIME else "0000-00-00 00:00:00.000")
