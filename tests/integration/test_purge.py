"""When a source may purge: by its own files' times on disk, which is what it goes by."""

import time
from types import SimpleNamespace

import pytest

from cdcd.binlog.gtid import GtidSet
from cdcd.binlog.position import Position
from cdcd.mysql.connection import connect
from cdcd.mysql.purge import FileTimes, purged_from
from cdcd.mysql.server import binlog_files, read_status
from tests.reading import endpoint_of
from tests.servers import MysqlServer

SECOND = 1.0
"""An event's time stamp has no more."""


def test_an_older_file_goes_that_long_after_it_was_last_written_to(mysql: MysqlServer, database: str) -> None:
    began = time.time()
    mysql.run("CREATE TABLE t (id INT PRIMARY KEY)", "FLUSH BINARY LOGS", "INSERT INTO t VALUES (1)", database=database)
    with connect(endpoint_of(mysql)) as connection:
        status, files = read_status(connection), binlog_files(connection)
    older, now = files[-2].name, time.time()
    assert status.file == files[-1].name
    position = Position(status.server_uuid, GtidSet(), older, 4, 4)
    expires = purged_from(position, status, files, now, FileTimes(endpoint_of(mysql)))
    written = (mysql.binlog_dir / older).stat().st_mtime
    limit = int(mysql.query("SELECT @@GLOBAL.binlog_expire_logs_seconds")[0][0])
    assert expires is not None
    # The next one is made when the server gets to it; that event's time stamp has the second in which it began to.
    assert began - SECOND <= expires - limit <= written + SECOND


def test_the_status_says_how_the_clocks_differ(mysql: MysqlServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Known before the first event is dated by it."""
    ahead = SimpleNamespace(time=lambda: time.time() + 300)
    with connect(endpoint_of(mysql)) as connection:
        assert read_status(connection).clock_offset == pytest.approx(0, abs=SECOND)
        monkeypatch.setattr("cdcd.mysql.clock.time", ahead)
        assert read_status(connection).clock_offset == pytest.approx(-300, abs=SECOND)
