"""JSONB as MySQL's text: against documents encoded here from the layout in MySQL's json_binary.h, and literals a
MySQL 9.7 server printed.
"""

import base64
import datetime as dt
import json
import struct
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdcd.binlog.core.native import ShortRead, render
from cdcd.binlog.schema import Column

JSON = Column("c", 245, 4, nullable=True)
INTEGERS = ((5, "<h"), (6, "<H"), (7, "<i"), (8, "<I"), (9, "<q"), (10, "<Q"))


class Opaque:
    """A value JSON has no type for: a column type and its bytes."""

    def __init__(self, type_: int, raw: bytes) -> None:
        self.type = type_
        self.raw = raw


def varint(n: int) -> bytes:
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def scalar(value: Any) -> tuple[int, bytes]:
    if value is None or isinstance(value, bool):
        return 4, bytes(((None, True, False).index(value),))
    if isinstance(value, int):
        for type_, layout in INTEGERS:
            try:
                return type_, struct.pack(layout, value)
            except struct.error:
                continue
    if isinstance(value, float):
        return 11, struct.pack("<d", value)
    if isinstance(value, Opaque):
        return 15, bytes((value.type,)) + varint(len(value.raw)) + value.raw
    raw = value.encode()
    return 12, varint(len(raw)) + raw


def container(value: Any, width: int) -> bytes:
    """Count, size, key entries, value entries, keys, values. Values of up to `width` bytes stand in their entry."""
    number = "<H" if width == 2 else "<I"
    pairs = sorted(value.items(), key=lambda p: (len(p[0].encode()), p[0].encode())) if isinstance(value, dict) else []
    keys = [key.encode() for key, _ in pairs]
    members = [member for _, member in pairs] if isinstance(value, dict) else list(value)
    start = 2 * width + len(keys) * (2 + width) + len(members) * (1 + width)
    key_table, value_table, tail = b"", b"", b"".join(keys)
    at = start
    for key in keys:
        key_table += struct.pack(number, at) + struct.pack("<H", len(key))
        at += len(key)
    for member in members:
        type_, raw = encode(member, width)
        if type_ in ((4, 5, 6) if width == 2 else (4, 5, 6, 7, 8)):
            value_table += bytes((type_,)) + raw.ljust(width, b"\0")
        else:
            value_table += bytes((type_,)) + struct.pack(number, start + len(tail))
            tail += raw
    size = start + len(tail)
    return struct.pack(number, len(members)) + struct.pack(number, size) + key_table + value_table + tail


def encode(value: Any, width: int) -> tuple[int, bytes]:
    if isinstance(value, (dict, list)):
        return (0 if isinstance(value, dict) else 2) + (width == 4), container(value, width)
    return scalar(value)


def document(value: Any, width: int = 2) -> bytes:
    type_, raw = encode(value, width)
    return bytes((type_,)) + raw


def shown(raw: bytes) -> str:
    """The document's text, out of the JSON string it is rendered into."""
    text: str = json.loads(b'"' + render(JSON, raw) + b'"')
    return text


TEXT = st.text(st.one_of(st.characters(codec="utf-8"), st.sampled_from('"\\\n\x1f')), max_size=8)
NUMBERS = st.one_of(st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False, allow_infinity=False))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXT, inner, max_size=4)),
    max_leaves=12,
)


@given(VALUES, st.sampled_from([2, 4]))
def test_documents_come_back(value: Any, width: int) -> None:
    assert json.loads(shown(document(value, width))) == value


@given(NUMBERS)
def test_numbers_keep_their_kind(value: float) -> None:
    assert repr(json.loads(shown(document(value)))) == repr(value)


