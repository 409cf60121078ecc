"""The type matrix: each value of the corpus inserted, changed and deleted under each row image, and what cdcd publishes of it
beside what the server's own SELECT shows.

A table has one column `c` of its case's type. Rows below 1000 are the originals, which stay; each image has a thousand
of its own, in which each value gives way to the next, and the last (NULL) to the first.
"""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pymysql.cursors import Cursor

from cdcd.config.start import StartFile
from cdcd.config.tables import TableFilter
from cdcd.formats.canal import CANAL_JSON
from cdcd.formats.canal_strict import canal_json_strict
from cdcd.formats.template import Format
from cdcd.mysql.version import Version
from cdcd.worker.tail import Tail
from tests.integration.type_corpus import Case
from tests.reading import endpoint_of
from tests.servers import MysqlServer

IMAGES: Final = ("FULL", "MINIMAL", "NOBLOB", "FULL_NODUP")
"""The last is MariaDB's from 11.4 on: an UPDATE has the row as it was, and what of it changed."""
STEP = 1000
BLOBS = re.compile(r"(TINY|MEDIUM|LONG)?(TEXT|BLOB)")
"""What NOBLOB leaves out of an image unless it has changed (MySQL manual, `binlog_row_image`); JSON, GEOMETRY and VECTOR stay.
MariaDB's JSON is a LONGTEXT.
"""
WIDTH = re.compile(r"^((tiny|small|medium|big)?int|year|float|double)\([\d,]+\)")
ABSENT: Final = "(absent)"


def table_name(i: int) -> str:
    """None is part of another's: with MINIMAL metadata every DDL text that may name a table casts doubt on it."""
    return f"case_{i:03d}"


@dataclass
class Matrix:
    """What was compared on one server."""

    server: str
    types: int
    compared: int = 0
    """(type, value, row image, operation) combinations."""
    differences: list[tuple[str, ...]] = field(default_factory=list)
    declared: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Case -> COLUMN_TYPE and what was published as mysqlType, where they are not the same."""

    def compare(self, where: tuple[str, ...], case: Case, published: object, shown: object) -> None:
        self.compared += 1
        one = case.published(published) if isinstance(published, str) and published is not ABSENT else published
        other = case.expected(shown) if isinstance(shown, str) and shown is not ABSENT else shown
        if one != other:
            self.differences.append((self.server, case.type[:60], *where, str(published)[:200], str(shown)[:200]))


Shown = dict[int, str | None]
"""Number of a value -> the server's text of it; NULL is the last."""


def images_of(server: MysqlServer) -> tuple[str, ...]:
    return IMAGES if server.flavour == "mariadb-11.8" else IMAGES[:3]


def write(cursor: Cursor, cases: dict[str, Case], images: Sequence[str]) -> dict[str, Shown]:
    """Everything for these tables; what the server shows of the originals."""
    shown = {}
    for name, case in cases.items():
        rows = ", ".join(f"({n}, {value})" for n, value in enumerate((*case.values, "NULL")))
        cursor.execute(f"CREATE TABLE {name} (id INT PRIMARY KEY, c {case.type} NULL)")
        cursor.execute(f"INSERT INTO {name} VALUES {rows}")
        cursor.execute(f"SELECT id, {case.shown} FROM {name}")
        shown[name] = {int(id_): text for id_, text in cursor.fetchall()}
    for image in images:
        cursor.execute(f"SET SESSION binlog_row_image = {image}")
        for name, case in cases.items():
            change(cursor, name, (images.index(image) + 1) * STEP, len(case.values) + 1)
    return shown


def change(cursor: Cursor, name: str, base: int, count: int) -> None:
    mine = f"t.id BETWEEN {base} AND {base + STEP - 1}"
    following = f"(t.id - {base} + 1) % {count}"
    cursor.execute(f"INSERT INTO {name} (id, c) SELECT id + {base}, c FROM {name} WHERE id < {STEP}")
    cursor.execute(f"UPDATE {name} t JOIN {name} v ON v.id = {following} SET t.c = v.c WHERE {mine}")
    cursor.execute(f"DELETE t FROM {name} t WHERE {mine}")


def column_types(server: MysqlServer, database: str) -> dict[str, str]:
    rows = server.query(
        "SELECT TABLE_NAME, COLUMN_TYPE FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s AND COLUMN_NAME = 'c'",
        (database,),
    )
    return dict(rows)


Read = Callable[[MysqlServer, str, StartFile], list[bytes]]
"""Every message of a database since a place in the binlog."""


def tail(server: MysqlServer, database: str, start: StartFile) -> list[bytes]:
    """By the parts that `cdcd tail` is made of."""
    return _tail(server, database, start, CANAL_JSON)


