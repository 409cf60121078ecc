"""A source that changes at a fixed rate: one table a database, one row a transaction, sizes as asked for."""

import threading
import time

from deploy.rig.source import Source

TABLE = "tick"


class Pace:
    """Writes until stopped, `rate` transactions a second, each of `rows` rows of about `size` bytes.

    Late ones are made up for, so that the rate holds over a busy machine's pauses.
    """

    def __init__(self, source: Source, database: str, rate: float, *, rows: int = 1, size: int = 100) -> None:
        self._source, self.database = source, database
        self.rate, self._rows, self._size = rate, rows, size
        self._stopping = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True, name=f"pace-{database}")
        self.transactions = 0

    def prepare(self) -> None:
        """The database and its table."""
        self._source.run(
            f"CREATE DATABASE IF NOT EXISTS `{self.database}`",
            f"CREATE TABLE IF NOT EXISTS `{self.database}`.{TABLE} (id BIGINT PRIMARY KEY, ver INT NOT NULL, body VARCHAR(8000))",
        )

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> int:
        """Number of transactions; raises what went wrong."""
        self._stopping.set()
        self._thread.join(60)
        if self._error is not None:
            raise self._error
        return self.transactions

    def _run(self) -> None:
        try:
            self._write()
        except BaseException as error:  # noqa: BLE001 - handed to whoever stops it
            self._error = error

    def _write(self) -> None:
        began, body = time.monotonic(), "x" * self._size
        with self._source.connect(self.database) as connection, connection.cursor() as cursor:
            while not self._stopping.wait(began + self.transactions / self.rate - time.monotonic()):
                first = self.transactions * self._rows
                rows = [(first + number, 1, body) for number in range(self._rows)]
                cursor.executemany(f"INSERT INTO {TABLE} VALUES (%s, %s, %s)", rows)  # noqa: S608 - a constant
                self.transactions += 1