def test_it_looks_as_mysql_prints_it() -> None:
    # SELECT JSON_OBJECT('bb',1,'a',2,'c',3,'aaa',4,'',5) on MySQL 9.7
    value = {"bb": 1, "a": 2, "c": 3, "aaa": 4, "": 5}
    assert shown(document(value)) == '{"": 5, "a": 2, "c": 3, "bb": 1, "aaa": 4}'
    # SELECT JSON_ARRAY(1e15, 1e14, 1.5e0, -0e0, 1e-16, true, null) and the empty ones
    array: list[Any] = [1e15, 1e14, 1.5, -0.0, 1e-16, True, None, {}, []]
    assert shown(document(array)) == "[1e15, 100000000000000.0, 1.5, -0.0, 1e-16, true, null, {}, []]"
    assert shown(document('q"\\/\x08\x0c\n\r\t\x01\x7fé')) == r'"q\"\\/\b\f\n\r\t\u0001' + '\x7fé"'


def packed(value: dt.datetime) -> bytes:
    date = (value.year * 13 + value.month) << 5 | value.day
    clock = value.hour << 12 | value.minute << 6 | value.second
    return struct.pack("<q", (date << 17 | clock) << 24 | value.microsecond)


@pytest.mark.parametrize(
    ("opaque", "text"),
    [
        # CAST(... AS JSON) of DATE, DATETIME(3), TIME(1), DECIMAL(14,4) and bytes on MySQL 9.7
        (Opaque(10, packed(dt.datetime(2024, 1, 2))), '"2024-01-02"'),  # noqa: DTZ001 - a DATE has no zone
        (
            Opaque(12, packed(dt.datetime(2024, 1, 2, 3, 4, 5, 678000))),  # noqa: DTZ001 - nor has a DATETIME
            '"2024-01-02 03:04:05.678000"',
        ),
        (Opaque(11, struct.pack("<q", -((838 << 12 | 59 << 6 | 59) << 24 | 500000))), '"-838:59:59.500000"'),
        (Opaque(246, bytes.fromhex("0e04810dfb38d204d2")), "1234567890.1234"),
        (Opaque(15, b"\xff"), '"base64:type15:/w=="'),
        (Opaque(252, b""), '"base64:type252:"'),
    ],
)
def test_opaque_values(opaque: Opaque, text: str) -> None:
    assert shown(document(opaque)) == text
    assert shown(document([opaque])) == f"[{text}]"


def test_long_opaque_bytes_are_broken_into_lines_as_mysql_does() -> None:
    lines = json.loads(shown(document(Opaque(15, b"\xff" * 130)))).removeprefix("base64:type15:").split("\n")
    assert [len(line) for line in lines] == [76, 76, 24]
    assert base64.b64decode("".join(lines)) == b"\xff" * 130


def test_no_bytes_at_all_are_null() -> None:
    assert render(JSON, b"") == b"null"


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth - 1):
        value = [value]
    return value


def test_depth() -> None:
    assert shown(document(nested(100))) == "[" * 100 + "]" * 100
    with pytest.raises(ShortRead, match="deeper"):
        render(JSON, document(nested(101)))


def test_parts_that_overlap_are_refused() -> None:
    """An array whose members are all the same inner array, 40 deep, would print 2^40 members."""
    inner = document([])[1:]
    for _ in range(40):
        body = struct.pack("<HHBHBH", 2, 10 + len(inner), 2, 10, 2, 10) + inner
        inner = body
    with pytest.raises(ShortRead, match="overlap"):
        render(JSON, b"\x02" + inner)


def test_large_documents_take_linear_time() -> None:
    def seconds(keys: int) -> float:
        raw = document({f"key{i:06d}": i for i in range(keys)}, 4)
        assert len(json.loads(shown(raw))) == keys
        return min(_cpu_seconds(raw) for _ in range(5))

    assert seconds(64000) < 40 * max(seconds(4000), 0.001)


def _cpu_seconds(raw: bytes) -> float:
    started = time.process_time()
    shown(raw)
    return time.process_time() - started


@given(VALUES, st.data())
def test_damaged_documents_never_read_outside(value: Any, data: st.DataObject) -> None:
    raw = bytearray(document(value, data.draw(st.sampled_from([2, 4]))))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(raw[: data.draw(st.integers(0, len(raw)))])
    try:
        text = render(JSON, damaged)
    except ShortRead:
        return
    json.loads(b'"' + text + b'"')
