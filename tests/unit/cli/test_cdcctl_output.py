"""Tables, documents, figures in words, and text that would steer the terminal."""

import json
from dataclasses import dataclass

import pytest
import yaml

from cdcd.cli.ctl.output import Listing, document, iso, lag_word, lines, printable, rate, readable, span

HOSTILE = "a\x1b[2Jb\u202ec\x9bd\ne"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0s"),
        (119.4, "119s"),
        (120, "2m"),
        (3599, "59m"),
        (3600, "1h"),
        (12000, "3h20m"),
        (50000, "13h"),
        (200_000, "2d"),
        (-5, "0s"),
    ],
)
def test_spans(seconds: float, said: str) -> None:
    assert span(seconds) == said


@pytest.mark.parametrize(
    ("per_second", "said"),
    [
        (None, "-"),
        (0, "0"),
        (0.52, "0.5"),
        (12.4, "12"),
        (999, "999"),
        (1500, "1.5k"),
        (12_345, "12k"),
        (2_500_000, "2.5M"),
        (3e9, "3.0G"),
    ],
)
def test_rates(per_second: float | None, said: str) -> None:
    assert rate(per_second) == said


def test_lags() -> None:
    assert [lag_word(each) for each in (None, 0.0, 0.25, 9.96, 61.0)] == ["-", "0s", "0.2s", "10.0s", "61s"]


def test_times() -> None:
    assert iso(1_795_369_989.577) == "2026-11-22T17:53:09Z"
    assert iso(1e300) == "1e+300"


def test_what_is_not_printable_is_escaped_everywhere() -> None:
    assert printable(HOSTILE) == r"a\x1b[2Jb\u202ec\x9bd\ne"
    for output, read in (("json", json.loads), ("yaml", yaml.safe_load), ("line", json.loads)):
        text = document({"x": HOSTILE}, output)
        assert text.replace("\n", "").isprintable()
        assert read(text) == {"x": HOSTILE}
    table = lines(Listing(("A", "B"), [(HOSTILE, HOSTILE)], [], []), wide=True)
    assert all(line.isprintable() for line in table)


def test_readable_text_stays_readable() -> None:
    assert "Übertrag" in document({"x": "Übertrag"}, "json")
    assert "Übertrag" in document({"x": "Übertrag"}, "yaml")


def test_columns_line_up_and_wide_ones_hide() -> None:
    listing = Listing(
        ("NAME", "EPOCH", "REASON"), [("a", "1", "x"), ("long-name", "22", "y z")], [], [], frozenset({"EPOCH"})
    )
    assert lines(listing, wide=False) == ["NAME       REASON", "a          x", "long-name  y z"]
    assert lines(listing, wide=True) == ["NAME       EPOCH  REASON", "a          1      x", "long-name  22     y z"]


def test_dataclasses_and_times_in_documents() -> None:
    @dataclass(frozen=True)
    class Node:
        at: float
        names: tuple[str, ...]

    assert readable({"node": Node(0.0, ("a",)), "since": None}) == {
        "node": {"at": "1970-01-01T00:00:00Z", "names": ["a"]},
        "since": None,
    }
