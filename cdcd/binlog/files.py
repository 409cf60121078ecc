"""Binlog files on disk, event by event: as a server writes them, `mysqlbinlog --raw` copies them, an archive packs them.

The layout is that of the MySQL manual, "Binary Log Files": four magic bytes, then events, each behind a header that says
how long it is. What the events say is the core's business.
"""

import gzip
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import PurePath
from typing import IO, Final, NoReturn, cast

import zstandard

from cdcd.errors import Finding, FindingError, MalformedEvent

STDIN: Final = "-"
ROTATE: Final = 4
FDE: Final = 15
_STOP: Final = 3
_START_ENCRYPTION: Final = 164
_MAGIC: Final = b"\xfebin"
_ENCRYPTED_MAGIC: Final = b"\xfdbin"
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_HEADER: Final = 19
_LARGEST: Final = (1 << 30) + (1 << 20)
"""Servers refuse events over 1 GiB (max_allowed_packet); a MiB for what stands around the data."""
_PIECE: Final = 1 << 24
"""Read at a time, so that a length that lies costs no memory."""
_IN_USE: Final = 0x01
_RELAY_LOG: Final = 0x40
_CHECKSUM: Final = 4


@dataclass(frozen=True, slots=True)
class FileEvent:
    """One event as it stands in its file."""

    offset: int
    """Where it starts: 64 bits, whatever its header says."""
    data: bytes
    """Header, body, checksum if the file has them. The "in use" flag of the format description is taken off."""

    @property
    def kind(self) -> int:
        return self.data[4]

    @property
    def end(self) -> int:
        return self.offset + len(self.data)


class BinlogFile:
    """One file, read once from its beginning."""

    def __init__(self, path: str, stream: IO[bytes]) -> None:
        self.path = path
        self.in_use = False
        """The server that wrote it had not closed it: it was copied while in use, or that server crashed."""
        self.closed = False
        """Its last event so far is a ROTATE or STOP, which nothing follows."""
        self._stream = stream

    @property
    def name(self) -> str:
        """As the server knows it: `binlog.000003` of `/archive/binlog.000003.zst`."""
        return file_name(self.path)

    def events(self) -> Iterator[FileEvent]:
        """Every event in order.

        Raises FindingError for what is no binlog of a source, or one that cannot be read without a key; MalformedEvent
        with path, offset and event type where the file is cut off or a length cannot be.
        """
        self._check_magic()
        offset = len(_MAGIC)
        while head := self._read(_HEADER, offset):
            event = FileEvent(offset, self._whole(head, offset))
            self.closed = event.kind in {ROTATE, _STOP}
            yield self._format_description(event) if event.kind == FDE else event
            offset = event.end

    def _check_magic(self) -> None:
        magic = self._read(len(_MAGIC), 0)
        if magic == _ENCRYPTED_MAGIC:
            _refuse_encrypted(self.path, "its head says so (binlog_encryption=ON)")
        if magic != _MAGIC:
            _refuse_other(self.path, magic)

    def _whole(self, head: bytes, offset: int) -> bytes:
        """The event whose header begins at `offset`."""
        kind = head[4] if len(head) > 4 else -1
        if len(head) < _HEADER:
            raise self._cut(f"{len(head)} of the {_HEADER} bytes of an event's header are left", offset, kind)
        size = int.from_bytes(head[9:13], "little")
        if not _HEADER <= size <= _LARGEST:
            raise MalformedEvent(f"its header says that it is {size} bytes long", self.path, offset, kind)
        if offset == len(_MAGIC) and kind != FDE:
            raise MalformedEvent("the file does not begin with a format description", self.path, offset, kind)
        if kind == _START_ENCRYPTION:
            _refuse_encrypted(self.path, f"a START_ENCRYPTION event stands at {offset} (encrypt_binlog=ON)")
        data = head + self._read(size - _HEADER, offset, kind)
        if len(data) < size:
            raise self._cut(f"{len(data)} of its {size} bytes are left", offset, kind)
        return data

    def _cut(self, what: str, offset: int, kind: int) -> MalformedEvent:
        why = "it was copied while the server wrote it, or the server crashed" if self.in_use else "its end was cut off"
        return MalformedEvent(f"the file ends inside an event: {what}; {why}", self.path, offset, kind)

    def _format_description(self, event: FileEvent) -> FileEvent:
        """Its checksum was made without the flag that a server takes off when it closes the file (MySQL source,
        Log_event_footer::event_checksum_test).
        """
        flags = int.from_bytes(event.data[17:19], "little")
        if flags & _RELAY_LOG:
            _refuse_relay_log(self.path)
        self.in_use = bool(flags & _IN_USE)
        return FileEvent(event.offset, event.data[:17] + (flags & ~_IN_USE).to_bytes(2, "little") + event.data[19:])

    def _read(self, size: int, offset: int, kind: int = -1) -> bytes:
        """`size` bytes, fewer only at the file's end."""
        pieces = []
        try:
            while size and (piece := self._stream.read(min(size, _PIECE))):
                pieces.append(piece)
                size -= len(piece)
        except (EOFError, gzip.BadGzipFile, zlib.error, zstandard.ZstdError) as error:
            raise MalformedEvent(f"the file cannot be unpacked: {error}", self.path, offset, kind) from None
        return b"".join(pieces)


