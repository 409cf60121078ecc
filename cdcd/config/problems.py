"""pydantic's errors in an operator's words: the path of the field, what is wrong, what is allowed."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from cdcd.errors import Problem

MAX_PROBLEMS = 100
_LONGEST_SHOWN = 80

LaterValues = Mapping[str, frozenset[str]]
"""Path of a field -> values that a later version will know."""

_WORDED: dict[str, Callable[[ErrorDetails], str]] = {
    "missing": lambda _: "is required",
    "string_type": lambda error: _not_text(error["input"]),
    "bool_type": lambda _: "must be true or false",
    "bool_parsing": lambda _: "must be true or false",
    "int_type": lambda _: "must be a whole number",
    "int_parsing": lambda _: "must be a whole number",
    "int_from_float": lambda _: "must be a whole number",
    "tuple_type": lambda _: "must be a list, such as [first, second]",
    "dict_type": lambda _: "must be a mapping of fields to values",
    "model_type": lambda _: "must be a mapping of fields to values",
    "model_attributes_type": lambda _: "must be a mapping of fields to values",
    "too_short": lambda _: "must not be empty",
    "too_long": lambda error: f"must have at most {error['ctx']['max_length']} entries",
    "value_error": lambda error: str(error["ctx"]["error"]),
    "literal_error": lambda error: f"must be {error['ctx']['expected'].replace(chr(39), '`')}",
}


def broken_rule(field: str, message: str, up: int = 0) -> PydanticCustomError:
    """To raise where a rule over several fields is broken, to be mended in `field` of the section `up` levels above."""
    return PydanticCustomError("rule", "{message}", {"message": message, "at": (field,), "up": up})


def problems_of(
    error: ValidationError,
    model: type[BaseModel],
    later_fields: frozenset[str] = frozenset(),
    later_values: LaterValues = MappingProxyType({}),
) -> tuple[Problem, ...]:
    """Every mistake, in the order of the fields; what only a later version can do is named as that."""
    details = error.errors(include_url=False)
    problems = [_problem(one, model, later_fields, later_values) for one in details[:MAX_PROBLEMS]]
    if len(details) > MAX_PROBLEMS:
        problems.append(Problem("", f"and {len(details) - MAX_PROBLEMS} more"))
    return tuple(problems)


def path_of(loc: Sequence[str | int]) -> str:
    """`("tables", "include", 0)` as `tables.include[0]`; what pydantic adds (`<tag>`, `[key]`) is no part of it."""
    path = ""
    for step in loc:
        if isinstance(step, int):
            path += f"[{step}]"
        elif step != "[key]" and not step.startswith("<"):
            path += f".{shown(step)}" if path else shown(step)
    return path


def shown(text: str) -> str:
    """Text of unknown origin, short and printable."""
    cut = text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
    return cut if cut.isprintable() else ascii(cut)[1:-1]


def _problem(
    error: ErrorDetails, model: type[BaseModel], later_fields: frozenset[str], later_values: LaterValues
) -> Problem:
    # A rule over several fields says itself which of them is to be mended.
    context = error.get("ctx", {})
    loc = (*error["loc"][: len(error["loc"]) - context.get("up", 0)], *context.get("at", ()))
    path = path_of(loc)
    if error["type"] == "extra_forbidden":
        return Problem(path, _unknown_field(str(loc[-1]), fields_at(model, loc[:-1]), later_fields))
    if error["type"] == "literal_error" and error["input"] in later_values.get(path, ()):
        return Problem(path, f"`{error['input']}` is not available in this version; {_message(error)}")
    return Problem(path, _message(error))


def _message(error: ErrorDetails) -> str:
    worded = _WORDED.get(error["type"])
    return worded(error) if worded else error["msg"].replace("Input should", "must", 1)


def _not_text(value: object) -> str:
    if isinstance(value, list | dict):
        return "must be text"
    return "must be text; put quotes around it" if value is not None else "must be text, not empty"


def _unknown_field(name: str, known: Sequence[str], later: frozenset[str]) -> str:
    if name in later:
        return "is not available in this version"
    if name == "password":
        return "a password never stands here: name a credential, whose file holds it"
    near = difflib.get_close_matches(name[:_LONGEST_SHOWN], known, n=1)
    return f"unknown field; did you mean `{near[0]}`?" if near else f"unknown field; known are {', '.join(known)}"


def fields_at(model: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    """The field names of the section that `loc` leads to."""
    models = [model]
    for step in loc:
        if isinstance(step, str) and step.startswith("<"):
            models = [one for one in models if f"<{one.__name__}>" == step] or models
            continue
        fields = [one.model_fields[step] for one in models if isinstance(step, str) and step in one.model_fields]
        models = [found for field in fields for found in _models_in(field.annotation)] if fields else models
    return [name for one in models for name in one.model_fields]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in get_args(annotation) for found in _models_in(part)]
