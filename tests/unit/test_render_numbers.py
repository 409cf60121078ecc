"""Numbers as text, against Python's own arithmetic and literals of the MySQL manual."""

import math
import struct
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdcd.binlog.core.native import ShortRead, render
from cdcd.binlog.schema import Column


def column(type_: int, meta: int = 0, *, unsigned: bool = False) -> Column:
    return Column("c", type_, meta, nullable=True, unsigned=unsigned)


TINY, SHORT, LONG, FLOAT, DOUBLE, LONGLONG, INT24, YEAR, BIT, VECTOR, NEWDECIMAL = 1, 2, 3, 4, 5, 8, 9, 13, 16, 242, 246
SIZES = {TINY: 1, SHORT: 2, INT24: 3, LONG: 4, LONGLONG: 8}


@given(st.sampled_from(sorted(SIZES)), st.booleans(), st.data())
def test_integers(type_: int, unsigned: bool, data: st.DataObject) -> None:
    bits = SIZES[type_] * 8
    low, high = (0, 2**bits - 1) if unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    digits = data.draw(st.integers(0, 20))
    value = data.draw(
        st.one_of(st.integers(low, high), st.integers(max(low, -(10**digits)), min(high, 10**digits)), st.just(low))
    )
    raw = value.to_bytes(SIZES[type_], "little", signed=not unsigned)
    assert render(column(type_, unsigned=unsigned), raw) == str(value).encode()


