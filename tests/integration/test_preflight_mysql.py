"""Each finding about a source, provoked on a real server, its remedy carried out as it is printed, and the finding gone."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from cdcd.mysql.connection import Connection, Endpoint, connect
from cdcd.mysql.dump import BinlogDump
from cdcd.mysql.dump_request import DumpRequest
from cdcd.mysql.scan import own_reader
from cdcd.mysql.survey import Survey
from cdcd.preflight.found import Found
from cdcd.preflight.mysql import mysql as checks
from deploy.rig.process import plain_environment
from deploy.rig.worker import write_credential
from tests.instances import Figures
from tests.other_clock import other_clock
from tests.servers import KafkaServer, MysqlFactory, MysqlServer
from tests.waiting import until

pytestmark = pytest.mark.must_show("6.4")

READER = own_reader()
"""Under its server_id the instance would read."""
MESSAGE_BYTES = 1_000_000

SETTINGS = {
    "binlog-format": "SET GLOBAL binlog_format = 'STATEMENT'",
    "partial-json": "SET GLOBAL binlog_row_value_options = 'PARTIAL_JSON'",
    "binlog-row-image": "SET GLOBAL binlog_row_image = 'MINIMAL'",
    "binlog-row-metadata": "SET GLOBAL binlog_row_metadata = 'MINIMAL'",
    "binlog-compression": "SET GLOBAL binlog_transaction_compression = ON",
    "binlog-checksum": "SET GLOBAL binlog_checksum = 'NONE'",
    "binlog-error-ignored": "SET GLOBAL binlog_error_action = 'IGNORE_ERROR'",
    "binlog-not-synced": "SET GLOBAL sync_binlog = 0",
    "redo-not-synced": "SET GLOBAL innodb_flush_log_at_trx_commit = 2",
    "binlog-expiry": "SET GLOBAL binlog_expire_logs_seconds = 3600",
    "gtid-mode": "SET GLOBAL gtid_mode = ON_PERMISSIVE",
}
"""What provokes each; all at once on one server."""
TABLES = {
    "table-without-key": "CREATE TABLE bad.heap (v INT)",
    "foreign-key-cascade": "CREATE TABLE bad.child (id INT PRIMARY KEY, p INT,"
    " CONSTRAINT follows FOREIGN KEY (p) REFERENCES bad.parent (id) ON DELETE CASCADE)",
    "key-collation": "CREATE TABLE bad.names (name VARCHAR(20) PRIMARY KEY)",
}


def endpoint(server: MysqlServer, user: str = "", password: str = "") -> Endpoint:
    return Endpoint(server.host, server.port, user or server.user, password or server.password)


def survey(connection: Connection, rule: Callable[[str, str], bool]) -> dict[str, Found]:
    facts = Survey(connection, rule, MESSAGE_BYTES).read(READER.server_id, str(READER.server_uuid))
    return {found.code: found for found in checks(facts)}


def findings(
    server: MysqlServer, rule: Callable[[str, str], bool] = lambda database, _: database == "bad"
) -> dict[str, Found]:
    with connect(endpoint(server)) as connection:
        return survey(connection, rule)


def carry_out(server: MysqlServer, found: Found) -> None:
    """Every statement of the remedy, as an administrator."""
    for line in found.fix.splitlines():
        assert line.endswith(";"), line
        server.run(line.removesuffix(";"))


@pytest.fixture(scope="module")
def bad(mysql_server: MysqlFactory) -> Iterator[MysqlServer]:
    """A server on which all is wrong that one can set wrong while it runs."""
    made = mysql_server(innodb_native_foreign_keys="ON")
    made.run("CREATE DATABASE bad", "CREATE TABLE bad.parent (id INT PRIMARY KEY)", *TABLES.values())
    made.run("CREATE TABLE bad.documents (id INT PRIMARY KEY, body LONGTEXT)", *SETTINGS.values())
    yield made
    made.run("DROP DATABASE IF EXISTS bad")


def test_everything_at_once_and_one_after_the_other(bad: MysqlServer, figures: Figures) -> None:
    provoked = findings(bad)
    assert provoked.keys() == SETTINGS.keys() | TABLES.keys() | {"row-too-large"}
    for code in SETTINGS.keys() | TABLES.keys():
        carry_out(bad, provoked[code])
        assert code not in findings(bad), provoked[code]
    assert findings(bad).keys() == {"row-too-large"}
    bad.run("ALTER TABLE bad.documents MODIFY body TEXT")
    assert findings(bad) == {}
    figures({"system": "mysql", "provoked and mended": sorted(provoked)})


def test_a_source_that_purges_before_the_instance_is_there(bad: MysqlServer, figures: Figures) -> None:
    def near() -> Found | None:
        with connect(endpoint(bad)) as connection:
            facts = Survey(connection, lambda *_: False, MESSAGE_BYTES).read(1, "", lag_seconds=60_000)
        return next((found for found in checks(facts) if found.code == "binlog-expiry-near"), None)

    bad.run("SET GLOBAL binlog_expire_logs_seconds = 86400")
    found = near()
    assert found is not None
    carry_out(bad, found)
    assert near() is None
    figures({"system": "mysql", "provoked and mended": ["binlog-expiry-near"]})


def test_rules_that_match_no_table(bad: MysqlServer, figures: Figures) -> None:
    def of_shop(database: str, _: str) -> bool:
        return database == "shop"

    assert "tables-none" in findings(bad, of_shop)
    bad.run("CREATE DATABASE shop", "CREATE TABLE shop.orders (id INT PRIMARY KEY)")
    assert "tables-none" not in findings(bad, of_shop)
    bad.run("DROP DATABASE shop")
    figures({"system": "mysql", "provoked and mended": ["tables-none"]})


def test_a_hidden_primary_key_is_one(mysql: MysqlServer, database: str) -> None:
    mysql.run("SET SESSION sql_generate_invisible_primary_key = ON", f"CREATE TABLE {database}.heap (v INT)")
    with connect(endpoint(mysql)) as connection:
        connection.rows("SET SESSION show_gipk_in_create_table_and_information_schema = OFF")
        assert "table-without-key" not in survey(connection, lambda schema, _: schema == database)


@pytest.mark.parametrize("has", ["", "SELECT", "REPLICATION CLIENT, SELECT"])
def test_missing_rights(bad: MysqlServer, figures: Figures, has: str) -> None:
    bad.run("DROP USER IF EXISTS cdc", "CREATE USER cdc IDENTIFIED BY 'secret'")
    if has:
        bad.run(f"GRANT {has} ON *.* TO cdc")
    for expected in (True, False):
        with connect(endpoint(bad, "cdc", "secret")) as connection:
            provoked = survey(connection, lambda *_: True)
        assert ("privilege-missing" in provoked) == expected
        if expected:
            carry_out(bad, provoked["privilege-missing"])
    figures({"system": "mysql", "provoked and mended": ["privilege-missing"]})


def test_another_reader_under_the_same_server_id(bad: MysqlServer, figures: Figures) -> None:
    other = BinlogDump(endpoint(bad), replace(own_reader(heartbeat=1.0), server_id=READER.server_id))
    other.begin(DumpRequest(file=str(bad.query("SHOW BINARY LOG STATUS")[0][0]), offset=4))
    try:
        assert "server-id-clash" in findings(bad)
    finally:
        other.close()
    until(lambda: "server-id-clash" not in findings(bad))
    figures({"system": "mysql", "provoked and mended": ["server-id-clash"]})


@pytest.mark.prove
@pytest.mark.parametrize(
    ("wrong", "right", "code"),
    [
        ({"disable_log_bin": ""}, {}, "binlog-off"),
        ({"log_replica_updates": "OFF"}, {"log_replica_updates": "ON"}, "replica-updates-not-logged"),
        ({"binlog_do_db": "other"}, {}, "binlog-filtered"),
    ],
)
def test_what_needs_a_restart(
    mysql_server: MysqlFactory, figures: Figures, wrong: dict[str, str], right: dict[str, str], code: str
) -> None:
    """The remedy is a line of the option file: here an option of the next server."""
    found = findings(mysql_server(**wrong))[code]
    assert found.fix.startswith("[mysqld] "), found.fix
    assert code not in findings(mysql_server(**right))
    figures({"system": "mysql", "provoked and mended": [code]})


@pytest.mark.prove
def test_every_flavour_can_be_asked(each_mysql: MysqlServer) -> None:
    """None of its statements is unknown to one of them."""
    found = findings(each_mysql)
    metadata = "binlog-no-metadata" if each_mysql.flavour == "mysql-5.6" else "binlog-row-metadata"
    usual = {"tables-none", "binlog-not-synced", "redo-not-synced", "gtid-mode", "gtid-not-strict", "binlog-checksum"}
    if each_mysql.flavour == "mysql-5.6":
        usual.add("binlog-error-ignored")  # its default
    assert found.keys() <= usual | {metadata}, found
    assert (each_mysql.flavour == "mysql-5.6") == ("binlog-no-metadata" in found)


@pytest.mark.prove
def test_tables_that_are_not_read_cost_the_source_little(mysql_server: MysqlFactory) -> None:
    """A MariaDB opens each table for which it is asked who refers to whom: not those of everybody else."""
    server, many = mysql_server("mariadb-11.8"), 200
    server.run("CREATE DATABASE others", "CREATE DATABASE bad", "CREATE TABLE bad.heap (v INT) WITH SYSTEM VERSIONING")
    server.run(*(f"CREATE TABLE others.t{number} (id INT PRIMARY KEY)" for number in range(many)))
    server.run("FLUSH TABLES")

    def opened() -> int:
        return int(server.query("SHOW GLOBAL STATUS LIKE 'Opened_tables'")[0][1])

    before = opened()
    assert "`bad`.`heap`" in findings(server)["table-without-key"].fix
    assert opened() - before < many / 4


@pytest.mark.prove
def test_mariadb(mysql_server: MysqlFactory, figures: Figures) -> None:
    server = mysql_server("mariadb-11.8", gtid_strict_mode="OFF", max_binlog_total_size="1G")
    provoked = findings(server)
    for code in ("gtid-not-strict", "binlog-size-limit"):
        carry_out(server, provoked[code])
        assert code not in findings(server)
    figures({"system": "mysql", "provoked and mended": ["gtid-not-strict", "binlog-size-limit"]})


COMMAND = (sys.executable, "-c", "from cdcd.cli.cdcctl import run; run()", "preflight")


def test_the_command(mysql: MysqlServer, kafka: KafkaServer, database: str, tmp_path: Path, figures: Figures) -> None:
    """Exit statuses, JSON, and the one finding that lies in this machine: its clock."""
    mysql.run(f"CREATE TABLE {database}.orders (id INT PRIMARY KEY)")
    write_credential(tmp_path, "shop", (mysql.user, mysql.password), f"{mysql.host}:{mysql.port}")
    definition: dict[str, Any] = {
        "name": "orders",
        "source": {"host": mysql.host, "port": mysql.port, "credential": "shop"},
        "tables": {"include": [f"{database}.*"]},
        "sink": {"topic": "cdc.{database}.{table}"},
    }
    environment = plain_environment() | {
        "CDCD_KAFKA__DEFAULT__BOOTSTRAP_SERVERS": kafka.bootstrap,
        "CREDENTIALS_DIRECTORY": str(tmp_path / "credentials"),
    }

    def run(*arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
        file = tmp_path / "orders.yaml"
        file.write_text(yaml.safe_dump(definition))
        command = [*COMMAND, "-f", str(file), *arguments]
        return subprocess.run(command, env=environment | more, capture_output=True, text=True, timeout=120, check=False)

    good = run("-o", "json")
    assert good.returncode == 0, good
    usual = {found["code"] for found in json.loads(good.stdout)[0]["findings"]}
    assert usual == {"binlog-not-synced", "redo-not-synced"}, "tests do without the disk"
    skewed = run("--strict", **other_clock(tmp_path, 90))
    assert (skewed.returncode, skewed.stdout.splitlines()[0]) == (1, "Instance orders: 3 findings")
    assert "warning  clock-offset  (mysql)" in skewed.stdout
    (behind,) = re.findall(r"the source's clock is (\d+\.\d) s behind this host's", skewed.stdout)
    assert float(behind) == pytest.approx(90, abs=1)
    definition["source"]["port"] = 1
    write_credential(tmp_path, "shop", (mysql.user, mysql.password), f"{mysql.host}:1")
    away = run("-o", "json")
    assert away.returncode == 1
    assert "source-unreachable" in {each["code"] for each in json.loads(away.stdout)[0]["findings"]}
    assert mysql.password not in away.stdout + away.stderr
    definition["sink"] = {}
    assert run().returncode == 5
    figures({"system": "mysql", "provoked and mended": ["clock-offset"]})
