"""The D and E cases of mysql-replication: values that it loses or alters, and events on which it fails at each retry.

Their numbers are names that stay. Each test tells what goes into the binlog; one session of one
server does all of that, and each compares what cdcd publishes with the server's own SELECT or with a literal.
"""

import struct
from collections.abc import Iterator

import pytest

from cdcd.binlog.compression import inflate
from cdcd.binlog.core.native import END, Decoder, Route
from cdcd.binlog.gtid import GtidSet
from cdcd.config.start import StartGtidSet
from cdcd.config.tables import TableFilter
from cdcd.errors import FindingError, MalformedEvent, UnsupportedEvent
from cdcd.formats.canal import CANAL_JSON
from cdcd.formats.plan import Keying, compile_plan
from cdcd.mysql.dump_request import DumpRequest
from cdcd.worker.tail import Tail
from tests.decoding import NOW_MS, hear
from tests.events import BEGIN, WRITE, Dump, gtid, image, rows, table_map
from tests.published import canal, decoded, event_types, since
from tests.reading import endpoint_of, executed, opened
from tests.recording import dumped
from tests.servers import MysqlFactory, MysqlServer
from tests.story import Script, Story, told

pytestmark = pytest.mark.must_show("5.2")

TEXT = "CONVERT({} USING utf8mb4)"
BASE64 = r"REPLACE(TO_BASE64({}), '\n', '')"
PRINTED = "CAST({} AS CHAR)"

script = Script("SET SESSION sql_mode = 'ALLOW_INVALID_DATES', time_zone = '+00:00', cte_max_recursion_depth = 100000")


@pytest.fixture(scope="module")
def server(mysql_server: MysqlFactory) -> MysqlServer:
    return mysql_server(sync_binlog=1)


@pytest.fixture(scope="module")
def story(server: MysqlServer) -> Iterator[Story]:
    with told(server, script) as found:
        yield found


def tailed(server: MysqlServer, known: GtidSet, *tables: str) -> list[bytes]:
    """What `cdcd tail` prints of everything since `known`."""
    lines: list[bytes] = []
    start = StartGtidSet(gtid_set=str(known))
    tail = Tail(endpoint_of(server), TableFilter(tables), start, CANAL_JSON, until_end=True)
    tail.run(lines.extend, lambda _: None)
    return lines


# ------------------------------------------------------------------ D: silent loss, or a wrong value


@script(
    "CREATE TABLE d01 (id INT PRIMARY KEY, c VARCHAR(300))",
    "SET SESSION binlog_transaction_compression = ON",
    "INSERT INTO d01 VALUES (1, REPEAT('a', 300)), (2, REPEAT('b', 300)), (3, 'c')",
    "UPDATE d01 SET c = REPEAT('z', 200) WHERE id < 3",
    "DELETE FROM d01 WHERE id = 2",
    "SET SESSION binlog_transaction_compression = OFF",
)
def test_d01_compressed_transactions(story: Story) -> None:
    assert event_types(story.data)[40] >= 1
    story.agrees("d01")
    assert len(story.messages("d01")) == 6


@script(
    "CREATE TABLE d02 (id INT PRIMARY KEY)",
    "INSERT INTO d02 VALUES (1)",
    "SET gtid_next = 'AUTOMATIC:blue'",
    "INSERT INTO d02 VALUES (2)",
    "SET gtid_next = 'AUTOMATIC'",
    "INSERT INTO d02 VALUES (3)",
)
def test_d02_rows_have_the_tagged_gtid_of_their_own(story: Story) -> None:
    gtids = [message["gtid"] for message in story.messages("d02")]
    assert [":blue:" in one for one in gtids] == [False, True, False]
    assert executed(story.server).contains(GtidSet.parse(",".join(gtids)))
    assert GtidSet.parse(",".join(gtids)).count() == 3