def strict_tail(server: MysqlServer, database: str, start: StartFile) -> list[bytes]:
    """The same with `--strict-timezone Asia/Shanghai`."""
    return _tail(server, database, start, canal_json_strict("Asia/Shanghai"))


def _tail(server: MysqlServer, database: str, start: StartFile, template: Format) -> list[bytes]:
    lines: list[bytes] = []
    reading = Tail(endpoint_of(server), TableFilter([f"{database}.*"]), start, template, until_end=True)
    reading.run(lines.extend, lambda _: None)
    return lines


def new_file(server: MysqlServer) -> StartFile:
    """The beginning of a binlog file that nothing is in yet."""
    server.query("FLUSH BINARY LOGS")
    statement = Version(server.query("SELECT VERSION()")[0][0]).end_statement
    return StartFile(file=server.query(statement)[0][0], position=4)


def run(server: MysqlServer, cases: Iterable[Case], *, read: Read = tail) -> Matrix:
    """Write, read back and compare all that the server has."""
    by_name = {table_name(i): case for i, case in enumerate(cases) if case.on(server.flavour)}
    matrix = Matrix(server.flavour, len(by_name))
    with server.database() as database, server.connect(database=database, charset="utf8mb4", conv={}) as connection:
        start = new_file(server)
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER DATABASE {database} CHARACTER SET utf8mb4")
            cursor.execute("SET sql_mode = 'ALLOW_INVALID_DATES', time_zone = '+00:00', group_concat_max_len = 1000000")
            shown = write(cursor, by_name, images_of(server))
        declared = column_types(server, database)
        found: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for line in read(server, database, start):
            message = json.loads(line)
            found[message["table"]].append(message)
    for name, case in by_name.items():
        check_type(matrix, case, declared[name], found[name])
        check_values(matrix, case, shown[name], found[name], images_of(server))
    return matrix


def check_type(matrix: Matrix, case: Case, declared: str, messages: list[dict[str, Any]]) -> None:
    """The binlog carries no display widths, which MySQL 9.7 hardly shows and older servers do, nor that a column is COMPRESSED."""
    told = messages[0]["mysqlType"]["c"]
    declared = declared.partition(" /*")[0]
    without_width = WIDTH.sub(r"\1", declared.removesuffix(" zerofill"))
    if told not in {declared, without_width}:
        matrix.declared[case.type] = (declared, told)


def check_values(
    matrix: Matrix, case: Case, shown: Shown, messages: list[dict[str, Any]], images: Sequence[str]
) -> None:
    seen: set[tuple[str, int]] = set()
    for message in messages:
        id_ = int(message["data"][0]["id"])
        seen.add((message["type"], id_))
        image = images[id_ // STEP - 1] if id_ >= STEP else "FULL"
        for part, published, expected in parts(message, image, shown, id_ % STEP, blob=is_blob(case, matrix.server)):
            matrix.compare((image, part, str(id_ % STEP)), case, published, expected)
    for missing in sorted(wanted(shown, images) - seen):
        matrix.differences.append((matrix.server, case.type[:60], "no message", *map(str, missing)))


def is_blob(case: Case, flavour: str) -> bool:
    return bool(BLOBS.match(case.type)) or (case.type == "JSON" and flavour.startswith("mariadb"))


def parts(
    message: dict[str, Any], image: str, shown: Shown, n: int, *, blob: bool
) -> Iterator[tuple[str, object, object]]:
    """(operation, what was published, what the server shows) of a message."""
    [row] = message["data"]
    logged = image in {"FULL", "FULL_NODUP"} or (image == "NOBLOB" and not blob)
    before = shown[n] if logged else ABSENT
    if message["type"] == "INSERT":
        yield "INSERT", row.get("c", ABSENT), shown[n]
    elif message["type"] == "DELETE":
        # It was changed before, to the next value.
        following = shown[(n + 1) % len(shown)] if logged else ABSENT
        yield "DELETE", row.get("c", ABSENT), following
    else:
        yield "UPDATE new", row.get("c", ABSENT), shown[(n + 1) % len(shown)]
        yield "UPDATE old", message["old"][0].get("c", ABSENT), before


def wanted(shown: Shown, images: Sequence[str]) -> set[tuple[str, int]]:
    """Messages there must be. An UPDATE between values that show the same may have changed nothing."""
    found = {("INSERT", n) for n in shown}
    for base in range(STEP, STEP * (len(images) + 1), STEP):
        found |= {(kind, base + n) for kind in ("INSERT", "DELETE") for n in shown}
        found |= {("UPDATE", base + n) for n in shown if shown[n] != shown[(n + 1) % len(shown)]}
    return found
