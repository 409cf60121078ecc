"""Mutated real events: a typed error or well-formed messages, never a crash, never an endless loop.

The events are those of a recorded dump (tests/recording.py). Framed anew they have right positions and checksums, so
that the damage reaches the readers behind the frame. A longer run, best with the core built under CDCD_SANITIZE=1:

    CDCD_FUZZ_SECONDS=300 CDCD_FUZZ_SEED=7 python -m pytest tests/unit/test_decoder_fuzz.py
"""

import json
import os
import random
import struct
import time
from collections.abc import Callable, Iterator

import pytest
import zstandard

from cdcd.binlog.core.native import END, NEED_BYTES, Decoder, Plan, Route
from cdcd.binlog.schema import TableSchema
from cdcd.errors import BinlogError, MalformedEvent, UnsupportedEvent
from cdcd.formats.canal import CANAL_JSON
from cdcd.formats.plan import Keying, compile_plan
from tests.decoding import NOW_MS, a_decoder, hear
from tests.events import ANONYMOUS, FDE, GTID, PAYLOAD, ROTATE, TAGGED, XID, Dump, Event, inner, payload
from tests.recording import recorded

SECONDS = float(os.environ.get("CDCD_FUZZ_SECONDS", "8"))
SEED = int(os.environ.get("CDCD_FUZZ_SEED", "1"))
LARGEST = 20_000
"""Bytes of a transaction that is worth mutating: larger ones only take longer."""


def packets(data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 3], "little")
        yield data[at + 4 : at + 4 + size]
        at += 4 + size


def transactions() -> list[list[Event]]:
    """From GTID to end, bodies without checksum."""
    found: list[list[Event]] = []
    for packet in packets(recorded()):
        if packet[0] != 0 or packet[5] in {ROTATE, FDE}:
            continue
        event = packet[5], packet[20:-4]
        if event[0] in {GTID, ANONYMOUS, TAGGED}:
            found.append([])
        if found:
            found[-1].append(event)
    return [events for events in found if sum(len(body) for _, body in events) < LARGEST]


TRANSACTIONS = transactions()
UP_TO_COMMIT_TIME = 1 + 16 + 8 + 1 + 16 + 7
"""Of a GTID event's body."""


def a_catalog() -> Callable[[TableSchema], Plan]:
    route = Route("t", 3)
    return lambda schema: compile_plan(schema, CANAL_JSON, route, Keying(shared=True))


# ------------------------------------------------------------------ mutations

Mutation = Callable[[random.Random, bytes], bytes]


def flip(rng: random.Random, body: bytes) -> bytes:
    out = bytearray(body)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def overwrite(rng: random.Random, body: bytes) -> bytes:
    """Lengths, counts and offsets love these."""
    value = rng.choice(
        (b"\xff", b"\x00", b"\xfe" + b"\xff" * 8, b"\xfc\xff\xff", b"\xfd\xff\xff\xff", b"\x80", b"\xff" * 4)
    )
    at = rng.randrange(len(body))
    return body[:at] + value + body[at + len(value) :]


def cut(rng: random.Random, body: bytes) -> bytes:
    return body[: rng.randrange(len(body))]


def grow(rng: random.Random, body: bytes) -> bytes:
    at = rng.randrange(len(body) + 1)
    return body[:at] + rng.randbytes(rng.randrange(1, 20)) + body[at:]


def splice(rng: random.Random, body: bytes) -> bytes:
    """A piece of some other event."""
    _, other = rng.choice(rng.choice(TRANSACTIONS))
    if not other:
        return body
    start, at = rng.randrange(len(other)), rng.randrange(len(body))
    piece = other[start : start + rng.randrange(1, 40)]
    return body[:at] + piece + body[at + rng.choice((0, len(piece))) :]


MUTATIONS: tuple[Mutation, ...] = (flip, flip, overwrite, overwrite, cut, grow, splice)


def mutated(rng: random.Random, events: list[Event]) -> list[Event]:
    """One or two events changed, sometimes their order or type too."""
    out = list(events)
    for _ in range(rng.choice((1, 1, 2))):
        at = rng.randrange(len(out))
        kind, body = out[at]
        if body:
            out[at] = (kind, rng.choice(MUTATIONS)(rng, body))
    if rng.random() < 0.1:
        at = rng.randrange(len(out))
        out[at] = rng.choice(((rng.randrange(256), out[at][1]), rng.choice(rng.choice(TRANSACTIONS))))
    if rng.random() < 0.05:
        del out[rng.randrange(len(out))]
    return out