@script(
    "CREATE TABLE d03 (id INT PRIMARY KEY, c JSON)",
    "INSERT INTO d03 VALUES (1, JSON_OBJECT('a', 1, 'b', JSON_ARRAY(1, 2), 'long', REPEAT('x', 400)))",
    "SET SESSION binlog_row_value_options = PARTIAL_JSON",
    "UPDATE d03 SET c = JSON_SET(JSON_REMOVE(c, '$.b[0]'), '$.a', 'one', '$.new', JSON_OBJECT('k', 2.50))",
    "SET SESSION binlog_row_value_options = ''",
)
def test_d03_every_change_of_a_partial_update(story: Story) -> None:
    assert event_types(story.data)[39] == 1
    story.agrees("d03", c=PRINTED.format("c"))


@script("CREATE TABLE d04 (id INT PRIMARY KEY, c JSON)", "INSERT INTO d04 VALUES (1, 'null'), (2, NULL)")
def test_d04_json_null_is_not_sql_null(story: Story) -> None:
    story.agrees("d04", c=PRINTED.format("c"))
    assert [row["c"] for row in story.rows("d04")] == ["null", None]


@script(
    "CREATE TABLE d05 (id INT PRIMARY KEY, c JSON)",
    "INSERT INTO d05 VALUES (1, JSON_ARRAY(x'00FF80', CAST('2024-02-29' AS DATE), CAST('-12:34:56.789' AS TIME(3)),"
    " CAST('2024-02-29 01:02:03.000004' AS DATETIME(6)), CAST(-12.3400 AS DECIMAL(9,4)), b'101', _binary 'abc'))",
)
def test_d05_values_in_json_that_json_has_no_type_for(story: Story) -> None:
    story.agrees("d05", c=PRINTED.format("c"))


@script(
    "CREATE TABLE d06 (id INT PRIMARY KEY, t1 TIME(1), t2 TIME(2), t4 TIME(4), t6 TIME(6))",
    "INSERT INTO d06 VALUES (1, '-00:00:00.1', '-00:00:00.01', '-01:02:03.4567', '-838:59:58.999999'),"
    " (2, '-00:00:01', '-00:00:59.99', '-00:00:00.0001', '-00:00:00.000001'), (3, '0', '838:59:59', '-838:59:59', '0.5')",
)
def test_d06_negative_time_with_a_fraction(story: Story) -> None:
    story.agrees("d06")


@script(
    "CREATE TABLE d07 (id INT PRIMARY KEY, e ENUM('ü','ß') CHARACTER SET latin1, s SET('é','中') CHARACTER SET gbk,"
    " u ENUM('€') CHARACTER SET utf16)",
    "INSERT INTO d07 VALUES (1, 'ü', 'é', '€'), (2, 'ß', 'é,中', NULL)",
)
def test_d07_labels_in_other_character_sets(story: Story) -> None:
    story.agrees("d07", e=TEXT.format("e"), s=TEXT.format("s"), u=TEXT.format("u"))


@script(
    "CREATE TABLE d08 (id INT PRIMARY KEY, c BINARY(5), v VARBINARY(5), b BLOB)",
    "INSERT INTO d08 VALUES (1, 'ab', 'ab', 'ab'), (2, '', '', ''), (3, x'0000000000', x'00', x'00'), (4, 'abcde', '', '')",
)
def test_d08_binary_is_padded(story: Story) -> None:
    story.agrees("d08", c=BASE64.format("c"), v=BASE64.format("v"), b=BASE64.format("b"))


TEXTS = {
    "utf16": "Aü€😀", "ucs2": "Aü€", "utf16le": "Aü€😀", "hp8": "Aüé", "dec8": "Aüé", "swe7": "AÅé", "keybcs2": "Ažř",
    "macce": "Ažř", "eucjpms": "A日①", "armscii8": "AԱբ", "geostd8": "Aაბ",
}  # fmt: skip


