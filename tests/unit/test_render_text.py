"""Text, bytes, ENUM and SET: against Python's codecs, base64 and json."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdcd.binlog.core.native import ShortRead, render
from cdcd.binlog.schema import Column
from cdcd.errors import MalformedEvent, UnsupportedEvent

VARCHAR, ENUM, SET, BLOB, CHAR, GEOMETRY = 15, 247, 248, 252, 254, 255
UTF8MB4, BINARY, LATIN1, SWE7, UTF16, GBK, UTF32 = 255, 63, 8, 10, 54, 28, 60


def column(type_: int, meta: int, collation: int = 0, labels: tuple[bytes, ...] = ()) -> Column:
    return Column("c", type_, meta, nullable=True, collation=collation, labels=labels)


def unescaped(escaped: bytes) -> str:
    text: str = json.loads(b'"' + escaped + b'"')
    return text


TEXT = st.text(st.one_of(st.characters(codec="utf-8"), st.sampled_from('"\\\n\t\x00\x1f\x7f')), max_size=60)


@given(TEXT)
def test_utf8_comes_back(text: str) -> None:
    assert unescaped(render(column(VARCHAR, 1000, UTF8MB4), text.encode())) == text


@given(TEXT)
def test_only_what_json_demands_is_escaped(text: str) -> None:
    assert render(column(VARCHAR, 1000, UTF8MB4), text.encode()) == json.dumps(text, ensure_ascii=False)[1:-1].encode()


@given(st.lists(st.one_of(TEXT.map(str.encode), st.binary(max_size=5)), max_size=6).map(b"".join))
def test_bytes_that_are_no_utf8_become_replacement_characters(raw: bytes) -> None:
    assert unescaped(render(column(VARCHAR, 1000, UTF8MB4), raw)) == raw.decode("utf-8", "replace")


@pytest.mark.parametrize("at", [4093, 4094, 4095, 4096, 8190])
def test_characters_across_the_chunks_of_long_text(at: int) -> None:
    text = "x" * at + '漢😀"' + "y" * 9000
    assert unescaped(render(column(BLOB, 4, UTF8MB4), text.encode())) == text


def test_latin1_is_cp1252_with_all_bytes_mapped() -> None:
    raw = bytes(range(256))
    expected = "".join(
        chr(byte) if byte in (0x81, 0x8D, 0x8F, 0x90, 0x9D) else bytes((byte,)).decode("cp1252") for byte in raw
    )
    assert unescaped(render(column(VARCHAR, 300, LATIN1), raw)) == expected


def test_swe7_is_no_superset_of_ascii() -> None:
    assert unescaped(render(column(VARCHAR, 300, SWE7), b"[\\]^@`{|}A")) == "ÄÖÅÜÉéäöåA"


@given(st.sampled_from([(UTF16, "utf-16-be"), (GBK, "gbk"), (UTF32, "utf-32-be")]), st.binary(max_size=40))
def test_sets_of_several_bytes(charset: tuple[int, str], raw: bytes) -> None:
    collation, codec = charset
    assert unescaped(render(column(VARCHAR, 300, collation), raw)) == raw.decode(codec, "replace")


@given(st.binary(max_size=100), st.integers(0, 20))
def test_bytes_are_base64_and_binary_is_padded(raw: bytes, more: int) -> None:
    assert base64.b64decode(render(column(BLOB, 2, BINARY), raw)) == raw
    assert base64.b64decode(render(column(GEOMETRY, 4), raw)) == raw
    assert base64.b64decode(render(column(VARCHAR, 200, BINARY), raw)) == raw
    if raw:
        padded = raw + bytes(more)
        assert base64.b64decode(render(column(CHAR, len(padded), BINARY), raw), validate=True) == padded


LABELS = (b"a", 'b"\\é'.encode(), b"", "漢".encode())


@pytest.mark.parametrize(("raw", "label"), [(1, "a"), (2, 'b"\\é'), (3, ""), (4, "漢"), (0, "")])
def test_enum(raw: int, label: str) -> None:
    assert unescaped(render(column(ENUM, 1, UTF8MB4, LABELS), bytes((raw,)))) == label


def test_enum_labels_are_in_the_columns_set() -> None:
    labels = tuple(label.encode("latin-1") for label in ("é", "ü"))
    assert render(column(ENUM, 2, LATIN1, labels), b"\2\0") == "ü".encode()


@pytest.mark.parametrize(("raw", "shown"), [(0, ""), (1, "a"), (0b1001, "a,漢"), (0b1010, 'b"\\é,漢')])
def test_set_is_in_definition_order(raw: int, shown: str) -> None:
    assert unescaped(render(column(SET, 1, UTF8MB4, LABELS), bytes((raw,)))) == shown


def test_set_of_64_members() -> None:
    labels = tuple(f"m{i}".encode() for i in range(64))
    assert render(column(SET, 8, UTF8MB4, labels), b"\xff" * 8).decode() == ",".join(f"m{i}" for i in range(64))


@pytest.mark.parametrize("what", [column(ENUM, 1, UTF8MB4, LABELS), column(SET, 1, UTF8MB4, LABELS)])
def test_members_that_are_not_there(what: Column) -> None:
    with pytest.raises(ShortRead):
        render(what, b"\xf5")


@pytest.mark.parametrize(
    "what",
    [
        column(ENUM, 1, UTF8MB4),  # labels unknown
        column(VARCHAR, 10, 0),  # character set unknown
        column(VARCHAR, 10, 9999),
        column(99, 0),
        column(0, 0),
    ],
)
def test_what_is_unknown_stops_at_plan_time(what: Column) -> None:
    with pytest.raises(UnsupportedEvent, match="'c'"):
        render(what, b"")


@pytest.mark.parametrize(
    "what", [column(18, 7), column(246, 70 << 8), column(246, 3 << 8 | 4), column(16, 65), column(SET, 9)]
)
def test_metadata_no_type_has(what: Column) -> None:
    with pytest.raises(MalformedEvent, match="'c'"):
        render(what, b"")
