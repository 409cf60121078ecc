# Text in any character set as JSON-escaped UTF-8, and bytes as base64.
#
# Escapes stand in levels: 1 inside a JSON string, 2 inside a JSON string inside a JSON string (a JSON document shown as
# text). Only quotes, backslashes and control characters are escaped (formats.md 2.1).

cdef extern from "Python.h":
    object PyUnicode_AsUTF8String(object text)
    char* PyBytes_AsString(object data) except NULL
    Py_ssize_t PyBytes_Size(object data) except -1

cdef extern from *:
    """
    /* What stands behind the backslash: 0 for no escape, 'u' for \\u00XX. */
    static const char ESCAPE[256] = {
        'u','u','u','u','u','u','u','u','b','t','n','u','f','r','u','u',
        'u','u','u','u','u','u','u','u','u','u','u','u','u','u','u','u',
        0,0,'"',0,0,0,0,0,0,0,0,0,0,0,0,0,
        0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,
        0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,
        0,0,0,0,0,0,0,0,0,0,0,0,'\\\\',0,0,0,
    };
    static const char BASE64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    static const char HEX_DIGITS[] = "0123456789abcdef";
    """
    const char ESCAPE[]
    const char BASE64[]
    const char HEX_DIGITS[]


cdef enum:
    CHUNK = 4096         # bytes of input between two checks of the output's room
    WIDEST = 7           # bytes one byte of input can become: \\u001f
    OVERSHOOT = 8        # a chunk may end inside a character, which is finished


cdef inline bint plain8(uint64_t w) noexcept:
    """Whether none of eight bytes is a control character, quote, backslash or above 0x7F ("Determine if a word has a
    zero byte", S. E. Anderson's Bit Twiddling Hacks; a borrow only runs out of a byte that has been found)."""
    cdef uint64_t ones = 0x0101010101010101ULL
    return not ((w | w - ones * 0x20 | (w ^ ones * 0x22) - ones | (w ^ ones * 0x5C) - ones) & ones * 0x80)


cdef inline Py_ssize_t copy_plain(char* to, cbyte* p, Py_ssize_t n) noexcept:
    """Copy the leading bytes that need no change; how many. `to` has room for n."""
    cdef uint64_t word
    cdef Py_ssize_t i = 0
    while i + 8 <= n:
        memcpy(&word, p + i, 8)
        if not plain8(word):
            break
        memcpy(to + i, &word, 8)
        i += 8
    while i < n and p[i] < 0x80 and ESCAPE[p[i]] == 0:
        to[i] = <char>p[i]
        i += 1
    return i


cdef char* write_escape(char* at, uint8_t c, int level) noexcept:
    """The escape of a byte for which ESCAPE has one; at most 7 bytes."""
    cdef char kind = ESCAPE[c]
    at[0] = c'\\'
    at += 1
    if level == 2:
        at[0] = c'\\'
        at += 1
        if kind == c'"' or kind == c'\\':
            at[0] = c'\\'
            at += 1
    at[0] = kind
    at += 1
    if kind == c'u':
        memcpy(at, b"00", 2)
        at[2] = HEX_DIGITS[c >> 4]
        at[3] = HEX_DIGITS[c & 15]
        at += 4
    return at


cdef inline char* write_ascii(char* at, uint8_t c, int level) noexcept:
    if ESCAPE[c]:
        return write_escape(at, c, level)
    at[0] = <char>c
    return at + 1


cdef inline char* write_replacement(char* at) noexcept:
    memcpy(at, b"\xef\xbf\xbd", 3)
    return at + 3


cdef inline bint continues(uint8_t c) noexcept:
    return c & 0xC0 == 0x80


cdef Py_ssize_t utf8_length(cbyte* p, Py_ssize_t n) noexcept:
    """Bytes of the character at p, whose first byte is above 0x7F; n > 0. Where it is none: minus the bytes that one
    U+FFFD stands for (the Unicode standard, 3.9, "Substitution of Maximal Subparts")."""
    cdef uint8_t first = p[0], low = 0x80, high = 0xBF
    cdef Py_ssize_t wanted, i
    if first < 0xC2 or first > 0xF4:
        return -1
    wanted = 2 if first < 0xE0 else 3 if first < 0xF0 else 4
    if first == 0xE0:
        low = 0xA0
    elif first == 0xED:
        high = 0x9F          # no surrogates
    elif first == 0xF0:
        low = 0x90
    elif first == 0xF4:
        high = 0x8F          # nothing above U+10FFFF
    if n < 2 or not low <= p[1] <= high:
        return -1
    for i in range(2, wanted):
        if i >= n or not continues(p[i]):
            return -i
    return wanted


cdef Py_ssize_t put_utf8(Out* out, cbyte* p, Py_ssize_t n, int level) except -1:
    """UTF-8, checked; how many U+FFFD were put in place of bytes that are none."""
    cdef cbyte* end = p + n
    cdef cbyte* stop
    cdef char* at
    cdef Py_ssize_t size, replaced = 0
    while p < end:
        stop = p + CHUNK if end - p > CHUNK else end
        at = reserve(out, (stop - p + OVERSHOOT) * WIDEST)
        while p < stop:
            size = copy_plain(at, p, stop - p)
            p += size
            at += size
            if p == stop:
                break
            if p[0] < 0x80:
                at = write_escape(at, p[0], level)
                p += 1
                continue
            while p < stop and p[0] >= 0x80:
                size = utf8_length(p, end - p)
                if size > 0:
                    memcpy(at, p, size)
                    at += size
                    p += size
                else:
                    at = write_replacement(at)
                    p -= size
                    replaced += 1
        wrote(out, at)
    return replaced


