# FLOAT and DOUBLE as the shortest decimal that reads back to the same bits, laid out as MySQL prints a DOUBLE
# (MySQL source, strings/dtoa.cc, my_gcvt): 1.1, 100000000000000, 1e15, 0.000000000000001, 1e-16.

from libc.math cimport isfinite, isnan, signbit

cdef extern from "Python.h":
    char* PyOS_double_to_string(double v, char code, int precision, int flags, int* kind) except NULL
    double PyOS_string_to_double(const char* text, char** end, object overflow) except? -1.0
    void PyMem_Free(void* p)

cdef extern from *:
    """
    static const double EXACT_POWERS[] = {
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
        1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    """
    const double EXACT_POWERS[]   # all powers of ten that are exact in a double


cdef struct Digits:
    uint64_t value     # the number is value * 10^exponent
    int exponent


cdef inline double scaled(double v, int exponent) noexcept:
    """v * 10^exponent with one rounding; exponent within -22 .. 22."""
    return v * EXACT_POWERS[exponent] if exponent >= 0 else v / EXACT_POWERS[-exponent]


cdef inline int magnitude(double v) noexcept:
    """floor(log10(v)), or one less; v is normal and positive."""
    cdef uint64_t bits
    memcpy(&bits, &v, 8)
    return ((<int>(bits >> 52) - 1023) * 19728) >> 16   # log10(2) * 2^16, rounded down


cdef inline bint short_double(double v, Digits* d) noexcept:
    """At most 15 digits. No two decimals of 15 digits read as the same double, so one that reads as v is the shortest.

    Both the number of 15 digits and the power of ten are exact, so the division rounds once, as reading does.
    """
    cdef int e = magnitude(v)
    cdef double whole
    if not -8 <= e <= 36:
        return False
    if v >= EXACT_POWERS[e + 1] if 0 <= e < 22 else e < 0:
        e += 1
    whole = scaled(v, 14 - e) + 0.5
    if whole >= 1e15:
        return False
    d.value = <uint64_t>whole
    d.exponent = e - 14
    return scaled(<double>d.value, d.exponent) == v


cdef int read_digits(const char* text, Digits* d) noexcept:
    """Digits of `1.25e-07`, `0.1` or `12`."""
    cdef int shift = 0, exponent = 0
    cdef bint point = False, negative
    d.value = 0
    while text[0] and text[0] != c'e':
        if text[0] == c'.':
            point = True
        else:
            d.value = d.value * 10 + <uint64_t>(text[0] - c'0')
            shift -= point
        text += 1
    if text[0]:
        negative = text[1] == c'-'
        text += 2
        while text[0]:
            exponent = exponent * 10 + (text[0] - c'0')
            text += 1
        shift += -exponent if negative else exponent
    d.exponent = shift
    return 0


cdef int long_double(double v, Digits* d) except -1:
    """Any positive double, by Python's own repr (David Gay's algorithm)."""
    cdef char* text = PyOS_double_to_string(v, c'r', 0, 0, NULL)
    read_digits(text, d)
    PyMem_Free(text)
    return 0


cdef inline bint reads_as(double v, float wanted) noexcept:
    """Whether a decimal that is nearest to the double v is, as a 32-bit float, `wanted`.

    Where v stands exactly between two floats the decimal may be on either side: not taken.
    """
    cdef uint64_t bits
    memcpy(&bits, &v, 8)
    return <float>v == wanted and bits & 0x1FFFFFFF != 0x10000000


cdef inline bint short_float(float f, Digits* d) noexcept:
    """The fewest of 6 to 9 digits that read as f; the power of ten must be exact."""
    cdef double v = f, whole
    cdef int e = magnitude(v)
    cdef int digits, i
    for digits in range(6, 10):
        d.exponent = e + 1 - digits
        if not -22 <= d.exponent <= 22:
            return False
        whole = scaled(v, -d.exponent) + 0.5
        if whole >= EXACT_POWERS[digits]:     # magnitude() was one too small
            d.exponent += 1
            if d.exponent > 22:
                return False
            whole = scaled(v, -d.exponent) + 0.5
        d.value = <uint64_t>whole
        for i in range(2):   # below a power of two floats are denser: the next decimal up may do where the nearest does not
            if reads_as(scaled(<double>d.value, d.exponent), f):
                return True
            d.value += 1
    return False


