"""canal-json, byte for byte (formats.md section 2), its keys and its partitions.

The messages are written out by hand from the format's description; murmur2 is checked against Kafka's own test vectors
and against librdkafka's partitioner.
"""

import json
import struct

import confluent_kafka
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdcd.binlog.core.native import Decoder, Plan, Route, murmur2
from cdcd.binlog.schema import TableSchema
from cdcd.errors import FindingError
from cdcd.formats.canal import CANAL_JSON
from cdcd.formats.plan import Keying, PartitionBy, compile_plan
from cdcd.formats.template import DdlMessage
from tests.decoding import NOW_MS, a_decoder
from tests.events import BEGIN, COMMIT, DELETE, UPDATE, WRITE, Dump, Event, bitmap, image, rows, table_map

Message = tuple[str, int, bytes | None, bytes]


def published(
    *events: Event, shared: bool = False, partitions: int = 4, partition_by: PartitionBy = "primary_key", seq: int = 0
) -> list[Message]:
    """(topic, partition, key, value) of all messages of one transaction, in order of `id`."""
    route = Route("cdc.shop.orders", partitions)

    def catalog(schema: TableSchema) -> Plan:
        return compile_plan(schema, CANAL_JSON, route, Keying(shared=shared, partition_by=partition_by))

    decoder = a_decoder(catalog)
    decoder.seq = seq
    decoder.feed(Dump().transaction(5, BEGIN, *events, COMMIT).data)
    messages: list[Message] = []
    while decoder.decode(NOW_MS) != 1:
        messages += taken(decoder)
    return sorted(messages + taken(decoder), key=lambda message: int(json.loads(message[3])["id"]))


def taken(decoder: Decoder) -> list[Message]:
    return [
        (topic, partition, key, value)
        for topic, partition, keys, values, _ in decoder.take_runs()
        for key, value in zip(keys, values, strict=True)
    ]


def values(*events: Event) -> list[str]:
    return [value.decode() for _, _, _, value in published(*events)]


TAIL = ',"pkNames":["id"],"sql":"","sqlType":{"id":4,"name":12},"table":"orders","ts":1700000001000,"type":"%s"}'
MIDDLE = (
    '],"database":"shop","es":1700000000123,"gtid":"00112233-4455-6677-8899-aabbccddeeff:5","id":%d,"isDdl":false'
    ',"mysqlType":{"id":"int","name":"varchar(20)"},"old":%s'
)


def message(data: str, seq: int, old: str, kind: str) -> str:
    return '{"data":[' + data + MIDDLE % (seq, old) + TAIL % kind


def test_insert() -> None:
    assert values(table_map(), rows(WRITE, image(11, "abc"))) == [
        message('{"id":"11","name":"abc"}', 1, "null", "INSERT")
    ]


def test_null() -> None:
    assert values(table_map(), rows(WRITE, image(11, None))) == [
        message('{"id":"11","name":null}', 1, "null", "INSERT")
    ]


def test_update_has_the_old_values_of_changed_columns() -> None:
    changes = (
        table_map(),
        rows(UPDATE, image(1, "a"), image(1, "b"), image(1, "b"), image(1, None), image(1, None), image(1, "c")),
    )
    assert values(*changes) == [
        message('{"id":"1","name":"b"}', 1, '[{"name":"a"}]', "UPDATE"),
        message('{"id":"1","name":null}', 2, '[{"name":"b"}]', "UPDATE"),
        message('{"id":"1","name":"c"}', 3, '[{"name":null}]', "UPDATE"),
    ]


def test_update_that_changed_nothing() -> None:
    assert values(table_map(), rows(UPDATE, image(1, "a"), image(1, "a"))) == [
        message('{"id":"1","name":"a"}', 1, "[{}]", "UPDATE")
    ]


def test_delete_has_the_before_image() -> None:
    assert values(table_map(), rows(DELETE, image(1, "a"))) == [message('{"id":"1","name":"a"}', 1, "null", "DELETE")]


def test_a_changed_key_is_a_delete_and_an_insert() -> None:
    first, second = published(table_map(), rows(UPDATE, image(1, "a"), image(2, "b")), seq=40)
    assert first[2:] == (b'{"id":"1"}', message('{"id":"1","name":"a"}', 41, "null", "DELETE").encode())
    assert second[2:] == (b'{"id":"2"}', message('{"id":"2","name":"b"}', 42, "null", "INSERT").encode())


