"""What table maps do not say: column names (binlog_row_metadata=MINIMAL), which bytes of MariaDB are a UUID or an address, digits of its
old temporal types. Never guessed.
"""

from collections.abc import Callable

from cdcd.binlog.schema import TableSchema
from cdcd.binlog.spans import Place
from cdcd.binlog.touching import Table
from cdcd.errors import Finding, FindingError
from cdcd.mysql.connection import Endpoint
from cdcd.mysql.ddl_history import DdlHistory
from cdcd.mysql.readings import Reading, Readings
from cdcd.mysql.scan import Watch, unwatched
from cdcd.mysql.table_definition import TableDefinition

Wanted = Callable[[str, str], bool]
"""(database, table)"""
_UNNAMED = "the binlog does not name its columns"
_AMBIGUOUS = "the binlog does not tell UUID, INET4 and INET6 from BINARY, nor VECTOR from VARBINARY"
_UNMEASURED = "the binlog does not say how long values of its old TIMESTAMP, DATETIME or TIME columns are"
_REBUILD = (
    "Rebuild the table (ALTER TABLE ... FORCE, with mysql56_temporal_format=ON), then begin anew behind this place"
)
_LEAVE = "From here on leave the table out (tables.exclude), or begin anew behind this place"
_NEVER_AGAIN = "{} on the source: then the binlog names the columns, and this cannot come again"
_SELDOM_AGAIN = (
    "The binlog of {} never names columns: have the instance running and caught up when tables are changed, so that it "
    "knows them from before"
)


class SchemaLookup:
    """Reads names from information_schema and proves that they are those of the event."""

    def __init__(self, endpoint: Endpoint, watch: Watch = unwatched, wanted: Wanted = lambda *_: True) -> None:
        """`wanted`: tables that may be read ahead."""
        self._readings = Readings(endpoint, wanted)
        self._history = DdlHistory(endpoint, watch)

    def names_for(self, schema: TableSchema, place: Place) -> TableSchema:
        """`schema` with names, labels, key and digits, for a table map in the transaction at `place`. Raises as `definition_for`."""
        return self.definition_for(schema, place).name(schema)

    def definition_for(self, schema: TableSchema, place: Place) -> TableDefinition:
        """What information_schema says, proven for that place.

        Its names are the event's if the table's shape is the same and no statement may have changed the table
        from there to the place where it was read. Raises FindingError: `schema-unknown` (operator) where that cannot be
        said, `privilege-missing`, or retry where the source cannot be asked.
        """
        table = schema.database, schema.table
        kept = self._readings.kept(table, place)
        if kept is not None and not self._objection(schema, place, kept):
            assert kept.definition is not None
            return kept.definition
        reading = self._readings.take(table)
        if objection := self._objection(schema, place, reading):
            raise self._unknown(schema, place, objection)
        assert reading.definition is not None
        return reading.definition

    def _objection(self, schema: TableSchema, place: Place, reading: Reading) -> str:
        """Why a reading does not tell the names at `place`; empty if it does."""
        definition, ddl = (
            reading.definition,
            self._history.first((schema.database, schema.table), place, reading.seen_at),
        )
        if definition is None:
            difference = f"{_lack(schema)}, and the table is gone"
        elif not (difference := definition.difference(schema)) and ddl is not None:
            difference = _lack(schema)
        return difference if ddl is None else f"{difference}; {ddl} may have changed the table since"

    def _unknown(self, schema: TableSchema, place: Place, why: str) -> FindingError:
        what = f"{schema.name} at {place}: {why}"
        remedy = _REBUILD if not schema.measured else _LEAVE if schema.named else self._remedy()
        return FindingError(Finding("schema-unknown", "operator", what, remedy))

    def _remedy(self) -> str:
        version = self._readings.version
        if version.names_columns:
            return f"{_LEAVE}. {_NEVER_AGAIN.format(version.setting('binlog_row_metadata', 'FULL'))}"
        return f"{_LEAVE}. {_SELDOM_AGAIN.format(f'{version.product} {version.text}')}"

    def holds(self, table: Table, place: Place, later: Place) -> bool:
        """Whether what is known to hold at `later` holds at `place`, which is before it: no statement touched the table."""
        if not self._history.leads_to(place, later):
            return False
        return self._history.first(table, place, (later.file, later.offset + 1)) is None

    def oldest_file(self) -> str:
        """The first of the binlog files that the source still has. Raises FindingError."""
        return self._readings.oldest_file()

    def close(self) -> None:
        """Let go of the connection; the next question makes another."""
        self._readings.close()


def _lack(schema: TableSchema) -> str:
    if not schema.measured:
        return _UNMEASURED
    return _AMBIGUOUS if schema.named else _UNNAMED
