"""A seeded, mixed workload on real connections, with a history of what MySQL answered.

Every row carries `gen_id` (the session that wrote it), `gen_no` (its transaction's number) and `ver`, which rises with
each change of a key. Sessions own separate keys, so that each knows what it expects to find.
"""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import pymysql
from pymysql.connections import Connection
from pymysql.cursors import Cursor

from deploy.rig.source import Source

Key = TypeVar("Key")
Outcome = Literal["ok", "failed", "unknown"]
Mark = tuple[int, int]
"""(gen_id, gen_no)."""

_ACCOUNT = """CREATE TABLE IF NOT EXISTS `{db}`.account (
    id BIGINT UNSIGNED PRIMARY KEY, gen_id INT NOT NULL, gen_no INT NOT NULL, ver BIGINT NOT NULL,
    name VARCHAR(80) NULL, amount DECIMAL(12,2) NOT NULL, seen DATETIME(6) NULL,
    state ENUM('new','open','it''s closed') NOT NULL DEFAULT 'new')"""
_ITEM = """CREATE TABLE IF NOT EXISTS `{db}`.item (
    a INT NOT NULL, b VARCHAR(24) NOT NULL, gen_id INT NOT NULL, gen_no INT NOT NULL, ver BIGINT NOT NULL,
    note TEXT NULL, at TIMESTAMP(3) NULL, PRIMARY KEY (b, a))"""
_LEDGER = """CREATE TABLE IF NOT EXISTS `{db}`.ledger (
    gen_id INT NOT NULL, gen_no INT NOT NULL, kind VARCHAR(16) NOT NULL, PRIMARY KEY (gen_id, gen_no))"""
TABLES = ("account", "item", "ledger")

_HUGE = 10**15
"""Huge transactions use keys from here on."""


def create_tables(source: Source, database: str) -> None:
    """Make the workload's database and its three tables."""
    source.run(
        f"CREATE DATABASE IF NOT EXISTS `{database}`", *(sql.format(db=database) for sql in (_ACCOUNT, _ITEM, _LEDGER))
    )


@dataclass(slots=True)
class History:
    """What was asked and what MySQL answered."""

    entries: list[tuple[Mark, str, Outcome]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, mark: Mark, kind: str, outcome: Outcome) -> None:
        with self.lock:
            self.entries.append((mark, kind, outcome))

    def with_outcome(self, outcome: Outcome) -> set[Mark]:
        """Marks of transactions that leave a ledger row; DDL leaves none."""
        with self.lock:
            return {mark for mark, kind, answered in self.entries if answered == outcome and kind != "ddl"}

    def count(self, outcome: Outcome) -> int:
        with self.lock:
            return sum(1 for _, _, answered in self.entries if answered == outcome)


@dataclass(frozen=True, slots=True)
class Shape:
    """How much of what."""

    sessions: int = 3
    rate: float = 40.0
    """Transactions a second and session."""
    huge_rows: int = 20_000
    huge_every: int = 60
    """The first session makes each so many transactions a huge one; 0: never."""
    ddl_every: int = 90
    """The second session adds a column after so many transactions, five times at most; 0: never."""
    max_transactions: int | None = None
    """End after so many transactions a session; None: until told to stop."""


def _seeded(seed: int, number: int) -> random.Random:
    return random.Random(f"{seed}/{number}")  # noqa: S311 - repeatable, not secret


