"""Definitions: what is accepted, what it means, and how mistakes are told."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from cdcd.config.definition import Definition, definition_schema, load_definition, to_canonical_json
from cdcd.config.network import Endpoint
from cdcd.config.start import StartFile, StartGtidSet, StartTime, parse_start
from cdcd.config.tables import TableFilter
from cdcd.errors import InvalidConfig, Problem
from tests.console import fenced

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"
UUID = "3e11fa47-71ca-11e1-9e33-c80aa9429562"


def fields(**sections: Any) -> dict[str, Any]:
    """The least definition, with other fields put over it, section by section."""
    least: dict[str, Any] = {
        "name": "orders",
        "source": {"host": "mysql-a", "credential": "orders-db"},
        "tables": {"include": ["shop.*"]},
        "sink": {"topic": "cdc.{database}.{table}"},
    }
    for name, value in sections.items():
        old = least.get(name)
        least[name] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
    return least


def load(**sections: Any) -> Definition:
    return load_definition(json.dumps(fields(**sections)))


def problems(source: dict[str, Any] | str) -> dict[str, str]:
    """Path -> message."""
    with pytest.raises(InvalidConfig) as caught:
        load_definition(source if isinstance(source, str) else json.dumps(source))
    return {problem.path: problem.message for problem in caught.value.problems}


def test_what_has_a_default_can_be_left_out() -> None:
    definition = load_definition(EXAMPLES / "minimal.yaml")
    assert (definition.version, definition.paused, definition.start) == (1, False, "latest")
    assert definition.source.heartbeat == 10
    assert definition.source.endpoints == (Endpoint("127.0.0.1", 3306),)
    assert definition.tables.exclude == ()
    assert (definition.format.type, definition.format.compat) == ("canal-json", "fixed")
    sink = definition.sink
    assert (sink.kafka, sink.ddl_topic, sink.partition_by) == ("default", "cdc.{instance}.ddl", "primary_key")
    assert (sink.delivery, sink.too_large) == ("exactly_once", "fail")
    assert (sink.commit.min_interval, sink.commit.max_interval, sink.commit.max_bytes) == (
        0.005,
        0.25,
        16 * 1024 * 1024,
    )


def test_the_example_shows_every_field() -> None:
    example = load_definition(EXAMPLES / "orders.yaml")
    assert example.model_fields_set == set(Definition.model_fields)
    for section in (
        example.tables,
        example.format,
        example.sink,
        example.sink.commit,
        example.sink.create,
        example.source.tls,
    ):
        assert section is not None
        assert section.model_fields_set == set(type(section).model_fields)
    assert example.source.model_fields_set | {"host", "port"} == set(type(example.source).model_fields)
    assert [str(endpoint) for endpoint in example.source.endpoints] == [
        "mysql-a.example.net:3306",
        "mysql-b.example.net:3306",
    ]


def test_three_mistakes_are_three_problems_with_their_paths() -> None:
    with pytest.raises(InvalidConfig) as caught:
        load_definition(
            """
            name: orders
            source: {host: mysql-a, credentials: orders-db, credential: orders-db}
            tables: {include: [shop]}
            sink: {topic: "cdc.{database}.{tabel}"}
            """,
            "orders.yaml",
        )
    assert caught.value.origin == "orders.yaml"
    assert caught.value.problems == (
        Problem("source.credentials", "unknown field; did you mean `credential`?"),
        Problem(
            "tables.include[0]",
            "must be a glob on database.table, such as shop.* or crm.customer_?, or regex:<expression>",
        ),
        Problem("sink.topic", "{tabel} is not known; placeholders are {database}, {table} and {instance}"),
    )


def test_only_these_have_no_default() -> None:
    assert problems("paused: true") == dict.fromkeys(["name", "source", "tables", "sink"], "is required")
    assert problems(fields(source={}, tables={}, sink={}) | {"source": {}, "tables": {}, "sink": {}}) == {
        "source.host": "is required (or `hosts` with several)",
        "source.credential": "is required",
        "tables.include": "is required",
        "sink.topic": "is required",
    }


@pytest.mark.parametrize(
    ("sections", "path", "message"),
    [
        ({"name": "Orders"}, "name", "must be 1 to 63 characters"),
        ({"name": "../orders"}, "name", "must be 1 to 63 characters"),
        ({"name": "orders\n"}, "name", "must be 1 to 63 characters"),
        ({"name": "a" * 64}, "name", "must be 1 to 63 characters"),
        ({"name": 7}, "name", "put quotes around it"),
        ({"paused": "yes"}, "paused", "must be true or false"),
        ({"version": 2}, "version", "must be 1"),
        ({"version": "1"}, "version", "must be 1"),
        ({"version": True}, "version", "must be 1"),
        ({"source": []}, "source", "must be a mapping"),
        ({"source": {"host": "a b"}}, "source.host", "not a host name"),
        ({"source": {"host": "a:3307"}}, "source.host", "the port stands in `port`"),
        ({"source": {"port": 0}}, "source.port", "greater than or equal to 1"),
        ({"source": {"port": "3306"}}, "source.port", "whole number"),
        ({"source": {"hosts": ["b"]}}, "source.hosts", "stands beside `host`"),
        ({"source": {"host": None, "hosts": ["a", "a:3306"]}}, "source.hosts", "twice"),
        ({"source": {"host": None, "hosts": ["a"], "port": 3}}, "source.port", "write host:port"),
        ({"source": {"host": None, "hosts": []}}, "source.hosts", "must not be empty"),
        ({"source": {"host": None, "hosts": ["a:b"]}}, "source.hosts[0]", "must be a number"),
        ({"source": {"credential": "../x"}}, "source.credential", "must be 1 to 63 characters"),
        ({"source": {"password": "x"}}, "source.password", "name a credential"),
        ({"source": {"heartbeat": 10}}, "source.heartbeat", "such as 250ms"),
        ({"source": {"heartbeat": "2h"}}, "source.heartbeat", "from 100ms to 1h"),
        ({"source": {"tls": {"mode": "off"}}}, "source.tls.mode", "must be `verify-identity`, `verify-ca` or `disabled`"),
        ({"source": {"tls": {"cert": "c"}}}, "source.tls.key", "is required"),
        ({"source": {"tls": {"mode": "disabled", "ca": "c"}}}, "source.tls.mode", "uses no certificates"),
        ({"tables": {"include": []}}, "tables.include", "must not be empty"),
        ({"tables": {"include": "shop.*"}}, "tables.include", "must be a list"),
        ({"tables": {"exclude": ["a.b", 3]}}, "tables.exclude[1]", "must be text"),
        ({"start": "newest"}, "start", "must be `latest` or `earliest`"),
        ({"start": {"gtid": "x"}}, "start", "must be latest, earliest, {gtid_set: ...}"),
        ({"start": {"gtid_set": "x"}}, "start.gtid_set", "must be a GTID set"),
        ({"start": {"gtid_set": "0-1-100,"}}, "start.gtid_set", "must be a GTID set"),
        ({"start": {"position": 4}}, "start.file", "is required"),
        ({"start": {"file": "../x.000001"}}, "start.file", "SHOW BINARY LOGS"),
        ({"start": {"file": "b.000001", "position": 3}}, "start.position", "at least 4"),
        ({"start": {"time": "2026-11-01T00:00:00"}}, "start.time", "has no time zone: write 2026-11-01T00:00:00Z"),
        ({"start": {"time": "2026-11-01"}}, "start.time", "ISO 8601"),
        ({"start": {"time": 1700000000}}, "start.time", "ISO 8601"),
        ({"start": {"time": "2026-13-01T00:00:00Z"}}, "start.time", "not a time"),
        ({"start": {"time": "0001-01-01T00:00:00+12:00"}}, "start.time", "not a time"),
        ({"format": {"type": "json"}}, "format.type", "must be `canal-json`"),
        ({"format": {"compat": "strict"}}, "format.strict_timezone", "which requires it"),
        ({"format": {"strict_timezone": "UTC"}}, "format.strict_timezone", "belongs to compat: strict"),
        ({"format": {"compat": "strict", "strict_timezone": "+08:00"}}, "format.strict_timezone", "tz database"),
        ({"format": {"compat": "strict", "strict_timezone": "../etc"}}, "format.strict_timezone", "tz database"),
        ({"format": {"type": "debezium-json"}}, "format.type", "`debezium-json` is not available in this version"),
        ({"sink": {"partition_by": "canal_hash"}}, "sink.partition_by", "`canal_hash` is not available in this version"),
        ({"sink": {"too_large": "dead_letter"}}, "sink.too_large", "`dead_letter` is not available in this version"),
        ({"placement": {"weight": 0}}, "placement.weight", "greater than 0"),
        ({"placement": {"weight": "heavy"}}, "placement.weight", "must be `auto`"),
        ({"placement": {"weight": True}}, "placement.weight", "must be auto or a number"),
        ({"placement": {"require": {"Zone!": "a"}}}, "placement.require.Zone!", "must be 1 to 63 characters"),
        ({"sink": {"partition_by": 3}}, "sink.partition_by", "primary_key, table or a list of columns"),
        ({"sink": {"partition_by": "id"}}, "sink.partition_by", "primary_key, table or a list of columns"),
        ({"sink": {"partition_by": ["a", "a"]}}, "sink.partition_by", "different column names"),
        ({"sink": {"partition_by": []}}, "sink.partition_by", "must not be empty"),
        ({"sink": {"topic": "a b"}}, "sink.topic", "` ` is not allowed"),
        ({"sink": {"ddl_topic": "{table}.ddl"}}, "sink.ddl_topic", "{instance} only"),
        ({"sink": {"ddl_topic": None, "statements": "ddl-topic"}}, "sink.statements", "needs a ddl_topic"),
        ({"sink": {"statements": "skip"}}, "sink.statements", "must be `stop` or `ddl-topic`"),
        ({"sink": {"topic": "cdc", "ddl_topic": "cdc"}}, "sink.ddl_topic", "must not be the topic of the rows"),
        ({"sink": {"create": {"partitions": 0}}}, "sink.create.partitions", "greater than or equal to 1"),
        ({"sink": {"delivery": "at_most_once"}}, "sink.delivery", "must be `exactly_once` or `at_least_once`"),
        ({"sink": {"commit": {"max_bytes": "16MB"}}}, "sink.commit.max_bytes", "such as 16MiB"),
        ({"sink": {"commit": {"min_interval": "1s"}}}, "sink.commit.min_interval", "longer than max_interval"),
        ({"sinks": {}}, "sinks", "did you mean `sink`?"),
        ({"completely": 1}, "completely", "known are version, name, paused"),
    ],
)  # fmt: skip
def test_one_mistake_is_one_problem(sections: dict[str, Any], path: str, message: str) -> None:
    found = problems(fields(**sections))
    assert set(found) == {path}
    assert message.replace("at least 4", "greater than or equal to 4") in found[path]


def test_another_version_is_not_judged_by_this_ones_fields() -> None:
    assert set(problems("version: 2\nname: UPPER\nshape: new")) == {"version"}


def test_no_message_shows_what_may_be_a_password() -> None:
    found = problems(fields(source={"password": "canary", "credential": "CANARY canary", "user": {"x": "canary"}}))
    assert "canary" not in json.dumps(found).lower()


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ("latest", "latest"),
        ("earliest", "earliest"),
        ({"gtid_set": f" {UUID}:1-5:7,\n{UUID}:tag:1 "}, StartGtidSet(gtid_set=f"{UUID}:1-5:7,{UUID}:tag:1")),
        ({"gtid_set": " 0-1-100,\n 1-2-7 "}, StartGtidSet(gtid_set="0-1-100,1-2-7")),
        ({"file": "binlog.000003", "position": 157}, StartFile(file="binlog.000003", position=157)),
        ({"file": "my.host-bin.1000000"}, StartFile(file="my.host-bin.1000000", position=4)),
    ],
)
def test_starts(start: object, expected: object) -> None:
    assert load(start=start).start == expected


@pytest.mark.parametrize(
    "text", ["2026-11-01T02:00:00+02:00", "2026-11-01T00:00:00Z", "2026-11-01 00:00Z", "2026-10-31T18:30:00.000-0530"]
)
def test_a_start_by_time_is_held_in_utc(text: str) -> None:
    start = load(start={"time": text}).start
    assert isinstance(start, StartTime)
    assert start.time == datetime(2026, 11, 1, tzinfo=UTC)
    assert start.time.tzinfo is UTC


def test_a_time_without_quotes_is_the_same_in_yaml() -> None:
    text = json.dumps(fields(start="START")).replace('"START"', "{time: 2026-11-01T00:00:00Z}")
    assert load_definition(text).start == load(start={"time": "2026-11-01T00:00:00Z"}).start


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("latest", "latest"),
        ("earliest", "earliest"),
        (f"gtid:{UUID}:1-5", StartGtidSet(gtid_set=f"{UUID}:1-5")),
        ("file:binlog.000003:157", StartFile(file="binlog.000003", position=157)),
        ("time:2026-11-01T00:00:00Z", StartTime.model_validate({"time": "2026-11-01T00:00:00Z"})),
    ],
)
def test_a_start_in_one_word(text: str, expected: object) -> None:
    assert parse_start(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "now", "gtid:", "file:binlog.000003", "file:x:4", "file:b.000001:3", "time:2026-11-01T00:00:00", "time:x"],
)
def test_what_is_no_start_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"must|has no time zone"):
        parse_start(text)


def test_the_source_of_the_page_on_security() -> None:
    (text,) = fenced("docs/security.md", "yaml")
    tls = load(**yaml.safe_load(text)).source.effective_tls("mysql-a.example.net")
    assert (tls.mode, tls.ca, tls.cert, tls.key) == ("verify-identity", "mysql-ca.pem", "cdcd.pem", "cdcd.key")


def test_the_instance_of_the_page_on_canal() -> None:
    (text,) = fenced("docs/coming-from-canal.md", "yaml")
    definition = load_definition(text)
    tables = TableFilter(definition.tables.include, definition.tables.exclude)
    assert [tables.matches(*name) for name in (("shop", "x"), ("crm", "b"), ("crm", "c"))] == [True, True, False]
    assert definition.sink.create.partitions == 3


def test_tls_of_a_host_where_nothing_is_said() -> None:
    source = load(source={"hosts": ["127.0.0.1", "mysql-a"], "host": None}).source
    assert source.effective_tls("127.0.0.1").mode == "disabled"
    assert source.effective_tls("mysql-a").mode == "verify-identity"
    assert load(source={"tls": {}}).source.effective_tls("127.0.0.1").mode == "verify-identity"
    assert load(source={"tls": {"mode": "disabled"}}).source.effective_tls("mysql-a").mode == "disabled"


@pytest.mark.parametrize(
    ("include", "topic", "expected"),
    [
        (["shop.*"], "cdc.{database}.{table}", True),
        (["shop.*", "crm.*"], "cdc.{table}", False),
        (["shop.*", "shop.x"], "cdc.{table}", True),
        (["shop.*"], "cdc.{database}", False),
        (["shop.orders"], "orders", True),
        (["shop.orders", "shop.items"], "orders", False),
        (["regex:shop\\.orders"], "orders", False),
    ],
)
def test_whether_a_topic_holds_one_table(include: list[str], topic: str, expected: bool) -> None:
    assert load(tables={"include": include}, sink={"topic": topic}).topic_per_table is expected


def test_canonical_json_is_short_sorted_and_the_same_for_the_same() -> None:
    spelled = load_definition(
        """
        version: 1
        sink: {topic: "cdc.{table}", ddl_topic: ~, commit: {max_interval: 250ms, min_interval: 0ms}, delivery: exactly_once}
        tables: {exclude: [], include: ["shop.ü"]}
        source: {credential: orders-db, host: mysql-a}
        name: orders
        """
    )
    expected = (
        '{"name":"orders","sink":{"commit":{"min_interval":"0s"},"ddl_topic":null,"topic":"cdc.{table}"},'
        '"source":{"credential":"orders-db","host":"mysql-a"},"tables":{"include":["shop.ü"]},"version":1}'
    )
    assert to_canonical_json(spelled) == expected
    assert load_definition(expected) == spelled


@pytest.mark.parametrize(
    "start",
    ["earliest", {"time": "2026-11-01T00:00:00.25Z"}, {"gtid_set": f"{UUID}:1"}, {"file": "b.000001", "position": 9}],
)
def test_canonical_json_reads_back(start: object) -> None:
    definition = load(start=start, sink={"partition_by": ["a", "b"], "create": {"partitions": 2, "replication": 3}})
    assert load_definition(to_canonical_json(definition)) == definition
    example = load_definition(EXAMPLES / "orders.yaml")
    assert load_definition(to_canonical_json(example)) == example


def test_a_definition_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load().name = "other"  # type: ignore[misc]


def test_hostile_definitions_are_refused_in_bounded_time() -> None:
    begun = time.process_time()
    many = problems("\n".join(f"field_{number}: 1" for number in range(40_000)))
    assert len(many) == 101
    assert many[""].startswith("and ")
    costly = problems(fields(tables={"include": ["regex:" + "(a{1,900}|b)" * 70] * 1_000}))
    assert "at most 100 regex:" in costly["tables.include"]
    assert "at most 10000" in problems(fields(tables={"include": ["a.b"] * 10_001}))["tables.include"]
    assert time.process_time() - begun < 20  # about two; minutes without the caps


def test_a_hostile_field_name_is_cut_and_made_printable() -> None:
    (path,) = problems(json.dumps(fields()).replace('"name"', '"' + "\\u001b[2J" + "x" * 10_000 + '": 1, "name"'))
    assert len(path) < 120
    assert path.isprintable()


def test_a_file_is_named_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text("name: [")
    with pytest.raises(InvalidConfig, match=r"broken\.yaml"):
        load_definition(path)
    path.write_bytes(b"x" * (3 << 20))
    with pytest.raises(InvalidConfig, match="larger than 1 MiB"):
        load_definition(path)
    with pytest.raises(FileNotFoundError):
        load_definition(tmp_path / "none.yaml")


def test_the_schema_knows_every_section_and_refuses_other_fields() -> None:
    schema = definition_schema()
    assert set(schema["required"]) == {"name", "source", "tables", "sink"}
    assert schema["additionalProperties"] is False
    assert all(section["additionalProperties"] is False for section in schema["$defs"].values())
    assert schema["$defs"]["Commit"]["properties"]["min_interval"]["default"] == "5ms"
