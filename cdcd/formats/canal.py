"""canal-json: canal's flat message with one row each (formats.md section 2; canal's `compat: fixed`)."""

from collections.abc import Callable

from cdcd.binlog.declared import declared_type
from cdcd.binlog.schema import Column, TableSchema
from cdcd.formats.template import (
    AFTER_COLUMNS,
    BEFORE_COLUMNS,
    BUILT_MS,
    CHANGED_COLUMNS,
    COMMITTED_MS,
    SEQ_NUMBER,
    TRANSACTION_GTID,
    DdlMessage,
    Format,
    RowTemplate,
    Step,
    Steps,
    json_text,
    steps,
)

# java.sql.Types that canal names, by binlog type: (signed, unsigned).
_NUMBERS = {
    1: (-6, 5),  # TINYINT
    2: (5, 4),  # SMALLINT
    9: (4, 4),  # MEDIUMINT
    3: (4, -5),  # INT
    8: (-5, 3),  # BIGINT
    4: (7, 7),  # FLOAT
    5: (8, 8),  # DOUBLE
    246: (3, 3),  # DECIMAL
}
_OTHERS = {
    16: -7,  # BIT
    10: 91, 14: 91,  # DATE
    11: 92, 19: 92,  # TIME
    7: 93, 12: 93, 17: 93, 18: 93,  # TIMESTAMP, DATETIME
    13: 12,  # YEAR
    247: 12, 248: 12,  # ENUM, SET
    245: 12,  # JSON
    242: 12,  # VECTOR
    255: 2004,  # GEOMETRY
}  # fmt: skip
_TEXTS = {15: 12, 253: 12, 254: 1, 252: 2005}  # VARCHAR, VAR_STRING, CHAR, TEXT
_VARCHAR = 15
_BINARY = 2004
_BINARY_COLLATION = 63

# canal's name for a kind of statement.
_DDL_TYPES = {
    "CREATE": "CREATE",
    "ALTER": "ALTER",
    "DROP": "ERASE",
    "TRUNCATE": "TRUNCATE",
    "RENAME": "RENAME",
    "CREATE INDEX": "CINDEX",
    "DROP INDEX": "DINDEX",
}


def sql_type(column: Column) -> int:
    """The java.sql.Types code of a column, constant for all its values."""
    if column.form:
        return _TEXTS[_VARCHAR]
    if column.type in _NUMBERS:
        return _NUMBERS[column.type][column.unsigned]
    if column.type in _TEXTS:
        return _BINARY if column.collation == _BINARY_COLLATION else _TEXTS[column.type]
    return _OTHERS[column.type]


Message = Callable[[TableSchema, str, Step, tuple[str | Step, ...]], Steps]
"""Of a table, INSERT, UPDATE or DELETE, what stands in `data`, what in `old`."""


def row_template(schema: TableSchema) -> RowTemplate:
    return rows_of(schema, _message)


def rows_of(schema: TableSchema, message: Message) -> RowTemplate:
    """What canal shows of a row: as it is now, of an update also what was there before, of a delete what is gone."""
    return RowTemplate(
        insert=message(schema, "INSERT", AFTER_COLUMNS, ("null",)),
        update=message(schema, "UPDATE", AFTER_COLUMNS, ("[{", CHANGED_COLUMNS, "}]")),
        delete=message(schema, "DELETE", BEFORE_COLUMNS, ("null",)),
    )


def _message(schema: TableSchema, kind: str, data: Step, old: tuple[str | Step, ...]) -> Steps:
    mysql_types = {column.name: declared_type(column) for column in schema.columns}
    sql_types = {column.name: sql_type(column) for column in schema.columns}
    key = [schema.columns[i].name for i in schema.key] or None
    return steps(
        '{"data":[{', data, '}],"database":', json_text(schema.database),
        ',"es":', COMMITTED_MS,
        ',"gtid":"', TRANSACTION_GTID,
        '","id":', SEQ_NUMBER,
        ',"isDdl":false,"mysqlType":', json_text(mysql_types),
        ',"old":', *old,
        ',"pkNames":', json_text(key),
        ',"sql":"","sqlType":', json_text(sql_types),
        ',"table":', json_text(schema.table),
        ',"ts":', BUILT_MS,
        ',"type":"', kind, '"}',
    )  # fmt: skip


def ddl_message(ddl: DdlMessage) -> bytes:
    return ddl_text(ddl, es=ddl.commit_ms, gtid=ddl.gtid, number=ddl.seq)


def ddl_text(ddl: DdlMessage, *, es: int, gtid: str, number: int) -> bytes:
    return json_text(
        {
            "data": None,
            "database": ddl.database,
            "es": es,
            "gtid": gtid,
            "id": number,
            "isDdl": ddl.kind != "OTHER",
            "mysqlType": None,
            "old": None,
            "pkNames": None,
            "sql": ddl.sql,
            "sqlType": None,
            "table": "",
            "ts": ddl.built_ms,
            "type": _DDL_TYPES.get(ddl.kind, "QUERY"),
        }
    ).encode()


CANAL_JSON = Format(name="canal-json", rows=row_template, ddl=ddl_message)
