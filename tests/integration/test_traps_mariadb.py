"""The cases of mysql-replication that are MariaDB's. Their numbers are names that stay; the others stand in test_traps_values.py."""

from collections import Counter
from collections.abc import Iterator

import pytest

from cdcd.binlog.core.native import CONTROL, END, NEED_BYTES, Decoder
from cdcd.mysql.dump_request import DumpRequest
from tests.published import event_types
from tests.reading import endpoint_of, opened
from tests.servers import MysqlFactory, MysqlServer
from tests.story import Script, Told, told_by_tail

pytestmark = pytest.mark.must_show("5.2")

BASE64 = r"REPLACE(TO_BASE64({}), '\n', '')"
COMPRESSED_QUERY, COMPRESSED_ROWS = 165, {166, 167, 168}

script = Script("SET time_zone = '+00:00', sql_mode = ''")


@pytest.fixture(scope="module")
def server(mysql_server: MysqlFactory) -> MysqlServer:
    """Compresses what is longer than 10 bytes, and makes columns of the old temporal types."""
    return mysql_server(
        "mariadb-11.8",
        log_bin_compress="ON",
        log_bin_compress_min_len=10,
        mysql56_temporal_format="OFF",
        binlog_row_metadata="FULL",
    )


@pytest.fixture(scope="module")
def place(server: MysqlServer) -> tuple[str, int]:
    """Where the binlog ended before the story."""
    file, offset, *_ = server.query("SHOW MASTER STATUS")[0]
    return file, offset


@pytest.fixture(scope="module")
def story(server: MysqlServer, place: tuple[str, int]) -> Iterator[Told]:
    del place  # before it
    with told_by_tail(server, script.statements) as found:
        yield found


def sent(server: MysqlServer, place: tuple[str, int]) -> Counter[int]:
    """Types of the events from a place on."""
    file, offset = place
    decoder, data = Decoder(None), b""
    with opened(endpoint_of(server), DumpRequest(file=file, offset=offset, non_blocking=True)) as dump:
        while (reason := decoder.decode(0)) != END:
            if reason == CONTROL:
                dump.show(decoder.control)
            elif reason == NEED_BYTES:
                more = dump.read(1.0)
                decoder.feed(more)
                data += more
    return event_types(data)


@script(
    "CREATE TABLE d17 (id INT PRIMARY KEY)",
    "INSERT INTO d17 VALUES (1)",
)
def test_d17_a_dump_starts_at_its_file_and_position(server: MysqlServer, story: Told, place: tuple[str, int]) -> None:
    """Whole, from the beginning of the binlog, and from the story's."""
    story.agrees("d17")
    first = server.query("SHOW BINARY LOGS")[0][0]
    everything, since_then = sent(server, (first, 4)), sent(server, place)
    assert sum(everything.values()) > sum(since_then.values()) > 10


@script(
    "CREATE TABLE d18 (id INT PRIMARY KEY, c VARCHAR(300))",
    "INSERT INTO d18 VALUES (1, REPEAT('a', 300)), (2, REPEAT('b', 300)), (3, 'c')",
    "UPDATE d18 SET c = REPEAT('z', 200) WHERE id < 3",
    "DELETE FROM d18 WHERE id = 2",
)
def test_d18_compressed_events(server: MysqlServer, story: Told, place: tuple[str, int]) -> None:
    types = sent(server, place)
    assert types[COMPRESSED_QUERY]
    assert set(types) >= COMPRESSED_ROWS
    story.agrees("d18")


@script(
    "SET GLOBAL mysql56_temporal_format = ON",
    "CREATE TABLE d19 (id INT PRIMARY KEY, t TIMESTAMP(3) NULL, n TIMESTAMP NULL)",
    "SET GLOBAL mysql56_temporal_format = OFF",
    "INSERT INTO d19 VALUES (1, '2038-01-19 03:14:08.125', '2106-02-07 06:28:15'), (2, '2038-01-19 03:14:07', NULL)",
)
def test_d19_timestamps_after_2038(story: Told) -> None:
    story.agrees("d19")


@script(
    "CREATE TABLE d20 (id INT PRIMARY KEY, u UUID, six INET6, four INET4)",
    "INSERT INTO d20 VALUES (1, '00112233-4455-6677-8899-aabbccddee00', '2001:db8::', '10.0.0.0'),"
    " (2, '00000000-0000-0000-0000-000000000000', '::ffff:1.2.3.4', '0.0.0.0'), (3, NULL, NULL, NULL)",
)
def test_d20_uuid_and_inet(story: Told) -> None:
    story.agrees("d20")


@script(
    "SET SESSION character_set_collations = 'utf8mb4=utf8mb4_general_ci,latin1=latin1_bin'",
    "CREATE TABLE e04 (id INT PRIMARY KEY, c VARCHAR(9) CHARACTER SET latin1) CHARACTER SET utf8mb4",
    "INSERT INTO e04 VALUES (1, 'ü')",
)
def test_e04_create_with_a_character_set(story: Told) -> None:
    """Its statement carries a status variable that MySQL does not have."""
    story.agrees("e04")


@script(
    "CREATE TABLE e05 (id INT PRIMARY KEY, v VARCHAR(1000) COMPRESSED, t TEXT COMPRESSED, b BLOB COMPRESSED)",
    "INSERT INTO e05 VALUES (1, REPEAT('ü', 900), REPEAT('text', 5000), REPEAT(x'00FF', 5000)), (2, '', 'short', x'00'),"
    " (3, NULL, NULL, NULL)",
    "UPDATE e05 SET v = CONCAT(v, '!'), t = REPEAT(t, 2)",
)
def test_e05_compressed_columns(story: Told) -> None:
    story.agrees("e05", b=BASE64.format("b"))


@script(
    "CREATE TABLE e09 (id INT PRIMARY KEY, t TIME, d DATETIME, s TIMESTAMP NULL, t3 TIME(3), d6 DATETIME(6), s2 TIMESTAMP(2) NULL)",
    "INSERT INTO e09 VALUES (1, '-01:02:03', '2024-02-29 01:02:03', '2024-02-29 01:02:03', '-01:02:03.456',"
    " '2024-02-29 01:02:03.000004', '2024-02-29 01:02:03.45'), (2, '0', 0, 0, '838:59:59.999', '1000-01-01 00:00:00', NULL)",
)
def test_e09_old_temporal_types_with_fractions(story: Told) -> None:
    story.agrees("e09")
