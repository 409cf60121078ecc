# JSONB, MySQL's binary JSON, as the text MySQL prints for it (MySQL source, sql-common/json_binary.h for the layout,
# json_dom.cc for the text): one pass, no copies, every offset checked against the container it points into.

cdef enum:
    JSONB_SMALL_OBJECT = 0x00
    JSONB_LARGE_OBJECT = 0x01
    JSONB_SMALL_ARRAY = 0x02
    JSONB_LARGE_ARRAY = 0x03
    JSONB_LITERAL = 0x04
    JSONB_INT16 = 0x05
    JSONB_UINT16 = 0x06
    JSONB_INT32 = 0x07
    JSONB_UINT32 = 0x08
    JSONB_INT64 = 0x09
    JSONB_UINT64 = 0x0A
    JSONB_DOUBLE = 0x0B
    JSONB_STRING = 0x0C
    JSONB_OPAQUE = 0x0F
    JSON_DEPTH = 100       # the server allows no deeper document


cdef struct JsonText:
    Out* out
    int level              # escapes: 1 for JSON by itself, 2 for JSON as text in a JSON string
    int depth
    Py_ssize_t budget      # bytes still to be visited: offsets that go round or overlap use it up


cdef int malformed_json(str what) except -1:
    raise ShortRead(f"malformed JSON value: {what}")


cdef inline int spend(JsonText* t, Py_ssize_t n) except -1:
    t.budget -= n
    if t.budget < 0:
        malformed_json("parts overlap")
    return 0


cdef inline int put_quote(JsonText* t) except -1:
    return put(t.out, b'\\"', 2) if t.level == 2 else put_char(t.out, c'"')


cdef int put_json_escape(JsonText* t, uint8_t c) except -1:
    wrote(t.out, write_escape(reserve(t.out, WIDEST), c, t.level))
    return 0


cdef int put_json_string(JsonText* t, cbyte* p, Py_ssize_t n) except -1:
    put_quote(t)
    put_utf8(t.out, p, n, t.level)
    return put_quote(t)


cdef int put_json_double(Out* out, double v) except -1:
    """As DOUBLE, and `.0` where nothing else shows that it is one."""
    cdef Py_ssize_t start = out.size
    put_double(out, v)
    if not memchr(out.data + start, c'.', out.size - start) and not memchr(out.data + start, c'e', out.size - start):
        put(out, b".0", 2)
    return 0


cdef int put_literal(JsonText* t, uint8_t which) except -1:
    if which == 0:
        return put(t.out, b"null", 4)
    if which == 1:
        return put(t.out, b"true", 4)
    if which == 2:
        return put(t.out, b"false", 5)
    return malformed_json(f"literal {which}")


cdef Py_ssize_t take_varint(Cursor* c) except -1:
    """A length of up to 5 bytes, 7 bits each, lowest first; the top bit says that more follow."""
    cdef uint64_t v = 0
    cdef int shift
    cdef uint8_t b
    for shift in range(0, 35, 7):
        b = take(c, 1)[0]
        v |= <uint64_t>(b & 0x7F) << shift
        if b < 0x80:
            return <Py_ssize_t>v
    return malformed_json("length of more than 5 bytes")


# Values that JSON has no type for.

cdef int put_opaque_decimal(JsonText* t, cbyte* p, Py_ssize_t n) except -1:
    cdef Cursor c = cursor(p, n)
    cdef int precision = take(&c, 1)[0]
    cdef int scale = take(&c, 1)[0]
    if not 0 < precision <= 65 or scale > precision or scale > 30:
        malformed_json(f"DECIMAL({precision},{scale})")
    return put_decimal(t.out, precision, scale, c.at, left(&c))


