"""Topics of tables, their partitions, and what Kafka or another table does not allow."""

from typing import Any

import pytest

from cdcd.binlog.schema import TableSchema
from cdcd.config.definition import Sink
from cdcd.errors import Finding, FindingError
from cdcd.worker.router import Router


def table(name: str, database: str = "shop") -> TableSchema:
    return TableSchema(database, name, (), (), named=True, fingerprint=b"")


class Kafka:
    """Topics that exist, by number of partitions."""

    def __init__(self, **existing: int) -> None:
        self.topics = {topic.replace("__", "."): partitions for topic, partitions in existing.items()}
        self.warned: list[Finding] = []

    def ensure(self, topic: str, partitions: int) -> int:
        return self.topics.setdefault(topic, partitions)

    def router(self, recorded: dict[str, int] | None = None, *, shared: bool = False, **sink: Any) -> Router:
        settings = Sink.model_validate({"topic": "cdc.{database}.{table}", "create": {"partitions": 4}} | sink)
        return Router("orders", settings, self.ensure, recorded or {}, self.warned.append, shared=shared)


def test_a_topic_is_created_once() -> None:
    kafka = Kafka()
    router = kafka.router()
    route = router(table("people"))
    assert (route.topic, route.partitions) == ("cdc.shop.people", 4)
    assert router(table("people")) is route
    assert kafka.topics == router.partitions == {"cdc.shop.people": 4}


def test_an_existing_topic_keeps_its_partitions() -> None:
    assert Kafka(cdc__shop__people=9).router()(table("people")).partitions == 9


def test_added_partitions_are_reported_and_not_used() -> None:
    """Re-mapped keys would lose their order."""
    kafka = Kafka(cdc__shop__people=9)
    router = kafka.router({"cdc.shop.people": 4})
    assert router(table("people")).partitions == 4
    router(table("people"))
    assert [finding.code for finding in kafka.warned] == ["topic-grown"]
    assert "it has 9, keys stay mapped to the first 4" in kafka.warned[0].what
    assert router.partitions == {"cdc.shop.people": 4}


def test_a_topic_created_anew_with_fewer() -> None:
    with pytest.raises(FindingError, match="has 2 partitions, but keys are mapped to 4") as caught:
        Kafka(cdc__shop__people=2).router({"cdc.shop.people": 4})(table("people"))
    assert (caught.value.finding.code, caught.value.finding.kind) == ("topic-recreated", "operator")


def test_two_tables_of_one_topic() -> None:
    router = Kafka().router(topic="cdc.{table}")
    router(table("people", "a"))
    router(table("people", "a"))
    with pytest.raises(FindingError, match=r"tables a\.people and b\.people both give the topic cdc\.people") as caught:
        router(table("people", "b"))
    assert caught.value.finding.code == "topic-collision"


def test_a_shared_topic() -> None:
    router = Kafka().router(topic="all", shared=True)
    assert router(table("people", "a")) is router(table("people", "b"))


def test_ddl_has_one_partition() -> None:
    kafka = Kafka()
    route = kafka.router().ddl()
    assert route is not None
    assert (route.topic, route.partitions) == ("cdc.orders.ddl", 1)


def test_no_ddl() -> None:
    assert Kafka().router(ddl_topic=None).ddl() is None


def test_a_table_whose_topic_is_that_of_the_ddl() -> None:
    with pytest.raises(FindingError, match=r"rows of orders\.ddl and the DDL statements") as caught:
        Kafka().router()(table("ddl", "orders"))
    assert caught.value.finding.code == "topic-collision"


def test_a_name_that_makes_no_topic() -> None:
    with pytest.raises(FindingError, match="übung"):
        Kafka().router()(table("übung"))
