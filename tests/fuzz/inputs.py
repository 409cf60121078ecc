"""Inputs: transactions of real servers and of the tests' event builders, and what becomes of them by mutation.

A mutated transaction is framed anew, with right positions and checksums, so that the damage reaches the readers behind the
frame; some are damaged in the frame too.
"""

import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import zstandard

from cdcd.binlog.files import BinlogFile
from tests import mariadb_events as mariadb
from tests.events import (
    ANONYMOUS,
    BEGIN,
    COMMIT,
    DELETE,
    FDE,
    GTID,
    PAYLOAD,
    PREVIOUS_GTIDS,
    ROTATE,
    STOP,
    TAGGED,
    UPDATE,
    WRITE,
    WRITE_V1,
    Dump,
    Event,
    anonymous,
    fde,
    gtid,
    image,
    inner,
    payload,
    query,
    rows,
    table_map,
    tagged,
    updated,
)
from tests.recording import recorded

CORPUS = Path(__file__).with_name("corpus")
LARGEST = 20_000
"""Bytes of a transaction that is worth mutating: larger ones only take longer."""
MARIADB_GTID, PARTIAL_ROW_DATA = 162, 172
_HEADS = {GTID, ANONYMOUS, TAGGED, MARIADB_GTID}
_BETWEEN = {ROTATE, STOP, FDE, PREVIOUS_GTIDS}
UP_TO_COMMIT_TIME = 1 + 16 + 8 + 1 + 16 + 7
"""Of a GTID event's body; what follows is the length of the transaction."""


@dataclass(frozen=True)
class Case:
    """A transaction and the format description it is read by."""

    head: Event
    events: tuple[Event, ...]


# ------------------------------------------------------------------ seeds


def seeds() -> list[Case]:
    """Of every server that was recorded, and what those hardly send."""
    found = [case for case in _of_packets(recorded()) if case.events]
    for path in sorted(CORPUS.glob("*.zst")):
        with path.open("rb") as packed:
            stream = zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True)
            found += _cases((event.kind, event.data[19:]) for event in BinlogFile(str(path), stream).events())
    return [*found, *_by_hand()]


def _of_packets(data: bytes) -> list[Case]:
    def events() -> Iterator[Event]:
        at = 0
        while at + 24 <= len(data):
            size = int.from_bytes(data[at : at + 3], "little")
            if data[at + 4] == 0:
                yield data[at + 9], data[at + 24 : at + 4 + size]
            at += 4 + size

    return _cases(events())


def _cases(events: Iterator[Event]) -> list[Case]:
    """Transactions, bodies without checksum."""
    head, crc, found = fde(), 4, list[Case]()
    for kind, body in events:
        if kind == FDE:
            head, crc = (kind, body[:-4]), 4 if body[-5] == 1 else 0
        elif kind in _HEADS:
            found.append(Case(head, ((kind, body[: len(body) - crc]),)))
        elif found and kind not in _BETWEEN:
            found[-1] = Case(head, (*found[-1].events, (kind, body[: len(body) - crc])))
    return [case for case in found if sum(len(body) for _, body in case.events) < LARGEST]


def _by_hand() -> Iterator[Case]:
    changed = (table_map(), rows(UPDATE, image(1, "a"), image(2, "b")), rows(DELETE, image(2, None)))
    old_map = table_map(id_size=4)
    for events in (
        (gtid(1, form="5.6"), BEGIN, *changed, COMMIT),
        (gtid(1, form="5.7"), BEGIN, *changed, query("COMMIT", "")),
        (anonymous(), BEGIN, *changed, COMMIT),
        (tagged(1, original_us=5, more=((11, 7),)), BEGIN, *changed, COMMIT),
        (gtid(1), BEGIN, table_map(), rows(WRITE_V1, image(1, "a")), rows(WRITE, present=(), columns=2), COMMIT),
        (gtid(1), query("DROP TABLE `x`", "", status=updated("a", "b") + b"\x80\x00\x00\x00")),
        (gtid(1), payload(zstandard.compress(inner(BEGIN, *changed, COMMIT)), compression=0)),
        (gtid(1), BEGIN, (29, b"\x05text"), (36, bytes(30)), (26, b"\x01\x00\x01x"), COMMIT),
    ):
        yield Case(fde(), events)
    yield Case(fde("5.1.73", 0, 6), (BEGIN, old_map, rows(WRITE_V1, image(1, "a"), id_size=4), COMMIT))
    yield from _of_mariadb()


