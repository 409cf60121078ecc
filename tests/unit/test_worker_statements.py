"""What becomes of statements: published, withheld, or the end of the instance."""

import json
from typing import Any, cast

import pytest

from cdcd.binlog.core.native import STATEMENT, Decoder, Route
from cdcd.config.tables import TableFilter
from cdcd.errors import UnsupportedEvent
from cdcd.formats.canal import CANAL_JSON
from cdcd.formats.plan import Keying
from cdcd.worker.catalog import Catalog
from cdcd.worker.statements import Statements, refuse_changes
from tests.decoding import NOW_MS, a_decoder
from tests.events import COMMITTED_US, SOURCE, Dump, query, updated
from tests.memory import MemorySink

TABLES = TableFilter(["shop.*"])


def at_statement(sql: str, database: str, status: bytes) -> Decoder:
    decoder = a_decoder()
    decoder.feed(Dump("binlog.000003").transaction(5, query(sql, database, status=status)).data)
    while decoder.decode(NOW_MS) != STATEMENT:
        pass
    return decoder


def handled(
    sql: str,
    database: str = "shop",
    status: bytes = b"",
    *,
    ids: bytes | None = None,
    publish: bool = True,
    changes: bool = False,
) -> MemorySink:
    sink = MemorySink()
    catalog = Catalog(TABLES, CANAL_JSON, Keying(shared=False), lambda _: Route("t", 1), cast(Any, None))
    route = Route("ddl", 1) if publish else None
    options: Any = {"tables": TABLES, "template": CANAL_JSON, "catalog": catalog, "id_prefix": ids}
    Statements(route=route, sink=sink, publish_changes=changes, **options).handle(at_statement(sql, database, status))
    sink.close(0) if sink.open_since is None else sink.checkpoint(cast(Any, None))
    return sink


def test_ddl_goes_to_its_topic() -> None:
    sink = handled("DROP TABLE orders")
    [(topic, key, value)] = sink.committed
    told = json.loads(value)
    assert (topic, key, sink.ids) == ("ddl", None, [])
    assert (told["database"], told["sql"], told["type"], told["id"]) == ("shop", "DROP TABLE orders", "ERASE", 1)
    assert (told["gtid"], told["es"]) == (f"{SOURCE}:5", COMMITTED_US // 1000)


def test_identities() -> None:
    assert handled("DROP TABLE orders", ids=b"9").ids == [f"9;1;{SOURCE}:5".encode()]


@pytest.mark.parametrize(
    ("database", "status", "concerns"),
    [
        ("shop", b"", True),
        ("other", b"", False),
        ("", b"", True),
        ("other", updated("shop"), True),
        ("other", updated("crm", "shop"), True),
        ("shop", updated("other"), False),
        ("other", bytes([12, 254]), True),  # too many to be listed: any may be among them
        ("other", bytes([99]), True),  # a newer server's: what it says cannot be read
    ],
)
def test_databases(database: str, status: bytes, concerns: bool) -> None:
    assert bool(handled("DROP TABLE orders", database, status).committed) is concerns
    if concerns:
        with pytest.raises(UnsupportedEvent, match="logged as text") as caught:
            handled("INSERT INTO orders VALUES (1)", database, status)
        assert (caught.value.file, caught.value.event_type) == ("binlog.000003", 2)
    else:
        assert handled("INSERT INTO orders VALUES (1)", database, status).committed == []


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE USER a IDENTIFIED WITH 'caching_sha2_password' AS '$A$005$secret'",
        "/* shop */ ALTER USER a IDENTIFIED BY 'secret'",
        "/*!80000 SET PASSWORD FOR a = 'secret' */",
        "GRANT ALL ON *.* TO a",
    ],
)
@pytest.mark.parametrize("database", ["", "shop"])
def test_account_statements_are_never_published(sql: str, database: str) -> None:
    assert handled(sql, database).committed == []


def test_a_table_called_user_is_a_table() -> None:
    assert len(handled("CREATE TABLE user (id INT)").committed) == 1


def test_without_a_topic() -> None:
    assert handled("DROP TABLE orders", publish=False).committed == []
    with pytest.raises(UnsupportedEvent):
        handled("DELETE FROM orders", publish=False)


@pytest.mark.parametrize(
    "sql", ["INSERT INTO orders VALUES (RAND())", "LOAD DATA INFILE 'x' INTO TABLE orders", "SELECT f()"]
)
def test_changes_may_be_published_as_statements(sql: str) -> None:
    [(topic, key, value)] = handled(sql, changes=True).committed
    told = json.loads(value)
    assert (topic, key) == ("ddl", None)
    assert (told["database"], told["sql"], told["type"], told["isDdl"], told["id"]) == ("shop", sql, "QUERY", False, 1)
    assert handled(sql, "other", changes=True).committed == []
    assert handled("GRANT ALL ON *.* TO a", changes=True).committed == []


def test_maintenance_is_nobodys_business() -> None:
    assert handled("ANALYZE TABLE orders").committed == []


def test_what_is_not_known_stops_or_is_published() -> None:
    with pytest.raises(UnsupportedEvent, match="does not know may have changed rows; it begins with FROBNICATE"):
        handled("/* x */ frobnicate orders 'secret'")
    assert handled("FROBNICATE orders", "other").committed == []
    [(_, _, value)] = handled("FROBNICATE orders", changes=True).committed
    assert json.loads(value)["sql"] == "FROBNICATE orders"


def test_tail_refuses_changes_too() -> None:
    with pytest.raises(UnsupportedEvent):
        refuse_changes(at_statement("SELECT `shop`.`f`()", "shop", updated("shop")), TABLES)
    refuse_changes(at_statement("DROP TABLE t", "shop", b""), TABLES)
