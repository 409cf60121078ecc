"""What a changed definition asks of a running worker, field by field."""

from typing import Any

import pytest

from cdcd.config.definition import Definition, Sink
from cdcd.worker.change import FIELDS, SINK_FIELDS, Change, change_of

BASE: dict[str, Any] = {
    "version": 1,
    "name": "orders",
    "source": {"host": "mysql-a", "credential": "orders-db"},
    "tables": {"include": ["shop.*"]},
    "sink": {"topic": "cdc.{database}.{table}"},
}

CHANGES: list[tuple[str, dict[str, Any], Change]] = [
    ("paused", {"paused": True}, "none"),
    ("placement", {"placement": {"require": {"zone": "a"}}}, "none"),
    ("start", {"start": "earliest"}, "none"),
    ("name", {"name": "other"}, "reconnect"),
    ("source", {"source": {"host": "mysql-b"}}, "reconnect"),
    ("source", {"source": {"port": 3307}}, "reconnect"),
    ("source", {"source": {"credential": "other-db"}}, "reconnect"),
    ("source", {"source": {"tls": {"mode": "verify-ca"}}}, "reconnect"),
    ("source", {"source": {"heartbeat": "1s"}}, "reconnect"),
    ("tables", {"tables": {"include": ["crm.*"]}}, "live"),
    ("tables", {"tables": {"exclude": ["shop.tmp_*"]}}, "live"),
    ("sink.kafka", {"sink": {"kafka": "other"}}, "reconnect"),
    ("sink.topic", {"sink": {"topic": "all"}}, "live"),
    ("sink.ddl_topic", {"sink": {"ddl_topic": None}}, "live"),
    ("sink.statements", {"sink": {"statements": "ddl-topic"}}, "live"),
    ("sink.create", {"sink": {"create": {"partitions": 8}}}, "live"),
    ("sink.partition_by", {"sink": {"partition_by": "table"}}, "live"),
    ("sink.delivery", {"sink": {"delivery": "at_least_once"}}, "reconnect"),
    ("sink.commit", {"sink": {"commit": {"max_bytes": "1MiB"}}}, "live"),
]


def definition(changes: dict[str, Any]) -> Definition:
    merged = dict(BASE)
    for field, value in changes.items():
        merged[field] = {**BASE[field], **value} if field in BASE and isinstance(value, dict) else value
    return Definition.model_validate(merged)


@pytest.mark.parametrize(
    ("field", "changes", "asked"), CHANGES, ids=[f"{field}-{n}" for n, (field, _, _) in enumerate(CHANGES)]
)
def test_each_field(field: str, changes: dict[str, Any], asked: Change) -> None:
    del field
    assert change_of(definition({}), definition(changes)) == asked
    assert change_of(definition(changes), definition({})) == asked


def test_nothing_changed() -> None:
    assert change_of(definition({}), definition({"sink": {"commit": {"min_interval": "5ms"}}})) == "none"


def test_the_most_that_is_asked_for_is_done() -> None:
    assert change_of(definition({}), definition({"tables": {"include": ["a.b"]}, "source": {"port": 1}})) == "reconnect"


def test_it_is_decided_for_every_field() -> None:
    """Those that have one value only so far, too."""
    assert FIELDS.keys() | {"sink"} == Definition.model_fields.keys()
    assert SINK_FIELDS.keys() == Sink.model_fields.keys()
    tested = {field for field, _, _ in CHANGES} | {"version", "format", "sink.too_large", "sink"}
    assert tested == FIELDS.keys() | {f"sink.{field}" for field in SINK_FIELDS} | {"sink"}
