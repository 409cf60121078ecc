"""canal-json as canal writes it (`compat: strict`, formats.md sections 2 and 7): for consumers that were built for canal.

Every message still holds one row and has a key; see docs/formats.md for what else is not canal's.
"""

from cdcd.binlog.declared import declared_type
from cdcd.binlog.schema import Column, TableSchema
from cdcd.formats.canal import ddl_text, rows_of, sql_type
from cdcd.formats.template import (
    BATCH_NUMBER,
    BUILT_MS,
    STATEMENT_MS,
    Codes,
    DdlMessage,
    Format,
    RowTemplate,
    Step,
    Steps,
    json_text,
    members,
    steps,
    type_codes,
)
from cdcd.formats.zones import zone

# java.sql.Types by binlog type: (of NULL, of a value, of an unsigned value with the top bit set).
_CODES: dict[int, Codes] = {
    1: (-6, -6, 5),  # TINYINT
    2: (5, 5, 4),  # SMALLINT
    9: (4, 4, 4),  # MEDIUMINT
    3: (4, 4, -5),  # INT
    8: (-5, -5, 3),  # BIGINT
    247: (4, 4, 4),  # ENUM
    248: (2004, -7, -7),  # SET
    245: (1111, 12, 12),  # JSON
}


def canal_json_strict(timezone: str) -> Format:
    """`timezone`: of canal's JVM. Raises zoneinfo.ZoneInfoNotFoundError."""
    return Format("canal-json", row_template, ddl_message, splits_updates=False, strict=zone(timezone))


def sql_types(column: Column) -> Codes:
    """The codes that canal gives to a column's values."""
    constant = sql_type(column)
    return _CODES.get(column.type, (constant, constant, constant))


def row_template(schema: TableSchema) -> RowTemplate:
    return rows_of(schema, _message)


def _message(schema: TableSchema, kind: str, data: Step, old: tuple[str | Step, ...]) -> Steps:
    columns = schema.columns
    key = [columns[i].name for i in sorted(schema.key)] or None
    return steps(
        '{"data":[{', data, '}],"database":', json_text(schema.database),
        ',"es":', STATEMENT_MS,
        ',"gtid":"","id":', BATCH_NUMBER,
        ',"isDdl":false,"mysqlType":{',
        members(f"{json_text(column.name)}:{json_text(declared_type(column))}" for column in columns),
        '},"old":', *old,
        ',"pkNames":', json_text(key),
        ',"sql":"","sqlType":{', type_codes((column.name, sql_types(column)) for column in columns),
        '},"table":', json_text(schema.table),
        ',"ts":', BUILT_MS,
        ',"type":"', kind, '"}',
    )  # fmt: skip


def ddl_message(ddl: DdlMessage) -> bytes:
    return ddl_text(ddl, es=ddl.statement_ms, gtid="", number=ddl.batch)
