"""A shop that is busy, for docker-compose.yml: customers come, order, pay; goods run out and are delivered.

python deploy/compose/shop.py --host mysql [--rate 20] [--transactions 100]
"""
# ruff: noqa: S311 - chance for looks, no secret

import argparse
import itertools
import json
import random
import time

import pymysql
from pymysql.cursors import Cursor

PRODUCTS = ("tea", "cup", "pot", "spoon", "kettle", "tray", "honey", "lemon")
NAMES = ("Ada", "Bea", "Cid", "Dan", "Eva", "Fay", "Gus", "Ida")
CITIES = ("Basel", "Bern", "Chur", "Genf", "Thun", "Zug")
LOW = 10
"""Pieces in stock at which a product is ordered anew."""
BURST_EVERY = 600
"""Transactions after which one touches thousands of rows at once."""


def open_shop(cursor: Cursor) -> None:
    """Goods on the shelves, once."""
    cursor.execute("SELECT COUNT(*) FROM products")
    if cursor.fetchall() == ((0,),):
        rows = [(name, random.randint(100, 9000) / 100, 500) for name in PRODUCTS]
        cursor.executemany("INSERT INTO products (name, price, stock) VALUES (%s, %s, %s)", rows)


def come(cursor: Cursor) -> None:
    cursor.execute("INSERT INTO customers (name, city) VALUES (%s, %s)", (random.choice(NAMES), random.choice(CITIES)))


def order(cursor: Cursor) -> None:
    note = json.dumps({"gift": random.random() < 0.2, "door": random.choice(["left", "right", None])})
    cursor.execute("INSERT INTO orders (customer, total, note) VALUES (%s, 0, %s)", (random.randint(1, 1000), note))
    number = cursor.lastrowid
    for line in range(1, random.randint(2, 5)):
        product, pieces = random.randint(1, len(PRODUCTS)), random.randint(1, 3)
        cursor.execute("INSERT INTO order_lines VALUES (%s, %s, %s, %s)", (number, line, product, pieces))
        cursor.execute("UPDATE products SET stock = stock - %s WHERE id = %s", (pieces, product))
        cursor.execute(
            "UPDATE orders SET total = total + %s * (SELECT price FROM products WHERE id = %s) WHERE id = %s",
            (pieces, product, number),
        )


def pay(cursor: Cursor) -> None:
    cursor.execute("UPDATE orders SET state = 'paid' WHERE state = 'new' ORDER BY id LIMIT 1")


def deliver(cursor: Cursor) -> None:
    cursor.execute("UPDATE products SET stock = stock + 500 WHERE stock < %s", (LOW,))
    cursor.execute("DELETE FROM order_lines ORDER BY order_id LIMIT 3")


def burst(cursor: Cursor) -> None:
    """One transaction that is larger than the others: a step in the panels."""
    cursor.executemany(
        "INSERT INTO customers (name, city) VALUES (%s, %s)",
        [(random.choice(NAMES), random.choice(CITIES)) for _ in range(5000)],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=3306)
    parser.add_argument("--rate", type=float, default=20.0, help="transactions a second, about")
    parser.add_argument("--transactions", type=int, help="stop after so many; without it, never")
    chosen = parser.parse_args()
    source = pymysql.connect(host=chosen.host, port=chosen.port, user="shop", password="shop", database="shop")  # noqa: S106 - shop.sql's
    numbers = itertools.count(1) if chosen.transactions is None else range(1, chosen.transactions + 1)
    with source as connection, connection.cursor() as cursor:
        open_shop(cursor)
        connection.commit()
        for number in numbers:
            doing = burst if number % BURST_EVERY == 0 else random.choice((come, order, order, pay, deliver))
            doing(cursor)
            connection.commit()
            time.sleep(2 * random.random() / chosen.rate)


if __name__ == "__main__":
    main()
