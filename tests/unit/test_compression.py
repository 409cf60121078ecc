"""Unpacking a compressed transaction: in pieces, with a limit, and garbage named as such."""

import os
import tracemalloc

import pytest
import zstandard

from cdcd.binlog.compression import NONE, ZSTD, inflate
from cdcd.errors import MalformedEvent, UnsupportedEvent


@pytest.mark.parametrize("level", [1, 3, 22])
def test_what_the_reference_library_packs(level: int) -> None:
    data = os.urandom(100_000) * 8
    assert b"".join(inflate(ZSTD, zstandard.ZstdCompressor(level=level).compress(data))) == data


def test_a_stream_without_announced_size() -> None:
    packer = zstandard.ZstdCompressor().compressobj()
    data = packer.compress(b"abc" * 1000) + packer.flush()
    assert b"".join(inflate(ZSTD, data)) == b"abc" * 1000


def test_none() -> None:
    assert list(inflate(NONE, b"abc")) == [b"abc"]


def test_pieces_keep_memory_small() -> None:
    """200 MB of zeros are 20 kB on the wire."""
    packed = zstandard.compress(bytes(200_000_000))
    assert len(packed) < 50_000
    tracemalloc.start()
    sizes = [len(piece) for piece in inflate(ZSTD, packed)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(sizes) == 200_000_000
    assert max(sizes) <= 1 << 18
    assert peak < 4 << 20


def test_garbage() -> None:
    with pytest.raises(MalformedEvent, match="cannot be unpacked"):
        list(inflate(ZSTD, b"\x28\xb5\x2f\xfd" + b"\xff" * 20))


def test_a_window_beyond_reason() -> None:
    """A frame may ask its reader for terabytes: descriptor 0xF8 is a window of 2^41 bytes (RFC 8878, 3.1.1.1.2)."""
    with pytest.raises(MalformedEvent, match="cannot be unpacked"):
        list(inflate(ZSTD, b"\x28\xb5\x2f\xfd\x00\xf8" + b"\x01\x00\x00"))


def test_unknown_algorithm() -> None:
    with pytest.raises(UnsupportedEvent, match="algorithm 1"):
        list(inflate(1, b""))
