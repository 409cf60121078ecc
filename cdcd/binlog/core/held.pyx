# XA transactions: held back from XA PREPARE to XA COMMIT (binlog.md section 5).
#
# A held transaction is a stretch of the binlog. Small ones are kept in memory as they were read; all others are read
# again. Either way their events come back in the form in which a compressed transaction has them.

cdef enum:
    LARGEST_KEPT = 1 << 20   # bytes of one transaction
    MOST_KEPT = 8 << 20      # of all


cdef class Events:
    """Events as they stand in a compressed transaction: one behind the other, without checksum."""

    cdef Out out
    cdef Py_ssize_t limit    # 0: none
    cdef bint dropped        # they were more than `limit`

    def __dealloc__(self):
        release(&self.out)

    cdef int begin(self, Py_ssize_t limit) except -1:
        self.out.size = 0
        self.limit = limit
        self.dropped = False
        return 0

    cdef int add(self, const Event* event) except -1:
        cdef uint32_t size = HEADER + <uint32_t>event.body_size
        if self.dropped:
            return 0
        if self.limit and self.out.size + size > self.limit:
            self.dropped = True
            release(&self.out)
            return 0
        put(&self.out, event.body - HEADER, HEADER)
        memcpy(self.out.data + self.out.size - HEADER + 9, &size, 4)    # without the checksum; little-endian as the machine
        return put(&self.out, event.body, event.body_size)

    cdef bytes take(self):
        """None if they were too many."""
        cdef bytes taken = None
        if not self.dropped:
            taken = PyBytes_FromStringAndSize(self.out.data, self.out.size) if self.out.size else b""
        self.out.size = 0
        return taken


cdef class Held:
    """Prepared XA transactions by xid, the oldest first, and the events of the newest and small ones."""

    cdef dict prepared       # xid -> Prepared
    cdef dict kept           # xid -> events
    cdef dict told           # xid -> `told` of the decoder when it was prepared
    cdef Py_ssize_t kept_size

    def __cinit__(self):
        self.prepared = {}
        self.kept = {}
        self.told = {}

    cdef int add(self, prepared, bytes events, uint64_t told) except -1:
        """`events` is None if they were too many to be kept."""
        self.drop(prepared.xid)      # an xid may be used again
        self.prepared[prepared.xid] = prepared
        self.told[prepared.xid] = told
        if len(self.prepared) > MOST_HELD:
            self.drop(next(iter(self.prepared)))
        if events is not None:
            self.kept[prepared.xid] = events
            self.kept_size += len(events)
        while self.kept_size > MOST_KEPT:
            self.drop_events(next(iter(self.kept)))
        return 0

    cdef int drop(self, str xid) except -1:
        self.prepared.pop(xid, None)
        self.told.pop(xid, None)
        return self.drop_events(xid)

    cdef int drop_events(self, str xid) except -1:
        self.kept_size -= len(self.kept.pop(xid, b""))
        return 0


cdef tuple read_prepare(const Event* event):
    """XA_PREPARE (38): (whether it commits in one phase, xid)."""
    cdef Cursor c = cursor(event.body, event.body_size)
    cdef bint one_phase = take(&c, 1)[0] != 0
    cdef cbyte* fixed = take(&c, 12)
    cdef uint32_t format = load_u32(fixed), gtrid = load_u32(fixed + 4), bqual = load_u32(fixed + 8)
    return one_phase, xid_text(take_bytes(&c, gtrid).hex(), take_bytes(&c, bqual).hex(), format)


cdef str xid_text(str gtrid, str bqual, uint32_t format):
    """The event has 32 bits of the format id, the statement more: those that both have tell transactions apart."""
    return f"X'{gtrid}',X'{bqual}',{format}"


XA_END = re.compile(rb"XA (COMMIT|ROLLBACK) X'([0-9a-f]*)',X'([0-9a-f]*)',(-?[0-9]{1,20})\s*", re.IGNORECASE)


cdef tuple read_xa_end(bytes sql):
    """(COMMIT or ROLLBACK, xid) of the second phase's statement, which the source always writes in one form."""
    match = XA_END.fullmatch(sql)
    if match is None:
        raise ShortRead("an XA statement of a form that no source writes")
    verb, gtrid, bqual, format = [part.decode("ascii") for part in match.groups()]
    return verb.upper(), xid_text(gtrid.lower(), bqual.lower(), int(format) & 0xFFFFFFFF)
