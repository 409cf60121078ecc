"""Tables that change while rows are written: what each story runs, and by which names its rows are to be published.

What is expected is the server's own SELECT right after each row was written.
"""

import re
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from pymysql.cursors import DictCursor

from tests.servers import MysqlServer
from tests.waiting import until


@dataclass(frozen=True)
class Row:
    """A row to insert, and the tables that it is then to be found in (a trigger may copy it); without values: one that the
    step before has inserted.
    """

    table: str
    values: str
    id: int
    copies: tuple[str, ...] = ()


@dataclass(frozen=True)
class Meanwhile:
    """A statement of another session, which has to wait for a lock of this one; it goes on after UNLOCK TABLES."""

    sql: str


Step = str | Row | Meanwhile
Published = tuple[str, dict[str, str | None]]
"""(table, values by column name) of an inserted row."""

GH_OST: tuple[Step, ...] = (
    "CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT)",
    Row("t", "1, 10, 20", 1),
    "CREATE /* gh-ost */ TABLE `{db}`.`_t_gho` LIKE `{db}`.`t`",
    "ALTER /* gh-ost */ TABLE `{db}`.`_t_gho` RENAME COLUMN a TO b, RENAME COLUMN b TO a",
    Row("t", "2, 11, 21", 2),
    "CREATE /* gh-ost */ TABLE `{db}`.`_t_del` (id INT PRIMARY KEY) ENGINE=InnoDB COMMENT='ghost-cut-over-sentry'",
    "INSERT /* gh-ost */ INTO `{db}`.`_t_gho` (id, b, a) SELECT id, a, b FROM `{db}`.`t` LOCK IN SHARE MODE",
    Row("_t_gho", "", 1),
    Row("_t_gho", "", 2),
    "LOCK /* gh-ost */ TABLES `{db}`.`t` WRITE, `{db}`.`_t_del` WRITE",
    Meanwhile("RENAME /* gh-ost */ TABLE `{db}`.`t` TO `{db}`.`_t_del`, `{db}`.`_t_gho` TO `{db}`.`t`"),
    "DROP /* gh-ost */ TABLE IF EXISTS `{db}`.`_t_del`",
    "UNLOCK TABLES",
    Row("t", "3, 12, 22", 3),
    "DROP /* gh-ost */ TABLE IF EXISTS `{db}`.`_t_del`",
    Row("t", "4, 13, 23", 4),
)
"""Without the copying of rows that came meanwhile, which gh-ost does by plain statements."""
PT_OSC: tuple[Step, ...] = (
    "CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(20), b INT)",
    Row("t", "1, 'one', 1", 1),
    "CREATE TABLE `{db}`.`_t_new` LIKE `{db}`.`t`",
    "ALTER TABLE `{db}`.`_t_new` DROP b, ADD c VARCHAR(20) AFTER id",
    "CREATE TRIGGER `pt_osc_{db}_t_del` AFTER DELETE ON `{db}`.`t` FOR EACH ROW DELETE IGNORE FROM `{db}`.`_t_new` WHERE `{db}`.`_t_new`.`id` <=> OLD.`id`",
    "CREATE TRIGGER `pt_osc_{db}_t_upd` AFTER UPDATE ON `{db}`.`t` FOR EACH ROW BEGIN DELETE IGNORE FROM `{db}`.`_t_new` WHERE !(OLD.`id` <=> NEW.`id`) AND `{db}`.`_t_new`.`id` <=> OLD.`id`; REPLACE INTO `{db}`.`_t_new` (`id`, `a`) VALUES (NEW.`id`, NEW.`a`); END",
    "CREATE TRIGGER `pt_osc_{db}_t_ins` AFTER INSERT ON `{db}`.`t` FOR EACH ROW REPLACE INTO `{db}`.`_t_new` (`id`, `a`) VALUES (NEW.`id`, NEW.`a`)",
    Row("t", "2, 'two', 2", 2, copies=("_t_new",)),
    "INSERT LOW_PRIORITY IGNORE INTO `{db}`.`_t_new` (`id`, `a`) SELECT `id`, `a` FROM `{db}`.`t` LOCK IN SHARE MODE /*pt-online-schema-change 1 copy table*/",
    Row("_t_new", "", 1),
    "UPDATE t SET a = 'uno' WHERE id = 1",
    "ANALYZE TABLE `{db}`.`_t_new` /* pt-online-schema-change */",
    "RENAME TABLE `{db}`.`t` TO `{db}`.`_t_old`, `{db}`.`_t_new` TO `{db}`.`t`",
    Row("t", "3, 'c', 'three'", 3),
    "DROP TABLE IF EXISTS `{db}`.`_t_old`",
    "DROP TRIGGER IF EXISTS `{db}`.`pt_osc_{db}_t_del`",
    "DROP TRIGGER IF EXISTS `{db}`.`pt_osc_{db}_t_upd`",
    "DROP TRIGGER IF EXISTS `{db}`.`pt_osc_{db}_t_ins`",
    Row("t", "4, 'd', 'four'", 4),
)
_AB = "CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT)"
_FIRST = Row("t", "1, 10, 20", 1)

