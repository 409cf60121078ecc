"""Column names that the binlog does not carry: remembered, or looked up and remembered."""

from collections.abc import Callable
from typing import Protocol

from cdcd.binlog.schema import TableSchema
from cdcd.binlog.spans import Place
from cdcd.binlog.touching import Table
from cdcd.mysql.table_definition import TableDefinition
from cdcd.worker.memory import SchemaMemory


class Lookup(Protocol):
    """The source's information_schema and its binlog (cdcd.mysql.schema.SchemaLookup)."""

    def definition_for(self, schema: TableSchema, place: Place) -> TableDefinition: ...
    def holds(self, table: Table, place: Place, later: Place) -> bool: ...
    def close(self) -> None: ...


class RememberedNames:
    """A Names that asks the source only for what is not remembered."""

    def __init__(self, memory: SchemaMemory, lookup: Lookup, reading: Callable[[], Place]) -> None:
        """`reading`: where the transaction starts that the dump is in. Rows of an XA transaction are of an earlier place: that
        of its first phase.
        """
        self._memory = memory
        self._lookup = lookup
        self._reading = reading

    def names_for(self, schema: TableSchema, place: Place) -> TableSchema:
        """Raises what the lookup raises: FindingError where the names cannot be known."""
        table, reading = (schema.database, schema.table), self._reading()
        stored = self._memory.find(table, schema.fingerprint, place, reading)
        if stored is None:
            stored = self._later(table, schema.fingerprint, place)
            if stored is None:
                stored = self._lookup.definition_for(schema, place).to_json()
            if place == reading or self._lookup.holds(table, place, reading):
                self._memory.learn(table, schema.fingerprint, reading, stored)
        return TableDefinition.from_json(stored).name(schema)

    def _later(self, table: Table, fingerprint: bytes, place: Place) -> bytes | None:
        """What is remembered from further on, if no statement came between: as in a binlog that is read once more."""
        later = self._memory.later(table, place)
        if later is None or later[0] != fingerprint or not self._lookup.holds(table, place, later[2]):
            return None
        return later[1]
