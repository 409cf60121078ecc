"""What table maps do not say: column names (binlog_row_metadata=MINIMAL), which bytes of MariaDB are a UUID or an address, digits of its
old temporal types. Never guessed.
"""

from cdcd.binlog.schema import TableSchema
from cdcd.errors import Finding, FindingError
from cdcd.mysql.connection import Endpoint, connect
from cdcd.mysql.ddl_history import DdlHistory, Place
from cdcd.mysql.scan import Watch, unwatched
from cdcd.mysql.server import read_end, read_version
from cdcd.mysql.table_definition import TableDefinition, read_definition

_UNNAMED = "the binlog does not name its columns"
_REMEDY = "Set binlog_row_metadata=FULL on the source, then begin anew behind this place, or leave the table out (tables.exclude)"
_AMBIGUOUS = "the binlog does not tell UUID, INET4 and INET6 from BINARY, nor VECTOR from VARBINARY"
_ONWARDS = "Begin anew behind this place, or leave the table out (tables.exclude)"
_UNMEASURED = "the binlog does not say how long values of its old TIMESTAMP, DATETIME or TIME columns are"
_REBUILD = (
    "Rebuild the table (ALTER TABLE ... FORCE, with mysql56_temporal_format=ON), then begin anew behind this place"
)


class SchemaLookup:
    """Reads names from information_schema and proves that they are those of the event."""

    def __init__(self, endpoint: Endpoint, watch: Watch = unwatched) -> None:
        self._endpoint = endpoint
        self._history = DdlHistory(endpoint, watch)

    def names_for(self, schema: TableSchema, file: str, offset: int) -> TableSchema:
        """`schema` with names, labels, key and digits, for a table map in the transaction that starts at `file`:`offset`.

        Today's names are the event's if the table's shape is the same and no statement may have changed the table
        from there to the place where it was read. Raises FindingError: `schema-unknown` (operator) where that cannot be
        said, `privilege-missing`, or retry where the source cannot be asked.
        """
        definition, seen_at = self._read(schema)
        for ddl in self._history.between((file, offset), seen_at):
            if ddl.may_touch(schema.database, schema.table):
                why = f"{_lack(schema)}, and {ddl} may have changed the table since"
                raise _unknown(schema, file, offset, why)
        if definition is None:
            raise _unknown(schema, file, offset, f"{_lack(schema)}, and the table is gone")
        if difference := definition.difference(schema):
            raise _unknown(schema, file, offset, difference)
        return definition.name(schema)

    def _read(self, schema: TableSchema) -> tuple[TableDefinition | None, Place]:
        """The table as it is now, and an end of the binlog read afterwards: every DDL that it shows is before that."""
        with connect(self._endpoint) as connection:
            definition = read_definition(connection, schema.database, schema.table)
            return definition, read_end(connection, read_version(connection))


def _lack(schema: TableSchema) -> str:
    if not schema.measured:
        return _UNMEASURED
    return _AMBIGUOUS if schema.named else _UNNAMED


def _unknown(schema: TableSchema, file: str, offset: int, why: str) -> FindingError:
    remedy = _REBUILD if not schema.measured else _ONWARDS if schema.named else _REMEDY
    return FindingError(Finding("schema-unknown", "operator", f"{schema.name} at {file}:{offset}: {why}", remedy))
