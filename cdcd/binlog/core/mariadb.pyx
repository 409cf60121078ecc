# Values of column types that only MariaDB has.

cdef int padded(uint8_t* to, cbyte* p, Py_ssize_t n, Py_ssize_t size) except -1:
    """As the column has it: trailing zero bytes are cut in the binlog."""
    if n > size:
        raise ShortRead(f"a value of {n} bytes in a column of {size}")
    memset(to, 0, size)
    memcpy(to, p, n)
    return 0


cdef int render_packed(Out* out, const ColumnPlan* column, cbyte* p, Py_ssize_t n) except -1:
    """A column declared COMPRESSED (MariaDB source, sql/field_comp.cc): nothing for the empty text; else a byte of method,
    0 for none or 0x80 | raw << 3 | k for deflate with k bytes of length, big-endian, and for `raw` without zlib's frame."""
    cdef Cursor c = cursor(p, n)
    cdef int head, k
    cdef uint64_t size
    cdef bytes plain
    if n == 0:
        return column.plain(out, column, p, 0)
    head = take(&c, 1)[0]
    if head == 0:
        return column.plain(out, column, c.at, left(&c))
    k = head & 7
    if head & 0xF0 != 0x80 or not 1 <= k <= 4:
        raise UnsupportedEvent(f"a compressed value of a form that cdcd does not know (0x{head:02x})")
    size = load_be(take(&c, k), k)
    plain = inflated(take_bytes(&c, left(&c)), size, -zlib.MAX_WBITS if head & 8 else zlib.MAX_WBITS, "a compressed value")
    return column.plain(out, column, <cbyte*>PyBytes_AsString(plain), PyBytes_Size(plain))


cdef int render_uuid(Out* out, const ColumnPlan* column, cbyte* p, Py_ssize_t n) except -1:
    """UUID: those of versions 1 to 5 stand with their groups in reverse order, for their time to sort first (MariaDB
    source, plugin/type_uuid/sql_type_uuid.h)."""
    cdef uint8_t[16] raw
    cdef uint8_t[16] uuid
    cdef char* at
    cdef int i
    padded(raw, p, n, 16)
    if raw[6] & 0x80 and (256 - raw[8]) & 0x80:
        memcpy(uuid, raw + 12, 4)
        memcpy(uuid + 4, raw + 10, 2)
        memcpy(uuid + 6, raw + 8, 2)
        memcpy(uuid + 8, raw + 6, 2)
        memcpy(uuid + 10, raw, 6)
    else:
        memcpy(uuid, raw, 16)
    at = reserve(out, 36)
    for i in range(16):
        if i == 4 or i == 6 or i == 8 or i == 10:
            at[0] = c"-"
            at += 1
        at[0] = HEX_DIGITS[uuid[i] >> 4]
        at[1] = HEX_DIGITS[uuid[i] & 15]
        at += 2
    wrote(out, at)
    return 0


cdef char* write_inet4(char* at, const uint8_t* address) noexcept:
    cdef int i
    for i in range(4):
        if i:
            at[0] = c"."
            at += 1
        at = write_u64(at, address[i])
    return at


cdef int render_inet4(Out* out, const ColumnPlan* column, cbyte* p, Py_ssize_t n) except -1:
    cdef uint8_t[4] address
    padded(address, p, n, 4)
    wrote(out, write_inet4(reserve(out, 16), address))
    return 0


cdef char* write_group(char* at, uint32_t group) noexcept:
    """In hexadecimal without leading zeros."""
    cdef int shift = 12
    while shift and group >> shift == 0:
        shift -= 4
    while shift >= 0:
        at[0] = HEX_DIGITS[group >> shift & 15]
        at += 1
        shift -= 4
    return at


cdef int render_inet6(Out* out, const ColumnPlan* column, cbyte* p, Py_ssize_t n) except -1:
    """INET6 as MariaDB shows it: the first of the longest runs of zero groups, also of one, is `::`; addresses that hold
    one of version 4 end in that (MariaDB source, sql/sql_type_inet.cc, Inet6::to_string)."""
    cdef uint8_t[16] address
    cdef uint32_t[8] groups
    cdef int i, run, gap = -1, longest = 0
    cdef bint embedded
    cdef char* at
    padded(address, p, n, 16)
    run = 0
    for i in range(8):
        groups[i] = address[2 * i] << 8 | address[2 * i + 1]
        run = 0 if groups[i] else run + 1
        if run > longest:
            longest, gap = run, i - run + 1
    embedded = gap == 0 and (longest == 6 or (longest == 5 and groups[5] == 0xFFFF))
    at = reserve(out, 48)
    i = 0
    while i < 8:
        if i == gap:
            at[0] = at[1] = c":"
            at += 2
            i += longest
            continue
        if i and i != gap + longest:
            at[0] = c":"
            at += 1
        if i == 6 and embedded:
            at = write_inet4(at, address + 12)
            break
        at = write_group(at, groups[i])
        i += 1
    wrote(out, at)
    return 0
