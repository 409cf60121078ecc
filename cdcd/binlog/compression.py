"""Compressed transactions (TRANSACTION_PAYLOAD, MySQL 8.0.20+; MySQL manual, "Binary Log Transaction Compression")."""

from collections.abc import Iterator

import zstandard

from cdcd.errors import MalformedEvent, UnsupportedEvent

ZSTD = 0
NONE = 255
_PIECE = 1 << 18
_LARGEST_WINDOW = 1 << 27  # what the server's levels 1 to 22 need at most; a hostile frame may ask for more


def inflate(compression: int, data: bytes) -> Iterator[bytes]:
    """The transaction's events in pieces of at most 256 KiB, so that its size does not matter."""
    if compression == NONE:
        yield data
        return
    if compression != ZSTD:
        raise UnsupportedEvent(
            f"a transaction compressed by algorithm {compression}; cdcd knows zstd (0) and none (255)"
        )
    try:
        with zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW).stream_reader(data) as reader:
            while piece := reader.read(_PIECE):
                yield piece
    except zstandard.ZstdError as error:
        raise MalformedEvent(f"a compressed transaction cannot be unpacked: {error}") from error