STORIES: dict[str, tuple[Step, ...]] = {
    "add column": (_AB, _FIRST, "ALTER TABLE t ADD c VARCHAR(9) DEFAULT 'x' AFTER id", Row("t", "2, 'y', 10, 20", 2)),
    "add column at once": (_AB, _FIRST, "ALTER TABLE t ADD c INT, ALGORITHM=INSTANT", Row("t", "2, 10, 20, 30", 2)),
    "drop column": (_AB, _FIRST, "ALTER TABLE t DROP a", Row("t", "2, 21", 2)),
    "reorder": (_AB, _FIRST, "ALTER TABLE t MODIFY b INT AFTER id", Row("t", "2, 21, 11", 2)),
    "rename column": (_AB, _FIRST, "ALTER TABLE t RENAME COLUMN a TO c", Row("t", "2, 11, 21", 2)),
    "swap columns": (
        _AB,
        _FIRST,
        "ALTER TABLE t RENAME COLUMN a TO b, RENAME COLUMN b TO a",
        Row("t", "2, 11, 21", 2),
        "ALTER TABLE t RENAME COLUMN a TO b, RENAME COLUMN b TO a",
        Row("t", "3, 12, 22", 3),
    ),
    "change type": (_AB, _FIRST, "ALTER TABLE t MODIFY a VARCHAR(20)", Row("t", "2, 'eleven', 21", 2)),
    "change sign": (_AB, _FIRST, "ALTER TABLE t MODIFY a INT UNSIGNED", Row("t", "2, 4294967295, 21", 2)),
    "change character set": (
        "CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(20) CHARACTER SET latin1, b VARCHAR(20) CHARACTER SET latin1)",
        Row("t", "1, 'für', 'ß'", 1),
        "ALTER TABLE t CONVERT TO CHARACTER SET utf8mb4",
        Row("t", "2, 'für', '日本'", 2),
        "DELETE FROM t",
        "ALTER TABLE t MODIFY a VARCHAR(20) CHARACTER SET cp1251",
        Row("t", "3, 'да', '日本'", 3),
    ),
    "rename table": (
        _AB,
        _FIRST,
        "RENAME TABLE t TO u",
        Row("u", "2, 11, 21", 2),
        "ALTER TABLE u RENAME TO t, RENAME COLUMN a TO c",
        Row("t", "3, 12, 22", 3),
    ),
    "swap tables": (
        _AB,
        "CREATE TABLE u (id INT PRIMARY KEY, x INT, y INT)",
        _FIRST,
        Row("u", "2, 11, 21", 2),
        "RENAME TABLE t TO tmp, u TO t, tmp TO u",
        Row("t", "3, 12, 22", 3),
        Row("u", "4, 13, 23", 4),
    ),
    "drop and create": (
        _AB,
        _FIRST,
        "DROP TABLE t",
        "CREATE TABLE t (id INT PRIMARY KEY, y INT, z INT)",
        Row("t", "2, 11, 21", 2),
    ),
    "create or replace by hand": (_AB, _FIRST, "DROP TABLE IF EXISTS t", _AB, Row("t", "2, 11, 21", 2)),
    "truncate": (_AB, _FIRST, "TRUNCATE TABLE t", Row("t", "2, 11, 21", 2)),
    "gh-ost": GH_OST,
    "pt-online-schema-change": PT_OSC,
    "enum labels": (
        "CREATE TABLE t (id INT PRIMARY KEY, e ENUM('a','b'), s SET('p','q'))",
        Row("t", "1, 'b', 'p,q'", 1),
        "DELETE FROM t",
        "ALTER TABLE t MODIFY e ENUM('x','y')",
        Row("t", "2, 'x', 'q'", 2),
        "ALTER TABLE t MODIFY s SET('q','p')",
        Row("t", "3, 'x', 'q'", 3),
        "ALTER TABLE t MODIFY e ENUM('x','y','z')",
        Row("t", "4, 'z', 'q'", 4),
    ),
    "primary key": (
        "CREATE TABLE t (id INT NOT NULL, a INT NOT NULL, PRIMARY KEY (id))",
        Row("t", "1, 10", 1),
        "ALTER TABLE t DROP PRIMARY KEY, ADD PRIMARY KEY (a, id)",
        Row("t", "2, 11", 2),
        "ALTER TABLE t DROP PRIMARY KEY",
        Row("t", "3, 12", 3),
    ),
    "comments": (
        "/* a */ CREATE # TABLE nothing\n TABLE/**/t -- of course\n (id INT PRIMARY KEY, a INT /* b INT */, b INT COMMENT 'ALTER TABLE t DROP b')",
        _FIRST,
        "/*!50100 ALTER TABLE */ /* RENAME */ `t` /*!50600 CHANGE a */ c INT",
        Row("t", "2, 11, 21", 2),
        "-- DROP TABLE t\nALTER\tTABLE\n`{db}` . `t` /**/ RENAME COLUMN b TO a",
        Row("t", "3, 12, 22", 3),
    ),
    "like": (
        _AB,
        _FIRST,
        "CREATE TABLE u LIKE t",
        Row("u", "2, 11, 21", 2),
        Row("t", "3, 12, 22", 3),
        "ALTER TABLE u RENAME COLUMN a TO x",
        Row("u", "4, 13, 23", 4),
        Row("t", "5, 14, 24", 5),
    ),
    "create as select": (
        _AB,
        _FIRST,
        "CREATE TABLE u (PRIMARY KEY (id)) AS SELECT id, a AS x FROM t",
        Row("u", "", 1),
        Row("u", "2, 11", 2),
        "DROP TABLE u",
        "CREATE TABLE u (PRIMARY KEY (id)) AS SELECT id, b AS y FROM t",
        Row("u", "", 1),
        Row("u", "3, 12", 3),
    ),
    "database": (
        _AB,
        _FIRST,
        "DROP DATABASE {db}",
        "CREATE DATABASE {db}",
        "USE {db}",
        "CREATE TABLE t (id INT PRIMARY KEY, y INT, z INT)",
        Row("t", "2, 11, 21", 2),
    ),
    "between two parts of a transaction": (
        _AB,
        "CREATE TABLE u (id INT PRIMARY KEY, x INT)",
        Row("u", "8, 17", 8),
        "BEGIN",
        Row("t", "1, 10, 20", 1),
        Row("u", "2, 11", 2),
        # Commits what is open.
        "ALTER TABLE u RENAME COLUMN x TO z",
        Row("u", "3, 12", 3),
        Row("t", "4, 13, 23", 4),
        "COMMIT",
        "BEGIN",
        Row("u", "5, 14", 5),
        Row("t", "6, 15, 25", 6),
        "SAVEPOINT s",
        Row("u", "7, 16", 7),
        "COMMIT",
    ),
    "key and index": (
        _AB,
        _FIRST,
        "CREATE UNIQUE INDEX i ON t (a)",
        "ALTER TABLE t ADD KEY (b)",
        Row("t", "2, 11, 21", 2),
        "DROP INDEX i ON t",
        Row("t", "3, 12, 22", 3),
    ),
    "view and trigger beside": (
        _AB,
        _FIRST,
        "CREATE VIEW v AS SELECT a FROM t",
        "CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET NEW.b = NEW.b",
        "ALTER DATABASE {db} CHARACTER SET latin1",
        Row("t", "2, 11, 21", 2),
        "DROP TRIGGER g",
        "DROP VIEW v",
        Row("t", "3, 12, 22", 3),
    ),
    "a name with other letters": (
        "CREATE TABLE `bü``cher-1` (id INT PRIMARY KEY, a INT)",
        Row("`bü``cher-1`", "1, 10", 1),
        "ALTER TABLE `bü``cher-1` RENAME COLUMN a TO `ä`",
        Row("`bü``cher-1`", "2, 11", 2),
    ),
}


