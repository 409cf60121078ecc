# Dates and times as text. Values MySQL keeps though no calendar has them (0000-00-00, 2024-02-31) stay as they are.

cdef inline char* write_date(char* at, uint32_t year, uint32_t month, uint32_t day) noexcept:
    """YYYY-MM-DD; at most 12 bytes. A damaged year may have five digits; month and day are below 100."""
    at = write_4(at, year) if year < 10000 else write_u32(at, year)
    at[0] = c'-'
    at = write_2(at + 1, month)
    at[0] = c'-'
    return write_2(at + 1, day)


cdef inline char* write_clock(char* at, uint32_t hour, uint32_t minute, uint32_t second) noexcept:
    """HH:MM:SS; at most 12 bytes. Hours may have more digits; minute and second are below 100."""
    at = write_2(at, hour) if hour < 100 else write_u32(at, hour)
    at[0] = c':'
    at = write_2(at + 1, minute)
    at[0] = c':'
    return write_2(at + 1, second)


cdef inline char* write_fraction(char* at, uint32_t fraction, int digits) noexcept:
    """`.` and `digits` digits of a fraction that is stored in whole bytes: 1/100, 1/10000 or 1/1000000."""
    if digits == 0:
        return at
    if digits & 1:
        fraction //= 10
    at[0] = c'.'
    return write_padded(at + 1, fraction % POWERS_OF_10[digits], digits)


cdef inline Py_ssize_t fraction_bytes(int digits) noexcept:
    return (digits + 1) // 2


cdef int render_date(Out* out, const ColumnPlan* column, cbyte* p, Py_ssize_t n) except -1:
    """DATE: year << 9 | month << 5 | day."""
    cdef uint32_t v
    sized(n, 3)
    v = load_u24(p)
    wrote(out, write_date(reserve(out, 12), v >> 9, v >> 5 & 15, v & 31))
    return 0


