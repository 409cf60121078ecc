"""One call that judges a run: binlog and tables on one side, committed records on the other."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from deploy.rig.checks import Checker, Report, State
from deploy.rig.expect import Counted, expected
from deploy.rig.load import History
from deploy.rig.source import BinlogPoint, Source
from deploy.rig.topics import partitions_of, read_committed, topics_like
from deploy.rig.truth import Transaction, read_binlog
from deploy.rig.values import Layout


@dataclass(frozen=True, slots=True)
class Run:
    """What one instance was asked to publish."""

    source: Source
    bootstrap: str
    database: str
    tables: tuple[str, ...]
    """Names of the tables the definition includes."""
    topic: str
    """Topic template with `{database}` and `{table}`."""
    ddl_topic: str
    start: BinlogPoint
    """First event that counts."""
    base: dict[str, State] = field(default_factory=dict)
    """Rows of the tables at `start`, by `database.table`; empty tables if left out."""

    def topics(self) -> list[str]:
        """Those of its topics that exist."""
        wanted = {self.topic.format(database=self.database, table=table) for table in self.tables} | {self.ddl_topic}
        return [name for name in topics_like(self.bootstrap, "") if name in wanted]


class _Statements:
    """Hands transactions on and keeps the statements that pass."""

    def __init__(self, database: str) -> None:
        self.all: Counter[str] = Counter()
        self.required: Counter[str] = Counter()
        self._mark = f"`{database}`."

    def watch(self, transactions: Iterable[Transaction]) -> Iterator[Transaction]:
        for transaction in transactions:
            self.all.update(transaction.statements)
            self.required.update(sql for sql in transaction.statements if self._mark in sql)
            yield transaction


def verify(run: Run, history: History | None = None, *, statements: bool = True, repeats: bool = False) -> Report:
    """Judge all of `run` up to now; the worker must have reached the end and the load must rest.

    `statements`: whether DDL on the run's database (written with its name in backticks) must be published.
    `repeats`: whether messages may come again (delivery at_least_once).
    """
    names = {f"{run.database}.{table}" for table in run.tables}
    tables = [table for table in run.source.tables(run.database) if table.full_name in names]
    layouts = {table.full_name: Layout(table, mariadb=run.source.mariadb) for table in tables}
    counted, seen = Counted(), _Statements(run.database)
    truth = expected(seen.watch(read_binlog(run.source, run.start)), layouts, counted, wanted=names)
    checker = Checker(
        truth,
        layouts,
        counted,
        statements=seen.all,
        required=seen.required if statements else None,
        base=run.base,
        repeats=repeats,
    )
    topics = run.topics()
    for topic, count in Counter(place.topic for place in partitions_of(run.bootstrap, topics)).items():
        checker.partitions(topic, count)
    for record in read_committed(run.bootstrap, topics):
        checker.take(record)
    report = checker.finish({table.full_name: run.source.contents(table) for table in tables})
    if history is not None:
        _compare_with_history(report, history, run)
    return report


def _compare_with_history(report: Report, history: History, run: Run) -> None:
    """V1's other half: what MySQL said `ok` to is in its ledger, what failed is not."""
    with run.source.connect(run.database) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT gen_id, gen_no FROM ledger")
        ledger = {(int(generator), int(number)) for generator, number in cursor.fetchall()}
    for mark in history.with_outcome("ok") - ledger:
        report.missing.add(f"transaction {mark} was answered ok and is not in the ledger")
    for mark in history.with_outcome("failed") & ledger:
        report.unexpected.add(f"transaction {mark} failed and is in the ledger")
