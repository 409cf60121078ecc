"""What cdcd publishes of a real server's binlog, as canal-json: dump, decoder and format without broker."""

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from cdcd.binlog.compression import inflate
from cdcd.binlog.core.native import END, NEED_BYTES, STATEMENT, Decoder, Plan, Route, Statement
from cdcd.binlog.gtid import GtidSet
from cdcd.binlog.schema import TableSchema
from cdcd.formats.canal import CANAL_JSON
from cdcd.formats.plan import Keying, compile_plan
from tests.decoding import NOW_MS
from tests.recording import dumped
from tests.servers import MysqlServer


@dataclass
class Found:
    """What a decoder made of a dump."""

    decoder: Decoder
    messages: list[dict[str, Any]] = field(default_factory=list)
    statements: list[Statement] = field(default_factory=list)
    places: list[tuple[str, int, int]] = field(default_factory=list)
    """(GTID, start, end) of each transaction."""
    peak_buffered: int = 0


def canal(database: str) -> Decoder:
    """Publishes one database's tables."""
    route = Route("t", 1)

    def catalog(schema: TableSchema) -> Plan | None:
        return compile_plan(schema, CANAL_JSON, route, Keying(shared=False)) if schema.database == database else None

    return Decoder(catalog, inflate)


def take(found: Found) -> None:
    for _, _, _, values, _ in found.decoder.take_runs():
        found.messages += [json.loads(value) for value in values]


def decoded(data: bytes, decoder: Decoder, piece: int = 1 << 20) -> Found:
    found = Found(decoder)
    for at in range(0, len(data), piece):
        decoder.feed(data[at : at + piece])
        found.peak_buffered = max(found.peak_buffered, decoder.buffered)
        before = decoder.transactions
        while (reason := decoder.decode(NOW_MS, stop_at_boundary=True)) != NEED_BYTES:
            take(found)
            if reason == STATEMENT:
                found.statements.append(decoder.statement)
            if decoder.transactions > before:
                found.places.append((decoder.transaction, decoder.start_offset, decoder.end_offset))
                before = decoder.transactions
            if reason == END:
                break
        take(found)
    return found


def since(server: MysqlServer, known: GtidSet, database: str) -> Found:
    return decoded(dumped(server, known), canal(database))


def of_kind(found: Found, kind: str) -> list[dict[str, Any]]:
    return [one["data"][0] for one in found.messages if one["type"] == kind]


def event_types(data: bytes) -> Counter[int]:
    """How many events of each type a dump has; no packet of it is continued."""
    types: Counter[int] = Counter()
    at = 0
    while at < len(data):
        types.update(data[at + 9 : at + 10])
        at += 4 + int.from_bytes(data[at : at + 3], "little")
    return types