@script(
    f"CREATE TABLE d09 (id INT PRIMARY KEY, {', '.join(f'{name} VARCHAR(9) CHARACTER SET {name}' for name in TEXTS)})",
    f"INSERT INTO d09 VALUES (1, {', '.join(map(repr, TEXTS.values()))})",
)
def test_d09_character_sets_that_are_swapped_or_raw(story: Story) -> None:
    story.agrees("d09", **{name: TEXT.format(name) for name in TEXTS})
    assert story.rows("d09") == [{"id": "1", **TEXTS}]


@script(
    "CREATE TABLE d10 (id INT PRIMARY KEY, d DATE, t DATETIME(2), s TIMESTAMP NULL, y YEAR)",
    "INSERT INTO d10 VALUES (1, '0000-00-00', '0000-00-00', '0000-00-00', 0), (2, '2024-00-15', '2024-00-00 01:02:03.04',"
    " '1970-01-01 00:00:01', '0000'), (3, '2024-02-31', '2023-02-29 00:00:00', NULL, 1901), (4, NULL, NULL, NULL, NULL)",
)
def test_d10_zero_and_invalid_dates(story: Story) -> None:
    story.agrees("d10")
    assert story.rows("d10")[0] == {
        "id": "1", "d": "0000-00-00", "t": "0000-00-00 00:00:00.00", "s": "0000-00-00 00:00:00", "y": "0000",
    }  # fmt: skip


@script(
    "CREATE TABLE d11 (id INT PRIMARY KEY, f FLOAT, d DOUBLE)",
    "INSERT INTO d11 VALUES (1, 1.1, 1.1), (2, -0.3, 0.1), (3, 16777216, 1e300)",
)
def test_d11_floats_are_the_shortest_text(story: Story) -> None:
    found = [(row["f"], row["d"]) for row in story.rows("d11")]
    assert found == [("1.1", "1.1"), ("-0.3", "0.1"), ("16777216", "1e300")]


@script(
    "CREATE TABLE d12 (id INT PRIMARY KEY, s SET('a','b','c'), b BIT(8), j JSON)",
    """INSERT INTO d12 VALUES (1, 'c,a', b'101', '{"bb": 1, "a": {"é": 2}}'), (2, '', b'0', '{}')""",
)
def test_d12_sets_bits_and_keys(story: Story) -> None:
    story.agrees("d12", b="b + 0", j=PRINTED.format("j"))


def test_d13_the_files_own_checksums_rule(server: MysqlServer, story: Story) -> None:
    """Whatever the global variable is by now: rows, statements and names of files lose nothing."""
    known = executed(server)
    with server.database() as database:
        server.run("CREATE TABLE t (c VARCHAR(9))", "INSERT INTO t VALUES ('crc')", database=database)
        server.query("SET GLOBAL binlog_checksum = NONE")
        try:
            server.run("INSERT INTO t VALUES ('none')", "ALTER TABLE t COMMENT 'none'", database=database)
            beside = since(server, story.known, story.database)
        finally:
            server.query("SET GLOBAL binlog_checksum = CRC32")
        server.run("INSERT INTO t VALUES ('again')", database=database)
        found = since(server, known, database)
    assert [one["data"][0]["c"] for one in found.messages] == ["crc", "none", "again"]
    assert b"ALTER TABLE t COMMENT 'none'" in [one.sql for one in found.statements]
    assert found.decoder.file == server.query("SHOW BINARY LOG STATUS")[0][0]
    assert [one["data"] for one in beside.messages] == [one["data"] for one in story.found.messages]


def test_d14_minimal_metadata(server: MysqlServer) -> None:
    """Names, signs, labels and character sets are right, and today's names never stand on old rows."""
    server.query("SET GLOBAL binlog_row_metadata = MINIMAL")
    try:
        with server.database() as database:
            server.run(
                "CREATE TABLE t (id INT PRIMARY KEY, u INT UNSIGNED, e ENUM('y','n'), l VARCHAR(9) CHARACTER SET latin1)",
                "CREATE TABLE renamed (id INT PRIMARY KEY, a INT, b INT)",
                database=database,
            )
            known = executed(server)
            server.run("INSERT INTO t VALUES (1, 4294967295, 'n', 'ü')", database=database)
            [line] = tailed(server, known, f"{database}.t")
            assert b'"data":[{"id":"1","u":"4294967295","e":"n","l":"\xc3\xbc"}]' in line
            server.run(
                "INSERT INTO renamed VALUES (1, 10, 20)",
                "ALTER TABLE renamed RENAME COLUMN a TO b, RENAME COLUMN b TO a",
                "INSERT INTO renamed VALUES (2, 10, 20)",
                database=database,
            )
            with pytest.raises(FindingError) as caught:
                tailed(server, known, f"{database}.renamed")
            assert caught.value.finding.code == "schema-unknown"
    finally:
        server.query("SET GLOBAL binlog_row_metadata = FULL")


