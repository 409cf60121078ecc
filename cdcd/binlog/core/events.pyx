# Event types and the frame that all events share ("Binary Log Events", MySQL internals manual).

cdef enum:
    E_QUERY = 2
    E_STOP = 3
    E_ROTATE = 4
    E_INTVAR = 5
    E_APPEND_BLOCK = 9
    E_DELETE_FILE = 11
    E_RAND = 13
    E_USER_VAR = 14
    E_FDE = 15
    E_XID = 16
    E_BEGIN_LOAD = 17
    E_EXECUTE_LOAD = 18
    E_TABLE_MAP = 19
    E_WRITE_V1 = 23
    E_UPDATE_V1 = 24
    E_DELETE_V1 = 25
    E_INCIDENT = 26
    E_HEARTBEAT = 27
    E_ROWS_QUERY = 29
    E_WRITE = 30
    E_UPDATE = 31
    E_DELETE = 32
    E_GTID = 33
    E_ANONYMOUS = 34
    E_PREVIOUS_GTIDS = 35
    E_TRANSACTION_CONTEXT = 36
    E_VIEW_CHANGE = 37
    E_XA_PREPARE = 38
    E_PARTIAL_UPDATE = 39
    E_PAYLOAD = 40
    E_HEARTBEAT_V2 = 41
    E_TAGGED = 42

cdef enum:
    FLAG_ARTIFICIAL = 0x20
    FLAG_IGNORABLE = 0x80

cdef enum:
    HEADER = 19
    CHECKSUM = 4

# Events of the file itself: a compressed transaction holds none of them.
OUTER_TYPES = frozenset((
    E_STOP, E_ROTATE, E_FDE, E_HEARTBEAT, E_HEARTBEAT_V2, E_GTID, E_ANONYMOUS, E_TAGGED, E_PREVIOUS_GTIDS, E_PAYLOAD,
))

# What may stand between two events of a transaction without being part of it, or shows that events are missing.
BETWEEN_EVENTS = frozenset((E_ROTATE, E_FDE, E_HEARTBEAT, E_HEARTBEAT_V2))

# What the statement behind them needs; whether that concerns us its own event tells.
# Then what a server notes for others: its end, the text of a row change, group replication.
NOTHING_TO_DO = frozenset((
    E_INTVAR, E_RAND, E_USER_VAR, E_BEGIN_LOAD, E_APPEND_BLOCK, E_DELETE_FILE,
    E_STOP, E_ROWS_QUERY, E_TRANSACTION_CONTEXT, E_VIEW_CHANGE,
))

UNSUPPORTED = {
    E_INCIDENT: "INCIDENT: the source says that changes may be missing from its binlog",
    E_XA_PREPARE: "XA PREPARE: prepared XA transactions are not published by this version of cdcd",
}


cdef struct Event:
    uint32_t timestamp
    int type
    uint32_t size
    uint32_t log_pos
    int flags
    cbyte* body
    Py_ssize_t body_size     # without header and checksum


cdef int read_header(Event* event, cbyte* data, Py_ssize_t size) except -1:
    """The header of an event of exactly `size` bytes; the body is everything behind it, a checksum included."""
    cdef Cursor c = cursor(data, size)
    cdef cbyte* head = take(&c, HEADER)
    event.timestamp = load_u32(head)
    event.type = head[4]
    event.size = load_u32(head + 9)
    event.log_pos = load_u32(head + 13)
    event.flags = load_u16(head + 17)
    event.body = c.at
    event.body_size = left(&c)
    if event.size != <uint64_t>size:
        raise ShortRead(f"the header announces {event.size} bytes, {size} came")
    return 0


cdef int strip_checksum(Event* event) except -1:
    """Verify the CRC32 at the event's end and take it off the body."""
    cdef cbyte* start = event.body - HEADER
    if event.body_size < CHECKSUM:
        raise ShortRead("no room for a checksum")
    event.body_size -= CHECKSUM
    if crc32(start, event.size - CHECKSUM) != load_u32(event.body + event.body_size):
        raise ShortRead("its CRC32 checksum does not match: the event was damaged")
    return 0


cdef tuple version_tuple(str version):
    return tuple([int(part) for part in version.split(".") if part.isdigit()])