cdef int put_opaque_time(JsonText* t, int type, cbyte* p, Py_ssize_t n) except -1:
    """DATE, DATETIME, TIME, TIMESTAMP: 64 bits, the low 24 are microseconds."""
    cdef char text[48]
    cdef char* at = text
    cdef int64_t v
    cdef uint32_t months
    sized(n, 8)
    v = <int64_t>load_u64(p)
    if v < 0:
        at[0] = c'-'
        at += 1
        v = <int64_t>(<uint64_t>0 - <uint64_t>v)
    if type == 11:
        at = write_time(at, <uint64_t>v >> 24)
    elif type == 10:
        months = <uint32_t>(<uint64_t>v >> 46)
        at = write_date(at, months // 13, months % 13, <uint32_t>(<uint64_t>v >> 41) & 31)
    else:
        at = write_datetime(at, <uint64_t>v >> 24)
    if type != 10:
        at = write_fraction(at, <uint32_t>v & 0xFFFFFF, 6)
    return put_json_string(t, <cbyte*>text, at - text)


cdef int put_opaque_bytes(JsonText* t, int type, cbyte* p, Py_ssize_t n) except -1:
    """"base64:type15:...", with a line break after every 76 digits (MySQL source, mysys/base64.cc)."""
    cdef Py_ssize_t line
    put_quote(t)
    put(t.out, b"base64:type", 11)
    put_u64(t.out, type)
    put_char(t.out, c':')
    while n:
        line = 57 if n > 57 else n
        put_base64(t.out, p, line, 0)
        p += line
        n -= line
        if n:
            put_json_escape(t, c'\n')
    return put_quote(t)


cdef int put_opaque(JsonText* t, Cursor* c) except -1:
    """A type code, a length, and the value: DECIMAL as a number, times as strings, all else as base64."""
    cdef int type = take(c, 1)[0]
    cdef Py_ssize_t n = take_varint(c)
    cdef cbyte* p = take(c, n)
    spend(t, n)
    if type == 246:
        return put_opaque_decimal(t, p, n)
    if type in (7, 10, 11, 12):
        return put_opaque_time(t, type, p, n)
    return put_opaque_bytes(t, type, p, n)


cdef int put_scalar(JsonText* t, uint8_t type, Cursor* c) except -1:
    cdef Py_ssize_t n
    cdef cbyte* p
    if type == JSONB_LITERAL:
        return put_literal(t, take(c, 1)[0])
    if type == JSONB_INT16:
        return put_i64(t.out, <int16_t>load_u16(take(c, 2)))
    if type == JSONB_UINT16:
        return put_u64(t.out, load_u16(take(c, 2)))
    if type == JSONB_INT32:
        return put_i64(t.out, <int32_t>load_u32(take(c, 4)))
    if type == JSONB_UINT32:
        return put_u64(t.out, load_u32(take(c, 4)))
    if type == JSONB_INT64:
        return put_i64(t.out, <int64_t>load_u64(take(c, 8)))
    if type == JSONB_UINT64:
        return put_u64(t.out, load_u64(take(c, 8)))
    if type == JSONB_DOUBLE:
        return put_json_double(t.out, load_double(take(c, 8)))
    if type == JSONB_STRING:
        n = take_varint(c)
        p = take(c, n)
        spend(t, n)
        return put_json_string(t, p, n)
    if type == JSONB_OPAQUE:
        return put_opaque(t, c)
    return malformed_json(f"type {type}")


cdef inline bint is_inline(uint8_t type, bint large) noexcept:
    """Whether the value stands in its container's table instead of an offset."""
    return JSONB_LITERAL <= type <= JSONB_UINT16 or (large and JSONB_INT32 <= type <= JSONB_UINT32)


cdef int put_member(JsonText* t, Cursor* entries, cbyte* start, cbyte* end, Py_ssize_t width) except -1:
    """The next value of a container that lies in start .. end; its entry is a type and 2 or 4 bytes."""
    cdef uint8_t type = take(entries, 1)[0]
    cdef Cursor value = cursor(take(entries, width), width)
    cdef uint64_t offset
    if is_inline(type, width == 4):
        return put_scalar(t, type, &value)
    offset = load_le(value.at, width)
    if offset >= <uint64_t>(end - start):
        malformed_json(f"offset {offset} in a container of {end - start} bytes")
    return put_json_value(t, type, start + offset, end)


cdef int put_json_key(JsonText* t, Cursor* keys, cbyte* start, cbyte* end, Py_ssize_t width) except -1:
    cdef uint64_t offset = take_le(keys, width)
    cdef Py_ssize_t n = <Py_ssize_t>take_le(keys, 2)
    if offset + n > <uint64_t>(end - start):
        malformed_json(f"key at {offset} of {n} bytes in a container of {end - start}")
    spend(t, n)
    put_json_string(t, start + offset, n)
    return put(t.out, b": ", 2)


cdef int put_container(JsonText* t, cbyte* start, cbyte* limit, bint is_object, Py_ssize_t width) except -1:
    """Count and size, for an object the table of keys, the table of values; then what these point to."""
    cdef Cursor c = cursor(start, limit - start)
    cdef uint64_t count = take_le(&c, width), size = take_le(&c, width), i
    cdef Cursor keys, values
    if size > <uint64_t>(limit - start):
        malformed_json(f"container of {size} bytes in {limit - start}")
    limit = start + size
    spend(t, 2 * width + count * (1 + width) + (count * (2 + width) if is_object else 0))
    if c.at > limit:
        malformed_json(f"container of {size} bytes")
    keys = cursor(c.at, limit - c.at)
    values = keys
    if is_object:
        take(&values, count * (2 + width))
    put_char(t.out, c'{' if is_object else c'[')
    for i in range(count):
        if i:
            put(t.out, b", ", 2)
        if is_object:
            put_json_key(t, &keys, start, limit, width)
        put_member(t, &values, start, limit, width)
    return put_char(t.out, c'}' if is_object else c']')


cdef int put_json_value(JsonText* t, uint8_t type, cbyte* p, cbyte* end) except -1:
    cdef Cursor c
    if type > JSONB_LARGE_ARRAY:
        c = cursor(p, end - p)
        return put_scalar(t, type, &c)
    if t.depth == JSON_DEPTH:
        malformed_json(f"nested deeper than {JSON_DEPTH}")
    t.depth += 1
    put_container(t, p, end, type <= JSONB_LARGE_OBJECT, 4 if type & 1 else 2)
    t.depth -= 1
    return 0


cdef int render_json(Out* out, const ColumnPlan* column, cbyte* p, Py_ssize_t n) except -1:
    """As text in a string if the column is quoted, else as JSON. No bytes at all mean null (INSERT IGNORE of a NULL)."""
    cdef JsonText t
    t.out = out
    t.level = 2 if column.quoted else 1
    t.depth = 0
    t.budget = n
    if n == 0:
        return put(out, b"null", 4)
    return put_json_value(&t, p[0], p + 1, p + n)
