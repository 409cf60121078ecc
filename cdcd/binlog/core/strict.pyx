# Values as canal shows them where it has a way of its own (`compat: strict`, formats.md section 7): Java's texts of float
# and double, numbers for ENUM and SET, TIMESTAMP in the JVM's time zone. Binary as Latin-1 is a character set like others.

LATIN_1 = "".join(map(chr, range(256))).encode("utf-16-le" if byteorder == "little" else "utf-16-be")


cdef enum:
    DAY = 86400


cdef class Zone:
    """See native.pyi."""

    cdef uint32_t* starts
    cdef int32_t* offsets
    cdef Py_ssize_t n

    def __cinit__(self, starts, offsets):
        cdef Py_ssize_t i
        self.n = len(starts)
        if self.n == 0 or self.n != len(offsets) or starts[0] != 0 or list(starts) != sorted(set(starts)):
            raise ValueError("a time zone's starts must rise from 0, and each have an offset")
        self.starts = <uint32_t*>malloc(self.n * sizeof(uint32_t))
        self.offsets = <int32_t*>malloc(self.n * sizeof(int32_t))
        if self.starts == NULL or self.offsets == NULL:
            raise MemoryError
        for i in range(self.n):
            if not -DAY < offsets[i] < DAY:
                raise ValueError(f"a time zone {offsets[i]} seconds off")
            self.starts[i] = starts[i]
            self.offsets[i] = offsets[i]

    def __dealloc__(self):
        free(self.starts)
        free(self.offsets)

    cdef int32_t offset_at(self, uint32_t seconds) noexcept:
        cdef Py_ssize_t low = 0, high = self.n, middle
        while high - low > 1:
            middle = (low + high) // 2
            if self.starts[middle] <= seconds:
                low = middle
            else:
                high = middle
        return self.offsets[low]


cdef char* write_zoned(char* at, Zone zone, uint32_t seconds) noexcept:
    """Local date and time; 0 is MySQL's zero date in every zone."""
    cdef int64_t local
    if seconds == 0:
        return write_timestamp(at, 0)
    local = <int64_t>seconds + zone.offset_at(seconds) + DAY     # the day before 1970 is within reach
    return write_moment(at, <uint32_t>(local // DAY) - 1, <uint32_t>(local % DAY))


cdef int render_zoned2(Out* out, const ColumnPlan* column, cbyte* p, Py_ssize_t n) except -1:
    """TIMESTAMP(meta); as render_timestamp2."""
    cdef Py_ssize_t more = fraction_bytes(column.meta)
    cdef char* at
    sized(n, 4 + more)
    at = write_zoned(reserve(out, 32), <Zone>column.zone, <uint32_t>load_be(p, 4))
    wrote(out, write_fraction(at, <uint32_t>load_be(p + 4, more), column.meta))
    return 0


cdef int render_zoned(Out* out, const ColumnPlan* column, cbyte* p, Py_ssize_t n) except -1:
    """Old TIMESTAMP; as render_timestamp."""
    sized(n, 4)
    wrote(out, write_zoned(reserve(out, 24), <Zone>column.zone, load_u32(p)))
    return 0


cdef int render_members(Out* out, const ColumnPlan* column, cbyte* p, Py_ssize_t n) except -1:
    """ENUM as its ordinal, SET as its bitmap."""
    sized(n, column.meta)
    return put_u64(out, load_le(p, n))


# Float.toString and Double.toString (Java SE 19 API): the shortest decimal that reads as the number, but of two digits
# where one would do and two are nearer, which happens among the smallest numbers only.

cdef int two_digits(double v, Digits* d) except -1:
    cdef char* text = PyOS_double_to_string(v, c'e', 1, 0, NULL)
    read_digits(text, d)
    PyMem_Free(text)
    return 0


cdef int put_java_digits(Out* out, const Digits* d) except -1:
    """In plain notation from 10^-3 to 10^7, else with an exponent; a digit behind the point in any case."""
    cdef char text[20]
    cdef char* at = reserve(out, 48)
    cdef int point
    cdef int count = write_text(d, text, &point)
    if -3 < point <= 7:
        at = write_plain(at, text, count, point)
        if count <= point:
            memcpy(at, b".0", 2)
            at += 2
        wrote(out, at)
        return 0
    at[0] = text[0]
    at[1] = c'.'
    at[2] = c'0'
    memcpy(at + 2, text + 1, count - 1)
    at += 2 + (count - 1 if count > 1 else 1)
    at[0] = c'E'
    wrote(out, at + 1)
    return put_i64(out, point - 1)


cdef int put_java(Out* out, double v, bint single) except -1:
    cdef Digits d
    cdef double tiny = 1e-42 if single else 1e-321      # some hundreds of the smallest number
    if signbit(v):
        put_char(out, c'-')
        v = -v
    if v == 0:
        return put(out, b"0.0", 3)
    if not isfinite(v):
        return put_special(out, v)
    if single:
        if not short_float(<float>v, &d):
            long_float(<float>v, &d)
    elif not short_double(v, &d):
        long_double(v, &d)
    if v < tiny and d.value < 10:
        two_digits(v, &d)
    return put_java_digits(out, &d)


cdef int render_java_float(Out* out, const ColumnPlan* column, cbyte* p, Py_ssize_t n) except -1:
    sized(n, 4)
    return put_java(out, load_float(p), True)


cdef int render_java_double(Out* out, const ColumnPlan* column, cbyte* p, Py_ssize_t n) except -1:
    sized(n, 8)
    return put_java(out, load_double(p), False)