OF_MARIADB: dict[str, tuple[Step, ...]] = {
    "create or replace": (
        _AB,
        _FIRST,
        "CREATE OR REPLACE TABLE t (id INT PRIMARY KEY, y INT, z INT)",
        Row("t", "2, 11, 21", 2),
        "ALTER TABLE IF EXISTS t RENAME COLUMN IF EXISTS y TO x",
        Row("t", "3, 12, 22", 3),
    ),
    "set statement": (
        _AB,
        _FIRST,
        "SET STATEMENT max_statement_time = 100 FOR ALTER TABLE t RENAME COLUMN a TO c",
        Row("t", "2, 11, 21", 2),
    ),
}
_UNKNOWN_TO: dict[str, set[str]] = {
    # No ALGORITHM=INSTANT; with GTIDs no CREATE TABLE ... SELECT.
    "mysql-5.6": {"add column at once", "create as select"},
}
_RENAME_COLUMN = re.compile(r"RENAME COLUMN (\S+) TO ([^\s,]+)")


def stories_of(flavour: str) -> dict[str, tuple[Step, ...]]:
    """Those that servers of a flavour (deploy.stack.mysql) can tell."""
    told = STORIES | (OF_MARIADB if flavour.startswith("mariadb") else {})
    told = {name: story for name, story in told.items() if name not in _UNKNOWN_TO.get(flavour, ())}
    if flavour == "mysql-5.6":
        return {name: tuple(map(_in_old_words, story)) for name, story in told.items()}
    return told


