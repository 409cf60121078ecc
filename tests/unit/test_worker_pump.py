"""The pump: what is committed belongs to the position beside it, whatever the moment of a stop."""

import json
from collections.abc import Callable
from typing import Any, cast

import pytest

from cdcd.binlog.compression import inflate
from cdcd.binlog.core.native import Decoder, Plan
from cdcd.binlog.gtid import GtidSet
from cdcd.binlog.position import Position, PositionRecord
from cdcd.binlog.schema import TableSchema
from cdcd.config.definition import Sink as SinkSettings
from cdcd.config.tables import TableFilter
from cdcd.errors import BinlogError, HoldingLost, Stopped
from cdcd.formats.canal import CANAL_JSON
from cdcd.formats.plan import Keying
from cdcd.observe.failpoints import off
from cdcd.observe.metrics import InstanceMetrics
from cdcd.worker.catalog import Catalog
from cdcd.worker.change import Change
from cdcd.worker.figures import Figures
from cdcd.worker.memory import SchemaMemory
from cdcd.worker.ownership import Alone, Order, Ownership
from cdcd.worker.publication import Publication
from cdcd.worker.pump import End, Holding, Pump
from cdcd.worker.router import Router
from cdcd.worker.rule import CommitRule
from cdcd.worker.statements import Statements
from cdcd.worker.stream import Stream
from cdcd.worker.tracker import Tracker
from tests.events import BEGIN, COMMIT, SOURCE, WRITE, Dump, Event, gtid, image, query, rows, table_map, updated
from tests.memory import MemoryDump, MemorySink

SERVER = "5f0c0000-0000-0000-0000-000000000001"
START = Position(SERVER, GtidSet.parse(f"{SOURCE}:1-4"), "binlog.000001", 4, 4)
AT_ONCE = CommitRule(min_interval=0.0, max_interval=0.25, max_bytes=1 << 24, part_interval=15.0)


def a_pump(
    dump: MemoryDump,
    sink: MemorySink,
    *,
    rule: CommitRule = AT_ONCE,
    end: End | None = None,
    start: Position = START,
    seq: int = 0,
    slow_names: bool = False,
    ownership: Ownership | None = None,
    renew: Callable[[], Change] = lambda: "none",
) -> Pump:
    tables = TableFilter(["shop.*"], ["shop.secret"])
    settings = SinkSettings.model_validate({"topic": "cdc.{database}.{table}"})
    router = Router("orders", settings, lambda _, partitions: partitions, {}, print, shared=False)
    catalog = Catalog(tables, CANAL_JSON, Keying(shared=False), router, cast(Any, None))

    def ask(schema: TableSchema) -> Plan | TableSchema | None:
        if slow_names and schema.table == "slow":
            raise Stopped("asked to stop during a look-up")
        return catalog(schema)

    decoder = Decoder(ask, inflate)
    decoder.seq = seq
    if start.txn is not None:
        decoder.resume(start.txn, start.rows_done)
    statements = Statements(
        tables=tables, template=CANAL_JSON, route=router.ddl(), catalog=catalog, sink=sink, id_prefix=None
    )
    return Pump(
        stream=Stream(cast(Any, dump), decoder),
        sink=sink,
        ownership=ownership or Alone(),
        renew=renew,
        publication=lambda _: Publication(router, statements, rule),
        memory=SchemaMemory(cast(Any, None)),
        partitions={},
        tracker=Tracker(start, SERVER),
        holding=Holding(3, "nonce"),
        figures=Figures(InstanceMetrics()),
        failpoint=off,
        rest=lambda: None,
        close=lambda: None,
        end=end,
    )


def seqs(sink: MemorySink) -> list[int]:
    return sorted(json.loads(value)["id"] for _, _, value in sink.committed)


def transactions(count: int, rows_each: int = 2) -> Dump:
    dump = Dump()
    for number in range(5, 5 + count):
        changes = [rows(WRITE, *(image(number * 100 + n, "a") for n in range(rows_each)))]
        dump.transaction(number, BEGIN, table_map(), *changes, COMMIT)
    return dump


def check(sink: MemorySink, start_seq: int = 0) -> None:
    """Every commit holds just the messages up to its own `seq`."""
    assert seqs(sink) == list(range(start_seq + 1, start_seq + 1 + len(sink.committed)))
    seq = start_seq
    for count, record in sink.commits:
        seq += count
        assert record.seq == seq


