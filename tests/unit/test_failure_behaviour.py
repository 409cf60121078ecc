"""docs/failure-behaviour.md: every row says all there is to say, and names tests that are there."""

import re

from tests.monitoring import ROOT

ROWS = re.findall(r"^\| (.+) \|$", (ROOT / "docs" / "failure-behaviour.md").read_text(), re.MULTILINE)
HEAD = "what fails | what cdcd does | what you see | what you do | shown by"


def test_rows_are_complete_and_shown() -> None:
    shown = {path.stem for ring in ("integration", "chaos") for path in (ROOT / "tests" / ring).glob("test_*.py")}
    assert ROWS.count(HEAD) == 5
    for row in ROWS:
        cells = row.split(" | ")
        assert len(cells) == 5, row
        assert all(cells), row
        if row != HEAD and not row.startswith("---"):
            named = re.findall(r"`(\w+)`", cells[4])
            assert named, row
            assert set(named) <= shown, row