@given(st.integers(1, 64), st.data())
def test_bit_is_big_endian(bits: int, data: st.DataObject) -> None:
    value = data.draw(st.integers(0, 2**bits - 1))
    assert render(column(BIT, bits), value.to_bytes((bits + 7) // 8, "big")) == str(value).encode()


@pytest.mark.parametrize(("raw", "text"), [(0, "0000"), (1, "1901"), (255, "2155"), (124, "2024")])
def test_year(raw: int, text: str) -> None:
    assert render(column(YEAR), bytes((raw,))) == text.encode()


def encode_decimal(value: Decimal, precision: int, scale: int) -> bytes:
    """The layout of the manual's internals page on DECIMAL storage, written down a second time from its text."""
    sign, digits, exponent = value.as_tuple()
    text = "".join(map(str, digits)).rjust(-int(exponent) if exponent else 0, "0")
    whole, fraction = (text[:-scale], text[-scale:]) if scale else (text, "")
    whole = whole.rjust(precision - scale, "0")
    head = len(whole) % 9
    groups = ([whole[:head]] if head else []) + [whole[i : i + 9] for i in range(head, len(whole), 9)]
    groups += [fraction[i : i + 9] for i in range(0, len(fraction), 9)]
    sizes = (0, 1, 1, 2, 2, 3, 3, 4, 4, 4)
    raw = bytearray(b"".join(int(group).to_bytes(sizes[len(group)], "big") for group in groups))
    raw[0] ^= 0x80
    return bytes(byte ^ 0xFF for byte in raw) if sign else bytes(raw)


def test_the_manuals_decimal() -> None:
    # "1234567890.1234" in DECIMAL(14,4): 81 0D FB 38 D2 04 D2, and its negative with every bit inverted.
    assert render(column(NEWDECIMAL, 14 << 8 | 4), bytes.fromhex("810dfb38d204d2")) == b"1234567890.1234"
    assert render(column(NEWDECIMAL, 14 << 8 | 4), bytes.fromhex("7ef204c72dfb2d")) == b"-1234567890.1234"


@given(st.integers(1, 65), st.data())
def test_decimals(precision: int, data: st.DataObject) -> None:
    scale = data.draw(st.integers(0, min(30, precision)))
    size = data.draw(st.integers(0, precision))
    unscaled = data.draw(st.integers(-(10**size) + 1, 10**size - 1))
    digits = tuple(map(int, str(abs(unscaled)).rjust(scale + 1, "0")))
    value = Decimal((1 if unscaled < 0 else 0, digits, -scale))
    text = render(column(NEWDECIMAL, precision << 8 | scale), encode_decimal(value, precision, scale))
    assert text.decode() == format(value, "f")


DOUBLES = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.builds(lambda m, e: m * 10.0**e, st.integers(-(10**6), 10**6), st.integers(-30, 30)),
    st.builds(lambda m, d: round(m / 7, d), st.integers(-(10**9), 10**9), st.integers(0, 9)),
    st.integers(-(2**60), 2**60).map(float),
    st.integers(-1074, 1023).map(lambda e: 2.0**e),
)


def digits_of(text: str) -> str:
    return text.lstrip("-").split("e")[0].replace(".", "").strip("0")


@given(DOUBLES)
def test_doubles_read_back_and_are_the_shortest(value: float) -> None:
    text = render(column(DOUBLE), struct.pack("<d", value)).decode()
    assert struct.pack("<d", float(text)) == struct.pack("<d", value)
    assert len(digits_of(text)) <= len(digits_of(repr(value)))  # repr is the shortest (PEP 3101, sys.float_repr_style)


@pytest.mark.parametrize(
    ("value", "text"),
    # What MySQL 9.7 prints for these (SELECT).
    [
        (0.0, "0"),
        (-0.0, "-0"),
        (1.1, "1.1"),
        (100.0, "100"),
        (1e14, "100000000000000"),
        (1e15, "1e15"),
        (1234567890123456.8, "1234567890123456.8"),
        (123456789012345680.0, "1.2345678901234568e17"),
        (1e-15, "0.000000000000001"),
        (1e-16, "1e-16"),
        (1.7976931348623157e308, "1.7976931348623157e308"),
        (2.2250738585072014e-308, "2.2250738585072014e-308"),
        (5e-324, "5e-324"),
    ],
)
def test_doubles_look_as_mysql_prints_them(value: float, text: str) -> None:
    assert render(column(DOUBLE), struct.pack("<d", value)) == text.encode()


FLOATS = st.one_of(
    st.integers(0, 2**32 - 1).map(lambda bits: struct.unpack("<f", struct.pack("<I", bits))[0]),
    st.floats(width=32, allow_nan=False, allow_infinity=False),
    st.integers(-(10**7), 10**7).map(lambda i: struct.unpack("<f", struct.pack("<f", i / 100))[0]),
    st.integers(-126, 127).map(lambda e: 2.0**e),
).filter(math.isfinite)


def shortest_digits(value: float) -> int:
    """Fewest digits of the nearest decimals that read back as the 32-bit float."""
    raw = struct.pack("<f", value)
    for digits in range(1, 10):
        try:
            if struct.pack("<f", float(f"{value:.{digits - 1}e}")) == raw:
                return digits
        except OverflowError:
            continue
    return 0


@given(FLOATS)
def test_floats_read_back_and_are_the_shortest(value: float) -> None:
    text = render(column(FLOAT), struct.pack("<f", value)).decode()
    assert struct.pack("<f", float(text)) == struct.pack("<f", value)
    assert len(digits_of(text)) <= shortest_digits(value)


@pytest.mark.parametrize(
    ("value", "text"), [(1.1, "1.1"), (3.4028234663852886e38, "3.4028235e38"), (1.401298464324817e-45, "1e-45")]
)
def test_floats(value: float, text: str) -> None:
    assert render(column(FLOAT), struct.pack("<f", value)) == text.encode()


def test_vector() -> None:
    assert render(column(VECTOR, 4), struct.pack("<4f", 1.5, 2, -0.1, 1e20)) == b"[1.5,2,-0.1,1e20]"
    assert render(column(VECTOR, 4), b"") == b"[]"


@pytest.mark.parametrize(
    ("what", "raw"),
    [
        (column(LONG), b"\0\0\0"),
        (column(NEWDECIMAL, 14 << 8 | 4), b"\x81\x0d"),
        (column(NEWDECIMAL, 9 << 8), b"\xff\xff\xff\xff"),  # 2147483647 in a group of nine digits
        (column(VECTOR, 4), b"\0" * 5),
        (column(BIT, 9), b"\0"),
    ],
)
def test_a_value_that_is_not_its_type_is_an_error(what: Column, raw: bytes) -> None:
    with pytest.raises(ShortRead):
        render(what, raw)
