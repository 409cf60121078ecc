"""Answers the decoder's question: what is to be done with the rows of this table?"""

from collections.abc import Callable
from typing import Protocol

from cdcd.binlog.core.native import Plan, Route, Statement
from cdcd.binlog.schema import TableSchema
from cdcd.binlog.statements import may_touch
from cdcd.config.tables import TableFilter
from cdcd.formats.plan import Keying, compile_plan
from cdcd.formats.template import Format

Place = tuple[str, int]
"""(binlog file, offset)."""


class Names(Protocol):
    """Where comes from what the binlog does not carry: names (`binlog_row_metadata=MINIMAL`), digits of old temporal types."""

    def names_for(self, schema: TableSchema, file: str, offset: int) -> TableSchema:
        """The schema completed with what holds at that place; FindingError (operator) where that cannot be known."""


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
        self._looked_up: set[tuple[str, str]] = set()
        self.seen: set[str] = set()
        """Tables that are published, of those that had changes so far."""
        self.place: Callable[[], Place] = lambda: ("", 0)
        """Where the decoder's transaction starts; set by whoever makes it."""

    def __call__(self, schema: TableSchema) -> Plan | TableSchema | None:
        """The table's plan; for one to leave out None, or how its rows are read. Raises FindingError and UnsupportedEvent."""
        wanted = self._tables.matches(schema.database, schema.table)
        if not wanted and schema.measured:
            return None
        if not schema.complete:
            schema = self._names.names_for(schema, *self.place())
            self._looked_up.add((schema.database, schema.table))
        if not wanted:
            return schema
        self.seen.add(schema.name)
        return compile_plan(schema, self._template, self._route(schema), self._keying)

    def doubtful(self, statement: Statement) -> set[tuple[str, str]]:
        """Tables whose looked-up names a statement may have changed; they will be looked up again."""
        sql = statement.sql.decode("utf-8", "backslashreplace")
        touched = {table for table in self._looked_up if may_touch(sql, statement.database, statement.databases, table)}
        self._looked_up -= touched
        return touched
