"""Every link that stays in the repository leads somewhere: the file is there, and so is the heading. No network."""

import re
import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.monitoring import DASHBOARDS, ROOT, RULES, dashboards

PAGES = sorted(
    [*ROOT.glob("*.md"), *(page for name in ("deploy", "docs", "tests") for page in (ROOT / name).rglob("*.md"))]
)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
DASHBOARD_LINK = re.compile(r"\$\{docs\}/([\w.-]+)(?:#([^\s\"')]+))?")


def _links(page: Path) -> Iterator[tuple[str, str]]:
    """(path, anchor) of each link and image that stays in the repository."""
    for target in LINK.findall(FENCE.sub("", page.read_text())):
        if not re.match(r"[a-z]+:", target):
            path, _, anchor = target.partition("#")
            yield path, anchor


def _anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _check(where: str, target: Path, anchor: str) -> None:
    assert target.exists(), f"{where} links to {target}, which is not there"
    assert not anchor or anchor in _anchors(target), f"{where} links to {target.name}#{anchor}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_resolve(page: Path) -> None:
    for path, anchor in _links(page):
        _check(page.name, page.parent / path if path else page, anchor)


def test_links_of_alerts_resolve() -> None:
    found = re.findall(r"docs/[\w.-]+(?:#[\w-]+)?", RULES.read_text())
    assert len(found) > 15
    for link in found:
        path, _, anchor = link.rstrip(".").partition("#")
        _check(RULES.name, ROOT / path, anchor)


@pytest.mark.parametrize("name", dashboards())
def test_links_of_dashboards_resolve(name: str) -> None:
    found = DASHBOARD_LINK.findall((DASHBOARDS / name).read_text())
    assert len(found) > 10
    for page, anchor in found:
        _check(name, ROOT / "docs" / page, "" if anchor.startswith("${") else anchor)


def test_pages_that_the_program_names_are_there() -> None:
    """In what operators are told: remedies, helps, descriptions of settings."""
    for path in (ROOT / "cdcd").rglob("*.py"):
        for page, anchor in re.findall(r"docs/([\w.-]+\.\w+)(?:#([\w-]+))?", path.read_text()):
            _check(path.name, ROOT / "docs" / page, anchor)


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        waiting += [(page.parent / path).resolve() for path, _ in _links(page) if path]
    assert not set(PAGES) - reached


def test_every_page_is_in_the_navigation_of_the_site() -> None:
    """docs/conf.py says which pages `make docs` makes, and in which order."""
    settings = runpy.run_path(str(ROOT / "docs" / "conf.py"))
    assert {ROOT / page for page in settings["include_patterns"]} == set(PAGES)