def as_payload(rng: random.Random, events: list[Event]) -> list[Event]:
    """The same compressed, or mutated where it is unpacked."""
    (kind, head), *rest = events
    if kind == GTID:
        head = head[:UP_TO_COMMIT_TIME]  # what follows is the length of the plain one
    if rest and rest[0][0] == PAYLOAD:
        return events
    data = inner(*rest)
    if rng.random() < 0.3 and data:
        data = rng.choice(MUTATIONS)(rng, data)
    if rng.random() < 0.3:
        return [(kind, head), payload(zstandard.compress(data, 1), compression=0, plain=len(data))]
    return [(kind, head), payload(data)]


# ------------------------------------------------------------------ what may come of them


def judge(data: bytes, pieces: int = 1) -> str:
    """`malformed`, `unsupported` or `read`; anything but those three is a failure."""
    decoder = a_decoder(a_catalog())
    size = max(1, len(data) // pieces)
    try:
        for at in range(0, len(data), size):
            decoder.feed(data[at : at + size])
            drain(decoder)
    except (MalformedEvent, UnsupportedEvent) as error:
        return "malformed" if isinstance(error, MalformedEvent) else "unsupported"
    return "read"


def drain(decoder: Decoder) -> None:
    while (reason := decoder.decode(NOW_MS, 4096)) != NEED_BYTES:
        for _, partition, keys, values, _ in decoder.take_runs():
            assert partition < 3
            for key, value in zip(keys, values, strict=True):
                told = json.loads(value)
                assert told["type"] in {"INSERT", "UPDATE", "DELETE"}
                assert key is None or isinstance(json.loads(key)["pk"], dict)
        if reason == END:
            return


def run(seed: int, one: Callable[[random.Random], str], seconds: float) -> dict[str, int]:
    outcomes = {"malformed": 0, "unsupported": 0, "read": 0}
    until, number = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        case = f"{seed}:{number}"
        try:
            outcomes[one(random.Random(case))] += 1
        except (BinlogError, AssertionError, ValueError, LookupError, TypeError, OverflowError) as error:
            pytest.fail(f"case {case}: {type(error).__name__}: {error}")
        number += 1
    return outcomes


def test_the_recording_itself() -> None:
    """All of it is read, at once and framed anew."""
    heard = hear(recorded(), a_decoder(a_catalog()))
    assert heard.decoder.transactions > 150
    assert len(heard.messages) > 500
    for events in TRANSACTIONS:
        assert judge(Dump().add(*events).data) == "read"


def test_mutated_transactions() -> None:
    """Damage in any event of a transaction, plain and compressed, in one piece and in several."""

    def one(rng: random.Random) -> str:
        events = mutated(rng, rng.choice(TRANSACTIONS))
        if rng.random() < 0.25:
            events = as_payload(rng, events)
        return judge(Dump().add(*events).data, rng.choice((1, 1, 3)))

    outcomes = run(SEED, one, SECONDS * 0.6)
    assert all(outcomes.values()), outcomes


def test_mutated_rows_behind_a_sound_table_map() -> None:
    """The values: most damage elsewhere is found before any row is read."""
    changed = [
        events for events in TRANSACTIONS if len(events) == 5 and events[-1][0] == XID and len(events[3][1]) > 20
    ]
    assert len(changed) > 100

    def one(rng: random.Random) -> str:
        head, begin, table_map, (kind, rows), commit = rng.choice(changed)
        post_header = 12
        rows = rows[:post_header] + rng.choice((flip, overwrite))(rng, rows[post_header:])
        return judge(Dump().add(head, begin, table_map, (kind, rows), commit).data)

    outcomes = run(SEED, one, SECONDS * 0.25)
    assert outcomes["malformed"], outcomes
    assert outcomes["read"], outcomes


def test_mutated_streams() -> None:
    """Damage to frames: packet headers, event headers, checksums."""
    whole = recorded()[:60_000]

    def one(rng: random.Random) -> str:
        start = rng.randrange(len(whole) - 2000) if rng.random() < 0.2 else 0
        data = bytearray(whole[start : start + rng.randrange(200, 4000)])
        for _ in range(rng.choice((1, 1, 3))):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        return judge(bytes(data), rng.choice((1, 2, 9)))

    outcomes = run(SEED, one, SECONDS * 0.15)
    assert outcomes["malformed"], outcomes


def test_sizes_that_lie() -> None:
    """A packet that announces more waits for it; an event that announces other than its packet is refused."""
    data = recorded()
    decoder = a_decoder(a_catalog())
    decoder.feed(b"\xfe\xff\xff\x01" + data[4:2000])
    assert decoder.decode(NOW_MS) == NEED_BYTES
    for size in (0, 18, 19, 20, 1 << 31, (1 << 32) - 1):
        assert judge(data[:14] + struct.pack("<I", size) + data[18:2000]) == "malformed"
