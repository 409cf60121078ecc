"""Field types that definitions, settings and credential files share."""

import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

from cdcd.config.network import Endpoint, check_host, parse_endpoint
from cdcd.config.quantities import (
    DURATION_PATTERN,
    SIZE_PATTERN,
    format_duration,
    format_size,
    parse_duration,
    parse_size,
)

NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,62}$"
_NAME = re.compile(NAME_PATTERN.strip("^$"), re.ASCII)


class Model(BaseModel):
    """A section of a definition: unknown fields are refused, types are not converted, nothing changes afterwards."""

    model_config = ConfigDict(
        strict=True, frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True
    )


def check_name(text: str) -> str:
    """A name that may become a path, an id, a topic or a label; ValueError says what is allowed."""
    if not _NAME.fullmatch(text):
        raise ValueError("must be 1 to 63 characters of a-z, 0-9, `.`, `_`, `-`, the first a letter or digit")
    return text


def passes(check: Callable[[str], str], text: str) -> bool:
    """Whether `check` raises no ValueError."""
    try:
        check(text)
    except ValueError:
        return False
    return True


def is_name(text: str) -> bool:
    """Whether `check_name` accepts it."""
    return passes(check_name, text)


def check_endpoint(text: str) -> str:
    """An address with or without a port, as text."""
    parse_endpoint(text, default_port=1)
    return text


def _not_empty(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if not values:
        raise ValueError("must not be empty")
    return values


NOT_EMPTY = AfterValidator(_not_empty)
"""Unlike `min_length` not reported of a list whose entries are wrong."""


def _duration(value: object) -> float:
    return parse_duration(value if isinstance(value, str) else "")


def _size(value: object) -> int:
    return parse_size(value if isinstance(value, str) else "")


def duration_between(least: str, greatest: str) -> AfterValidator:
    """Bounds of a Duration, both allowed."""
    return _between(least, greatest, parse_duration)


def size_between(least: str, greatest: str) -> AfterValidator:
    """Bounds of a Size, both allowed."""
    return _between(least, greatest, parse_size)


def _between(least: str, greatest: str, parse: Callable[[str], float]) -> AfterValidator:
    low, high = parse(least), parse(greatest)

    def check(value: float) -> float:
        if not low <= value <= high:
            raise ValueError(f"must be from {least} to {greatest}")
        return value

    return AfterValidator(check)


def with_written_defaults(node: Any) -> Any:
    """A JSON Schema whose defaults of durations and sizes stand there as one writes them."""
    if isinstance(node, list):
        return [with_written_defaults(entry) for entry in node]
    if not isinstance(node, dict):
        return node
    made = {key: with_written_defaults(value) for key, value in node.items()}
    write = {"duration": format_duration, "size": format_size}.get(str(node.get("title")))
    if write is not None and "default" in node:
        made["default"] = write(node["default"])
    return made


Name = Annotated[
    str, AfterValidator(check_name), WithJsonSchema({"type": "string", "pattern": NAME_PATTERN, "title": "name"})
]
Host = Annotated[str, AfterValidator(check_host), WithJsonSchema({"type": "string", "title": "host"})]
HostAndPort = Annotated[str, AfterValidator(check_endpoint), WithJsonSchema({"type": "string", "title": "host:port"})]
Port = Annotated[int, Field(ge=1, le=65535)]
Duration = Annotated[
    float,
    BeforeValidator(_duration),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN, "title": "duration"}),
]
"""Written `250ms`, held in seconds."""
Size = Annotated[
    int,
    BeforeValidator(_size),
    PlainSerializer(format_size, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": SIZE_PATTERN, "title": "size"}),
]
"""Written `16MiB`, held in bytes."""

__all__ = [
    "NAME_PATTERN", "NOT_EMPTY", "Duration", "Endpoint", "Host", "HostAndPort", "Model", "Name", "Port", "Size",
    "check_name", "duration_between", "is_name", "passes", "size_between", "with_written_defaults",
]  # fmt: skip
