"""Values of types that only MariaDB has, against Python's own readers of UUIDs and addresses."""

import ipaddress
import uuid
import zlib

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cdcd.binlog.core.native import ShortRead, render
from cdcd.binlog.schema import Column, Form
from cdcd.errors import UnsupportedEvent

BINARY, LATIN1, UTF8 = 63, 8, 45


def of(form: Form, size: int, value: bytes) -> str:
    """`value` as the column has it; the binlog cuts its trailing zero bytes."""
    column = Column("c", 254, size, nullable=True, collation=BINARY, form=form)
    return render(column, value.rstrip(b"\0")).decode()


def packed(value: bytes, collation: int = UTF8, type_: int = 15) -> bytes:
    return render(Column("c", type_, 3000, nullable=True, collation=collation, compressed=True), value)


def stored(value: uuid.UUID) -> bytes:
    """Versions 1 to 5 with their groups in reverse order (MariaDB documentation, "UUID Data Type")."""
    groups = [bytes.fromhex(group) for group in str(value).split("-")]
    swapped = 0 < value.bytes[6] < 0x60 and value.bytes[8] & 0x80
    return b"".join(reversed(groups)) if swapped else value.bytes


@given(st.uuids(allow_nil=True))
def test_uuid(value: uuid.UUID) -> None:
    """But for those that MariaDB refuses: of version 8 and beyond without variant they could not be told from reversed ones."""
    assume(value.bytes[6] < 0x80 or value.bytes[8] > 0x80)
    assert of("uuid", 16, stored(value)) == str(value)


@given(st.integers(0, 2**32 - 1))
def test_inet4(number: int) -> None:
    assert of("inet4", 4, number.to_bytes(4, "big")) == str(ipaddress.IPv4Address(number))


@given(st.lists(st.sampled_from([0, 0, 0, 1, 0xFFFF, 0x0A0B]), min_size=8, max_size=8))
def test_inet6(groups: list[int]) -> None:
    """Python leaves a single group of zeros as it is, and version 4 within version 6 in hexadecimal: so it reads the text."""
    raw = b"".join(group.to_bytes(2, "big") for group in groups)
    text = of("inet6", 16, raw)
    assert ipaddress.IPv6Address(text).packed == raw
    assert ("::" in text) == (0 in groups)


@pytest.mark.parametrize(("form", "size"), [("uuid", 16), ("inet6", 16), ("inet4", 4)])
def test_longer_than_the_column(form: Form, size: int) -> None:
    with pytest.raises(ShortRead):
        of(form, size, b"\1" * (size + 1))


def raw_deflate(plain: bytes) -> bytes:
    made = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return made.compress(plain) + made.flush()


@given(st.text(max_size=300))
def test_compressed(text: str) -> None:
    plain = text.encode()
    shown = render(Column("c", 15, 3000, nullable=True, collation=UTF8), plain)
    n = len(plain).to_bytes(2, "big")
    assert packed(b"\0" + plain) == shown
    assert packed(b"\x82" + n + zlib.compress(plain)) == shown
    assert packed(b"\x8a" + n + raw_deflate(plain)) == shown


def test_compressed_bytes_and_nothing() -> None:
    assert packed(b"") == b""
    assert packed(b"\0\x00\xff", BINARY, 252) == b"AP8="
    assert packed(b"\0\xe9", LATIN1) == "é".encode()


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (b"\x90\x01x", UnsupportedEvent),
        (b"\x80x", UnsupportedEvent),
        (b"\x85\0\0\0\0\1x", UnsupportedEvent),
        (b"\x01x", UnsupportedEvent),
        (b"\x81", ShortRead),
        (b"\x81\x03" + zlib.compress(b"ab"), ShortRead),
        (b"\x81\x01" + zlib.compress(b"ab"), ShortRead),
        (b"\x81\x02" + zlib.compress(b"ab")[:-1], ShortRead),
        (b"\x81\x02" + raw_deflate(b"ab"), ShortRead),
        (b"\x84\xff\xff\xff\xff" + zlib.compress(b"ab"), ShortRead),
    ],
)
def test_damaged_compression(value: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        packed(value)