cdef Py_ssize_t put_table(Out* out, cbyte* p, Py_ssize_t n, const uint16_t* table) except -1:
    """An 8-bit character set by its table of 256 code points (0xFFFD: none); how many bytes have none."""
    cdef cbyte* end = p + n
    cdef cbyte* stop
    cdef char* at
    cdef uint32_t point
    cdef bint ascii = table[c'['] == c'['     # not so in swe7
    cdef Py_ssize_t size, replaced = 0
    while p < end:
        stop = p + CHUNK if end - p > CHUNK else end
        at = reserve(out, (stop - p) * WIDEST)
        while p < stop:
            if ascii:
                size = copy_plain(at, p, stop - p)
                p += size
                at += size
                if p == stop:
                    break
            point = table[p[0]]
            p += 1
            if point < 0x80:
                at = write_ascii(at, <uint8_t>point, 1)
            elif point < 0x800:
                at[0] = <char>(0xC0 | point >> 6)
                at[1] = <char>(0x80 | point & 0x3F)
                at += 2
            else:
                at[0] = <char>(0xE0 | point >> 12)
                at[1] = <char>(0x80 | point >> 6 & 0x3F)
                at[2] = <char>(0x80 | point & 0x3F)
                at += 3
                replaced += point == 0xFFFD
        wrote(out, at)
    return replaced


cdef void count_invalid(const ColumnPlan* column) noexcept:
    (<ColumnPlan*>column).invalid += 1     # the one thing of a plan that changes


cdef int render_utf8(Out* out, const ColumnPlan* column, cbyte* p, Py_ssize_t n) except -1:
    if put_utf8(out, p, n, 1):
        count_invalid(column)
    return 0


cdef int render_table(Out* out, const ColumnPlan* column, cbyte* p, Py_ssize_t n) except -1:
    if put_table(out, p, n, column.table):
        count_invalid(column)
    return 0


cdef int render_codec(Out* out, const ColumnPlan* column, cbyte* p, Py_ssize_t n) except -1:
    """The character sets of several bytes a character: through Python's codecs."""
    cdef object text
    cdef bint replaced
    text, replaced = (<object>column.charset).decode(PyBytes_FromStringAndSize(<const char*>p, n))
    if replaced:
        count_invalid(column)
    text = PyUnicode_AsUTF8String(text)
    put_utf8(out, <cbyte*>PyBytes_AsString(text), PyBytes_Size(text), 1)
    return 0


cdef inline char* write_base64(char* at, uint32_t v, int digits) noexcept:
    """The top `digits` base64 digits of 24 bits, filled up with `=`."""
    cdef int i
    for i in range(4):
        at[i] = BASE64[v >> (18 - 6 * i) & 63] if i < digits else c'='
    return at + 4


cdef int put_base64(Out* out, cbyte* p, Py_ssize_t n, Py_ssize_t padded) except -1:
    """Base64 (RFC 4648, 4) of `n` bytes, and zero bytes after them up to `padded`."""
    cdef Py_ssize_t size = padded if padded > n else n
    cdef char* at = reserve(out, (size + 2) // 3 * 4)
    cdef uint8_t last[3]
    cdef Py_ssize_t i = 0
    while i + 3 <= n:
        at = write_base64(at, <uint32_t>p[i] << 16 | <uint32_t>p[i + 1] << 8 | p[i + 2], 4)
        i += 3
    while i < size:
        memset(last, 0, 3)
        if i < n:
            memcpy(last, p + i, n - i if n - i < 3 else 3)
        at = write_base64(at, <uint32_t>last[0] << 16 | <uint32_t>last[1] << 8 | last[2],
                          4 if size - i >= 3 else <int>(size - i) + 1)
        i += 3
    wrote(out, at)
    return 0


cdef int render_binary(Out* out, const ColumnPlan* column, cbyte* p, Py_ssize_t n) except -1:
    return put_base64(out, p, n, column.pad)


# ENUM and SET: little-endian numbers; the labels are made ready by the plan.

cdef int put_label(Out* out, const ColumnPlan* column, int i) except -1:
    return put(out, column.labels[i].text, column.labels[i].size)


cdef int render_enum(Out* out, const ColumnPlan* column, cbyte* p, Py_ssize_t n) except -1:
    """The label; empty for 0, which stands for a value that was none (MySQL manual, "The ENUM Type")."""
    cdef uint64_t i
    sized(n, column.meta)
    i = load_le(p, n)
    if i > <uint64_t>column.n_labels:
        raise ShortRead(f"member {i} of an ENUM of {column.n_labels}")
    if i:
        put_label(out, column, <int>i - 1)
    return 0


cdef int render_set(Out* out, const ColumnPlan* column, cbyte* p, Py_ssize_t n) except -1:
    """The labels in definition order, joined by commas."""
    cdef uint64_t bits
    cdef int i
    cdef bint first = True
    sized(n, column.meta)
    bits = load_le(p, n)
    if column.n_labels < 64 and bits >> column.n_labels:
        raise ShortRead(f"members 0x{bits:x} of a SET of {column.n_labels}")
    for i in range(column.n_labels):
        if bits >> i & 1:
            if not first:
                put_char(out, c',')
            put_label(out, column, i)
            first = False
    return 0