@pytest.mark.parametrize("size", [1, 7, 50, 1000])
def test_to_the_end(size: int) -> None:
    dump = transactions(6)
    data = dump.data
    sink = MemorySink()
    source = MemoryDump([data[at : at + size] for at in range(0, len(data), size)])
    assert a_pump(source, sink, end=End("binlog.000001", dump.position)).run() == "end"
    check(sink)
    assert len(sink.committed) == 12
    assert sink.durable is not None
    assert sink.durable.position.gtid_set == GtidSet.parse(f"{SOURCE}:1-10")
    assert sink.durable.position.end_offset == dump.position


def test_the_end_is_not_overshot() -> None:
    """The source has gone on since: the run stops at the transaction that reaches the end it had."""
    dump = transactions(3)
    reached = dump.position
    changes = rows(WRITE, image(1, "a"))
    dump.transaction(8, BEGIN, table_map(), changes, COMMIT)
    sink = MemorySink()
    assert a_pump(MemoryDump([dump.data]), sink, end=End("binlog.000001", reached)).run() == "end"
    assert sink.durable is not None
    assert sink.durable.position.gtid_set == GtidSet.parse(f"{SOURCE}:1-7")
    assert len(sink.committed) == 6


@pytest.mark.parametrize("cut", range(2, 23))
def test_stopped_anywhere_and_continued(cut: int) -> None:
    """Nothing lost, nothing twice: at a boundary, inside a transaction before and after rows."""
    dump = transactions(4)
    dump.heartbeat(dump.position)
    first = MemorySink()
    assert a_pump(MemoryDump(dump.packets[:cut], stop_at_end=True), first).run() == "stopped"
    check(first)
    at = first.durable.position if first.durable else START
    seq = first.durable.seq if first.durable else 0
    second = MemorySink()
    end = End("binlog.000001", dump.position)
    # By GTID the source leaves out what was finished and tells where it is; a transaction that was cut comes whole.
    done = at.gtid_set.count() - 4 if isinstance(at.gtid_set, GtidSet) else 0
    packets = [*dump.packets[:2], *dump.packets[2 + 5 * done :]]
    renumbered = [packet[:3] + bytes([n % 256]) + packet[4:] for n, packet in enumerate(packets, 1)]
    assert a_pump(MemoryDump(renumbered), second, end=end, start=at, seq=seq).run() == "end"
    check(second, seq)
    assert sorted(seqs(first) + seqs(second)) == list(range(1, 9))
    keys = [key for _, key, _ in first.committed + second.committed]
    assert len(set(keys)) == len(keys) == 8


@pytest.mark.parametrize("written", range(6))
def test_a_stop_while_kafka_takes_no_more_stores_nothing(written: int) -> None:
    """The queue is full, the stop's patience at an end: the rest of the messages is not written, and the position must
    not pass them. Committing here would lose them.
    """
    left = [written]

    def patience() -> None:
        if not left[0]:
            raise Stopped("Kafka did not answer in time")
        left[0] -= 1

    sink = MemorySink(patience)
    pump = a_pump(MemoryDump([transactions(3).data]), sink)
    with pytest.raises(Stopped):
        pump.run()
    assert (sink.committed, sink.commits) == ([], [])


def test_a_stop_inside_decoding_publishes_what_was_decoded() -> None:
    """Names are looked up while events are decoded; messages of the events before wait in the decoder."""
    dump = transactions(2)
    slow = table_map(9, "slow"), rows(WRITE, image(3, "c"), table_id=9)
    dump.transaction(7, BEGIN, table_map(), rows(WRITE, image(1, "a"), image(2, "b")), *slow, COMMIT)
    sink = MemorySink()
    assert a_pump(MemoryDump([dump.data]), sink, slow_names=True).run() == "stopped"
    check(sink)
    assert len(sink.committed) == 6
    assert sink.durable is not None
    at = sink.durable.position
    assert (at.gtid_set, at.txn, at.rows_done) == (GtidSet.parse(f"{SOURCE}:1-6"), f"{SOURCE}:7", 2)