def test_only_quotes_backslashes_and_control_characters_are_escaped() -> None:
    text = 'a"\\/\b\f\n\r\t\x00\x1f\x7f ü€😀\u2028'
    [value] = values(table_map(), rows(WRITE, image(1, text)))
    escaped = r"a\"\\/\b\f\n\r\t\u0000\u001f" + "\x7f ü€😀\u2028"
    assert value == message('{"id":"1","name":"' + escaped + '"}', 1, "null", "INSERT")
    assert json.loads(value)["data"][0]["name"] == text


@given(st.text(max_size=20).filter(lambda text: len(text.encode()) < 80))
def test_any_text_reads_back(text: str) -> None:
    [value] = values(table_map(), rows(WRITE, image(1, text)))
    assert json.loads(value)["data"] == [{"id": "1", "name": text}]


def test_names_are_escaped_too() -> None:
    odd = 'na"me\\'
    events = (
        table_map(name='or"ders', database='sh"op', columns=(("id", 3, b""), (odd, 15, b"\x50\x00"))),
        rows(WRITE, image(1, "a")),
    )
    [(_, _, key, value)] = published(*events, shared=True)
    told = json.loads(value)
    assert (told["database"], told["table"]) == ('sh"op', 'or"ders')
    assert told["data"] == [{"id": "1", odd: "a"}]
    assert set(told["mysqlType"]) == set(told["sqlType"]) == {"id", odd}
    assert key == b'{"database":"sh\\"op","table":"or\\"ders","pk":{"id":"1"}}'


def test_without_a_primary_key() -> None:
    found = published(
        table_map(key=()), rows(WRITE, image(1, "a"), image(2, "b")), rows(UPDATE, image(1, "a"), image(7, "a"))
    )
    assert [key for _, _, key, _ in found] == [None] * 3
    assert len({partition for _, partition, _, _ in found}) == 1
    told = [json.loads(value) for _, _, _, value in found]
    assert [(one["pkNames"], one["type"]) for one in told] == [(None, "INSERT"), (None, "INSERT"), (None, "UPDATE")]
    assert told[2]["old"] == [{"id": "1"}]


def test_composite_key_in_key_order() -> None:
    [(_, _, key, value)] = published(table_map(key=(1, 0)), rows(WRITE, image(1, 'a"')))
    assert key == b'{"name":"a\\"","id":"1"}'
    assert json.loads(value)["pkNames"] == ["name", "id"]


def test_a_shared_topic_names_the_table_in_its_keys() -> None:
    [(_, _, key, _)] = published(table_map(), rows(WRITE, image(1, "a")), shared=True)
    assert key == b'{"database":"shop","table":"orders","pk":{"id":"1"}}'


@given(st.tuples(st.text(max_size=4), st.text(max_size=4)), st.tuples(st.text(max_size=4), st.text(max_size=4)))
def test_keys_are_injective(one: tuple[str, str], other: tuple[str, str]) -> None:
    columns = (("a", 15, b"\x50\x00"), ("b", 15, b"\x50\x00"))

    def row(pair: tuple[str, str]) -> bytes:
        return bitmap(2, ()) + b"".join(bytes([len(text.encode())]) + text.encode() for text in pair)

    found = published(table_map(columns=columns, key=(0, 1)), rows(WRITE, row(one), row(other)))
    assert (found[0][2] == found[1][2]) is (one == other)


def test_sql_types_and_declared_types() -> None:
    columns = (
        ("tiny", 1, b""), ("small", 2, b""), ("medium", 9, b""), ("big", 8, b""), ("f", 4, b"\x04"), ("d", 5, b"\x08"),
        ("dec", 246, b"\x0a\x02"), ("bits", 16, b"\x03\x00"), ("day", 10, b""), ("at", 18, b"\x03"), ("ts", 17, b"\x00"),
        ("t", 19, b"\x00"), ("y", 13, b""), ("txt", 252, b"\x02"), ("j", 245, b"\x04"),
    )  # fmt: skip
    nothing = bitmap(len(columns), range(len(columns)))
    [(_, _, _, value)] = published(table_map(columns=columns, key=()), rows(WRITE, nothing, columns=len(columns)))
    told = json.loads(value)
    assert told["sqlType"] == {
        "tiny": -6, "small": 5, "medium": 4, "big": -5, "f": 7, "d": 8, "dec": 3, "bits": -7, "day": 91, "at": 93,
        "ts": 93, "t": 92, "y": 12, "txt": 2005, "j": 12,
    }  # fmt: skip
    assert told["mysqlType"] == {
        "tiny": "tinyint", "small": "smallint", "medium": "mediumint", "big": "bigint", "f": "float", "d": "double",
        "dec": "decimal(10,2)", "bits": "bit(3)", "day": "date", "at": "datetime(3)", "ts": "timestamp", "t": "time",
        "y": "year", "txt": "text", "j": "json",
    }  # fmt: skip
    assert told["data"] == [dict.fromkeys(told["sqlType"])]