def _of_mariadb() -> Iterator[Case]:
    plain = rows(WRITE, image(1, "a")), rows(UPDATE, image(1, "a"), image(2, "b")), rows(DELETE, image(2, None))
    packed = [event for each in plain for event in (table_map(), mariadb.packed_rows(each))]
    whole = (mariadb.ANNOTATE_ROWS, b"text"), (mariadb.CHECKPOINT, b"\4\0\0\0file"), table_map(), plain[0]
    for events in (
        (mariadb.gtid(1, commit=3, xid=b"x'"), *packed, COMMIT),
        (mariadb.gtid(1), *whole, mariadb.packed_query(query("COMMIT"))),
        (mariadb.gtid_list((0, 8, 9), (1, 7, 2)), (mariadb.START_ENCRYPTION, b"\1" + bytes(16))),
        (mariadb.gtid(1), table_map(), (PARTIAL_ROW_DATA, struct.pack("<IIB", 2, 1, 0) + plain[0][1])),
    ):
        yield Case(fde("11.8.1-MariaDB-log"), events)


# ------------------------------------------------------------------ mutations

Mutation = Callable[[random.Random, bytes], bytes]
LIES = (
    *(b"\xff", b"\x00", b"\x01", b"\x7f", b"\x80", b"\xfb", b"\xff\xff", b"\xff\xff\xff\xff", b"\x00\x00\x00\x80"),
    *(b"\xfc\xff\xff", b"\xfd\xff\xff\xff", b"\xfe" + b"\xff" * 8, b"\xfe" + bytes(7) + b"\x80", b"\xff\xff\xff\x7f"),
)
"""Lengths, counts and offsets love these."""


def flip(rng: random.Random, body: bytes) -> bytes:
    out = bytearray(body)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def overwrite(rng: random.Random, body: bytes) -> bytes:
    value, at = rng.choice(LIES), rng.randrange(len(body))
    return body[:at] + value + body[at + len(value) :]


def count(rng: random.Random, body: bytes) -> bytes:
    """A byte a little more or less: lengths off by one."""
    at = rng.randrange(len(body))
    return body[:at] + bytes([(body[at] + rng.choice((-2, -1, 1, 2, 8))) % 256]) + body[at + 1 :]


def cut(rng: random.Random, body: bytes) -> bytes:
    return body[: rng.randrange(len(body))]


def drop(rng: random.Random, body: bytes) -> bytes:
    at = rng.randrange(len(body))
    return body[:at] + body[at + rng.randrange(1, 9) :]


def grow(rng: random.Random, body: bytes) -> bytes:
    at = rng.randrange(len(body) + 1)
    return body[:at] + rng.randbytes(rng.randrange(1, 20)) + body[at:]


def repeat(rng: random.Random, body: bytes) -> bytes:
    start = rng.randrange(len(body))
    piece = body[start : start + rng.randrange(1, 60)]
    return body[:start] + piece * rng.choice((2, 2, 3, 40)) + body[start + len(piece) :]


ALONE: tuple[Mutation, ...] = (flip, flip, flip, overwrite, overwrite, count, count, cut, drop, grow, repeat)


