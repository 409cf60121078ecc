"""Answers the decoder's question: what is to be done with the rows of this table?"""

from collections.abc import Callable
from typing import Protocol

from cdcd.binlog.core.native import Plan, Route, Statement
from cdcd.binlog.schema import TableSchema
from cdcd.binlog.spans import Place
from cdcd.binlog.touching import Change, Table, Tables, changes_columns
from cdcd.config.tables import TableFilter
from cdcd.formats.plan import Keying, compile_plan
from cdcd.formats.template import Format


class Names(Protocol):
    """Where comes from what the binlog does not carry: names (`binlog_row_metadata=MINIMAL`), digits of old temporal types."""

    def names_for(self, schema: TableSchema, place: Place) -> TableSchema:
        """The schema completed with what holds for the transaction at `place`; FindingError (operator) where that cannot be known."""


class Catalog:
    """Plans for the tables of one instance. Asked once for each distinct table map."""

    def __init__(
        self, tables: TableFilter, template: Format, keying: Keying, route: Callable[[TableSchema], Route], names: Names
    ) -> None:
        self._tables = tables
        self._template = template
        self._keying = keying
        self._route = route
        self._names = names
        self._looked_up = Tables()
        self.seen: set[str] = set()
        """Tables that are published, of those that had changes so far."""
        self.place: Callable[[], Place] = lambda: Place("", 0, 0)
        """Where the decoder's transaction starts; set by whoever makes it."""
        self.passed: Callable[[Change, Place], None] = lambda _change, _place: None
        """Told of statements that may have changed tables, and of the transactions they are in."""

    def __call__(self, schema: TableSchema) -> Plan | TableSchema | None:
        """The table's plan; for one to leave out None, or how its rows are read. Raises FindingError and UnsupportedEvent."""
        wanted = self._tables.matches(schema.database, schema.table)
        if not wanted and schema.measured:
            return None
        if not schema.complete:
            schema = self._names.names_for(schema, self.place())
            self._looked_up.add((schema.database, schema.table))
        if not wanted:
            return schema
        self.seen.add(schema.name)
        return compile_plan(schema, self._template, self._route(schema), self._keying)

    def doubtful(self, statement: Statement) -> set[Table]:
        """Tables whose looked-up names a statement may have changed; they will be looked up again."""
        sql = statement.sql.decode("utf-8", "backslashreplace")
        if not changes_columns(sql):
            return set()
        change = Change(sql, statement.database, statement.databases)
        self.passed(change, self.place())
        touched = self._looked_up.touched(change)
        for table in touched:
            self._looked_up.discard(table)
        return touched
