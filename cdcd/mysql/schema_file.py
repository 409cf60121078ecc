"""Tables' columns from a file, for binlogs that do not name them and whose server cannot be asked: the answer of
`SCHEMA_QUERY` as the `mysql` client prints it with --batch.
"""

import csv
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from cdcd.binlog.schema import TableSchema
from cdcd.binlog.spans import Place
from cdcd.errors import Finding, FindingError, InvalidConfig, Problem
from cdcd.mysql.table_definition import TableDefinition, definition_of

SCHEMA_QUERY: Final = """\
SELECT c.table_schema AS `database`, c.table_name AS `table`, c.column_name AS name, c.data_type AS data,
       c.column_type AS declared, c.character_octet_length AS octets, c.numeric_precision AS digits,
       c.numeric_scale AS scale, c.datetime_precision AS fraction, c.collation_name AS collation,
       k.id AS collation_id, c.is_nullable AS nullable, c.extra AS extra, s.seq_in_index AS key_part,
       VERSION() LIKE '%MariaDB%' AS mariadb
FROM information_schema.columns c
LEFT JOIN (
  SELECT collation_name, id FROM information_schema.collations WHERE id IS NOT NULL
  /*M!101001 UNION SELECT full_collation_name, id FROM information_schema.collation_character_set_applicability */
) k ON k.collation_name = c.collation_name
LEFT JOIN information_schema.statistics s ON s.table_schema = c.table_schema AND s.table_name = c.table_name
      AND s.column_name = c.column_name AND s.index_name = 'PRIMARY'
WHERE c.table_schema NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema')
ORDER BY c.table_schema, c.table_name, c.ordinal_position;
"""
_FIELDS: Final = (
    "database",
    "table",
    "name",
    "data",
    "declared",
    "octets",
    "digits",
    "scale",
    "fraction",
    "collation",
    "collation_id",
    "nullable",
    "extra",
    "key_part",
    "mariadb",
)
_NUMBERS: Final = frozenset({"octets", "digits", "scale", "fraction", "collation_id", "key_part", "mariadb"})
_ESCAPED: Final = re.compile(r"\\(.)")
_CONTROLS: Final = {"n": "\n", "t": "\t", "0": "\0"}

Record = dict[str, Any]


class SchemaFile:
    """The tables of a file. Whether they were the same when the binlog was written only their shape can tell."""

    def __init__(self, path: Path) -> None:
        """Raises OSError, and InvalidConfig for a file of another form."""
        self._path = path
        self._tables: dict[tuple[str, str], list[Record]] = defaultdict(list)
        for record in _records(path):
            self._tables[record["database"], record["table"]].append(record)

    def names_for(self, schema: TableSchema, place: Place) -> TableSchema:
        """`schema` with the file's names, labels and key. Raises FindingError (`schema-unknown`) where its shape differs."""
        records = self._tables.get((schema.database, schema.table))
        if records is None:
            raise self._unknown(schema, place, "it does not have that table")
        definition = _definition(records)
        if difference := definition.difference(schema):
            raise self._unknown(schema, place, difference)
        return definition.name(schema)

    def _unknown(self, schema: TableSchema, place: Place, why: str) -> FindingError:
        what = f"{schema.name} at {place}: {self._path} does not give the names of its columns: {why}"
        remedy = "Give the columns as they were when that was written, or leave the table out with --tables"
        return FindingError(Finding("schema-unknown", "operator", what, remedy))


def _definition(records: list[Record]) -> TableDefinition:
    collations = {record["collation"]: record["collation_id"] for record in records if record["collation_id"]}
    parts = sorted((record["key_part"], record["name"]) for record in records if record["key_part"])
    return definition_of(records, collations, [name for _, name in parts])


def _records(path: Path) -> Iterator[Record]:
    text = path.read_text("utf-8", "surrogateescape")
    # The client escapes tabs and line ends, and quotes nothing; other characters that end a line in Python stay.
    rows = csv.reader(text.split("\n"), delimiter="\t", quoting=csv.QUOTE_NONE)
    if tuple(next(rows, ())) != _FIELDS:
        problem = Problem("", f"must begin with the columns {', '.join(_FIELDS)}, between tabs")
        raise InvalidConfig(str(path), (problem,))
    for number, row in enumerate(rows, 2):
        if row:
            yield _record(path, number, row)


def _record(path: Path, number: int, row: list[str]) -> Record:
    if len(row) != len(_FIELDS):
        raise InvalidConfig(str(path), (Problem(f"line {number}", f"has {len(row)} fields, not {len(_FIELDS)}"),))
    try:
        return {field: _value(field, text) for field, text in zip(_FIELDS, row, strict=True)}
    except ValueError as error:
        raise InvalidConfig(str(path), (Problem(f"line {number}", str(error)),)) from None


def _value(field: str, text: str) -> str | int | None:
    if text == "NULL" and field in {"collation", *_NUMBERS}:
        return None
    return int(text) if field in _NUMBERS else _ESCAPED.sub(lambda match: _CONTROLS.get(match[1], match[1]), text)