def test_d15_an_empty_set_is_everything(story: Story) -> None:
    found = decoded(dumped(story.server, GtidSet()), canal(story.database))
    assert GtidSet(found.decoder.take_gtids()) == executed(story.server)
    assert len(found.messages) == len(story.found.messages)


def test_d16_nothing_again_after_a_lost_connection(story: Story) -> None:
    """Cut in the middle of everything: what was read before and what a new dump brings from there is the whole, once."""
    first = decoded(story.data[: len(story.data) // 3], canal(story.database))
    known = story.known.union(GtidSet(first.decoder.take_gtids()))
    whole = [transaction for transaction, _, _ in first.places]
    published = [one for one in first.messages if one["gtid"] in whole]
    rest = decoded(dumped(story.server, known), canal(story.database))
    assert [one["data"] for one in published + rest.messages] == [one["data"] for one in story.found.messages]


@script(
    "CREATE TABLE d21 (id INT PRIMARY KEY, a INT, b VARCHAR(9))",
    "INSERT INTO d21 VALUES (1, 2, 'x')",
    "ALTER TABLE d21 DROP COLUMN a, ADD c INT UNSIGNED, RENAME COLUMN b TO z",
    "INSERT INTO d21 VALUES (2, 'y', 4000000000)",
)
def test_d21_rows_are_read_by_the_table_map_of_their_time(story: Story) -> None:
    """Taken only after everything was decoded."""
    route = Route("t", 1)
    decoder = Decoder(lambda schema: compile_plan(schema, CANAL_JSON, route, Keying(shared=True)), inflate)
    decoder.feed(story.data)
    while decoder.decode(NOW_MS, 1 << 30) != END:
        pass
    [(_, _, keys, values, _)] = decoder.take_runs()
    [first, second] = [
        value for key, value in zip(keys, values, strict=True) if key is not None and b'"table":"d21"' in key
    ]
    assert b'"data":[{"id":"1","a":"2","b":"x"}]' in first
    assert b'"data":[{"id":"2","z":"y","c":"4000000000"}]' in second


def test_d22_rows_of_an_unknown_table_are_an_error() -> None:
    with pytest.raises(MalformedEvent, match="table id 9, which no table map announced"):
        hear(Dump().add(gtid(1), BEGIN, table_map(8), rows(WRITE, image(1, "a"), table_id=9)))


def test_d23_ids_of_before_a_crash(server: MysqlServer, story: Story) -> None:
    """The file ends without a ROTATE, and the tables get each other's ids."""
    del story  # not in the midst of it
    known = executed(server)
    with server.database() as database:
        server.run("CREATE TABLE a (id INT PRIMARY KEY)", "CREATE TABLE b (id INT PRIMARY KEY)", database=database)
        server.run("INSERT INTO a VALUES (1)", "INSERT INTO b VALUES (2)", database=database)
        server.restart(kill=True)
        server.run("INSERT INTO b VALUES (3)", "INSERT INTO a VALUES (4)", database=database)
        found = since(server, known, database)
    changes = [(one["table"], one["data"][0]["id"]) for one in found.messages]
    assert changes == [("a", "1"), ("b", "2"), ("b", "3"), ("a", "4")]


# ------------------------------------------------------------------ E: exceptions that come again on every retry


@script(
    "SET gtid_next = 'AUTOMATIC:green'",
    "CREATE TABLE e01 (id INT PRIMARY KEY)",
    "SET gtid_next = 'AUTOMATIC'",
    "FLUSH BINARY LOGS",
)
def test_e01_previous_gtids_with_tags(story: Story) -> None:
    previous = GtidSet.decode(story.found.decoder.previous_gtids)
    assert ":green:" in str(previous)
    assert executed(story.server).contains(previous)


@script(
    "CREATE TABLE e02 (id INT PRIMARY KEY, c VECTOR(3))",
    "INSERT INTO e02 VALUES (1, STRING_TO_VECTOR('[1.5, -2, 0.1]')), (2, NULL)",
)
def test_e02_vectors(story: Story) -> None:
    published = [row["c"] for row in story.rows("e02")]
    assert published == ["[1.5,-2,0.1]", None]
    [(shown,)] = story.select("SELECT HEX(c) FROM e02 WHERE id = 1")
    assert shown == struct.pack("<3f", 1.5, -2, 0.1).hex().upper()


@script(
    "CREATE TABLE e03 (id INT PRIMARY KEY)",
    "SET SESSION binlog_format = STATEMENT",
    "INSERT INTO e03 VALUES (1)",
    "SET SESSION binlog_format = ROW",
)
def test_e03_changes_logged_as_statements(story: Story) -> None:
    """A finding that names them, where their database is read; else they are passed."""
    assert b"INSERT INTO e03 VALUES (1)" in [one.sql for one in story.found.statements]
    with pytest.raises(UnsupportedEvent, match="logged as text"):
        tailed(story.server, story.known, f"{story.database}.e03")
    assert tailed(story.server, story.known, "other.*") == []


@script(
    "CREATE TABLE e06 (id INT PRIMARY KEY, d DATE, j JSON)",
    "INSERT INTO e06 VALUES (1, '2024-02-30', JSON_ARRAY(CAST('-130:00:01.5' AS TIME(1)), CAST('2024-00-10' AS DATE),"
    " CAST('2024-00-00 23:59:59' AS DATETIME)))",
)
def test_e06_dates_and_times_that_python_has_not(story: Story) -> None:
    story.agrees("e06", j=PRINTED.format("j"))
    assert story.rows("e06")[0]["d"] == "2024-02-30"


@script(
    "CREATE TABLE e07 (id INT PRIMARY KEY, l VARCHAR(9) CHARACTER SET latin1, u VARCHAR(9) CHARACTER SET utf32)",
    "INSERT INTO e07 VALUES (1, _latin1 x'818D8F909D80', 'Aü😀')",
)
def test_e07_holes_of_latin1_and_utf32(story: Story) -> None:
    story.agrees("e07", l=TEXT.format("l"), u=TEXT.format("u"))
    assert story.rows("e07") == [{"id": "1", "l": "\x81\x8d\x8f\x90\x9d€", "u": "Aü😀"}]


def test_e08_a_file_with_checksums_where_there_are_none_any_more(server: MysqlServer, story: Story) -> None:
    server.query("SET GLOBAL binlog_checksum = NONE")
    try:
        files = [row[0] for row in server.query("SHOW BINARY LOGS")]
        request = DumpRequest(file=files[0], offset=4, non_blocking=True)
        with opened(endpoint_of(server), request) as dump:
            assert dump.read(5.0)
        again = decoded(dumped(server, story.known), canal(story.database))
    finally:
        server.query("SET GLOBAL binlog_checksum = CRC32")
    assert [one["data"] for one in again.messages] == [one["data"] for one in story.found.messages]


@script(
    "CREATE TABLE e10 (id INT PRIMARY KEY, c JSON)",
    "INSERT INTO e10 SELECT 1, JSON_OBJECTAGG(CONCAT('key', n), CONCAT('value ', n)) FROM"
    " (WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 64000) SELECT n FROM s) many",
)
def test_e10_json_of_64_000_keys(story: Story) -> None:
    story.agrees("e10", c=PRINTED.format("c"))