# ------------------------------------------------------------------ partitions

KAFKA_VECTORS = {
    b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829, b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}  # fmt: skip
"""Of org.apache.kafka.common.utils.UtilsTest."""


@pytest.mark.parametrize(("data", "hashed"), KAFKA_VECTORS.items())
def test_murmur2_of_kafkas_tests(data: bytes, hashed: int) -> None:
    assert struct.unpack("<i", struct.pack("<I", murmur2(data))) == (hashed,)


@given(st.binary(max_size=40))
def test_murmur2_of_librdkafka(data: bytes) -> None:
    assert murmur2(data) & 0x7FFFFFFF == confluent_kafka.murmur2(data, 0x7FFFFFFF)


def java_partition(data: bytes, partitions: int) -> int:
    placed: int = confluent_kafka.murmur2(data, partitions)
    return placed


@pytest.mark.parametrize("partitions", [1, 2, 4, 7, 100])
def test_partition_by_key(partitions: int) -> None:
    found = published(table_map(), rows(WRITE, *(image(n, "a") for n in range(50))), partitions=partitions)
    for _, partition, key, _ in found:
        assert key is not None
        assert partition == java_partition(key, partitions)
    assert len({partition for _, partition, _, _ in found}) == min(partitions, len({p for _, p, _, _ in found}))


def test_partition_without_a_key_is_the_tables() -> None:
    [(_, partition, _, _)] = published(table_map(key=()), rows(WRITE, image(1, "a")), partitions=50)
    assert partition == java_partition(b"shop.orders", 50)


def test_partition_by_table() -> None:
    found = published(table_map(), rows(WRITE, image(1, "a"), image(2, "b")), partitions=50, partition_by="table")
    assert [(partition, key) for _, partition, key, _ in found] == [
        (java_partition(b"shop.orders", 50), b'{"id":"1"}'),
        (java_partition(b"shop.orders", 50), b'{"id":"2"}'),
    ]


def test_partition_by_columns() -> None:
    """Equal values of these columns, equal partition."""
    [one, other] = published(
        table_map(), rows(WRITE, image(1, "a"), image(2, "a")), partitions=50, partition_by=("name",)
    )
    assert one[1] == other[1] == java_partition(b'{"name":"a"}', 50)
    [both] = published(table_map(), rows(WRITE, image(1, None)), partitions=50, partition_by=("name", "id"))
    assert both[1] == java_partition(b'{"name":null,"id":"1"}', 50)


def test_partition_by_a_column_that_is_not_there() -> None:
    with pytest.raises(FindingError, match=r"names column 'city', which shop\.orders does not have") as caught:
        published(table_map(), partition_by=("city",))
    assert (caught.value.finding.code, caught.value.finding.kind) == ("partition-column-missing", "operator")


# ------------------------------------------------------------------ DDL


@pytest.mark.parametrize(
    ("kind", "called"),
    [
        ("CREATE", "CREATE"), ("ALTER", "ALTER"), ("DROP", "ERASE"), ("TRUNCATE", "TRUNCATE"), ("RENAME", "RENAME"),
        ("CREATE INDEX", "CINDEX"), ("DROP INDEX", "DINDEX"), ("OTHER", "QUERY"),
    ],
)  # fmt: skip
def test_ddl(kind: str, called: str) -> None:
    sql = 'ALTER TABLE `orders` COMMENT "ü\n"'
    ddl = DdlMessage(
        database="shop", sql=sql, kind=kind, gtid="g:5", seq=7, batch=3, statement_ms=0, commit_ms=1, built_ms=2
    )
    is_ddl = "false" if kind == "OTHER" else "true"
    assert CANAL_JSON.ddl(ddl).decode() == (
        '{"data":null,"database":"shop","es":1,"gtid":"g:5","id":7,"isDdl":' + is_ddl + ',"mysqlType":null,"old":null'
        ',"pkNames":null,"sql":"ALTER TABLE `orders` COMMENT \\"ü\\n\\"","sqlType":null,"table":"","ts":2'
        f',"type":"{called}"}}'
    )