cdef inline char* write_datetime(char* at, uint64_t packed) noexcept:
    """(year * 13 + month) << 22 | day << 17 | hour << 12 | minute << 6 | second, of 40 bits; at most 32 bytes."""
    cdef uint32_t months = <uint32_t>(packed >> 22)
    cdef uint32_t low = <uint32_t>packed
    at = write_date(at, months // 13, months % 13, low >> 17 & 31)
    at[0] = c' '
    return write_clock(at + 1, low >> 12 & 31, low >> 6 & 63, low & 63)


cdef int render_datetime2(Out* out, const ColumnPlan* column, cbyte* p, Py_ssize_t n) except -1:
    """DATETIME(meta): 5 bytes, big-endian, plus 2^39, then the fraction."""
    cdef Py_ssize_t more = fraction_bytes(column.meta)
    cdef uint64_t v
    cdef char* at
    sized(n, 5 + more)
    v = load_be(p, 5)
    if v < 0x8000000000ULL:
        raise ShortRead(f"DATETIME below zero: 0x{v:010x}")
    at = write_datetime(reserve(out, 48), v - 0x8000000000ULL)
    wrote(out, write_fraction(at, <uint32_t>load_be(p + 5, more), column.meta))
    return 0


cdef inline char* write_time(char* at, uint64_t packed) noexcept:
    """hour << 12 | minute << 6 | second; the hour has 10 bits."""
    cdef uint32_t low = <uint32_t>packed
    return write_clock(at, low >> 12 & 1023, low >> 6 & 63, low & 63)


cdef int render_time2(Out* out, const ColumnPlan* column, cbyte* p, Py_ssize_t n) except -1:
    """TIME(meta): whole part and fraction are one big-endian number of 3 + k bytes, plus its half; so a negative one
    with a fraction has the next lower whole part (MySQL source, my_time_packed_to_binary)."""
    cdef Py_ssize_t more = fraction_bytes(column.meta)
    cdef int bits = <int>more * 8
    cdef int64_t v
    cdef char* at
    sized(n, 3 + more)
    v = <int64_t>load_be(p, 3 + more) - (<int64_t>0x800000 << bits)
    at = reserve(out, 24)
    if v < 0:
        at[0] = c'-'
        at += 1
        v = -v
    at = write_time(at, <uint64_t>v >> bits)
    wrote(out, write_fraction(at, <uint32_t>(v & ((<int64_t>1 << bits) - 1)), column.meta))
    return 0


cdef inline char* write_moment(char* at, uint32_t days, uint32_t rest) noexcept:
    """Days since 1970 and seconds of the day as date and time (H. Hinnant, "chrono-Compatible Low-Level Date
    Algorithms": years are counted from March, so that the leap day ends one). `days` may be below zero, modulo 2^32."""
    cdef uint32_t z = days + 719468
    cdef uint32_t era = z // 146097
    cdef uint32_t doe = z % 146097
    cdef uint32_t yoe = (doe - doe // 1460 + doe // 36524 - doe // 146096) // 365
    cdef uint32_t doy = doe - (365 * yoe + yoe // 4 - yoe // 100)
    cdef uint32_t mp = (5 * doy + 2) // 153
    cdef uint32_t month = mp + 3 if mp < 10 else mp - 9
    cdef uint32_t year = yoe + era * 400 + (month <= 2)
    at = write_date(at, year, month, doy - (153 * mp + 2) // 5 + 1)
    at[0] = c' '
    return write_clock(at + 1, rest // 3600, rest // 60 % 60, rest % 60)


cdef char* write_unix(char* at, uint32_t seconds) noexcept:
    """Seconds since 1970 as a UTC date and time."""
    return write_moment(at, seconds // 86400, seconds % 86400)


cdef inline char* write_timestamp(char* at, uint32_t seconds) noexcept:
    """0 is MySQL's zero date, not 1970."""
    if seconds == 0:
        memcpy(at, b"0000-00-00 00:00:00", 19)
        return at + 19
    return write_unix(at, seconds)


cdef int render_timestamp2(Out* out, const ColumnPlan* column, cbyte* p, Py_ssize_t n) except -1:
    """TIMESTAMP(meta) in UTC: 4 bytes, big-endian, unsigned (MariaDB counts to 2106), then the fraction."""
    cdef Py_ssize_t more = fraction_bytes(column.meta)
    cdef char* at
    sized(n, 4 + more)
    at = write_timestamp(reserve(out, 32), <uint32_t>load_be(p, 4))
    wrote(out, write_fraction(at, <uint32_t>load_be(p + 4, more), column.meta))
    return 0


# The types of before MySQL 5.6.4 and MariaDB 10.1, which live on in tables that were never rebuilt. Those of MariaDB may have
# a fraction of `meta` digits; then they are whole numbers of its units, big-endian.

cdef int render_timestamp(Out* out, const ColumnPlan* column, cbyte* p, Py_ssize_t n) except -1:
    """Old TIMESTAMP: 4 bytes, little-endian; with a fraction 4 bytes and that, big-endian."""
    cdef char* at
    if column.meta:
        sized(n, old_temporal_bytes(T_TIMESTAMP, column.meta))
        at = write_timestamp(reserve(out, 32), <uint32_t>load_be(p, 4))
        wrote(out, write_units(at, load_be(p + 4, n - 4), column.meta))
        return 0
    sized(n, 4)
    wrote(out, write_timestamp(reserve(out, 24), load_u32(p)))
    return 0


cdef inline char* write_units(char* at, uint64_t fraction, int digits) noexcept:
    """`.` and `digits` digits of a fraction that counts in units of its last digit."""
    at[0] = c'.'
    return write_padded(at + 1, <uint32_t>(fraction % POWERS_OF_10[digits]), digits)


cdef int render_datetime(Out* out, const ColumnPlan* column, cbyte* p, Py_ssize_t n) except -1:
    """Old DATETIME: the decimal number YYYYMMDDhhmmss in 8 bytes."""
    cdef uint64_t v
    cdef uint32_t date, clock
    cdef char* at
    if column.meta:
        return render_datetime_units(out, column, p, n)
    sized(n, 8)
    v = load_u64(p)
    if v > 99991231235959ULL:
        raise ShortRead(f"DATETIME out of range: {v}")
    date = <uint32_t>(v // 1000000)
    clock = <uint32_t>(v % 1000000)
    at = write_date(reserve(out, 24), date // 10000, date // 100 % 100, date % 100)
    at[0] = c' '
    wrote(out, write_clock(at + 1, clock // 10000, clock // 100 % 100, clock % 100))
    return 0


cdef int render_datetime_units(Out* out, const ColumnPlan* column, cbyte* p, Py_ssize_t n) except -1:
    """(((year * 13 + month) * 32 + day) * 24 + hour) * 3600 seconds and so on (MariaDB source, sql/compat56.cc, pack_time)."""
    cdef uint64_t v, seconds, days
    cdef char* at
    sized(n, old_temporal_bytes(T_DATETIME, column.meta))
    v = load_be(p, n)
    seconds = v // POWERS_OF_10[column.meta]
    days = seconds // 86400
    if days // 32 // 13 > 9999:
        raise ShortRead(f"DATETIME out of range: {v}")
    at = write_date(reserve(out, 48), <uint32_t>(days // 32 // 13), <uint32_t>(days // 32 % 13), <uint32_t>(days % 32))
    at[0] = c' '
    at = write_clock(at + 1, <uint32_t>(seconds // 3600 % 24), <uint32_t>(seconds // 60 % 60), <uint32_t>(seconds % 60))
    wrote(out, write_units(at, v, column.meta))
    return 0


cdef int render_time(Out* out, const ColumnPlan* column, cbyte* p, Py_ssize_t n) except -1:
    """Old TIME: the decimal number hhmmss in 3 bytes, signed."""
    cdef int32_t v
    cdef char* at
    if column.meta:
        return render_time_units(out, column, p, n)
    sized(n, 3)
    v = <int32_t>(load_u24(p) << 8) >> 8
    at = reserve(out, 16)
    if v < 0:
        at[0] = c'-'
        at += 1
        v = -v
    wrote(out, write_clock(at, v // 10000, v // 100 % 100, v % 100))
    return 0


cdef int64_t TIME_ZERO = (838 * 60 + 59) * 60 + 59 + 1    # added, in seconds, so that no TIME is negative


cdef int render_time_units(Out* out, const ColumnPlan* column, cbyte* p, Py_ssize_t n) except -1:
    cdef int64_t v
    cdef uint64_t seconds
    cdef char* at
    sized(n, old_temporal_bytes(T_TIME, column.meta))
    v = <int64_t>load_be(p, n) - TIME_ZERO * <int64_t>POWERS_OF_10[column.meta]
    at = reserve(out, 32)
    if v < 0:
        at[0] = c'-'
        at += 1
        v = -v
    seconds = <uint64_t>v // POWERS_OF_10[column.meta]
    at = write_clock(at, <uint32_t>(seconds // 3600), <uint32_t>(seconds // 60 % 60), <uint32_t>(seconds % 60))
    wrote(out, write_units(at, <uint64_t>v, column.meta))
    return 0
