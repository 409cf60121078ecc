"""The reference of definitions and settings, from their schemas: `python -m cdcd.config.reference docs`.

Writes the JSON Schema for editors and, in the pages, what stands between the two marks.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cdcd.config.definition import definition_schema
from cdcd.config.settings import settings_schema

BEGIN = "<!-- generated from the schema: python -m cdcd.config.reference docs -->"
END = "<!-- end of what is generated -->"

Schema = Mapping[str, Any]


def reference(schema: Schema) -> str:
    """All fields of a schema as a Markdown table for each section, the outermost first."""
    return "\n".join(_section(schema, schema, ""))


def page(text: str, schema: Schema) -> str:
    """A page's text with its generated part anew."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{reference(schema)}\n{END}{after}"


def schema_text() -> str:
    """The JSON Schema file for editors."""
    return json.dumps(definition_schema(), indent=2, ensure_ascii=False) + "\n"


def write(docs: Path) -> None:
    """Brings the pages and the schema file up to date."""
    (docs / "definition.schema.json").write_text(schema_text(), encoding="utf-8")
    for name, schema in (("definition.md", definition_schema()), ("settings.md", settings_schema())):
        path = docs / name
        path.write_text(page(path.read_text(encoding="utf-8"), schema), encoding="utf-8")


def _section(schema: Schema, node: Schema, path: str) -> Iterator[str]:
    yield f"### `{path}`\n" if path else "### Top level\n"
    yield f"{node['description'].partition(chr(10))[0]}\n"
    yield "| field | value | default | meaning |\n| --- | --- | --- | --- |"
    inner: list[tuple[str, Schema]] = []
    for name, field in node["properties"].items():
        sections = _sections_of(schema, field)
        inner.extend((f"{path}.{name}" if path else name, section) for section in sections)
        meaning = field.get("description") or "".join(section["description"] for section in sections)
        default = "required" if name in node.get("required", ()) else _default(field)
        yield f"| `{name}` | {_kind(schema, field)} | {default} | {meaning} |"
    yield ""
    for inner_path, section in inner:
        yield from _section(schema, section, _heading(inner_path, section, [one for one, _ in inner]))


def _heading(path: str, section: Schema, siblings: Sequence[str]) -> str:
    """Alternatives of one field are told apart by their own fields."""
    return path if siblings.count(path) == 1 else f"{path}: {{{', '.join(section['properties'])}}}"


def _sections_of(schema: Schema, field: Schema) -> list[Schema]:
    """The sections that a field holds: itself, its alternatives, or the values of a mapping."""
    values = field.get("patternProperties", {}).values()
    choices = [field, *field.get("anyOf", ()), *field.get("oneOf", ()), *values]
    return [_resolved(schema, choice) for choice in choices if "$ref" in choice]


def _resolved(schema: Schema, field: Schema) -> Schema:
    found: Schema = schema["$defs"][field["$ref"].rpartition("/")[2]]
    return found


def _default(field: Schema) -> str:
    default = field.get("default")
    if default is None or isinstance(default, dict | list):
        return ""
    return f"`{default if isinstance(default, str) else json.dumps(default)}`"


def _kind(schema: Schema, field: Schema) -> str:
    """What a field's value looks like."""
    if choices := [choice for key in ("anyOf", "oneOf") for choice in field.get(key, ())]:
        kinds = [_kind(schema, choice) for choice in choices if choice.get("type") != "null"]
        return " or ".join(kinds)
    if "$ref" in field:
        return f"section of {', '.join(f'`{name}`' for name in _resolved(schema, field)['properties'])}"
    if "enum" in field or "const" in field:
        return ", ".join(f"`{value}`" for value in field.get("enum", [field.get("const")]))
    if field["type"] == "array":
        return f"list of {_kind(schema, field['items'])}"
    title = field.get("title", "")
    return title if title.islower() else _PLAIN[field["type"]]


_PLAIN = {"string": "text", "integer": "number", "number": "number", "boolean": "`true`, `false`", "object": "mapping"}


if __name__ == "__main__":
    write(Path(sys.argv[1]))
