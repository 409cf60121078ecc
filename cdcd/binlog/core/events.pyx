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
    # MariaDB's own.
    E_ANNOTATE_ROWS = 160
    E_CHECKPOINT = 161
    E_MARIADB_GTID = 162
    E_GTID_LIST = 163
    E_START_ENCRYPTION = 164
    E_PACKED_QUERY = 165
    E_PACKED_WRITE_V1 = 166      # and on to 171: UPDATE, DELETE, then the same of version 2
    E_PACKED_DELETE = 171
    E_PARTIAL_ROWS = 172

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
    E_STOP, E_ROWS_QUERY, E_TRANSACTION_CONTEXT, E_VIEW_CHANGE, E_ANNOTATE_ROWS, E_CHECKPOINT,
))

UNSUPPORTED = {
    E_INCIDENT: "INCIDENT: the source says that changes may be missing from its binlog",
    E_PARTIAL_ROWS: "PARTIAL_ROW_DATA: row events in pieces (MariaDB 12.3) are not read by this version of cdcd",
}


cdef uint64_t LARGEST_EVENT = <uint64_t>1 << 30     # max_allowed_packet's limit


cdef bytes inflated(bytes data, uint64_t size, int window, str what):
    """`data` unpacked, which has to be `size` bytes; never more memory than that."""
    inflate = zlib.decompressobj(window)
    try:
        plain = inflate.decompress(data, size + 1)
    except zlib.error as error:
        raise ShortRead(f"{what} cannot be unpacked: {error}") from None
    if <uint64_t>len(plain) != size or not inflate.eof:
        raise ShortRead(f"{what} does not unpack to the {size} bytes that it announces")
    return plain


cdef struct Event:
    uint32_t timestamp
    int type
    uint32_t server_id       # of the server that made the event first
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
    event.server_id = load_u32(head + 5)
    event.size = load_u32(head + 9)
    event.log_pos = load_u32(head + 13)
    event.flags = load_u16(head + 17)
    event.body = c.at
    event.body_size = left(&c)
    if event.size != <uint64_t>size:
        raise ShortRead(f"the header announces {event.size} bytes, {size} came")
    return 0


cdef bint is_packed_rows(int kind) noexcept:
    return E_PACKED_WRITE_V1 <= kind <= E_PACKED_DELETE


cdef int plain_type(int kind) noexcept:
    """Of a rows event the type that it has, or would have, when its rows are not compressed."""
    if not is_packed_rows(kind):
        return kind
    kind -= E_PACKED_WRITE_V1
    return E_WRITE_V1 + kind if kind < 3 else E_WRITE + kind - 3


cdef bytes unpacked(Cursor* c):
    """What follows in a compressed event: 0x80 | n, n bytes of length (big-endian), zlib (MariaDB source, binlog_buf_compress)."""
    cdef int head = take(c, 1)[0]
    cdef int n = head & 7
    cdef uint64_t size
    if head & 0xF8 != 0x80 or not 1 <= n <= 4:
        raise UnsupportedEvent(f"an event compressed in a way that cdcd does not know (0x{head:02x})")
    size = load_be(take(c, n), n)
    if size > LARGEST_EVENT:
        raise ShortRead(f"a compressed event announces {size} bytes")
    return inflated(take_bytes(c, left(c)), size, zlib.MAX_WBITS, "a compressed event")


cdef enum:
    SEMI_SYNC = 0xEF


cdef void drop_semi_sync_header(Cursor* packet) noexcept:
    """0xEF and a flag stand before the event if the source takes us for a semi-synchronous replica, which we never ask for.

    The first byte of a time stamp may be 0xEF as well: the event's size tells. The flag is left as the packet's first byte.
    """
    if left(packet) < 3 + HEADER or load_u32(packet.at + 1 + 9) == <uint64_t>left(packet) - 1:
        return
    if load_u32(packet.at + 3 + 9) == <uint64_t>left(packet) - 3:
        packet.at += 2


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
