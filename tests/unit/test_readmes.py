"""README.zh-CN.md says what README.md says: the same sections, commands, links and figures, in the same order."""

import re
from collections.abc import Callable

import pytest

from tests.monitoring import ROOT

ENGLISH, CHINESE = ((ROOT / name).read_text() for name in ("README.md", "README.zh-CN.md"))
FENCE = re.compile(r"^```\w*\n.*?^```$", re.MULTILINE | re.DOTALL)


def _headings(text: str) -> list[str]:
    """Their levels."""
    return re.findall(r"^#+(?= )", FENCE.sub("", text), re.MULTILINE)


def _blocks(text: str) -> list[str]:
    """Code without comments, which are in the language of the page."""
    return [re.sub(r" +# .*", "", block) for block in FENCE.findall(text)]


def _links(text: str) -> list[str]:
    """All but that to the other language, which comes first; in a sentence words of another language have another order."""
    return sorted(re.findall(r"\]\(([^)]+)\)", text)[1:])


def _items(text: str) -> list[int]:
    """How many points and rows each section has."""
    sections = re.split(r"^#+ ", FENCE.sub("", text), flags=re.MULTILINE)
    return [len(re.findall(r"^(?:- |\| )", section, re.MULTILINE)) for section in sections]


def _numbers(text: str) -> list[str]:
    """All figures outside code, versions and settings included."""
    return re.findall(r"\d+(?:[.,]\d+)*%?", FENCE.sub("", text))


def _settings(text: str) -> list[str]:
    """What is written as code within the text."""
    return sorted(re.findall(r"`[^`\n]+`", FENCE.sub("", text)))


@pytest.mark.parametrize(
    "part", [_headings, _blocks, _links, _items, _numbers, _settings], ids=lambda part: part.__name__
)
def test_they_are_in_step(part: Callable[[str], list[object]]) -> None:
    assert part(CHINESE) == part(ENGLISH)


def test_each_names_the_other() -> None:
    assert "](README.zh-CN.md)" in ENGLISH.splitlines()[2]
    assert "](README.md)" in CHINESE.splitlines()[2]
