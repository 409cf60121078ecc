"""The reference pages are those of the schema."""

from pathlib import Path

import pytest

from cdcd.config.definition import definition_schema
from cdcd.config.reference import page, schema_text
from cdcd.config.settings import settings_schema

DOCS = Path(__file__).parents[3] / "docs"
REMEDY = "run: python -m cdcd.config.reference docs"


def test_the_schema_file_is_up_to_date() -> None:
    assert (DOCS / "definition.schema.json").read_text(encoding="utf-8") == schema_text(), REMEDY


@pytest.mark.parametrize("name", ["definition", "settings"])
def test_the_pages_are_up_to_date(name: str) -> None:
    text = (DOCS / f"{name}.md").read_text(encoding="utf-8")
    assert text == page(text, definition_schema() if name == "definition" else settings_schema()), REMEDY


def test_every_field_is_explained() -> None:
    for name in ("definition", "settings"):
        rows = [
            line for line in (DOCS / f"{name}.md").read_text(encoding="utf-8").splitlines() if line.startswith("| `")
        ]
        assert len(rows) > 15
        assert not [row for row in rows if row.rstrip().endswith("|  |")]