def _in_old_words(step: Step) -> Step:
    """Columns that stories rename are INT."""
    return _RENAME_COLUMN.sub(r"CHANGE \1 \2 INT", step) if isinstance(step, str) else step


class Teller:
    """Runs a story in one connection, step by step."""

    def __init__(self, server: MysqlServer, database: str) -> None:
        self._server = server
        self._connection = server.connect(database=database, cursorclass=DictCursor, charset="utf8mb4")
        self._database = database
        self._others = ThreadPoolExecutor()
        self._waiting: list[Future[None]] = []
        self.expected: list[Published] = []

    def tell(self, step: Step) -> None:
        if isinstance(step, Row):
            self._insert(step)
        elif isinstance(step, Meanwhile):
            self._begin(step.sql.replace("{db}", self._database))
        else:
            self._run(step.replace("{db}", self._database))
            if step == "UNLOCK TABLES":
                while self._waiting:
                    self._waiting.pop().result(30)

    def close(self) -> None:
        self._connection.close()
        self._others.shutdown()

    def _insert(self, row: Row) -> None:
        if row.values:
            self._run(f"INSERT INTO {row.table} VALUES ({row.values})")
        for table in (row.table, *row.copies):
            [found] = self._run(f"SELECT * FROM {table} WHERE id = {row.id}")
            name = table.strip("`").replace("``", "`")
            self.expected.append((name, {column: _text(value) for column, value in found.items()}))

    def _begin(self, sql: str) -> None:
        self._waiting.append(self._others.submit(self._server.run, sql, database=self._database))
        waiting = (
            "SELECT COUNT(*) FROM information_schema.processlist WHERE state LIKE 'Waiting for table metadata lock'"
        )
        until(lambda: self._server.query(waiting)[0][0] == len(self._waiting))

    def _run(self, sql: str) -> list[dict[str, Any]]:
        with self._connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())


def _text(value: object) -> str | None:
    return None if value is None else str(value)