class Load:
    """The running workload: `start()`, then `stop()`, which waits and raises what went wrong in a session."""

    def __init__(self, source: Source, database: str, seed: int, shape: Shape | None = None) -> None:
        self.history = History()
        self._shape = shape or Shape()
        self._stopping = threading.Event()
        self._errors: list[BaseException] = []
        self._sessions = [
            _Session(
                source, database, number=number, chance=_seeded(seed, number), shape=self._shape, history=self.history
            )
            for number in range(1, self._shape.sessions + 1)
        ]
        self._threads = [
            threading.Thread(target=self._run, args=(session,), daemon=True, name=f"load-{session.number}")
            for session in self._sessions
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> History:
        """Let each session finish its transaction; returns the history. Raises a session's error."""
        self._stopping.set()
        return self.wait()

    def wait(self) -> History:
        """Wait for sessions with `max_transactions`."""
        for thread in self._threads:
            thread.join(300)
            assert not thread.is_alive(), "a load session hangs"
        if self._errors:
            raise self._errors[0]
        return self.history

    def _run(self, session: "_Session") -> None:
        try:
            session.run(self._stopping)
        except BaseException as error:  # noqa: BLE001 - handed to whoever stops the load
            self._errors.append(error)


class _Session:
    """One connection's stream of transactions."""

    def __init__(
        self, source: Source, database: str, *, number: int, chance: random.Random, shape: Shape, history: History
    ) -> None:
        self.number = number
        self._source, self._database, self._chance = source, database, chance
        self._shape, self._history = shape, history
        self._no = 0
        self._ddl = 0
        self._huge_next = _HUGE * number
        self._next_id = number * 10**9
        self._accounts: dict[int, int] = {}
        """Key -> ver of live rows."""
        self._items: dict[tuple[int, str], int] = {}
        self._buried: dict[int, int] = {}
        """Key -> ver of deleted rows, to be used again."""

    def run(self, stopping: threading.Event) -> None:
        """Transactions at the shape's rate until told to stop or the count is reached."""
        with self._source.connect(self._database, autocommit=False) as connection:
            while not stopping.is_set() and self._no != self._shape.max_transactions:
                self._no += 1
                self._one(connection)
                stopping.wait(self._chance.expovariate(self._shape.rate))

    def _one(self, connection: "Connection[Cursor]") -> None:
        kind = self._kind()
        if kind == "ddl":
            self._add_column(connection)
            return
        before = dict(self._accounts), dict(self._items), dict(self._buried), self._huge_next
        outcome = self._attempt(connection, kind)
        self._history.add((self.number, self._no), kind, outcome)
        if outcome == "failed":
            self._accounts, self._items, self._buried, self._huge_next = before

    def _kind(self) -> str:
        shape = self._shape
        if shape.huge_every and self.number == 1 and self._no % shape.huge_every == shape.huge_every // 3:
            return "huge"
        if (
            shape.ddl_every
            and self.number == min(2, shape.sessions)
            and self._no % shape.ddl_every == 0
            and self._ddl < 5
        ):
            return "ddl"
        return "rollback" if self._chance.random() < 0.07 else "mixed"

    def _attempt(self, connection: "Connection[Cursor]", kind: str) -> Outcome:
        """Run one transaction; a deliberate rollback counts as failed: it must leave nothing."""
        try:
            with connection.cursor() as cursor:
                self._huge(cursor) if kind == "huge" else self._mixed(cursor)
                cursor.execute("INSERT INTO ledger VALUES (%s, %s, %s)", (self.number, self._no, kind))
        except pymysql.MySQLError:
            connection.rollback()
            return "failed"
        if kind == "rollback":
            connection.rollback()
            return "failed"
        return self._commit(connection)

    def _commit(self, connection: "Connection[Cursor]") -> Outcome:
        try:
            connection.commit()
        except pymysql.OperationalError:
            connection.ping(reconnect=True)
            return "unknown"
        return "ok"

    def _mixed(self, cursor: Cursor) -> None:
        """One to six statements, sometimes a savepoint with work that is undone."""
        for _ in range(self._chance.choice((1, 1, 1, 2, 3, 6))):
            self._chance.choice(self._STATEMENTS)(self, cursor)
        if self._chance.random() < 0.15:
            self._undone(cursor)
            self._insert(cursor)

    def _undone(self, cursor: Cursor) -> None:
        before = dict(self._accounts), dict(self._items), dict(self._buried)
        cursor.execute("SAVEPOINT here")
        self._insert(cursor)
        self._update(cursor)
        cursor.execute("ROLLBACK TO SAVEPOINT here")
        self._accounts, self._items, self._buried = before

    def _stamp(self) -> tuple[int, int]:
        return self.number, self._no

    def _insert(self, cursor: Cursor) -> None:
        """A few new rows at once, now and then one under a key that was deleted before."""
        keys = {self._fresh(): 1 for _ in range(self._chance.choice((1, 1, 2, 5, 20)))}
        if self._buried and self._chance.random() < 0.5:
            key, version = self._buried.popitem()
            keys[key] = version + 1
        rows = [
            (key, *self._stamp(), ver, self._text(80), f"{self._chance.randint(-(10**9), 10**9) / 100:.2f}",
             f"2026-01-02 03:04:{self._chance.randint(0, 59):02}.{self._chance.randint(0, 999999):06}",
             self._chance.choice(("new", "open", "it's closed")))
            for key, ver in keys.items()
        ]  # fmt: skip
        cursor.executemany(
            "INSERT INTO account (id, gen_id, gen_no, ver, name, amount, seen, state)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            rows,
        )
        self._accounts.update(keys)

    def _insert_items(self, cursor: Cursor) -> None:
        keys = {(self._fresh() % 10**9, f"s{self.number}-{self._chance.randint(0, 9)}"): 1 for _ in range(3)}
        longest = 15_000 if self._chance.random() < 0.05 else 300
        cursor.executemany(
            "INSERT INTO item (a, b, gen_id, gen_no, ver, note, at) VALUES (%s, %s, %s, %s, %s, %s, NOW(3))",
            [(a, b, *self._stamp(), ver, self._text(longest)) for (a, b), ver in keys.items()],
        )
        self._items.update(keys)

    def _update(self, cursor: Cursor) -> None:
        """A handful of rows by one statement."""
        keys = self._some(self._accounts, 8)
        if not keys:
            return
        cursor.execute(
            "UPDATE account SET ver = ver + 1, gen_no = %s, amount = amount + 1, name = %s WHERE id IN %s",
            (self._no, self._text(80), keys),
        )
        for key in keys:
            self._accounts[key] += 1

    def _update_items(self, cursor: Cursor) -> None:
        for key in self._some(self._items, 2):
            cursor.execute(
                "UPDATE item SET ver = ver + 1, gen_no = %s, note = %s WHERE a = %s AND b = %s",
                (self._no, self._text(300), *key),
            )
            self._items[key] += 1

    def _move_key(self, cursor: Cursor) -> None:
        """An update of the primary key: in the topic a delete and an insert."""
        for key in self._some(self._accounts, 1):
            target = self._fresh()
            cursor.execute(
                "UPDATE account SET id = %s, ver = ver + 1, gen_no = %s WHERE id = %s", (target, self._no, key)
            )
            version = self._accounts.pop(key)
            self._buried[key] = version
            self._accounts[target] = version + 1

    def _delete(self, cursor: Cursor) -> None:
        keys = self._some(self._accounts, 4)
        if not keys:
            return
        cursor.execute("DELETE FROM account WHERE id IN %s", (keys,))
        for key in keys:
            self._buried[key] = self._accounts.pop(key)

    def _delete_items(self, cursor: Cursor) -> None:
        for key in self._some(self._items, 1):
            cursor.execute("DELETE FROM item WHERE a = %s AND b = %s", key)
            del self._items[key]

    _STATEMENTS: "tuple[Callable[[_Session, Cursor], None], ...]" = (
        _insert, _insert, _insert_items, _update, _update, _update_items, _move_key, _delete, _delete_items,
    )  # fmt: skip

    def _huge(self, cursor: Cursor) -> None:
        """One transaction of `huge_rows` row changes: inserts, or an update of the last huge insert."""
        rows, first = self._shape.huge_rows, self._huge_next
        if (first - _HUGE * self.number) % (2 * rows) == rows and self._chance.random() < 0.5:
            cursor.execute(
                "UPDATE account SET ver = ver + 1, gen_no = %s WHERE id >= %s AND id < %s",
                (self._no, first - rows, first),
            )
            return
        depth = "max_recursive_iterations" if self._source.mariadb else "cte_max_recursion_depth"
        cursor.execute(f"SET SESSION {depth} = %s", (rows + 1,))
        cursor.execute(
            "INSERT INTO account (id, gen_id, gen_no, ver, name, amount)"
            " WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < %s)"
            " SELECT %s + i, %s, %s, 1, CONCAT('huge ', i), i FROM n",
            (rows, first, *self._stamp()),
        )
        self._huge_next += rows

    def _add_column(self, connection: "Connection[Cursor]") -> None:
        self._ddl += 1
        with connection.cursor() as cursor:
            cursor.execute(
                f"ALTER TABLE `{self._database}`.account ADD COLUMN extra_{self._ddl} INT NULL DEFAULT {self._ddl}"
            )
        self._history.add((self.number, self._no), "ddl", "ok")

    def _fresh(self) -> int:
        self._next_id += 1
        return self._next_id

    def _text(self, longest: int) -> str | None:
        """Text (characters of up to four bytes) with what usually goes wrong: quotes, backslashes, line ends, other scripts; or NULL."""
        if self._chance.random() < 0.1:
            return None
        length = self._chance.randint(0, longest)
        return "".join(self._chance.choices("abcdef ghij'\"\\\n\täß→漢😀{}[],:", k=length))

    def _some(self, rows: dict[Key, int], most: int) -> list[Key]:
        count = min(len(rows), self._chance.randint(1, most))
        return self._chance.sample(list(rows), count)
