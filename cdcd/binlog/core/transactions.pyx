# Events that open and describe transactions: GTIDs and statements.

cdef struct Gtid:
    uint8_t[16] sid
    char[33] tag
    Py_ssize_t tag_size
    int64_t number
    uint64_t logged_us    # committed on this source; 0 before MySQL 8.0.1
    uint64_t commit_us    # committed where it was first executed; the same unless the source is a replica
    uint64_t length       # bytes of the whole transaction; 0 before MySQL 8.0.2
    bint mariadb          # then `sid` begins with domain and server, 4 bytes each, big-endian
    int flags             # MariaDB's
    int more_flags


cdef uint64_t ORIGINAL_FOLLOWS = <uint64_t>1 << 55


cdef int read_gtid(Cursor* c, Gtid* gtid) except -1:
    """GTID (33) and ANONYMOUS_GTID (34): binlog.md section 6."""
    memset(gtid, 0, sizeof(Gtid))
    take(c, 1)
    memcpy(gtid.sid, take(c, 16), 16)
    gtid.number = <int64_t>load_u64(take(c, 8))
    if left(c) < 17 or take(c, 1)[0] != 2:
        return 0
    take(c, 16)
    if left(c) < 7:
        return 0
    gtid.logged_us = gtid.commit_us = take_le(c, 7)
    if gtid.logged_us & ORIGINAL_FOLLOWS:
        gtid.commit_us = take_le(c, 7)
    gtid.logged_us &= ORIGINAL_FOLLOWS - 1
    gtid.commit_us &= ORIGINAL_FOLLOWS - 1
    if left(c):
        gtid.length = take_packed(c)
    return 0


cdef enum:
    # MariaDB source, sql/log_event.h, class Gtid_log_event
    G_STANDALONE = 0x01
    G_GROUP_COMMIT = 0x02
    G_XA_PREPARED = 0x40
    G_XA_COMPLETED = 0x80
    G_XA = G_XA_PREPARED | G_XA_COMPLETED
    G_MORE_ENGINES = 0x01
    G_START_ALTER = 0x02
    G_COMMIT_ALTER = 0x04
    G_ROLLBACK_ALTER = 0x08


cdef int read_mariadb_gtid(const Event* event, Gtid* gtid) except -1:
    """GTID (162): binlog.md section 10. The server is the event's."""
    cdef Cursor c = cursor(event.body, event.body_size)
    cdef cbyte* lengths
    memset(gtid, 0, sizeof(Gtid))
    gtid.mariadb = True
    gtid.number = <int64_t>load_u64(take(&c, 8))
    write_be32(gtid.sid, load_u32(take(&c, 4)))
    write_be32(gtid.sid + 4, event.server_id)
    gtid.flags = take(&c, 1)[0]
    if gtid.flags & G_GROUP_COMMIT:
        take(&c, 8)
    if gtid.flags & G_XA:
        lengths = take(&c, 6) + 4
        take(&c, lengths[0] + lengths[1])
    if left(&c):
        gtid.more_flags = take(&c, 1)[0]
    return 0


cdef inline void write_be32(uint8_t* to, uint32_t value) noexcept:
    to[0], to[1], to[2], to[3] = value >> 24, value >> 16 & 0xFF, value >> 8 & 0xFF, value & 0xFF


cdef int64_t LAST_NUMBER = 0x7FFFFFFFFFFFFFFE     # GNO_END is one more (MySQL source, sql/rpl_gtid.h)


cdef int check_gtid(const Gtid* gtid) except -1:
    """Numbers count from 1; a tag is `[a-z_][a-z0-9_]{0,31}` (MySQL manual, "GTID Format and Storage")."""
    cdef Py_ssize_t i
    cdef char c
    if not 1 <= gtid.number <= LAST_NUMBER:
        raise ShortRead(f"a GTID with number {gtid.number}")
    for i in range(gtid.tag_size):
        c = gtid.tag[i]
        if not (c'a' <= c <= c'z' or c == c'_' or (i and c'0' <= c <= c'9')):
            raise ShortRead(f"a GTID tag with the byte 0x{<uint8_t>c:02x}")
    return 0


cdef enum:
    LAST_GTID_FIELD = 11     # group ticket


cdef uint64_t take_field(Cursor* c) except? 0xFFFFFFFFFFFFFFFF:
    """Integer of mysql::serialization: as many bytes follow the first as that has trailing one bits."""
    cdef uint64_t first = take(c, 1)[0]
    cdef int follow = 0
    while follow < 8 and first >> follow & 1:
        follow += 1
    if follow == 8:
        return take_le(c, 8)
    return first >> (follow + 1) | take_le(c, follow) << (7 - follow)


