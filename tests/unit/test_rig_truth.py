"""The reading of mysqlbinlog's output, on output recorded from MySQL 9.7.4."""

import pytest

from deploy.rig.expect import Counted, expected
from deploy.rig.source import Column, Table
from deploy.rig.truth import parse
from deploy.rig.values import Layout, render_for

RECORDED = r"""
# at 198
#261122 17:09:19 server id 33971  end_log_pos 277 CRC32 0xcb61c691 	GTID	last_committed=0	sequence_number=1	rbr_only=yes
# immediate_commit_timestamp=1795367359641583 (2026-11-22 17:09:19.641583 UTC)
SET @@SESSION.GTID_NEXT= '80d529f6-e695-11f1-a1f2-02fc00000001:4'/*!*/;
# at 277
#261122 17:09:19 server id 33971  end_log_pos 364 CRC32 0x30b7d111 	Query	thread_id=50	exec_time=0	error_code=0
SET TIMESTAMP=1795367359/*!*/;
/*!\C utf8mb4 *//*!*/;
BEGIN
/*!*/;
# at 364
#261122 17:09:19 server id 33971  end_log_pos 530 CRC32 0xaef752be 	Table_map: `d`.`t` mapped to number 110
# has_generated_invisible_primary_key=0
# at 530
#261122 17:09:19 server id 33971  end_log_pos 666 CRC32 0xd3c34021 	Write_rows: table id 110 flags: STMT_END_F
### INSERT INTO `d`.`t`
### SET
###   @1=-1 (18446744073709551615)
###   @2=-5 (4294967291)
###   @3='a\'b\\c\nnew\té'
### INSERT INTO `d`.`other`
### SET
###   @1=1
# at 666
#261122 17:09:19 server id 33971  end_log_pos 754 CRC32 0xef46c246 	Query	thread_id=50	exec_time=0	error_code=0
SET TIMESTAMP=1795367359/*!*/;
SAVEPOINT `s1`
/*!*/;
# at 754
#261122 17:09:19 server id 33971  end_log_pos 1145 CRC32 0x42386386 	Update_rows: table id 110 flags: STMT_END_F
### UPDATE `d`.`t`
### WHERE
###   @1=-1 (18446744073709551615)
###   @2=-5 (4294967291)
###   @3='a\'b\\c\nnew\té'
### SET
###   @1=7
###   @2=-5 (4294967291)
###   @3=NULL
### UPDATE `d`.`t`
### WHERE
###   @1=8
###   @2=1
###   @3='x'
### SET
###   @1=8
###   @2=2
###   @3='x'
# at 1145
#261122 17:09:19 server id 33971  end_log_pos 1176 CRC32 0x7e45dfbe 	Xid = 174
COMMIT/*!*/;
# at 1176
# immediate_commit_timestamp=1795367359643772 (2026-11-22 17:09:19.643772 UTC)
SET @@SESSION.GTID_NEXT= '80d529f6-e695-11f1-a1f2-02fc00000001:5'/*!*/;
# at 1253
#261122 17:09:19 server id 33971  end_log_pos 1380 CRC32 0xee83adb2 	Query	thread_id=50	exec_time=0	error_code=0	Xid = 180
use `d`/*!*/;
SET TIMESTAMP=1795367359/*!*/;
alter table t
add column zz int
/*!*/;
# at 1380
SET @@SESSION.GTID_NEXT= 'AUTOMATIC' /* added by mysqlbinlog */ /*!*/;
DELIMITER ;
"""

TABLE = Table("d", "t", (Column("id", "bigint unsigned"), Column("n", "int"), Column("s", "varchar(50)")), (0,))


def test_transactions_and_statements_are_told_apart() -> None:
    first, second = parse(RECORDED.splitlines())
    assert [change.operation for change in first.changes] == ["INSERT", "INSERT", "UPDATE", "UPDATE"]
    assert [change.table for change in first.changes] == ["d.t", "d.other", "d.t", "d.t"]
    assert (first.gtid, first.commit_us) == ("80d529f6-e695-11f1-a1f2-02fc00000001:4", 1795367359641583)
    assert (second.changes, second.statements) == ([], ["alter table t\nadd column zz int"])


def test_expected_messages_split_an_update_of_the_key() -> None:
    counted = Counted()
    messages = list(expected(parse(RECORDED.splitlines()), {"d.t": Layout(TABLE)}, counted, wanted={"d.t"}))
    assert [(message.type, message.key) for message in messages] == [
        ("INSERT", b'{"id":"18446744073709551615"}'),
        ("DELETE", b'{"id":"18446744073709551615"}'),
        ("INSERT", b'{"id":"7"}'),
        ("UPDATE", b'{"id":"8"}'),
    ]
    assert messages[0].row == ("18446744073709551615", "-5", "a'b\\c\nnew\té")
    assert messages[2].row == ("7", "-5", None)
    assert messages[3].old == (("n", "1"),)
    assert (counted.changes, counted.split) == (3, 1)


@pytest.mark.parametrize(
    ("declared", "literal", "text"),
    [
        ("tinyint unsigned", "-56 (200)", "200"),
        ("int", "-5 (4294967291)", "-5"),
        ("decimal(10,2)", "12.30", "12.30"),
        ("datetime(6)", "'2024-01-02 03:04:05.123456'", "2024-01-02 03:04:05.123456"),
        ("timestamp(3)", "1704164645.123", "2024-01-02 03:04:05.123"),
        ("timestamp", "1704164645", "2024-01-02 03:04:05"),
        ("date", "'2024:02:29'", "2024-02-29"),
        ("enum('x','it''s')", "2", "it's"),
        ("double", "1.5", "1.5"),
        ("year", "2024", "2024"),
    ],
)
def test_literals_become_message_text(declared: str, literal: str, text: str) -> None:
    assert render_for(declared)(literal) == text


def test_a_type_that_is_not_covered_is_refused() -> None:
    with pytest.raises(LookupError):
        render_for("geometry")
