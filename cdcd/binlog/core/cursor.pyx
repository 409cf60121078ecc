# Reading: everything that comes from the wire goes through a Cursor, which never leaves its buffer.

from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memchr, memcmp, memcpy, memmove, memset

ctypedef const uint8_t cbyte


class ShortRead(Exception):
    """A value is longer than what is left of its event; the decoder adds file, position and event type."""


cdef struct Cursor:
    cbyte* at
    cbyte* end


cdef inline Cursor cursor(cbyte* data, Py_ssize_t size) noexcept:
    cdef Cursor c
    c.at = data
    c.end = data + size
    return c


cdef inline Py_ssize_t left(const Cursor* c) noexcept:
    return c.end - c.at


cdef int short_read(const Cursor* c, uint64_t wanted) except -1:
    raise ShortRead(f"{wanted} bytes wanted, {c.end - c.at} left")


cdef inline cbyte* take(Cursor* c, uint64_t n) except NULL:
    """The next `n` bytes, or ShortRead. The one place where a cursor moves forward."""
    cdef cbyte* p = c.at
    if n > <uint64_t>(c.end - c.at):
        short_read(c, n)
    c.at = p + n
    return p


# Loads from memory that `take` has checked. The compiler turns each into one instruction.

cdef inline uint32_t load_u16(cbyte* p) noexcept:
    return p[0] | <uint32_t>p[1] << 8

cdef inline uint32_t load_u24(cbyte* p) noexcept:
    return p[0] | <uint32_t>p[1] << 8 | <uint32_t>p[2] << 16

cdef inline uint32_t load_u32(cbyte* p) noexcept:
    return p[0] | <uint32_t>p[1] << 8 | <uint32_t>p[2] << 16 | <uint32_t>p[3] << 24

cdef inline uint64_t load_u48(cbyte* p) noexcept:
    return <uint64_t>load_u32(p) | <uint64_t>load_u16(p + 4) << 32

cdef inline uint64_t load_u64(cbyte* p) noexcept:
    return <uint64_t>load_u32(p) | <uint64_t>load_u32(p + 4) << 32

cdef inline uint64_t load_le(cbyte* p, Py_ssize_t n) noexcept:
    """Little-endian unsigned integer of `n` bytes, 0 to 8."""
    cdef uint64_t v = 0
    cdef Py_ssize_t i
    for i in range(n):
        v |= <uint64_t>p[i] << (8 * i)
    return v

cdef inline uint64_t load_be(cbyte* p, Py_ssize_t n) noexcept:
    """Big-endian unsigned integer of `n` bytes, 0 to 8."""
    cdef uint64_t v = 0
    cdef Py_ssize_t i
    for i in range(n):
        v = v << 8 | p[i]
    return v

cdef inline uint64_t take_le(Cursor* c, Py_ssize_t n) except? 0xFFFFFFFFFFFFFFFF:
    return load_le(take(c, n), n)


cdef uint64_t take_packed(Cursor* c) except? 0xFFFFFFFFFFFFFFFF:
    """MySQL's length-encoded integer ("Protocol::LengthEncodedInteger" in the MySQL manual)."""
    cdef uint8_t first = take(c, 1)[0]
    if first < 0xFB:
        return first
    if first == 0xFC:
        return take_le(c, 2)
    if first == 0xFD:
        return take_le(c, 3)
    if first == 0xFE:
        return take_le(c, 8)
    raise ShortRead(f"0x{first:02x} starts no length-encoded integer")


cdef inline bytes take_bytes(Cursor* c, uint64_t n):
    cdef cbyte* p = take(c, n)
    return PyBytes_FromStringAndSize(<const char*>p, <Py_ssize_t>n)