cdef int64_t take_signed_field(Cursor* c) except? -1:
    cdef uint64_t zigzag = take_field(c)
    return <int64_t>(zigzag >> 1) ^ -<int64_t>(zigzag & 1)


cdef int read_tagged_gtid(Cursor* c, Gtid* gtid) except -1:
    """GTID_TAGGED (42): a serialised message of numbered fields, ascending; the header says up to which they matter."""
    cdef int i
    cdef uint64_t field, last
    memset(gtid, 0, sizeof(Gtid))
    take_field(c)            # format version
    take_field(c)            # size
    last = take_field(c)     # field that must be understood
    if last > LAST_GTID_FIELD:
        raise UnsupportedEvent(f"a GTID event whose field {last} must be understood; cdcd knows those up to {LAST_GTID_FIELD}")
    while left(c):
        field = take_field(c)
        if field == 0 or field == 9 or field == 10:
            take_field(c)
        elif field == 1:
            for i in range(16):
                gtid.sid[i] = <uint8_t>take_field(c)
        elif field == 2:
            gtid.number = take_signed_field(c)
        elif field == 3:
            gtid.tag_size = <Py_ssize_t>take_field(c)
            if gtid.tag_size > 32:
                raise ShortRead(f"a GTID tag of {gtid.tag_size} bytes; 32 are allowed")
            memcpy(gtid.tag, take(c, gtid.tag_size), gtid.tag_size)
        elif field == 4 or field == 5:
            take_signed_field(c)
        elif field == 6:
            gtid.logged_us = gtid.commit_us = take_field(c)
        elif field == 7:
            gtid.commit_us = take_field(c)
        elif field == 8:
            gtid.length = take_field(c)
        else:
            break
    return 0


cdef Py_ssize_t write_gtid(char* to, const Gtid* gtid) noexcept:
    """`uuid[:tag]:n`, at most 91 bytes; MariaDB's is `domain-server-n`."""
    cdef const char* hexes = b"0123456789abcdef"
    cdef Py_ssize_t at = 0
    cdef int i
    if gtid.mariadb:
        return write_mariadb_gtid(to, gtid) - to
    for i in range(16):
        if i == 4 or i == 6 or i == 8 or i == 10:
            to[at] = c"-"
            at += 1
        to[at] = hexes[gtid.sid[i] >> 4]
        to[at + 1] = hexes[gtid.sid[i] & 15]
        at += 2
    to[at] = c":"
    at += 1
    if gtid.tag_size:
        memcpy(to + at, gtid.tag, gtid.tag_size)
        at += gtid.tag_size
        to[at] = c":"
        at += 1
    return write_u64(to + at, <uint64_t>gtid.number) - to


cdef char* write_mariadb_gtid(char* to, const Gtid* gtid) noexcept:
    to = write_u64(to, load_be(gtid.sid, 4))
    to[0] = c"-"
    to = write_u64(to + 1, load_be(gtid.sid + 4, 4))
    to[0] = c"-"
    return write_u64(to + 1, <uint64_t>gtid.number)


cdef inline object source_of(const Gtid* gtid):
    """The first member of cdcd.binlog.gtid.Interval."""
    return PyBytes_FromStringAndSize(<const char*>gtid.sid, 8 if gtid.mariadb else 16)


cdef inline bint same_source(const Gtid* a, const Gtid* b) noexcept:
    return a.tag_size == b.tag_size and memcmp(a.sid, b.sid, 16) == 0 and memcmp(a.tag, b.tag, a.tag_size) == 0


cdef class GtidRuns:
    """GTIDs of finished transactions, merged where they follow each other."""

    cdef list taken          # (sid, tag, first, last)
    cdef Gtid last           # the newest, not in the list yet
    cdef int64_t first       # of its run; 0: none

    def __cinit__(self):
        self.taken = []

    cdef int add(self, const Gtid* gtid) except -1:
        cdef Gtid* last = &self.last
        if self.first and gtid.number == last.number + 1 and same_source(gtid, last):
            last.number = gtid.number
            return 0
        self.close()
        self.last = gtid[0]
        self.first = gtid.number
        return 0

    cdef int close(self) except -1:
        if self.first:
            sid = source_of(&self.last)
            tag = PyBytes_FromStringAndSize(self.last.tag, self.last.tag_size).decode("ascii", "replace")
            self.taken.append((sid, tag, self.first, self.last.number))
            self.first = 0
        return 0

    cdef list take(self):
        self.close()
        taken, self.taken = self.taken, []
        return taken


