"""Must-show 3.7: what is wrong in the operator's systems is said once in the log, and stands in /status with its remedy."""

import random
import time
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from deploy.rig.load import create_tables
from deploy.rig.topics import read_committed
from deploy.rig.worker import Instance, Worker, until
from tests.instances import MakeInstance, source_of
from tests.servers import KafkaServer, MysqlFactory

pytestmark = pytest.mark.must_show("3.7")

QUIET_SECONDS = 3
"""How long a parked instance is watched for saying it again."""


def _findings(value: object) -> Iterator[dict[str, Any]]:
    """Every object with a code and a remedy in a JSON document, however deep."""
    if isinstance(value, dict):
        if "code" in value and "remedy" in value:
            yield value
        for inner in value.values():
            yield from _findings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _findings(inner)


def _shown(worker: Worker, code: str) -> dict[str, Any] | None:
    """Not another one that goes by itself, such as of a broker that does not answer at once."""
    assert worker.poll() is None, f"the worker ended with {worker.code}\n{worker.said()}"
    return next((found for found in _findings(worker.status()) if found["code"] == code), None)


def _said(worker: Worker, code: str) -> list[dict[str, Any]]:
    return [line for line in worker.log() if line.get("finding") == code]


def _said_once(worker: Worker, code: str, *parts: str) -> dict[str, Any]:
    """The finding `code` stands in /status, and in one log line; both hold `parts`. Returns the finding."""
    try:
        shown = until(lambda: _shown(worker, code), f"{code} in /status", timeout=60)
    except TimeoutError as error:
        raise TimeoutError(f"{error}\n{worker.said()}") from None
    assert shown["remedy"]
    time.sleep(QUIET_SECONDS)  # what must not happen has no event to wait for
    assert len(_said(worker, code)) == 1, worker.said()
    for part in parts:
        assert part in shown["what"] + shown["remedy"]
        assert part in str(_said(worker, code)[0])
    assert worker.get("/livez") == "ok\n"
    assert worker.get("/readyz") != "ok\n"
    return shown


def _prepared(instance: Instance) -> Instance:
    create_tables(instance.source, instance.database)
    return instance


def _insert(instance: Instance, note: str) -> None:
    with instance.source.connect(instance.database) as connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO item VALUES (1, 'b', 1, 1, 1, %s, NOW(3))", (note,))


def test_wrong_password(make_instance: MakeInstance) -> None:
    instance = _prepared(make_instance("password", login=("admin", "not-the-password")))
    worker = instance.run()
    _said_once(worker, "access-denied", "admin", "source.credential")
    assert "not-the-password" not in worker.said()


def test_unknown_host(make_instance: MakeInstance) -> None:
    overrides = {"source": {"host": "no-such-host.invalid", "tls": {"mode": "disabled"}}}
    instance = _prepared(make_instance("host", overrides=overrides))
    _said_once(instance.run(), "source-unknown-host", "no-such-host.invalid", "source.host")


def test_statement_format(make_instance: MakeInstance, mysql_server: MysqlFactory) -> None:
    server = mysql_server(binlog_format="STATEMENT")
    instance = _prepared(make_instance("statement", source=source_of(server)))
    _said_once(instance.run(), "binlog-format", "STATEMENT", "ROW")


def test_purged_position(make_instance: MakeInstance, mysql_server: MysqlFactory) -> None:
    instance = make_instance("purged", source=source_of(mysql_server()))
    _prepared(instance)
    instance.start = {"gtid_set": instance.source.executed()}
    create_tables(instance.source, f"{instance.database}_more")
    instance.source.run("FLUSH BINARY LOGS")
    instance.source.run(f"PURGE BINARY LOGS TO '{instance.source.end_of_binlog().file}'")
    _said_once(instance.run(), "position-purged")