@contextmanager
def open_binlog(path: str) -> Iterator[BinlogFile]:
    """Open a binlog file, plain or packed with gzip or zstd (told by its first bytes); `-` is standard input.

    Raises OSError.
    """
    if path == STDIN:
        yield BinlogFile(path, _unpacked(cast(BufferedReader, sys.stdin.buffer)))
        return
    with open(path, "rb") as stream:  # noqa: PTH123 - a Path has no other way
        yield BinlogFile(path, _unpacked(stream))


def file_name(path: str) -> str:
    """The server's name of a file in an archive."""
    name = PurePath(path).name
    return name.removesuffix(".gz").removesuffix(".zst")


def rotate_event(name: str, *, checksum: bool) -> bytes:
    """The artificial ROTATE that a source sends before a file: what follows stands in `name`, from its first event on."""
    body = len(_MAGIC).to_bytes(8, "little") + name.encode()
    size = _HEADER + len(body) + (_CHECKSUM if checksum else 0)
    head = bytes(4) + bytes([ROTATE]) + bytes(4) + size.to_bytes(4, "little") + bytes(4) + b"\x20\x00"
    event = head + body
    return event + zlib.crc32(event).to_bytes(4, "little") if checksum else event


def _unpacked(stream: BufferedReader) -> IO[bytes]:
    head = stream.peek(4)[:4]
    if head.startswith(_GZIP):
        return cast(IO[bytes], gzip.GzipFile(fileobj=stream))
    if head == _ZSTD:
        return cast(IO[bytes], zstandard.ZstdDecompressor().stream_reader(stream, read_across_frames=True))
    return stream


def _refuse_encrypted(path: str, why: str) -> NoReturn:
    raise FindingError(
        Finding(
            "binlog-file-encrypted",
            "operator",
            f"{path} is encrypted: {why}",
            "Only its server has the key. Have it send the file, which decrypts it: "
            f"mysqlbinlog --read-from-remote-server --raw --host <server> {file_name(path)}",
        )
    )


def _refuse_other(path: str, magic: bytes) -> NoReturn:
    found = f"it begins with {magic.hex(' ')}, not with fe 62 69 6e" if magic else "it is empty"
    raise FindingError(
        Finding(
            "binlog-file-unreadable",
            "operator",
            f"{path} is no binlog file: {found}",
            "Give files as SHOW BINARY LOGS lists them, or packed with gzip or zstd; not mysqlbinlog's text",
        )
    )


def _refuse_relay_log(path: str) -> NoReturn:
    raise FindingError(
        Finding(
            "binlog-file-unreadable",
            "operator",
            f"{path} is a relay log: its positions are those of another server's files, parts of which may be missing",
            "Give the binlog of the source, or the replica's own (log_replica_updates)",
        )
    )
