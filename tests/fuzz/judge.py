"""What may come of an input: well-formed messages, or the typed error that says where. Anything else is a finding."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace

from cdcd.binlog.compression import inflate
from cdcd.binlog.core.native import END, NEED_BYTES, Decoder, Plan, Route
from cdcd.binlog.ordinals import Ordinals
from cdcd.binlog.schema import TableSchema
from cdcd.binlog.spans import Place
from cdcd.errors import BinlogError, FindingError, MalformedEvent
from cdcd.formats.canal import CANAL_JSON
from cdcd.formats.canal_strict import canal_json_strict
from cdcd.formats.plan import Keying, compile_plan
from cdcd.formats.template import Format
from tests.events import HEARTBEAT, HEARTBEAT_V2, PAYLOAD, ROTATE

NOW_MS = 1_700_000_001_000
PARTITIONS = 3
UTF8MB4 = 255
TEMPLATES = (CANAL_JSON, canal_json_strict("Asia/Shanghai"))
"""Each has renderers of its own; the input's length decides."""
MOST_MESSAGES = 1 << 26
"""Bytes that a small input may become."""


def judge(data: bytes, pieces: int = 1, *, sound: bool = False) -> str:
    """`malformed`, `unsupported`, `finding` or `read`; AssertionError for what must not be.

    `sound`: frames and positions are right, so that an error must name the place and type of one of the events.
    """
    template = TEMPLATES[len(data) % 2]
    decoder = Decoder(a_catalog(template), inflate)
    size = max(1, len(data) // pieces)
    try:
        for at in range(0, len(data), size):
            decoder.feed(data[at : at + size])
            drain(decoder)
    except FindingError:
        return "finding"
    except BinlogError as error:
        failed = error
    else:
        return "read"
    assert failed.reason, "an error without a reason"
    if sound:
        check_place(failed, data)
    return "malformed" if isinstance(failed, MalformedEvent) else "unsupported"


def check_place(error: BinlogError, data: bytes) -> None:
    """An error names the place and type of one of the events; a ROTATE or heartbeat that was spliced in may say any other."""
    found = list(places(data))
    if not {ROTATE, HEARTBEAT, HEARTBEAT_V2}.intersection(kind for _, kind in found[1:]):
        assert any(_is_there(error, place) for place in found), f"{error}: no event stands there"


def a_catalog(template: Format = CANAL_JSON) -> Callable[[TableSchema], Plan]:
    route, names = Route("t", PARTITIONS), Ordinals(lambda _: None)

    def plan(schema: TableSchema) -> Plan:
        if not schema.named:
            schema = names.names_for(_described(schema), Place("", 0, 0))
        return compile_plan(schema, template, route, Keying(shared=True))

    return plan


def _described(schema: TableSchema) -> TableSchema:
    """As if it said more: what servers before MySQL 8.0 log would not be read at all."""
    columns = tuple(replace(column, collation=column.collation or UTF8MB4) for column in schema.columns)
    return replace(schema, columns=columns, signs=True)


def drain(decoder: Decoder) -> None:
    written = 0
    while (reason := decoder.decode(NOW_MS, 4096)) != NEED_BYTES:
        for _, partition, keys, values, _ in decoder.take_runs():
            assert partition < PARTITIONS
            for key, value in zip(keys, values, strict=True):
                told = json.loads(value)
                assert told["type"] in {"INSERT", "UPDATE", "DELETE"}
                assert key is None or isinstance(json.loads(key)["pk"], dict)
                written += len(value)
        assert written < MOST_MESSAGES, "a small input became a mass of messages"
        if reason == END:
            return


def places(data: bytes) -> Iterator[tuple[int, int]]:
    """(offset, type) of each event of a dump with sound frames, as its headers have them."""
    at = 0
    while at + 24 <= len(data):
        size = int.from_bytes(data[at : at + 3], "little")
        event = data[at + 5 : at + 4 + size]
        position = int.from_bytes(event[13:17], "little")
        yield position - len(event) if position else 0, event[4]
        at += 4 + size


def _is_there(error: BinlogError, place: tuple[int, int]) -> bool:
    """An event inside a compressed transaction has the place of the whole and a type of its own; one of a prepared
    transaction that of the event that ended it.
    """
    offset, kind = place
    held = "XA transaction" in error.reason
    return error.position == offset and (held or kind in {error.event_type, PAYLOAD})