def test_three_mistakes_are_one_message(make_instance: MakeInstance) -> None:
    """A definition that does not validate cannot run: the process says all that is wrong with it, and ends."""
    overrides = {
        "version": 1,
        "tables": {"include": []},
        "sink": {"topic": "cdc.{schema}", "commit": {"max_bytes": "lots"}},
    }
    worker = make_instance("mistakes", overrides=overrides).run()
    assert worker.wait(30) == INVALID, worker.said()
    said = worker.said()
    for path in ("tables.include", "sink.topic", "sink.commit.max_bytes"):
        assert said.count(path) == 1, said
    assert "Traceback" not in said


INVALID = 5
"""Exit code for a definition that does not validate."""


def test_topic_without_rights(make_instance: MakeInstance, guarded: KafkaServer) -> None:
    """All rights but those to the topic of the rows."""
    access = guarded.sasl
    instance = _prepared(make_instance("rights", bootstrap=access.bootstrap))
    instance.settings = {
        "CDCD_KAFKA__DEFAULT__SASL__MECHANISM": "PLAIN",
        "CDCD_KAFKA__DEFAULT__SASL__CREDENTIAL": "broker",
    }
    instance.write_credential("broker", (access.limited_user, access.limited_password), access.bootstrap)
    _allow(guarded, f"User:{access.limited_user}", instance)
    worker = instance.run()
    until(lambda: bool(worker.metric("cdcd_instance_owned")), "it owns the instance")
    _insert(instance, "x")
    topic = instance.topic.format(database=instance.database, table="item")
    _said_once(worker, "kafka-topic-denied", topic, "kafka-acls")


def _allow(kafka: KafkaServer, principal: str, instance: Instance) -> None:
    """Rights to the instance's transactional id, position topic and DDL topic."""
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    resources = [
        (ResourceType.TRANSACTIONAL_ID, instance.transactional_id),
        (ResourceType.TOPIC, instance.position_topic),
        (ResourceType.TOPIC, instance.ddl_topic),
        (ResourceType.BROKER, "kafka-cluster"),
    ]
    bindings = [
        AclBinding(kind, name, ResourcePatternType.LITERAL, principal, "*", operation, AclPermissionType.ALLOW)
        for kind, name in resources
        for operation in _OPERATIONS[kind]
    ]
    for future in admin.create_acls(bindings).values():
        future.result(30)


_OPERATIONS = {
    ResourceType.TRANSACTIONAL_ID: (AclOperation.DESCRIBE, AclOperation.WRITE),
    ResourceType.TOPIC: (
        AclOperation.DESCRIBE,
        AclOperation.READ,
        AclOperation.WRITE,
        AclOperation.CREATE,
        AclOperation.DESCRIBE_CONFIGS,
    ),
    ResourceType.BROKER: (AclOperation.DESCRIBE, AclOperation.DESCRIBE_CONFIGS, AclOperation.IDEMPOTENT_WRITE),
}


def test_message_over_the_limit(make_instance: MakeInstance) -> None:
    """It is neither skipped nor cut: once the limit is raised, it comes."""
    instance = _prepared(make_instance("limit"))
    topic = instance.topic.format(database=instance.database, table="item")
    admin = AdminClient({"bootstrap.servers": instance.bootstrap})
    admin.create_topics([NewTopic(topic, 4, 1, config={"max.message.bytes": "2000"})])[topic].result(30)
    worker = instance.run()
    until(lambda: bool(worker.metric("cdcd_instance_owned")), "it owns the instance")
    note = random.Random(7).randbytes(10_000).hex()  # the broker judges what is left after compression
    _insert(instance, note)
    _said_once(worker, "message-too-large", topic, "max.message.bytes")
    assert worker.stop() == 0
    entry = ConfigEntry("max.message.bytes", "1000000", incremental_operation=AlterConfigOpType.SET)
    change = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin.incremental_alter_configs([change])[change].result(30)
    instance.run(until_end=True).wait(60)
    (record,) = read_committed(instance.bootstrap, [topic])
    assert note.encode() in record.value