cdef class Known:
    """Transactions that are published already. Python is asked once for each gap among them, not for each transaction."""

    cdef object gap          # (uuid, tag, number) -> (first, end) of the unknown numbers around it, or None
    cdef Gtid last           # whose gap it is
    cdef int64_t first
    cdef int64_t end

    def __cinit__(self, gap):
        self.gap = gap

    cdef bint holds(self, const Gtid* gtid) except -1:
        if not (self.first <= gtid.number < self.end and same_source(gtid, &self.last)):
            sid = source_of(gtid)
            tag = PyBytes_FromStringAndSize(gtid.tag, gtid.tag_size).decode("ascii", "replace")
            around = self.gap(sid, tag, gtid.number)
            if around is None:
                return True
            self.first, self.end = around
            self.last = gtid[0]
        return False


class Statement:
    """A QUERY event that is no mere bracket of a transaction; see native.pyi."""

    __slots__ = ("database", "sql", "databases", "in_transaction", "error")

    def __init__(self, database, sql, databases, in_transaction, error):
        self.database = database
        self.sql = sql
        self.databases = databases
        self.in_transaction = in_transaction
        self.error = error


cdef struct Query:
    uint16_t error
    Cursor status
    cbyte* database
    Py_ssize_t database_size
    cbyte* text
    Py_ssize_t size


cdef int unpack_query(Query* query, list keep) except -1:
    """QUERY_COMPRESSED: only the text is. `keep` holds what it points to."""
    cdef Cursor c = cursor(query.text, query.size)
    text = unpacked(&c)
    keep.append(text)
    query.text = <cbyte*>PyBytes_AsString(text)
    query.size = PyBytes_Size(text)
    return 0


cdef inline bint text_is(const Query* query, const char* text, Py_ssize_t size) noexcept:
    return query.size == size and memcmp(query.text, text, size) == 0


cdef int read_query(const Event* event, Query* query, list keep) except -1:
    """QUERY, QUERY_COMPRESSED (`keep` then holds its text), or EXECUTE_LOAD_QUERY: file id, two positions in the text and a flag stand before the rest."""
    cdef Cursor c = cursor(event.body, event.body_size)
    cdef cbyte* fixed = take(&c, 13)
    take(&c, 13 if event.type == E_EXECUTE_LOAD else 0)
    cdef Py_ssize_t status_size = load_u16(fixed + 11)
    query.database_size = fixed[8]
    query.error = load_u16(fixed + 9)
    query.status = cursor(take(&c, status_size), status_size)
    query.database = take(&c, query.database_size + 1)
    query.size = left(&c)
    query.text = take(&c, query.size)
    return unpack_query(query, keep) if event.type == E_PACKED_QUERY else 0


cdef bint is_query(const Event* event) noexcept:
    return event.type == E_QUERY or event.type == E_PACKED_QUERY or event.type == E_EXECUTE_LOAD


cdef bint ends_by_statement(const Event* event) except -1:
    """Whether it is COMMIT or ROLLBACK, as the server writes them."""
    cdef Query query
    cdef list keep
    if not is_query(event):
        return False
    keep = []
    read_query(event, &query, keep)
    return text_is(&query, b"COMMIT", 6) or text_is(&query, b"ROLLBACK", 8)


# Status variables before "updated databases" (12) and how long each is; -1: a length byte (and what follows) says.
cdef dict STATUS_SIZES = {0: 4, 1: 8, 3: 4, 4: 6, 7: 2, 8: 2, 9: 8, 10: 4, 13: 3, 16: 1, 17: 8, 18: 2, 19: 1, 20: 1, 21: 1, 128: 3, 129: 8}


cdef object updated_databases(Cursor status):
    """Names of status variable 12 (Q_UPDATED_DB_NAMES); () where the statement has none, None where it cannot be known."""
    cdef Cursor c = status
    cdef int key, count
    while left(&c):
        key = take(&c, 1)[0]
        if key == 12:
            count = take(&c, 1)[0]
            if count == 254:    # more databases than are listed
                return None
            names = bytes(take_bytes(&c, left(&c))).split(b"\0")[:count]
            return tuple([name.decode("utf-8", "replace") for name in names])
        if key in STATUS_SIZES:
            take(&c, STATUS_SIZES[key])
        elif key in (5, 6):
            take(&c, take(&c, 1)[0])
        elif key == 2:
            take(&c, <uint64_t>take(&c, 1)[0] + 1)
        elif key == 11:
            take(&c, take(&c, 1)[0])
            take(&c, take(&c, 1)[0])
        else:
            return None         # unknown variables are never fatal; what follows them cannot be read
    return ()


cdef object read_statement(const Query* query, bint in_transaction):
    return Statement(
        PyBytes_FromStringAndSize(<const char*>query.database, query.database_size).decode("utf-8", "replace"),
        PyBytes_FromStringAndSize(<const char*>query.text, query.size),
        updated_databases(query.status),
        in_transaction,
        query.error,
    )
