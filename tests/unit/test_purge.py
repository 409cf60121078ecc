"""When a source may purge what a position needs."""

from dataclasses import replace

from cdcd.binlog.gtid import GtidSet
from cdcd.binlog.position import Position
from cdcd.binlog.prepared import Prepared
from cdcd.mysql.purge import purged_from
from cdcd.mysql.server import BinlogFile
from cdcd.worker.lag import bytes_behind
from tests.unit.test_source_checks import GOOD

FILES = [BinlogFile(f"binlog.00000{n}", 1000) for n in (3, 4, 5)]
NOW = 1_000_000.0
MADE = {"binlog.000003": NOW - 5000, "binlog.000004": NOW - 3000, "binlog.000005": NOW - 1000}
SOURCE = replace(GOOD, file="binlog.000005", offset=900, expire_seconds=3600)


def at(file: str) -> Position:
    return Position(GOOD.server_uuid, GtidSet(), file, 4, 4)


def test_what_is_in_the_file_in_use_is_safe_for_the_whole_limit() -> None:
    assert purged_from(at("binlog.000005"), SOURCE, [], NOW, MADE.__getitem__) == NOW + 3600


def test_an_older_file_expires_that_long_after_the_next_one_began() -> None:
    assert purged_from(at("binlog.000003"), SOURCE, FILES, NOW, MADE.__getitem__) == NOW - 3000 + 3600
    assert purged_from(at("binlog.000004"), SOURCE, FILES, NOW, MADE.__getitem__) == NOW - 1000 + 3600


def test_what_is_gone_is_gone() -> None:
    assert purged_from(at("binlog.000002"), SOURCE, FILES, NOW, MADE.__getitem__) == NOW


def test_rows_of_a_prepared_transaction_are_needed_where_they_are() -> None:
    held = Prepared("X'01',X'',1", None, "binlog.000003", 4, 0, 0)
    unknown = replace(held, file="")
    assert purged_from(replace(at("binlog.000005"), held=(unknown, held)), SOURCE, FILES, NOW, MADE.__getitem__) == (
        NOW - 3000 + 3600
    )


def test_files_of_another_server_mean_nothing() -> None:
    """As after a failover, before the first position of the new server is stored."""
    elsewhere = replace(at("binlog.000009"), server_uuid="another")
    assert purged_from(elsewhere, SOURCE, FILES, NOW, MADE.__getitem__) is None
    assert bytes_behind(elsewhere, SOURCE, FILES) is None
    assert bytes_behind(at("binlog.000004"), SOURCE, FILES) == 1996


def test_nothing_expires_where_binlogs_are_kept_for_ever() -> None:
    assert purged_from(at("binlog.000003"), replace(SOURCE, expire_seconds=0), FILES, NOW, MADE.__getitem__) is None
