"""A small shop: its tables, who wants to know of which, an ordinary day's traffic, and what is not ordinary."""

import random
import threading
import time
from collections.abc import Callable

from pymysql.cursors import Cursor

from deploy.rig.source import Source

DATABASE = "shop"
INSTANCES = {
    "orders": ("customer_order",),
    "lines": ("order_line",),
    "customers": ("customer",),
    "products": ("product",),
    "prices": ("price_list",),
    "mailing": ("customer", "customer_order"),
}
"""Instance -> the tables that it publishes."""

_TABLES = """
CREATE TABLE customer (
    email VARCHAR(80) PRIMARY KEY, name VARCHAR(60) NOT NULL, city VARCHAR(40) NULL, joined DATETIME(6) NOT NULL);
CREATE TABLE product (
    id INT UNSIGNED PRIMARY KEY, name VARCHAR(60) NOT NULL, price DECIMAL(10,2) NOT NULL, stock INT NOT NULL);
CREATE TABLE customer_order (
    id BIGINT UNSIGNED PRIMARY KEY AUTO_INCREMENT, email VARCHAR(80) NOT NULL,
    state ENUM('new','paid','sent','cancelled') NOT NULL DEFAULT 'new', placed TIMESTAMP(3) NOT NULL, KEY (state));
CREATE TABLE order_line (
    order_id BIGINT UNSIGNED NOT NULL, line SMALLINT NOT NULL, product INT UNSIGNED NOT NULL, quantity INT NOT NULL,
    price DECIMAL(10,2) NOT NULL, PRIMARY KEY (order_id, line));
CREATE TABLE price_list (
    id INT PRIMARY KEY, product INT UNSIGNED NOT NULL, valid_from DATE NOT NULL, price DECIMAL(10,2) NOT NULL)
"""
_CITIES = ("Lisboa", "Zürich", "東京", "Kraków", "O'Fallon", None)
_PRODUCTS = 200


def open_shop(source: Source) -> None:
    """The empty tables."""
    source.run(f"CREATE DATABASE {DATABASE}")
    source.run(*_TABLES.split(";"), database=DATABASE)


def huge_transaction(source: Source, rows: int) -> None:
    """Next year's prices, all in one transaction."""
    with source.connect(DATABASE) as connection, connection.cursor() as cursor:
        cursor.execute("SET SESSION cte_max_recursion_depth = %s", (rows + 1,))
        cursor.execute(
            "INSERT INTO price_list WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %s)"
            " SELECT i, i MOD 200 + 1, '2027-01-01' + INTERVAL i MOD 365 DAY, i MOD 10000 / 100 FROM n",
            (rows,),
        )


def add_column(source: Source) -> None:
    source.run(f"ALTER TABLE `{DATABASE}`.customer_order ADD COLUMN coupon VARCHAR(16) NULL DEFAULT 'none'")


class Traffic:
    """Customers come, order, pay, cancel, move to another e-mail address (which is their key)."""

    def __init__(self, source: Source, seed: int, sessions: int = 3) -> None:
        self._source, self._stopping = source, threading.Event()
        self._errors: list[BaseException] = []
        self.transactions = 0
        self._threads = [
            threading.Thread(target=self._run, args=(f"{seed}/{n}", n), daemon=True) for n in range(sessions)
        ]

    def start(self) -> None:
        rows = ", ".join(f"({n}, 'product {n}', {n % 90 + 1}.95, 1000)" for n in range(1, _PRODUCTS + 1))
        self._source.run(f"INSERT INTO product VALUES {rows}", database=DATABASE)  # noqa: S608 - our own numbers
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let everyone finish. Raises what went wrong in a session."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(60)
        if self._errors:
            raise self._errors[0]

    def _run(self, seed: str, number: int) -> None:
        try:
            self._session(_Customers(seed, number))
        except BaseException as error:  # noqa: BLE001 - handed to whoever stops the traffic
            self._errors.append(error)

    def _session(self, customers: "_Customers") -> None:
        with self._source.connect(DATABASE, autocommit=False) as connection, connection.cursor() as cursor:
            while not self._stopping.is_set():
                customers.act(cursor)
                connection.commit()
                self.transactions += 1
                time.sleep(0.002)


class _Customers:
    """One session's customers and orders; no other session touches them."""

    def __init__(self, seed: str, number: int) -> None:
        self._chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
        self._number, self._made = number, 0
        self._emails: list[str] = []
        self._orders: list[int] = []

    def act(self, cursor: Cursor) -> None:
        """One transaction."""
        if len(self._emails) < 20:
            self._join(cursor)
            return
        actions: list[Callable[[Cursor], None]] = [self._join, self._move, self._reprice]
        weights = [10, 2, 8]
        if self._orders:
            actions += [self._pay, self._cancel]
            weights += [30, 10]
        self._chance.choices([*actions, self._order], [*weights, 60])[0](cursor)

    def _join(self, cursor: Cursor) -> None:
        self._made += 1
        email = f"c{self._number}.{self._made}@example.org"
        cursor.execute(
            "INSERT INTO customer VALUES (%s, %s, %s, NOW(6))",
            (email, f"Customer {self._made}", self._chance.choice(_CITIES)),
        )
        self._emails.append(email)

    def _move(self, cursor: Cursor) -> None:
        """The key changes: a delete and an insert in the topic."""
        place = self._chance.randrange(len(self._emails))
        self._made += 1
        email = f"new{self._number}.{self._made}@example.com"
        cursor.execute("UPDATE customer SET email = %s WHERE email = %s", (email, self._emails[place]))
        self._emails[place] = email

    def _order(self, cursor: Cursor) -> None:
        cursor.execute(
            "INSERT INTO customer_order (email, placed) VALUES (%s, NOW(3))", (self._chance.choice(self._emails),)
        )
        order = int(cursor.lastrowid)
        lines = [
            (order, line, self._chance.randint(1, _PRODUCTS), self._chance.randint(1, 5), "9.95")
            for line in range(1, self._chance.randint(2, 6))
        ]
        cursor.executemany("INSERT INTO order_line VALUES (%s, %s, %s, %s, %s)", lines)
        self._orders.append(order)

    def _pay(self, cursor: Cursor) -> None:
        state = self._chance.choice(("paid", "sent"))
        cursor.execute("UPDATE customer_order SET state = %s WHERE id = %s", (state, self._chance.choice(self._orders)))

    def _cancel(self, cursor: Cursor) -> None:
        order = self._orders.pop(self._chance.randrange(len(self._orders)))
        cursor.execute("DELETE FROM order_line WHERE order_id = %s", (order,))
        cursor.execute("DELETE FROM customer_order WHERE id = %s", (order,))

    def _reprice(self, cursor: Cursor) -> None:
        """Sessions own the products whose number leaves theirs over, so they never wait for each other."""
        first = self._chance.randint(1, _PRODUCTS - 20)
        cursor.execute(
            "UPDATE product SET price = price * 1.01 WHERE id BETWEEN %s AND %s AND id MOD 3 = %s",
            (first, first + 20, self._number % 3),
        )
