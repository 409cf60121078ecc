"""Events of MariaDB built by hand, from the layouts of binlog.md section 10 and of sql/log_event.h in its source."""

import struct
import zlib

from tests.events import FDE, SECONDS, TABLE_MAP, Dump, Event, with_crc

ANNOTATE_ROWS, CHECKPOINT, MARIADB_GTID, GTID_LIST, START_ENCRYPTION, PACKED_QUERY = 160, 161, 162, 163, 164, 165
PACKED_WRITE_V1, PACKED_UPDATE_V1, PACKED_DELETE_V1, PACKED_WRITE, PACKED_UPDATE, PACKED_DELETE = range(166, 172)
STANDALONE, GROUP_COMMIT, TRANSACTIONAL, DDL, PREPARED_XA, COMPLETED_XA = 1, 2, 4, 0x20, 0x40, 0x80
START_ALTER, COMMIT_ALTER, ROLLBACK_ALTER, THREAD_ID = 2, 4, 8, 16
SERVER = 7


def gtid(
    sequence: int, *, domain: int = 0, flags: int = TRANSACTIONAL, more: bytes = b"", commit: int = 0, xid: bytes = b""
) -> Event:
    """GTID (162); the server is the header's. `more`: extra flags and what belongs to them."""
    flags |= (GROUP_COMMIT if commit else 0) | (PREPARED_XA if xid and not flags & COMPLETED_XA else 0)
    body = struct.pack("<QIB", sequence, domain, flags)
    if commit:
        body += struct.pack("<Q", commit)
    if xid:
        body += struct.pack("<IBB", 1, len(xid), 0) + xid
    return MARIADB_GTID, (body + more).ljust(19, b"\0")


def gtid_list(*gtids: tuple[int, int, int], flags: int = 0) -> Event:
    body = struct.pack("<I", len(gtids) | flags << 28) + b"".join(struct.pack("<IIQ", *one) for one in gtids)
    return GTID_LIST, body.ljust(6, b"\0")


def compressed(plain: bytes, *, announced: int | None = None, head: int | None = None) -> bytes:
    """What stands behind the part of an event that is never compressed."""
    size = len(plain) if announced is None else announced
    n = max(1, (size.bit_length() + 7) // 8)
    return bytes([0x80 | n if head is None else head]) + size.to_bytes(n, "big") + zlib.compress(plain)


def packed_query(event: Event) -> Event:
    """A QUERY event without status variables, compressed."""
    _, body = event
    text = 13 + body[8] + 1
    return PACKED_QUERY, body[:text] + compressed(body[text:])


def packed_rows(event: Event, *, columns: int = 2) -> Event:
    """A rows event of version 1 or 2 without extra data."""
    kind, body = event
    v2, updates = kind >= 30, kind in {24, 31}
    rows = 8 + 2 * v2 + 1 + (columns + 7) // 8 * (1 + updates)
    return PACKED_WRITE_V1 + (kind - 30 + 3 if v2 else kind - 23), body[:rows] + compressed(body[rows:])


class MariadbDump(Dump):
    """What a MariaDB sends; from 11.4 on events inside a transaction do not say where they end (`positions`)."""

    def __init__(
        self, version: str = "10.11.18-MariaDB-log", *, checksums: bool = True, positions: bool = True
    ) -> None:
        self.version = version
        self.positions = positions
        self.server = SERVER
        super().__init__(checksums=checksums)

    def add(self, *events: Event, flags: int = 0) -> "MariadbDump":
        for kind, body in events:
            super().add((kind, self._fde(body)) if kind == FDE else (kind, body), flags=flags)
        return self

    def group(self, *events: Event) -> "MariadbDump":
        """A transaction."""
        if self.positions:
            return self.add(*events)
        self.add(events[0])
        for kind, body in events[1:-1]:
            self.position += self.size_of((kind, body))
            self.event(kind, body, log_pos=0)
        return self.add(events[-1])

    def event(self, kind: int, body: bytes, *, log_pos: int, flags: int = 0) -> None:
        crc = self.checksums or kind == FDE
        size = 19 + len(body) + 4 * crc
        whole = struct.pack("<IBIIIH", SECONDS, kind, self.server, size, log_pos, flags) + body
        self.packet(b"\0" + (with_crc(whole) if crc else whole))

    def _fde(self, body: bytes) -> bytes:
        """That of MariaDB has lengths for its own events too."""
        lengths = bytearray(171)
        lengths[TABLE_MAP - 1] = 8
        return struct.pack("<H50sIB", 4, self.version.encode(), 0, 19) + bytes(lengths) + body[-1:]
