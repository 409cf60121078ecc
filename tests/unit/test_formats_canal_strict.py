"""canal-json with `compat: strict`, byte for byte: written out by hand from the description of canal's flat message."""

import json
from typing import Any

import pytest

from cdcd.binlog.core.native import Plan, Route
from cdcd.binlog.schema import TableSchema
from cdcd.formats.canal_strict import canal_json_strict
from cdcd.formats.plan import Keying, compile_plan
from cdcd.formats.template import DdlMessage
from tests.decoding import NOW_MS, a_decoder
from tests.events import (
    BEGIN,
    COMMIT,
    DELETE,
    UPDATE,
    WRITE,
    Dump,
    Event,
    bitmap,
    field,
    image,
    rows,
    table_map,
)

STRICT = canal_json_strict("Asia/Shanghai")


def published(*transactions: tuple[Event, ...]) -> list[tuple[bytes | None, str]]:
    """(key, message) of each, in order; each transaction is taken by itself."""
    route = Route("t", 1)

    def catalog(schema: TableSchema) -> Plan:
        return compile_plan(schema, STRICT, route, Keying(shared=False))

    decoder, dump = a_decoder(catalog), Dump()
    found: list[tuple[bytes | None, str]] = []
    for number, events in enumerate(transactions, 1):
        taken = len(dump.packets)
        dump.transaction(number, BEGIN, *events, COMMIT)
        decoder.feed(b"".join(dump.packets[0 if number == 1 else taken :]))
        while decoder.decode(NOW_MS) != 1:
            pass
        for _, _, keys, values, _ in decoder.take_runs():
            found += zip(keys, (value.decode() for value in values), strict=True)
    return found


def test_a_message() -> None:
    [(key, text)] = published((table_map(), rows(WRITE, image(11, "abc"))))
    assert key == b'{"id":"11"}'
    assert text == (
        '{"data":[{"id":"11","name":"abc"}],"database":"shop","es":1700000000000,"gtid":"","id":1,"isDdl":false'
        ',"mysqlType":{"id":"int","name":"varchar(20)"},"old":null,"pkNames":["id"],"sql":""'
        ',"sqlType":{"id":4,"name":12},"table":"orders","ts":1700000001000,"type":"INSERT"}'
    )


def test_a_change_of_the_key_stays_one_update() -> None:
    [(key, text)] = published((table_map(), rows(UPDATE, image(1, "a"), image(2, "a"))))
    told = json.loads(text)
    assert (key, told["type"], told["data"], told["old"]) == (
        b'{"id":"2"}',
        "UPDATE",
        [{"id": "2", "name": "a"}],
        [{"id": "1"}],
    )


def test_id_counts_batches() -> None:
    one = (table_map(), rows(WRITE, image(1, "a"), image(2, "b")))
    found = published(one, (table_map(), rows(DELETE, image(1, "a"))))
    assert [json.loads(text)["id"] for _, text in found] == [1, 1, 2]


def test_columns_that_are_not_in_the_image() -> None:
    """binlog_row_image=MINIMAL; what the update did not log has not changed."""
    columns = (("id", 3, b""), ("name", 15, b"\x50\x00"), ("more", 15, b"\x50\x00"))
    change = rows(UPDATE, b"\x00\x07\x00\x00\x00", b"\x00\x01b", columns=3, present=(0,), present_after=(1,))
    [(key, text)] = published((table_map(columns=columns), change))
    told = json.loads(text)
    assert key == b'{"id":"7"}'
    assert [told[name] for name in ("data", "mysqlType", "sqlType", "old")] == [
        [{"id": "7", "name": "b"}],
        {"id": "int", "name": "varchar(20)"},
        {"id": 4, "name": 12},
        [{}],
    ]


INTEGERS = (
    ("t", 1, (-6, 5)),
    ("s", 2, (5, 4)),
    ("m", 9, (4, 4)),
    ("i", 3, (4, -5)),
    ("b", 8, (-5, 3)),
)
SIZES = {1: 1, 2: 2, 9: 3, 3: 4, 8: 8}


@pytest.mark.parametrize("top", [False, True])
def test_codes_of_unsigned_integers_depend_on_the_value(top: bool) -> None:
    columns = tuple((name, kind, b"") for name, kind, _ in INTEGERS)
    values = [1 << (8 * SIZES[kind] - 1) if top else 5 for _, kind, _ in INTEGERS]
    raw = b"".join(value.to_bytes(SIZES[kind], "little") for value, (_, kind, _) in zip(values, INTEGERS, strict=True))
    row = rows(WRITE, bitmap(5, ()) + raw, columns=5)
    unsigned = table_map(columns=columns, key=(), more=field(1, b"\xf8"))
    told = json.loads(published((unsigned, row))[0][1])
    assert told["data"] == [{name: str(value) for (name, *_), value in zip(INTEGERS, values, strict=True)}]
    assert told["sqlType"] == {name: codes[top] for name, _, codes in INTEGERS}
    signed = json.loads(published((table_map(columns=columns, key=()), row))[0][1])
    assert signed["sqlType"] == {name: codes[0] for name, _, codes in INTEGERS}


def told_of(kind: int, meta: bytes, value: bytes | None, more: bytes = b"") -> tuple[Any, int]:
    row = b"\x01" if value is None else b"\x00" + value
    events = (table_map(columns=(("c", kind, meta),), key=(), more=more), rows(WRITE, row, columns=1))
    told = json.loads(published(events)[0][1])
    return told["data"][0]["c"], told["sqlType"]["c"]


SHOWN: tuple[tuple[tuple[int, bytes, bytes], bytes, str, tuple[int, int]], ...] = (
    ((4, b"\x04", b""), b"\xcd\xcc\x8c\x3f", "1.1", (7, 7)),
    ((5, b"\x08", b""), bytes(8), "0.0", (8, 8)),
    ((16, b"\x08\x00", b""), b"\xff", "255", (-7, -7)),
    ((254, b"\xf7\x01", field(6, b"\x01\x01a")), b"\x01", "1", (4, 4)),
    ((254, b"\xf8\x01", field(5, b"\x02\x01a\x01b")), b"\x03", "3", (-7, 2004)),
    ((245, b"\x04", b""), b"\x02\x00\x00\x00\x04\x00", "null", (12, 1111)),
    ((255, b"\x04", b""), b"\x02\x00\x00\x00\xff\x01", "\xff\x01", (2004, 2004)),
    ((17, b"\x00", b""), b"\x00\x00\x00\x01", "1970-01-01 08:00:01", (93, 93)),
    ((13, b"", b""), b"\x00", "0000", (12, 12)),
)


@pytest.mark.parametrize(("column", "value", "shown", "codes"), SHOWN)
def test_codes_and_texts(column: tuple[int, bytes, bytes], value: bytes, shown: str, codes: tuple[int, int]) -> None:
    kind, meta, more = column
    assert told_of(kind, meta, value, more) == (shown, codes[0])
    assert told_of(kind, meta, None, more) == (None, codes[1])


def test_ddl() -> None:
    ddl = DdlMessage(
        "shop", "DROP TABLE t", "DROP", gtid="g:5", seq=7, batch=3, statement_ms=1000, commit_ms=1, built_ms=2
    )
    told = json.loads(STRICT.ddl(ddl))
    assert [told[name] for name in ("id", "es", "gtid", "ts", "type")] == [3, 1000, "", 2, "ERASE"]
