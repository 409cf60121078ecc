"""From a table's schema, a format and a route to the Plan that the native core executes."""

from dataclasses import dataclass

from cdcd.binlog.core.native import Plan, Route, murmur2
from cdcd.binlog.schema import TableSchema
from cdcd.errors import Finding, FindingError
from cdcd.formats.template import Format, Step, Steps, json_text, steps, value_of

PartitionBy = str | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Keying:
    """How messages of a topic are keyed and spread over its partitions."""

    shared: bool
    """The topic holds several tables, so the key names its table (else compaction would mix them)."""
    partition_by: PartitionBy = "primary_key"
    """`primary_key`, `table`, or names of columns."""


def compile_plan(schema: TableSchema, template: Format, route: Route, keying: Keying) -> Plan:
    """Raises UnsupportedEvent for a column type that cdcd does not know, FindingError for a column that is not there."""
    rows = template.rows(schema)
    return Plan(
        schema,
        route,
        columns=[(column, (json_text(column.name) + ":").encode(), True) for column in schema.columns],
        insert=rows.insert,
        update=rows.update,
        delete=rows.delete,
        key=_key_steps(schema, keying),
        partition=_partition_steps(schema, keying),
        partition_hash=murmur2(schema.name.encode()),
        splits=template.splits_updates,
        strict=template.strict,
    )


def _key_steps(schema: TableSchema, keying: Keying) -> Steps | None:
    """The primary key as compact JSON (formats.md section 1 rule 2); None for a table without."""
    if not schema.key:
        return None
    key = _object_of(schema, schema.key)
    if not keying.shared:
        return steps(*key)
    owner = f'{{"database":{json_text(schema.database)},"table":{json_text(schema.table)},"pk":'
    return steps(owner, *key, "}")


def _partition_steps(schema: TableSchema, keying: Keying) -> Steps | None:
    """What is hashed for the partition; None: the key, or the table's name where it has no key."""
    if keying.partition_by == "primary_key":
        return None
    if isinstance(keying.partition_by, str):
        return steps(schema.name)
    return steps(*_object_of(schema, tuple(_index_of(schema, name) for name in keying.partition_by)))


def _object_of(schema: TableSchema, columns: tuple[int, ...]) -> list[str | Step]:
    parts: list[str | Step] = ["{"]
    for i in columns:
        parts += ["," if len(parts) > 1 else "", json_text(schema.columns[i].name) + ":", value_of(i)]
    return [*parts, "}"]


def _index_of(schema: TableSchema, name: str) -> int:
    for i, column in enumerate(schema.columns):
        if column.name == name:
            return i
    raise FindingError(
        Finding(
            "partition-column-missing",
            "operator",
            f"sink.partition_by names column {name!r}, which {schema.name} does not have",
            "Name columns that every included table has, or use partition_by: primary_key",
        )
    )
