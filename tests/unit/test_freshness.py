"""The lag's arithmetic: what bounds the age of the oldest change that readers do not see."""

from cdcd.binlog.gtid import GtidSet
from cdcd.binlog.position import Position, PositionRecord
from cdcd.worker.freshness import Freshness


def record(seq: int) -> PositionRecord:
    return PositionRecord(1, "n", Position("s", GtidSet(), "binlog.000001", 4, 4), seq, {}, 0)


def idle_at(now: float) -> Freshness:
    made = Freshness()
    made.tell(now)
    return made


def test_nothing_is_known_at_first() -> None:
    assert Freshness().age.since is None


def test_idle_is_caught_up() -> None:
    made = idle_at(100.0)
    assert (made.age.since, made.age.caught_up) == (100.0, True)


def test_the_oldest_that_was_read_counts_until_readers_see_it() -> None:
    made, one = idle_at(100.0), record(1)
    made.read(101.0, 101.5)
    made.read(102.0, 102.5)
    made.hand(one, 102.0, 103.0, 2, 2, inside=False)
    made.tell()
    assert made.age.since == 101.0
    assert [handed.oldest for handed in made.visible(one)] == [101.0]
    made.tell()
    assert (made.age.since, made.age.caught_up) == (102.0, False)


def test_a_checkpoint_that_is_not_acknowledged_keeps_it_from_being_caught_up() -> None:
    made = idle_at(100.0)
    made.read(101.0, 101.0)
    made.hand(record(1), 101.0, 101.1, 1, 1, inside=False)
    made.tell(200.0)
    assert (made.age.since, made.age.caught_up, made.age.waits_since) == (101.0, False, 101.1)


def test_acknowledgements_come_in_order_and_may_skip() -> None:
    made, records = idle_at(100.0), [record(seq) for seq in range(3)]
    for at, each in enumerate(records, 101):
        made.read(float(at), float(at))
        made.hand(each, float(at), float(at), 1, 1, inside=False)
    assert len(list(made.visible(records[1]))) == 2
    assert list(made.visible(records[1])) == []
    made.tell()
    assert made.age.since == 103.0


def test_a_part_of_a_transaction_leaves_the_transaction_unpublished() -> None:
    made, one = idle_at(100.0), record(1)
    made.read(101.0, 101.0)
    made.hand(one, 101.0, 150.0, 0, 1000, inside=True)
    assert list(made.visible(one))
    made.tell()
    assert made.age.since == 101.0


def test_what_is_filtered_out_needs_no_checkpoint() -> None:
    made = idle_at(100.0)
    made.read(101.0, 101.0)
    made.settled(105.0, 105.1, inside=False)
    made.tell()
    assert made.age.since == 105.0


def test_a_stamp_from_before_it_was_caught_up_is_not_believed() -> None:
    """The statement began long before its commit, or the source's clock is behind."""
    made = idle_at(100.0)
    made.read(40.0, 100.5)
    made.tell()
    assert made.age.since == 100.0


def test_a_stamp_from_the_future_is_now() -> None:
    made = idle_at(100.0)
    made.read(900.0, 101.0)
    made.tell()
    assert made.age.since == 101.0


def test_a_new_dump_reads_again_what_was_not_published() -> None:
    made = idle_at(100.0)
    made.read(101.0, 101.0)
    made.tell()
    made.new_dump()
    assert (made.age.since, made.age.caught_up) == (101.0, False)