class Mutator:
    """Makes new cases of those it knows; `learn` adds one that is worth going on from."""

    def __init__(self, rng: random.Random, known: list[Case]) -> None:
        self._rng = rng
        self.corpus = known
        self._fresh: list[Case] = []
        kinds = {kind for case in known for kind, _ in case.events}
        self._by_kind = {kind: [case for case in known if kind in dict(case.events)] for kind in sorted(kinds)}

    def learn(self, case: Case) -> None:
        if sum(len(body) for _, body in case.events) < LARGEST:
            self.corpus.append(case)
            self._fresh = [*self._fresh[-200:], case]
            for kind in self._by_kind.keys() & dict(case.events).keys():
                self._by_kind[kind].append(case)

    def _pick(self) -> Case:
        """Half of the time of what was learnt last, which lies at the edge of what is known; else also by a kind of event,
        as some are rare.
        """
        rng, what = self._rng, self._rng.random()
        if self._fresh and what < 0.5:
            return rng.choice(self._fresh)
        return rng.choice(self.corpus if what < 0.75 else self._by_kind[rng.choice(list(self._by_kind))])

    def next(self) -> Case:
        rng, case = self._rng, self._pick()
        head, events = case.head, list(case.events)
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            self._change(events)
        if rng.random() < 0.08:
            events = self._as_payload(events)
        if rng.random() < 0.03:
            head = (FDE, rng.choice(ALONE)(rng, head[1]) or head[1])
        elif rng.random() < 0.03:
            head = rng.choice(self.corpus).head
        return Case(head, tuple(events))

    def _change(self, events: list[Event]) -> None:
        rng = self._rng
        what, at = rng.random(), rng.randrange(len(events))
        kind, body = events[at]
        if what < 0.03:
            events[at] = (rng.choice((rng.randrange(256), rng.choice(self._some())[0])), body)
        elif what < 0.06:
            events.insert(at, rng.choice(self._some()))
        elif what < 0.08 and len(events) > 1:
            del events[at]
        elif what < 0.10:
            events.insert(rng.randrange(len(events) + 1), events[at])
        elif what < 0.25 and body:
            events[at] = (kind, self._spliced(body))
        elif body:
            events[at] = (kind, rng.choice(ALONE)(rng, body))

    def _spliced(self, body: bytes) -> bytes:
        """A piece of some other event in it."""
        rng = self._rng
        _, other = rng.choice(self._some())
        start, at = rng.randrange(len(other) + 1), rng.randrange(len(body))
        piece = other[start : start + rng.randrange(1, 40)]
        return body[:at] + piece + body[at + rng.choice((0, len(piece))) :]

    def _some(self) -> tuple[Event, ...]:
        return self._rng.choice(self.corpus).events

    def _as_payload(self, events: list[Event]) -> list[Event]:
        """The same compressed, or mutated where it is unpacked."""
        rng = self._rng
        (kind, head), *rest = events
        if kind == GTID:
            head = head[:UP_TO_COMMIT_TIME]
        if not rest or any(kind == PAYLOAD for kind, _ in rest):
            return events
        data = inner(*rest)
        if rng.random() < 0.5:
            data = rng.choice(ALONE)(rng, data)
        if rng.random() < 0.5:
            return [(kind, head), payload(zstandard.compress(data, 1), compression=0, plain=len(data))]
        return [(kind, head), payload(data)]


# ------------------------------------------------------------------ as a dump


def _without_length(event: Event) -> Event:
    """A GTID that does not say how long the transaction is, as the length counts checksums."""
    kind, body = event
    original_follows = len(body) >= UP_TO_COMMIT_TIME and body[UP_TO_COMMIT_TIME - 1] & 0x80
    return (kind, body[:UP_TO_COMMIT_TIME]) if kind in {GTID, ANONYMOUS} and not original_follows else event


def stream(rng: random.Random, case: Case) -> tuple[bytes, bool]:
    """What a source would send, and whether its frames are sound, which they are in nine of ten cases. Half of them without checksums: then nothing stands
    between an event's end and memory that is not its own.
    """
    data = framed(case, checksums=rng.random() < 0.5)
    if rng.random() < 0.9:
        return data, True
    damaged = bytearray(data)
    for _ in range(rng.choice((1, 1, 3))):
        damaged[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(damaged[: rng.randrange(1, len(data))] if rng.random() < 0.2 else damaged), False


def framed(case: Case, *, checksums: bool) -> bytes:
    """Right positions, and right checksums if the format description has them and they are wanted."""
    dump = Dump()
    del dump.packets[1:]
    dump.position = 4
    kind, body = case.head
    if checksums or len(body) <= 56 or body[-1] != 1:
        return dump.add((kind, body), *case.events).data
    return dump.add((kind, body[:-1] + b"\0"), *map(_without_length, case.events)).data
