"""Durations and sizes; expected values are written out, the round trips are drawn."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdcd.config.quantities import format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0ms", 0), ("5ms", 0.005), ("250ms", 0.25), ("10s", 10), ("5m", 300), ("1h", 3600), ("1500ms", 1.5)],
)
def test_durations_are_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "size"), [("0B", 0), ("512B", 512), ("64KiB", 65536), ("16MiB", 16777216), ("1GiB", 1073741824)]
)
def test_sizes_are_bytes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "5", "ms", "5 ms", "-5ms", "5MS", "1.5s", "5d", "5ms\n", " 5ms", "\u0665ms", "1e3s", "9" * 400 + "s"]
)
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="250ms"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["", "16", "MiB", "16MB", "16 MiB", "16mib", "-1B", "1.5MiB", "16MiB\n"])
def test_what_is_no_size_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="16MiB"):
        parse_size(text)


@given(st.integers(0, 10**12))
def test_a_duration_of_whole_milliseconds_comes_back(milliseconds: int) -> None:
    assert parse_duration(format_duration(milliseconds / 1000)) == milliseconds / 1000


@given(st.integers(0, 10**15))
def test_a_size_comes_back(size: int) -> None:
    assert parse_size(format_size(size)) == size


@given(st.integers(1, 999), st.sampled_from([("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)]))
def test_a_duration_is_its_number_times_its_unit(number: int, unit: tuple[str, float]) -> None:
    assert parse_duration(f"{number}{unit[0]}") == pytest.approx(number * unit[1])
