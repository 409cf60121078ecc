# Numbers as text: integers, BIT, YEAR, DECIMAL. Everything is written straight into reserved room.

cdef extern from *:
    """
    static const char PAIRS[] =
        "0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546474849"
        "5051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899";
    """
    const char PAIRS[]   # "00" to "99", one after the other


# Writers into room that the caller has reserved; each returns where it stopped.

cdef inline char* write_2(char* at, uint32_t v) noexcept:
    """Two digits; v < 100."""
    memcpy(at, PAIRS + 2 * v, 2)
    return at + 2

cdef inline char* write_4(char* at, uint32_t v) noexcept:
    """Four digits; v < 10^4."""
    return write_2(write_2(at, v // 100), v % 100)

cdef inline char* write_8(char* at, uint32_t v) noexcept:
    """Eight digits; v < 10^8."""
    return write_4(write_4(at, v // 10000), v % 10000)

cdef inline char* write_9(char* at, uint32_t v) noexcept:
    """Nine digits; v < 10^9."""
    at[0] = <char>(48 + v // 100000000)
    return write_8(at + 1, v % 100000000)


cdef inline char* write_below_10000(char* at, uint32_t v) noexcept:
    if v < 10:
        at[0] = <char>(48 + v)
        return at + 1
    if v < 100:
        return write_2(at, v)
    if v < 1000:
        at[0] = <char>(48 + v // 100)
        return write_2(at + 1, v % 100)
    return write_4(at, v)


cdef inline char* write_u32(char* at, uint32_t v) noexcept:
    """At most 10 digits."""
    if v < 10000:
        return write_below_10000(at, v)
    if v < 100000000:
        return write_4(write_below_10000(at, v // 10000), v % 10000)
    return write_8(write_below_10000(at, v // 100000000), v % 100000000)


cdef inline char* write_u64(char* at, uint64_t v) noexcept:
    """At most 20 digits."""
    if v <= 0xFFFFFFFFULL:
        return write_u32(at, <uint32_t>v)
    if v < 10000000000000000ULL:
        return write_8(write_u32(at, <uint32_t>(v // 100000000)), <uint32_t>(v % 100000000))
    at = write_u32(at, <uint32_t>(v // 10000000000000000ULL))
    v %= 10000000000000000ULL
    return write_8(write_8(at, <uint32_t>(v // 100000000)), <uint32_t>(v % 100000000))


cdef inline char* write_padded(char* at, uint32_t v, int digits) noexcept:
    """Exactly `digits` digits, 0 to 9; v < 10^digits."""
    cdef int i = digits
    while i >= 2:
        i -= 2
        memcpy(at + i, PAIRS + 2 * (v % 100), 2)
        v //= 100
    if i:
        at[0] = <char>(48 + v)
    return at + digits


cdef inline void wrote(Out* out, const char* end) noexcept:
    out.size = end - out.data


cdef inline int put_u64(Out* out, uint64_t v) except -1:
    wrote(out, write_u64(reserve(out, 20), v))
    return 0


cdef inline int put_i64(Out* out, int64_t v) except -1:
    cdef char* at = reserve(out, 21)
    if v < 0:
        at[0] = c'-'
        wrote(out, write_u64(at + 1, <uint64_t>0 - <uint64_t>v))
    else:
        wrote(out, write_u64(at, <uint64_t>v))
    return 0


cdef int wrong_size(Py_ssize_t n, Py_ssize_t wanted) except -1:
    raise ShortRead(f"a value of {n} bytes where its type has {wanted}")


cdef inline int sized(Py_ssize_t n, Py_ssize_t wanted) except -1:
    """Every renderer of a fixed size calls this before it reads."""
    if n != wanted:
        wrong_size(n, wanted)
    return 0


cdef int render_i8(Out* out, const ColumnPlan* column, cbyte* p, Py_ssize_t n) except -1:
    sized(n, 1)
    return put_i64(out, <int8_t>p[0])

cdef int render_u8(Out* out, const ColumnPlan* column, cbyte* p, Py_ssize_t n) except -1:
    sized(n, 1)
    return put_u64(out, p[0])

cdef int render_i16(Out* out, const ColumnPlan* column, cbyte* p, Py_ssize_t n) except -1:
    sized(n, 2)
    return put_i64(out, <int16_t>load_u16(p))

cdef int render_u16(Out* out, const ColumnPlan* column, cbyte* p, Py_ssize_t n) except -1:
    sized(n, 2)
    return put_u64(out, load_u16(p))

cdef int render_i24(Out* out, const ColumnPlan* column, cbyte* p, Py_ssize_t n) except -1:
    sized(n, 3)
    return put_i64(out, <int32_t>(load_u24(p) << 8) >> 8)

cdef int render_u24(Out* out, const ColumnPlan* column, cbyte* p, Py_ssize_t n) except -1:
    sized(n, 3)
    return put_u64(out, load_u24(p))

cdef int render_i32(Out* out, const ColumnPlan* column, cbyte* p, Py_ssize_t n) except -1:
    sized(n, 4)
    return put_i64(out, <int32_t>load_u32(p))

cdef int render_u32(Out* out, const ColumnPlan* column, cbyte* p, Py_ssize_t n) except -1:
    sized(n, 4)
    return put_u64(out, load_u32(p))

cdef int render_i64(Out* out, const ColumnPlan* column, cbyte* p, Py_ssize_t n) except -1:
    sized(n, 8)
    return put_i64(out, <int64_t>load_u64(p))

cdef int render_u64(Out* out, const ColumnPlan* column, cbyte* p, Py_ssize_t n) except -1:
    sized(n, 8)
    return put_u64(out, load_u64(p))


cdef int render_bit(Out* out, const ColumnPlan* column, cbyte* p, Py_ssize_t n) except -1:
    """BIT(meta): big-endian, as an unsigned integer."""
    sized(n, (column.meta + 7) // 8)
    return put_u64(out, load_be(p, n))


cdef int render_year(Out* out, const ColumnPlan* column, cbyte* p, Py_ssize_t n) except -1:
    sized(n, 1)
    wrote(out, write_4(reserve(out, 4), 1900 + p[0] if p[0] else 0))
    return 0


# DECIMAL: groups of nine digits in four bytes, big-endian; shorter groups at both ends. The first bit is the inverted
# sign; a negative number has all its bits inverted (MySQL source, strings/decimal.cc, decimal2bin).

cdef inline Py_ssize_t group_bytes(int digits) noexcept:
    """Bytes of a group of 0 to 9 digits: 0 1 1 2 2 3 3 4 4 4."""
    return 4 if digits >= 7 else (digits + 1) // 2


cdef inline Py_ssize_t decimal_bytes(int precision, int scale) noexcept:
    cdef int whole = precision - scale
    return whole // 9 * 4 + group_bytes(whole % 9) + scale // 9 * 4 + group_bytes(scale % 9)


cdef extern from *:
    """
    static const uint32_t POWERS_OF_10[] = {
        1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000};
    """
    const uint32_t POWERS_OF_10[]   # 10^0 to 10^9


cdef uint32_t take_group(Cursor* c, int digits, bint negative, bint first) except? 0xFFFFFFFF:
    """The next group of `digits` digits, 1 to 9."""
    cdef Py_ssize_t size = group_bytes(digits)
    cdef int bits = <int>size * 8
    cdef uint32_t v = <uint32_t>load_be(take(c, size), size)
    if first:
        v ^= <uint32_t>1 << (bits - 1)
    if negative:
        v ^= <uint32_t>0xFFFFFFFFU >> (32 - bits)
    if v >= POWERS_OF_10[digits]:
        raise ShortRead(f"{v} in a group of {digits} decimal digits")
    return v


cdef int put_decimal(Out* out, int precision, int scale, cbyte* p, Py_ssize_t n) except -1:
    """DECIMAL(precision, scale): every digit of the scale, no leading zeros, a zero before the point."""
    cdef Cursor c = cursor(p, n)
    cdef int whole = precision - scale
    cdef int digits
    cdef uint32_t group
    cdef bint negative, first = True, leading = True
    cdef char* at = reserve(out, precision + 12)
    sized(n, decimal_bytes(precision, scale))
    negative = not p[0] & 0x80
    if negative:
        at[0] = c'-'
        at += 1
    while whole > 0:
        digits = whole % 9 or 9
        group = take_group(&c, digits, negative, first)
        first = False
        whole -= digits
        if not leading:
            at = write_9(at, group)
        elif group:
            at = write_u32(at, group)
            leading = False
    if leading:
        at[0] = c'0'
        at += 1
    if scale:
        at[0] = c'.'
        at += 1
    while scale > 0:
        digits = 9 if scale >= 9 else scale
        at = write_padded(at, take_group(&c, digits, negative, first), digits)
        first = False
        scale -= digits
    wrote(out, at)
    return 0


cdef int render_decimal(Out* out, const ColumnPlan* column, cbyte* p, Py_ssize_t n) except -1:
    return put_decimal(out, column.meta >> 8, column.meta & 0xFF, p, n)
