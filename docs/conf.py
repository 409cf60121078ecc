"""How `make docs` makes a site of the repository's Markdown: no page needs anything but what GitHub shows.

Sphinx reads the repository as it is (`-c docs .`), with the README as its first page. Links between pages, to headings and
to files are checked; files that are linked and are no pages are copied beside them. Nothing is fetched when it is read.
"""

import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
CHAPTERS = {
    "Begin": ("quickstart", "concepts", "coming-from-canal", "README.zh-CN"),
    "Set up": ("install", "preflight", "fleet", "definition", "settings", "security", "mariadb"),
    "Operate": ("operations", "cdcctl", "runbook", "findings", "failure-behaviour", "metrics", "decode"),
    "Read the topics": ("formats",),
    "How it works": ("coordination", "architecture", "development", "stack", "CONTRIBUTING", "SECURITY", "CHANGELOG"),
}
"""The navigation: headings and pages, in the order in which an operator needs them."""
ELSEWHERE = {"stack": "deploy/stack/README"} | {
    name: name for name in ("README.zh-CN", "CONTRIBUTING", "SECURITY", "CHANGELOG")
}
TITLES = {"README.zh-CN": "简体中文", "deploy/stack/README": "Servers for trying things out"}

project = "cdcd"
release = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
html_title = f"cdcd {release}"
project_copyright = "the authors of cdcd"
extensions = ["myst_parser"]
root_doc = "README"
include_patterns = ["README.md"]
exclude_patterns = [".git", ".venv", "build"]  # not looked through for pages
html_theme = "furo"
html_copy_source = False
html_show_sphinx = False
myst_heading_anchors = 4  # as GitHub makes them
suppress_warnings = ["misc.highlighting_failure"]  # JSON with … in it


def pages() -> dict[str, list[str]]:
    """Chapter -> its pages, as paths in the repository without their ending."""
    return {title: [ELSEWHERE.get(name, f"docs/{name}") for name in names] for title, names in CHAPTERS.items()}


include_patterns += [f"{page}.md" for names in pages().values() for page in names]


def _navigation(app: Any, name: str, source: list[str]) -> None:
    """The table of contents stands behind the README, for Sphinx only."""
    del app
    if name == root_doc:
        for title, names in pages().items():
            entries = "\n".join(f"{TITLES[each]} <{each}>" if each in TITLES else each for each in names)
            source[0] += f"\n```{{toctree}}\n:hidden:\n:caption: {title}\n\n{entries}\n```\n"


def setup(app: Any) -> None:
    app.connect("source-read", _navigation)
