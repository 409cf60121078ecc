"""Topic templates and the names that come of them."""

import pytest

from cdcd.config.topics import check_template, topic_name
from cdcd.errors import FindingError


@pytest.mark.parametrize("template", ["cdc", "cdc.{database}.{table}", "{instance}-{table}_X", "{table}", "a" * 249])
def test_these_templates_are_taken(template: str) -> None:
    assert check_template(template) == template


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("", "must name a topic"),
        (".", "must name a topic"),
        ("..", "must name a topic"),
        ("a/b", "`/` is not allowed"),
        ("ä", "`ä` is not allowed"),
        ("a\nb", "is not allowed"),
        ("{schema}", "{schema} is not known"),
        ("{}", "{} is not known"),
        ("{table!r}", "not known"),
        ("{table:>9}", "not known"),
        ("{table.__class__}", "not known"),
        ("{table", "unpaired brace"),
        ("table}", "unpaired brace"),
        ("{{table}}", "`{` is not allowed"),
        ("a" * 250, "too long"),
        ("a" * 248 + "{database}{table}", "too long"),
        ("__cdcd_positions.default.orders", "two underscores"),
    ],
)
def test_these_are_refused(template: str, message: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        check_template(template)
    assert message in str(caught.value)


def test_a_name_is_put_together() -> None:
    assert topic_name("cdc.{database}.{table}", instance="i", database="shop", table="t-1") == "cdc.shop.t-1"
    assert topic_name("cdc.{instance}.ddl", instance="orders") == "cdc.orders.ddl"


@pytest.mark.parametrize("table", ["ü", "a b", "a{table}", "x" * 249, "a/b", "a\n"])
def test_a_table_whose_topic_is_not_allowed_is_a_finding(table: str) -> None:
    with pytest.raises(FindingError) as caught:
        topic_name("cdc.{table}", instance="i", database="shop", table=table)
    finding = caught.value.finding
    assert (finding.code, finding.kind) == ("topic-name", "operator")
    assert finding.what.isprintable()
    assert "tables.exclude" in finding.remedy


def test_no_table_can_write_to_a_topic_of_kafka_or_cdcd() -> None:
    with pytest.raises(FindingError):
        topic_name("{table}", instance="i", database="shop", table="__consumer_offsets")