def test_a_transaction_larger_than_the_budget_is_cut() -> None:
    rule = CommitRule(min_interval=0.0, max_interval=60.0, max_bytes=2000, part_interval=60.0)
    changes = [rows(WRITE, *(image(n * 10 + m, "a" * 50) for m in range(10))) for n in range(30)]
    dump = Dump().transaction(5, BEGIN, table_map(), *changes, COMMIT)
    sink = MemorySink()
    a_pump(MemoryDump(dump.packets), sink, rule=rule, end=End("binlog.000001", dump.position)).run()
    check(sink)
    parts = [record.position for _, record in sink.commits[:-1]]
    assert len(parts) > 5
    assert all(part.txn == f"{SOURCE}:5" and part.rows_done % 10 == 0 for part in parts)
    assert [part.rows_done for part in parts] == sorted({part.rows_done for part in parts})
    assert all(part.gtid_set == START.gtid_set for part in parts)


def test_backlog_is_committed_in_portions() -> None:
    rule = CommitRule(min_interval=0.0, max_interval=60.0, max_bytes=3000, part_interval=60.0)
    dump = transactions(60)
    sink = MemorySink()
    a_pump(MemoryDump(dump.packets), sink, rule=rule, end=End("binlog.000001", dump.position)).run()
    check(sink)
    assert 5 < len(sink.commits) < 60
    assert all(record.position.txn is None for _, record in sink.commits)


def test_the_position_is_stored_when_everything_is_filtered_out() -> None:
    dump = Dump().transaction(5, BEGIN, table_map(7, "secret"), rows(WRITE, image(1, "a")), COMMIT)
    sink = MemorySink()
    assert a_pump(MemoryDump([dump.data], stop_at_end=True), sink).run() == "stopped"
    [(count, record)] = sink.commits
    assert (count, record.position.gtid_set) == (0, GtidSet.parse(f"{SOURCE}:1-5"))


def test_a_stop_with_nothing_new_stores_nothing() -> None:
    sink = MemorySink()
    assert a_pump(MemoryDump([Dump().data], stop_at_end=True), sink, start=START).run() == "stopped"
    assert [count for count, _ in sink.commits] in ([], [0])


def test_statements_have_their_numbers_in_order() -> None:
    dump = transactions(1).transaction(6, query("ALTER TABLE orders ADD x INT", status=updated("shop")))
    dump.transaction(7, query("CREATE USER a IDENTIFIED BY 'x'", status=updated("mysql")))
    dump.transaction(8, query("ALTER TABLE other.t ADD x INT", status=updated("other")))
    dump.transaction(9, BEGIN, table_map(), rows(WRITE, image(1, "a")), COMMIT)
    sink = MemorySink()
    a_pump(MemoryDump([dump.data]), sink, end=End("binlog.000001", dump.position)).run()
    check(sink)
    told = [json.loads(value) for _, _, value in sink.committed]
    assert [(one["id"], one["type"]) for one in told] == [(1, "INSERT"), (2, "INSERT"), (3, "ALTER"), (4, "INSERT")]
    assert [topic for topic, _, _ in sink.committed] == ["cdc.shop.orders"] * 2 + ["cdc.orders.ddl", "cdc.shop.orders"]


def test_create_table_select_is_one_transaction() -> None:
    ctas = query("CREATE TABLE `orders` (`id` int) START TRANSACTION", status=updated("shop"))
    dump = Dump().transaction(5, BEGIN, ctas, table_map(), rows(WRITE, image(1, "a")), COMMIT)
    sink = MemorySink()
    a_pump(MemoryDump(dump.packets), sink, end=End("binlog.000001", dump.position)).run()
    check(sink)
    assert [json.loads(value)["type"] for _, _, value in sink.committed] == ["CREATE", "INSERT"]
    assert len(sink.commits) == 1


def test_rows_do_not_wait_for_the_first_row_of_the_next_transaction() -> None:
    """A huge row, or a line that stalls: what came before it is published, and read by nobody twice."""
    dump = transactions(1)
    dump.transaction(6, BEGIN, table_map(), rows(WRITE, *(image(n, "x" * 200) for n in range(30))), COMMIT)
    sink = MemorySink()
    torn = MemoryDump([dump.data[:-4000]], stop_at_end=True)
    assert a_pump(torn, sink).run() == "stopped"
    check(sink)
    assert len(sink.committed) == 2
    stored = sink.durable
    assert stored is not None
    assert stored.position.gtid_set == GtidSet.parse(f"{SOURCE}:1-5")
    assert (stored.position.txn, stored.position.rows_done) == (None, 0)


