"""YAML or JSON text into plain values, safely: the caps hold before anything is built.

Read as YAML 1.2 does, so that both syntaxes give the same values: `no` and `on` are text, a time stays text.
Refused: more than 1 MiB, deep nesting, anchors and aliases (alias bombs), tags, duplicate keys, several documents.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, NoReturn, TypeAlias

import yaml

from cdcd.errors import InvalidConfig, Problem

MAX_BYTES = 1 << 20
MAX_DEPTH = 16

Value: TypeAlias = "bool | int | float | str | list[Value] | dict[str, Value] | None"

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INT = re.compile(r"[-+]?[0-9]{1,18}", re.ASCII)
_FLOAT = re.compile(r"[-+]?[0-9]+\.[0-9]+", re.ASCII)
_WORDS: dict[str, bool | None] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_JSON_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


class _Refused(Exception):
    pass


def parse_document(source: str | bytes, origin: str) -> dict[str, Value]:
    """The mapping that `source` holds. InvalidConfig, naming `origin` and the line, if it is not one."""
    try:
        text = _text(source)
        value = _json(text) if text.lstrip().startswith("{") else _yaml(text)
        if not isinstance(value, dict):
            _refuse("must be a mapping of fields to values, such as `name: orders`")
    except _Refused as refused:
        raise InvalidConfig(origin, (Problem("", str(refused)),)) from None
    return value


def _text(source: str | bytes) -> str:
    raw = source.encode("utf-8", "surrogatepass") if isinstance(source, str) else source
    if len(raw) > MAX_BYTES:
        _refuse(f"is larger than {MAX_BYTES >> 20} MiB")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        _refuse(f"is not UTF-8 text: byte {error.start}")


def _json(text: str) -> Value:
    if _nesting(_JSON_STRING.sub("", text)) > MAX_DEPTH:
        _refuse(f"is nested deeper than {MAX_DEPTH} levels")
    try:
        value: Value = json.loads(text, object_pairs_hook=_json_object, parse_constant=_json_constant)
        json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except ValueError:
        return _yaml(text)  # a YAML flow mapping begins with a brace as well; its messages carry the line
    return value


def _nesting(text: str) -> int:
    depth = deepest = 0
    for bracket in re.findall(r"[\[\]{}]", text):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _json_object(pairs: list[tuple[str, Value]]) -> dict[str, Value]:
    built = dict(pairs)
    if len(built) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        _refuse(f"field `{twice[:80]}` is given twice")
    return built


def _json_constant(name: str) -> NoReturn:
    _refuse(f"{name} is not a JSON number")


def _yaml(text: str) -> Value:
    try:
        events: Iterator[Any] = iter(yaml.parse(text, Loader=_LOADER))
        next(events)  # stream start
        if isinstance(next(events), yaml.StreamEndEvent):
            _refuse("is empty")
        value = _node(next(events), events, 1)
        next(events)  # document end
        following = next(events)
    except yaml.YAMLError as error:
        _refuse(f"is not YAML or JSON: {_where(error)}")
    if not isinstance(following, yaml.StreamEndEvent):
        _refuse_at(following, "a second document begins here; write one to a file")
    return value


def _where(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    reason = str(getattr(error, "problem", None) or getattr(error, "reason", error))
    if getattr(error, "context", None) in {"while scanning an alias", "while scanning an anchor"}:
        reason = "text that begins with * or & needs quotes"  # the usual one: include: [*.orders]
    return f"line {mark.line + 1}, column {mark.column + 1}: {reason}" if mark else reason


def _node(event: Any, events: Iterator[Any], depth: int) -> Value:
    """The value that begins with `event`. Depth is capped, so recursion is."""
    if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
        _refuse_at(event, "anchors and aliases (& and *) are not allowed; text that begins so needs quotes")
    if getattr(event, "tag", None):
        _refuse_at(event, "tags (!) are not allowed; text that begins so needs quotes")
    if isinstance(event, yaml.ScalarEvent):
        return _scalar(event)
    if depth > MAX_DEPTH:
        _refuse_at(event, f"nested deeper than {MAX_DEPTH} levels")
    return _sequence(events, depth) if isinstance(event, yaml.SequenceStartEvent) else _mapping(events, depth)


def _sequence(events: Iterator[Any], depth: int) -> list[Value]:
    items: list[Value] = []
    while not isinstance(event := next(events), yaml.SequenceEndEvent):
        items.append(_node(event, events, depth + 1))
    return items


def _mapping(events: Iterator[Any], depth: int) -> dict[str, Value]:
    built: dict[str, Value] = {}
    while not isinstance(event := next(events), yaml.MappingEndEvent):
        if not isinstance(event, yaml.ScalarEvent):
            _refuse_at(event, "a field name must be plain text")
        key = str(event.value)
        if key in built:
            _refuse_at(event, f"field `{key[:80]}` is given twice")
        built[key] = _node(next(events), events, depth + 1)
    return built


def _scalar(event: Any) -> Value:
    text: str = event.value
    if event.style:  # quoted or a block
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def _refuse_at(event: Any, message: str) -> NoReturn:
    mark = event.start_mark
    _refuse(f"line {mark.line + 1}, column {mark.column + 1}: {message}")


def _refuse(message: str) -> NoReturn:
    raise _Refused(message)