cdef int long_float(float f, Digits* d) except -1:
    """Any positive 32-bit float."""
    cdef char* text
    cdef double read
    cdef int digits
    for digits in range(1, 10):
        text = PyOS_double_to_string(f, c'e', digits - 1, 0, NULL)
        try:
            read = PyOS_string_to_double(text, NULL, None)
            read_digits(text, d)
        finally:
            PyMem_Free(text)
        if reads_as(read, f):
            break
    return 0


cdef inline char* fill(char* at, char c, int count) noexcept:
    if count > 0:
        memset(at, c, count)
        at += count
    return at


cdef inline int write_text(const Digits* d, char* text, int* point) noexcept:
    """Digits without zeros at their end, and how many; the number is 0.text * 10^point. `text` has room for 20."""
    cdef uint64_t value = d.value
    cdef int exponent = d.exponent
    cdef int count
    while value and value % 10 == 0:
        value //= 10
        exponent += 1
    count = <int>(write_u64(text, value) - text)
    point[0] = count + exponent
    return count


cdef inline char* write_plain(char* at, const char* text, int count, int point) noexcept:
    """Without an exponent; a whole number without a point."""
    if point <= 0:
        memcpy(at, b"0.", 2)
        at = fill(at + 2, c'0', -point)
        memcpy(at, text, count)
        return at + count
    if count <= point:
        memcpy(at, text, count)
        return fill(at + count, c'0', point - count)
    memcpy(at, text, point)
    at[point] = c'.'
    memcpy(at + point + 1, text + point, count - point)
    return at + count + 1


cdef int put_digits(Out* out, const Digits* d) except -1:
    """In plain notation from 10^-15 to 10^15 and wherever there are digits behind the point, else with an exponent."""
    cdef char text[20]
    cdef char* at = reserve(out, 48)
    cdef int point
    cdef int count = write_text(d, text, &point)
    if point < -14 or (point > 15 and count <= point):
        at[0] = text[0]
        at += 1
        if count > 1:
            at[0] = c'.'
            memcpy(at + 1, text + 1, count - 1)
            at += count
        at[0] = c'e'
        at += 1
        point -= 1
        if point < 0:
            at[0] = c'-'
            at += 1
            point = -point
        wrote(out, write_u32(at, point))
    else:
        wrote(out, write_plain(at, text, count, point))
    return 0


cdef int put_special(Out* out, double v) except -1:
    """Not a number or infinite: no column can hold these, a damaged value can."""
    if isnan(v):
        return put(out, b"NaN", 3)
    return put(out, b"Infinity", 8)


cdef int put_double(Out* out, double v) except -1:
    cdef Digits d
    if signbit(v):
        put_char(out, c'-')
        v = -v
    if v == 0:
        return put_char(out, c'0')
    if not isfinite(v):
        return put_special(out, v)
    if not short_double(v, &d):
        long_double(v, &d)
    return put_digits(out, &d)


cdef int put_float(Out* out, float v) except -1:
    cdef Digits d
    if signbit(v):
        put_char(out, c'-')
        v = -v
    if v == 0:
        return put_char(out, c'0')
    if not isfinite(v):
        return put_special(out, v)
    if not short_float(v, &d):
        long_float(v, &d)
    return put_digits(out, &d)


cdef inline float load_float(cbyte* p) noexcept:
    cdef uint32_t bits = load_u32(p)
    cdef float v
    memcpy(&v, &bits, 4)
    return v


cdef inline double load_double(cbyte* p) noexcept:
    cdef uint64_t bits = load_u64(p)
    cdef double v
    memcpy(&v, &bits, 8)
    return v


cdef int render_float(Out* out, const ColumnPlan* column, cbyte* p, Py_ssize_t n) except -1:
    sized(n, 4)
    return put_float(out, load_float(p))


cdef int render_double(Out* out, const ColumnPlan* column, cbyte* p, Py_ssize_t n) except -1:
    sized(n, 8)
    return put_double(out, load_double(p))


cdef int render_vector(Out* out, const ColumnPlan* column, cbyte* p, Py_ssize_t n) except -1:
    """VECTOR: 32-bit floats, little-endian, as `[1.5,2]`."""
    cdef Cursor c = cursor(p, n)
    if n % 4:
        wrong_size(n, n // 4 * 4)
    put_char(out, c'[')
    while left(&c):
        if c.at != p:
            put_char(out, c',')
        put_float(out, load_float(take(&c, 4)))
    return put_char(out, c']')
