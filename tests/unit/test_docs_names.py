"""Names on the pages are names of the program: metrics, fields of definitions, settings."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from cdcd.config.settings import Settings
from tests.monitoring import ROOT, exported
from tests.unit.test_event_names import EVENTS

PAGES = sorted([ROOT / "README.md", ROOT / "README.zh-CN.md", *(ROOT / "docs").glob("*.md")])
SECTIONS = (
    "source",
    "sink",
    "tables",
    "placement",
    "format",
    "fleet",
    "scheduling",
)  # those that are no first words of events too
NAME = re.compile(rf"`((?:{'|'.join(SECTIONS)})(?:\.[a-z_]+)+)(?=[`: ])")


def _paths(schema: Mapping[str, Any], definitions: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Of every field of a JSON Schema."""
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    for choice in schema.get("anyOf", schema.get("oneOf", ())):
        yield from _paths(choice, definitions, prefix)
    for name, field in schema.get("properties", {}).items():
        yield prefix + name
        yield from _paths(field, definitions, f"{prefix}{name}.")


def _fields() -> set[str]:
    definition = json.loads((ROOT / "docs" / "definition.schema.json").read_text())
    settings = Settings.model_json_schema()
    return {path for schema in (definition, settings) for path in _paths(schema, schema.get("$defs", {}))}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_names_are_known(page: Any) -> None:
    text = page.read_text()
    metrics = exported() | {name.removesuffix("_bucket") for name in exported()}
    assert set(re.findall(r"(?<![\w.])cdcd_[a-z_]+[a-z](?![\w(*])", text)) <= metrics
    assert set(NAME.findall(text)) <= _fields() | set(EVENTS)


def test_the_search_finds_what_it_must() -> None:
    assert {"source.tls.ca", "sink.commit.max_bytes", "fleet.max_instances", "zookeeper.auth.scheme"} <= _fields()
