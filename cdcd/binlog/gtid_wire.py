"""The binary form of a GTID set: COM_BINLOG_DUMP_GTID, PREVIOUS_GTIDS (binlog.md section 6).

    head      u64 number of entries; with tags: 01, number as 6 bytes, 01
    entry     uuid (16 bytes); with tags: u8 tag length x 2, tag; u64 number of intervals; intervals
    interval  i64 start, i64 end + 1, ascending, neither overlapping nor touching

Little-endian. With tags a UUID has one entry for each of its tags, the untagged first.
"""

import re
import struct
from collections.abc import Sequence
from itertools import pairwise

from cdcd.errors import CdcdError

Source = tuple[bytes, str]
"""(uuid as 16 bytes, tag or "")."""
Bounds = tuple[int, ...]
"""Half-open intervals one after another: (start, end, start, end, ...)."""

END = 2**63 - 1
"""First number that no GTID has."""

_TAGGED = 1
_TAG = re.compile(r"(?:[a-z_][a-z0-9_]{0,31})?", re.ASCII)


class GtidSetError(CdcdError, ValueError):
    """A text, a wire form or a number that is no GTID set; names the piece."""

    hint = "A GTID set looks like 3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:9,<uuid>:<tag>:1-3."


def check_gno(first: int, last: int) -> None:
    """Raise GtidSetError unless `first` to `last` are numbers of GTIDs."""
    if not 0 < first <= last < END:
        reason = "runs backwards" if 0 < last < first < END else f"is out of range 1 to {END - 1}"
        raise GtidSetError(f"GTID set: interval {first}-{last} {reason}")


def check_source(uuid: bytes, tag: str) -> None:
    """Raise GtidSetError unless `uuid` has 16 bytes and `tag` is one, or empty."""
    if len(uuid) != 16:
        raise GtidSetError(f"GTID set: a UUID has 16 bytes, not {len(uuid)}")
    if not _TAG.fullmatch(tag):
        raise GtidSetError(f"GTID set: {tag!r} is no tag: up to 32 of a-z, 0-9 and _, not starting with a digit")


def encode(entries: Sequence[tuple[Source, Bounds]]) -> bytes:
    """`entries` in canonical order to bytes."""
    tagged = any(tag for (_, tag), _ in entries)
    head = _TAGGED << 56 | len(entries) << 8 | _TAGGED if tagged else len(entries)
    parts = [struct.pack("<Q", head)]
    for (uuid, tag), bounds in entries:
        label = bytes([len(tag) * 2]) + tag.encode("ascii") if tagged else b""
        parts += (uuid, label, struct.pack(f"<Q{len(bounds)}q", len(bounds) // 2, *bounds))
    return b"".join(parts)


def decode(data: bytes) -> dict[Source, Bounds]:
    """The opposite of `encode`; entries without intervals are left out. Raises GtidSetError."""
    wire = _Wire(data)
    head = wire.number()
    tagged = head & 0xFF == _TAGGED and head >> 56 == _TAGGED
    ranges: dict[Source, Bounds] = {}
    for _ in range(head >> 8 & 0xFFFF_FFFF_FFFF if tagged else head):
        uuid = wire.take(16)
        tag = wire.tag() if tagged else ""
        if (uuid, tag) in ranges:
            raise wire.malformed("a UUID and tag twice")
        if bounds := wire.bounds():
            ranges[uuid, tag] = bounds
    if wire.at != len(data):
        raise wire.malformed("bytes after its last entry")
    return ranges


class _Wire:
    """Bounds-checked reading."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def malformed(self, why: str) -> GtidSetError:
        return GtidSetError(f"GTID set: encoded form of {len(self.data)} bytes has {why} at byte {self.at}")

    def take(self, size: int) -> bytes:
        taken = self.data[self.at : self.at + size]
        if len(taken) != size:
            raise self.malformed(f"{len(taken)} bytes left instead of {size}")
        self.at += size
        return taken

    def number(self) -> int:
        return int.from_bytes(self.take(8), "little")

    def tag(self) -> str:
        # A variable-length integer (binlog.md section 6); one of a single byte has its lowest bit clear.
        size = self.take(1)[0]
        tag = self.take(size // 2).decode("latin-1")
        if size & 1 or not _TAG.fullmatch(tag):
            raise self.malformed("no tag where one belongs")
        return tag

    def bounds(self) -> Bounds:
        count = self.number()
        if count > (len(self.data) - self.at) // 16:
            raise self.malformed(f"{count} intervals announced, more than it holds,")
        bounds = struct.unpack(f"<{count * 2}q", self.take(count * 16))
        if bounds and (bounds[0] < 1 or bounds[-1] > END or any(a >= b for a, b in pairwise(bounds))):
            raise self.malformed("intervals that do not ascend")
        return bounds
