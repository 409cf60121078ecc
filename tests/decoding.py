"""Drives a Decoder the way the worker does, and keeps what it says."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from cdcd.binlog.compression import inflate
from cdcd.binlog.core.native import (
    AFTER,
    BEFORE,
    COLUMN,
    CONTROL,
    END,
    LITERAL,
    NEED_BYTES,
    STATEMENT,
    Decoder,
    Plan,
    Route,
    Statement,
)
from cdcd.binlog.schema import TableSchema
from tests.events import Dump

NOW_MS = 1_700_000_001_000


@dataclass
class Catalog:
    """Publishes every table but those named: `+` inserts, `~` updates, `-` deletes."""

    left_out: frozenset[str] = frozenset()
    asked: list[str] = field(default_factory=list)
    route: Route = field(default_factory=lambda: Route("t", 1))

    def __call__(self, schema: TableSchema) -> Plan | None:
        self.asked.append(schema.table)
        return None if schema.table in self.left_out else plan_of(schema, self.route)


def plan_of(schema: TableSchema, route: Route) -> Plan:
    names = [(column, f'"{column.name}":'.encode(), True) for column in schema.columns]
    head = f"{schema.table} ".encode()
    return Plan(
        schema,
        route,
        columns=names,
        insert=[(LITERAL, b"+" + head), (AFTER, b"")],
        update=[(LITERAL, b"~" + head), (BEFORE, b""), (LITERAL, b" > "), (AFTER, b"")],
        delete=[(LITERAL, b"-" + head), (BEFORE, b"")],
        key=[(COLUMN, i) for i in schema.key] or None,
        partition=None,
        partition_hash=0,
    )


@dataclass
class Heard:
    """Everything a decoder said, in its order."""

    decoder: Decoder
    messages: list[str] = field(default_factory=list)
    statements: list[Statement] = field(default_factory=list)
    controls: list[bytes] = field(default_factory=list)
    reasons: list[int] = field(default_factory=list)

    def take(self) -> None:
        for _, _, _, values, _ in self.decoder.take_runs():
            self.messages += [value.decode() for value in values]

    def listen(self, limit: int = 1 << 20) -> None:
        """Decode what was fed. Raises what decode raises; messages of events before it can still be taken."""
        while True:
            reason = self.decoder.decode(NOW_MS, limit)
            self.reasons.append(reason)
            self.take()
            if reason == STATEMENT:
                self.statements.append(self.decoder.statement)
            elif reason == CONTROL:
                self.controls.append(self.decoder.control)
            elif reason in {NEED_BYTES, END}:
                return


def a_decoder(catalog: Callable[[TableSchema], Plan | None] | None = None, id_prefix: bytes | None = None) -> Decoder:
    return Decoder(Catalog() if catalog is None else catalog, inflate, id_prefix)


def hear(data: "bytes | Dump | Iterable[bytes]", decoder: Decoder | None = None, limit: int = 1 << 20) -> Heard:
    """All that a stream, fed at once or in these pieces, makes a decoder say."""
    heard = Heard(a_decoder() if decoder is None else decoder)
    for piece in _pieces(data):
        heard.decoder.feed(piece)
        heard.listen(limit)
    return heard


def _pieces(data: "bytes | Dump | Iterable[bytes]") -> Iterator[bytes]:
    if isinstance(data, bytes):
        yield data
    elif isinstance(data, Dump):
        yield data.data
    else:
        yield from data
