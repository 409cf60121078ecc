"""Bytes a column holds though they are no text in its character set: replaced, counted, and no reason to stop."""

import json

import pytest

from cdcd.binlog.core.native import END, Decoder, Plan, Route
from cdcd.binlog.schema import TableSchema
from cdcd.formats.canal import CANAL_JSON
from cdcd.formats.plan import Keying, compile_plan
from cdcd.mysql.dump_request import DumpRequest
from tests.reading import binlog_end, endpoint_of, opened, read_to_end
from tests.servers import MysqlServer

pytestmark = pytest.mark.must_show("5.1")


def test_invalid_text_is_replaced_and_counted(mysql: MysqlServer, database: str) -> None:
    """The server stores any byte in an 8-bit set; DEC Multinational has no character at AC. In ucs2 it stores half of a pair."""
    start = binlog_end(mysql)
    mysql.run(
        "CREATE TABLE t (id INT PRIMARY KEY, good VARCHAR(9) CHARACTER SET dec8, bad VARCHAR(9) CHARACTER SET dec8,"
        " half VARCHAR(9) CHARACTER SET ucs2)",
        "INSERT INTO t VALUES (1, 'a', _dec8 x'61ac62', _ucs2 x'0061dc000062'), (2, _dec8 x'd7', _dec8 x'acac', 'ü'),"
        " (3, 'c', 'd', _ucs2 x'd800')",
        database=database,
    )
    with opened(endpoint_of(mysql), DumpRequest(file=start[0], offset=start[1], non_blocking=True)) as dump:
        data = read_to_end(dump).data
    plans: list[Plan] = []
    route = Route("t", 1)

    def catalog(schema: TableSchema) -> Plan | None:
        if schema.database == database:
            plans.append(compile_plan(schema, CANAL_JSON, route, Keying(shared=False)))
            return plans[-1]
        return None

    decoder = Decoder(catalog)
    decoder.feed(data)
    while decoder.decode(0) != END:
        pass
    rows = [json.loads(value)["data"][0] for _, _, _, values, _ in decoder.take_runs() for value in values]
    assert [(row["good"], row["bad"], row["half"]) for row in rows] == [
        ("a", "a\ufffdb", "a\ufffdb"), ("Œ", "\ufffd\ufffd", "ü"), ("c", "d", "\ufffd"),
    ]  # fmt: skip
    assert [plan.invalid_text for plan in plans] == [{"bad": 2, "half": 2}]
