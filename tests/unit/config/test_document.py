"""Text of unknown origin into plain values: both syntaxes give the same, and nothing hostile costs much."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdcd.config.document import MAX_BYTES, MAX_DEPTH, parse_document
from cdcd.errors import InvalidConfig


def refusal(source: str | bytes) -> str:
    with pytest.raises(InvalidConfig) as caught:
        parse_document(source, "here")
    assert caught.value.origin == "here"
    (problem,) = caught.value.problems
    return problem.message


def test_yaml_is_read_as_version_1_2() -> None:
    text = "a: no\nb: on\nc: true\nd: 010\ne: 1:30\nf: 2026-11-01T00:00:00Z\ng: ~\nh: 1.5\ni: '7'\nj: 0x10\nk:\nl: -3\n"
    assert parse_document(text, "") == {
        "a": "no", "b": "on", "c": True, "d": 10, "e": "1:30", "f": "2026-11-01T00:00:00Z",
        "g": None, "h": 1.5, "i": "7", "j": "0x10", "k": None, "l": -3,
    }  # fmt: skip


def test_a_flow_mapping_is_yaml_although_it_begins_like_json() -> None:
    assert parse_document("{a: [x, {b: 1}]}", "") == {"a": ["x", {"b": 1}]}


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    assert parse_document(b'\xef\xbb\xbf{"a": 1}', "") == {"a": 1}


_scalars = st.none() | st.booleans() | st.integers(-(10**17), 10**17) | st.text(max_size=20)
_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=8), _values, max_size=5))
def test_json_comes_back_as_it_was(value: dict[str, object]) -> None:
    assert parse_document(json.dumps(value), "") == value


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "empty"),
        ("# nothing", "empty"),
        ("- a\n- b", "must be a mapping"),
        ("name", "must be a mapping"),
        ("a: [1", "line 2, column 1"),
        ("a: 1\na: 2", "line 2, column 1: field `a` is given twice"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "field `c` is given twice"),
        ("a: 1\n---\nb: 2", "second document"),
        ("a: &x [1]\nb: *x", "line 1, column 4: anchors"),
        ("a: *.orders", "needs quotes"),
        ("a: !!python/object/apply:os.system [id]", "tags"),
        ("? [a]\n: b", "must be plain text"),
        ('{"a": NaN}', "not a JSON number"),
        (r'{"\ud83d": 1}', "invalid"),
        (b"a: \xff", "not UTF-8"),
        ("a: \x00", "control characters"),
    ],
)
def test_what_cannot_be_taken_is_refused_with_its_place(source: str | bytes, message: str) -> None:
    assert message in refusal(source)


def test_the_size_is_capped_before_anything_is_parsed() -> None:
    assert "larger than 1 MiB" in refusal("a: " + "x" * MAX_BYTES)
    assert parse_document(b"a: " + b"x" * (MAX_BYTES - 3), "")["a"] == "x" * (MAX_BYTES - 3)


@pytest.mark.parametrize(
    "source", ['{"a":' * 150_000, "a: " + "[" * 900_000, "a: " + "{b: " * 200_000, "[" * 1_000_000]
)
def test_deep_nesting_is_refused_at_once(source: str) -> None:
    begun = time.process_time()
    assert f"deeper than {MAX_DEPTH} levels" in refusal(source)
    assert time.process_time() - begun < 5  # the cap works while parsing; a second would be slow already


def test_an_alias_bomb_is_refused_at_its_first_anchor() -> None:
    lines = ["a0: &a0 [x, x, x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}]" for n in range(1, 40))]
    assert "anchors and aliases" in refusal("\n".join(lines))


def test_a_number_of_a_thousand_digits_is_no_number() -> None:
    assert parse_document(f"a: {'9' * 1000}", "")["a"] == "9" * 1000
    assert isinstance(parse_document(json.dumps({"a": 10**17}), "")["a"], int)
