"""Binlog files from dumps made by hand (tests/events.py)."""

import struct
import zlib
from collections.abc import Iterator

from tests.events import FDE, Dump

MAGIC = b"\xfebin"


def file_of(dump: Dump) -> bytes:
    """The file that this dump would have been read from; of one file, without heartbeats."""
    return MAGIC + b"".join(events_of(dump))


def events_of(dump: Dump) -> Iterator[bytes]:
    """Headers, bodies, checksums; without the artificial ROTATE."""
    for packet in dump.packets[1:]:
        yield packet[5:]


def places(dump: Dump) -> list[tuple[int, int]]:
    """(offset, type) of each event in its file."""
    found, offset = [], len(MAGIC)
    for event in events_of(dump):
        found.append((offset, event[4]))
        offset += len(event)
    return found


def with_flags(event: bytes, flags: int, *, checksum: bool = True) -> bytes:
    """The event with other flags in its header, its checksum made anew unless that is not asked for."""
    changed = event[:17] + struct.pack("<H", flags) + event[19:]
    return changed[:-4] + struct.pack("<I", zlib.crc32(changed[:-4])) if checksum else changed


def is_fde(event: bytes) -> bool:
    return event[4] == FDE
