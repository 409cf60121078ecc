"""The checks of the preflight over facts that are written down here; on real servers: integration/test_preflight_*.py."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cdcd.errors import Finding
from cdcd.fleet.survey import ZookeeperFacts
from cdcd.kafka.survey import KafkaFacts, Settings, TopicFacts
from cdcd.mysql.survey import Cascade, MysqlFacts, OtherReader
from cdcd.preflight.found import SEVERITIES, Found, by_severity, listed
from cdcd.preflight.kafka import kafka
from cdcd.preflight.mysql import mysql
from cdcd.preflight.reference import SYSTEMS, reference
from cdcd.preflight.zookeeper import zookeeper

SETTINGS = {
    "log_bin": "ON",
    "binlog_format": "ROW",
    "binlog_row_image": "FULL",
    "binlog_row_metadata": "FULL",
    "binlog_checksum": "CRC32",
    "binlog_expire_logs_seconds": "2592000",
    "gtid_mode": "ON",
    "enforce_gtid_consistency": "ON",
    "log_replica_updates": "ON",
    "server_id": "1",
    "sync_binlog": "1",
}
MYSQL = MysqlFacts(
    "db:3306", (8, 4, 6), "MySQL", (), SETTINGS, server_id=77, server_uuid="u", tables=("shop.orders",), message_bytes=9
)
TOPIC = TopicFacts("cdc.shop.orders", 4, 3, Settings({"min.insync.replicas": "2", "cleanup.policy": "delete"}), ())
KAFKA = KafkaFacts("default", {1: Settings({})}, (TOPIC,), None, 1_000_000, 30.0)
ZOOKEEPER = ZookeeperFacts("/cdcd", (), 10.0, 10.0, {"zk:2181": 60}, 3, {"/instances/orders": 400})


def of(facts: MysqlFacts | KafkaFacts | ZookeeperFacts) -> list[Found]:
    match facts:
        case MysqlFacts():
            return list(mysql(facts))
        case KafkaFacts():
            return list(kafka(facts))
    return list(zookeeper(facts))


@pytest.mark.parametrize("facts", [MYSQL, KAFKA, ZOOKEEPER], ids=lambda facts: type(facts).__name__)
def test_nothing_is_wrong(facts: Any) -> None:
    assert of(facts) == []


@pytest.mark.parametrize(
    ("change", "code", "fix"),
    [
        ({"gtid_mode": "OFF", "enforce_gtid_consistency": "OFF"}, "gtid-mode", "SET PERSIST enforce_gtid_consistency = ON;"),
        ({"binlog_expire_logs_seconds": "0", "expire_logs_days": "0"}, None, ""),
        ({"binlog_expire_logs_seconds": "60", "binlog_expire_logs_auto_purge": "OFF"}, None, ""),
        ({"binlog_row_image": "FULL_NODUP"}, None, ""),
        ({"binlog_row_metadata": ""}, "binlog-no-metadata", "Upgrade"),
        ({"binlog_row_value_options": "PARTIAL_JSON"}, None, ""),
        ({"server_id": "77"}, "server-id-clash", "SET PERSIST server_id"),
        ({"binlog_format": "MIXED"}, "binlog-format", "SET PERSIST binlog_format = 'ROW';"),
    ],
)  # fmt: skip
def test_settings(change: Mapping[str, str], code: str | None, fix: str) -> None:
    found = of(replace(MYSQL, settings={**SETTINGS, **change}))
    assert [each.code for each in found] == ([] if code is None else [code])
    assert not found or found[0].fix.startswith(fix)


def test_days_count_where_no_seconds_are_set() -> None:
    settings = {**SETTINGS, "expire_logs_days": "2", "binlog_expire_logs_seconds": "0"}
    (found,) = of(replace(MYSQL, version=(5, 7, 44), lag_seconds=100_000.0, settings=settings))
    assert (found.code, found.fix) == ("binlog-expiry-near", "SET GLOBAL expire_logs_days = 7;")
    (found,) = of(
        replace(MYSQL, product="MariaDB", version=(10, 5, 9), settings={**settings, "expire_logs_days": "0.5"})
    )
    assert (found.code, found.fix) == ("binlog-expiry", "SET GLOBAL expire_logs_days = 7;")


def test_the_gtid_mode_of_an_old_server_takes_a_restart() -> None:
    (found,) = of(replace(MYSQL, version=(5, 6, 51), settings={**SETTINGS, "gtid_mode": "OFF"}))
    assert found.fix.startswith("[mysqld] gtid_mode = ON, ")


def test_older_servers_have_no_persist() -> None:
    (found,) = of(replace(MYSQL, version=(5, 7, 44), readers=(OtherReader(77, "r", "other"),)))
    assert found.fix == "SET GLOBAL server_id = <another>;  -- on r, or stop it"
    (found,) = of(replace(MYSQL, version=(5, 7, 44), settings={**SETTINGS, "sync_binlog": "0"}))
    assert found.fix == "SET GLOBAL sync_binlog = 1;"


@pytest.mark.parametrize(
    ("change", "codes"),
    [
        ({"clock_seconds": 1.2, "clock_uncertainty": 0.3}, []),
        ({"clock_seconds": -4.0}, ["clock-offset"]),
        ({"readers": (OtherReader(77, "r", "U"), OtherReader(78, "s", "v"))}, []),
        ({"readers": (OtherReader(77, "r", "other"),)}, ["server-id-clash"]),
        ({"product": "MariaDB", "version": (10, 4, 1)}, ["source-unsupported"]),
        ({"cascades": (Cascade("a.b", "fk", "a.c", "ON DELETE CASCADE"),)}, ["foreign-key-cascade"]),
        ({"cascades": (Cascade("a.b", "fk", "a.c", "ON DELETE CASCADE"),), "version": (9, 7, 0)}, []),
        ({"tables": ()}, ["tables-none"]),
        ({"lag_seconds": 1_290_000.0}, []),
        ({"lag_seconds": 1_300_000.0}, ["binlog-expiry-near"]),
        ({"readers": (OtherReader(77, "r", ""),)}, ["server-id-clash"]),
        ({"readers": (OtherReader(77, "r", ""),), "lag_seconds": 0.0}, []),
    ],
)
def test_other_facts(change: dict[str, Any], codes: list[str]) -> None:
    assert [each.code for each in of(replace(MYSQL, **change))] == codes


def test_statements_may_be_what_is_wanted() -> None:
    assert of(replace(MYSQL, settings={**SETTINGS, "binlog_format": "STATEMENT"}, statements=True)) == []


def test_names_in_remedies_are_quoted() -> None:
    (found,) = of(replace(MYSQL, without_key=("shop.a`b",)))
    assert found.fix.startswith("ALTER TABLE `shop`.`a``b` ADD COLUMN")


def test_rights_on_topics() -> None:
    (found,) = of(replace(KAFKA, topics=(replace(TOPIC, denied=("Write", "Read")),)))
    assert (found.code, found.severity) == ("kafka-topic-denied", "fatal")
    assert found.fix.endswith(" --operation Write --topic cdc.shop.orders"), "rows are not read"
    (found,) = of(replace(KAFKA, position_topic=replace(TOPIC, denied=("Read",), settings=Settings({}))))
    assert found.code == "kafka-topic-denied"
    (found,) = of(replace(KAFKA, topics=(replace(TOPIC, denied=("DescribeConfigs",)),)))
    assert (found.code, found.severity) == ("kafka-settings-hidden", "notice")


def test_settings_that_may_not_be_read_are_no_finding() -> None:
    hidden = replace(TOPIC, settings=Settings({}))
    assert of(replace(KAFKA, topics=(hidden,), position_topic=hidden)) == []


def test_the_worst_comes_first() -> None:
    found = [Found("c", severity, "mysql", "", "", "") for severity in reversed(SEVERITIES)]
    assert [each.severity for each in by_severity(found)] == list(SEVERITIES)
    assert Found.of(Finding("source-lost", "retry", "what", "fix"), "mysql").severity == "fatal"


def test_long_lists_are_cut() -> None:
    assert listed(str(n) for n in range(12)) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more"


def test_declarations() -> None:
    rules = [rule for checks in SYSTEMS.values() for rule in checks.rules]
    assert len({rule.code for rule in rules}) == len(rules) >= 30
    for rule in rules:
        assert rule.title.endswith("."), rule.code
        assert not rule.why.endswith("."), rule.code


def test_the_page_is_in_step() -> None:
    page = Path(__file__).parents[2] / "docs" / "preflight.md"
    assert page.read_text() == reference(), "run: python -m cdcd.preflight.reference > docs/preflight.md"
