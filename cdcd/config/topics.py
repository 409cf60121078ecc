"""Topic templates: `cdc.{database}.{table}`."""

import re
import string
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

from cdcd.config.problems import shown
from cdcd.errors import Finding, FindingError

PLACEHOLDERS = ("instance", "database", "table")
MAX_TOPIC_CHARACTERS = 249  # Kafka's own limit
RESERVED_PREFIX = "__"
_LEGAL = re.compile(r"[A-Za-z0-9._-]*", re.ASCII)


def placeholders(template: str) -> frozenset[str]:
    """The names in braces. ValueError for braces that hold anything else."""
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError:
        raise ValueError("has an unpaired brace; a placeholder is written {table}") from None
    names = frozenset(name for _, name, _, _ in parts if name is not None)
    plain = all(not spec and conversion is None for _, _, spec, conversion in parts)
    if not names <= set(PLACEHOLDERS) or not plain:
        wrong = (
            ", ".join(f"{{{shown(name)}}}" for name in sorted(names - set(PLACEHOLDERS))) or "a placeholder's format"
        )
        raise ValueError(f"{wrong} is not known; placeholders are {{database}}, {{table}} and {{instance}}")
    return names


def check_template(template: str) -> str:
    """The template itself, or ValueError if no legal topic can come of it."""
    names = placeholders(template)
    fixed = template.format(**dict.fromkeys(PLACEHOLDERS, ""))
    if not _LEGAL.fullmatch(fixed):
        wrong = next(character for character in fixed if not _LEGAL.fullmatch(character))
        raise ValueError(f"`{shown(wrong)}` is not allowed in a topic: a-z, A-Z, 0-9, `.`, `_` and `-` are")
    if not template or (not names and fixed in {".", ".."}):
        raise ValueError("must name a topic")
    if len(fixed) > MAX_TOPIC_CHARACTERS - len(names):
        raise ValueError(f"is too long: a topic has at most {MAX_TOPIC_CHARACTERS} characters")
    if template.startswith(RESERVED_PREFIX):
        raise ValueError("topics that begin with two underscores belong to Kafka and cdcd themselves")
    return template


def topic_name(template: str, *, instance: str, database: str = "", table: str = "") -> str:
    """The topic of one table. FindingError (operator) if its name makes a topic that is not allowed.

    A name is never altered to fit: two tables could then share a topic unnoticed.
    """
    topic = template.format(instance=instance, database=database, table=table)
    if _allowed(topic):
        return topic
    raise FindingError(
        Finding(
            "topic-name",
            "operator",
            f"Table `{shown(database)}`.`{shown(table)}` gives the topic `{shown(topic)}`, which is not allowed: "
            f"a topic has 1 to {MAX_TOPIC_CHARACTERS} characters of a-z, A-Z, 0-9, `.`, `_`, `-`, and not two `_` first",
            "Exclude the table in tables.exclude, or leave its name out of sink.topic and publish to a fixed topic.",
        )
    )


def _allowed(topic: str) -> bool:
    return (
        0 < len(topic) <= MAX_TOPIC_CHARACTERS
        and _LEGAL.fullmatch(topic) is not None
        and topic not in {".", ".."}
        and not topic.startswith(RESERVED_PREFIX)
    )


TopicTemplate = Annotated[
    str,
    AfterValidator(check_template),
    WithJsonSchema({"type": "string", "pattern": r"^[A-Za-z0-9._{}-]{1,280}$", "title": "topic template"}),
]