@pytest.mark.parametrize(
    "trouble",
    [(77, b"unknown"), rows(WRITE, image(1, "a"), image(2, "b")[:-1]), rows(WRITE, image(1, "a"), table_id=99)],
    ids=["unknown event", "cut row", "unknown table"],
)
@pytest.mark.parametrize("rows_before", [0, 2])
def test_what_comes_before_an_unreadable_event_is_published(trouble: Event, rows_before: int) -> None:
    """The instance parks; whoever goes on behind the event by hand must not lose what the same read brought before it."""
    dump = transactions(3)
    before = [rows(WRITE, *(image(n, "a") for n in range(rows_before)))] if rows_before else []
    dump.add(gtid(8), BEGIN, table_map(), *before, trouble)
    sink = MemorySink()
    with pytest.raises(BinlogError):
        a_pump(MemoryDump([dump.data]), sink).run()
    check(sink)
    assert len(sink.committed) == 6 + rows_before
    assert sink.durable is not None
    at = sink.durable.position
    assert at.gtid_set == GtidSet.parse(f"{SOURCE}:1-7")
    assert (at.txn, at.rows_done) == ((f"{SOURCE}:8", rows_before) if rows_before else (None, 0))


class Ordered(Alone):
    """Gives an order after so many looks, and can be lost after so many checks."""

    def __init__(self, order: Order, after: int, *, lost_after: int | None = None) -> None:
        super().__init__()
        self._order: Order = order
        self._after = after
        self._lost_after = lost_after
        self.mirrored_records: list[PositionRecord] = []

    @property
    def order(self) -> Order | None:
        self._after -= 1
        return self._order if self._after < 0 else None

    @order.setter
    def order(self, order: Order | None) -> None:
        """`Alone` has none."""

    def check(self) -> None:
        if self._lost_after is not None:
            self._lost_after -= 1
            if self._lost_after < 0:
                raise HoldingLost("the lease is over")

    def stored(self, record: PositionRecord) -> None:
        self.mirrored_records.append(record)


@pytest.mark.parametrize("after", range(12))
@pytest.mark.parametrize("order", ["hand_over", "leave"])
def test_an_order_to_end_is_obeyed_between_transactions(order: Order, after: int) -> None:
    """Whatever was read by then: everything published is stored, and nothing of an open transaction."""
    dump = transactions(3)
    sink, ownership = MemorySink(), Ordered(order, after)
    pump = a_pump(MemoryDump(dump.packets, stop_at_end=True), sink, ownership=ownership)
    assert pump.run() == order
    check(sink)
    assert len(sink.committed) % 2 == 0
    if sink.durable is not None:
        assert sink.durable.position.txn is None
        assert ownership.mirrored_records[-1] is sink.durable


def test_an_order_waits_for_the_end_of_a_transaction_that_is_published_in_parts() -> None:
    changes = [rows(WRITE, image(n, "a" * 50)) for n in range(20)]
    dump = Dump().transaction(5, BEGIN, table_map(), *changes, COMMIT)
    sink = MemorySink()
    pump = a_pump(MemoryDump(dump.packets, stop_at_end=True), sink, ownership=Ordered("hand_over", 8))
    assert pump.run() == "hand_over"
    assert len(sink.committed) == 20
    assert sink.durable is not None
    assert sink.durable.position.gtid_set == GtidSet.parse(f"{SOURCE}:1-5")


@pytest.mark.parametrize("checks", range(8))
def test_nothing_is_stored_once_the_ownership_is_in_doubt(checks: int) -> None:
    sink = MemorySink()
    ownership = Ordered("leave", 1000, lost_after=checks)
    with pytest.raises(HoldingLost):
        a_pump(MemoryDump(transactions(9).packets), sink, ownership=ownership).run()
    check(sink)
    assert len(sink.commits) == len(ownership.mirrored_records)


def test_a_definition_that_needs_other_connections_ends_the_pump_with_all_stored() -> None:
    sink = MemorySink()
    pump = a_pump(
        MemoryDump([transactions(3).data], stop_at_end=True),
        sink,
        ownership=Ordered("reconfigure", 3),
        renew=lambda: "reconnect",
    )
    assert pump.run() == "reconfigure"
    check(sink)
    assert len(sink.committed) == 6


def test_a_definition_that_changes_nothing_here_leaves_the_pump_running() -> None:
    dump, sink = transactions(3), MemorySink()
    end = End("binlog.000001", dump.position)
    pump = a_pump(MemoryDump(dump.packets), sink, end=end, ownership=Ordered("reconfigure", 2))
    assert pump.run() == "end"
    check(sink)
    assert len(sink.committed) == 6
