# Compressed transactions: TRANSACTION_PAYLOAD (binlog.md section 5).

cdef class Payload:
    """The events inside one, unpacked piece by piece, so that its size does not matter."""

    cdef object pieces
    cdef Inbox inbox

    def __cinit__(self, pieces):
        self.pieces = iter(pieces)

    def __dealloc__(self):
        free(self.inbox.data)

    cdef int next(self, Cursor* event) except -1:
        """1 and the next event, valid until the next call; 0 at the end."""
        cdef Inbox* box = &self.inbox
        cdef Py_ssize_t held, size
        cdef cbyte* data
        open_up(box)
        while True:
            held = box.end - box.start
            if held >= HEADER:
                data = <cbyte*>box.data + box.start
                size = load_u32(data + 9)
                if not HEADER <= size <= MAX_EVENT:
                    raise ShortRead(f"an event of {size} bytes in a compressed transaction")
                if held >= size:
                    box.start += size
                    event[0] = cursor(data, size)
                    fence_off(box, data, data + size)
                    return 1
            piece = next(self.pieces, None)
            if piece is None:
                if held:
                    raise ShortRead(f"a compressed transaction ends {held} bytes into an event")
                return 0
            inbox_append(box, <const char*>PyBytes_AsString(piece), PyBytes_Size(piece))


cdef tuple read_payload(const Event* event):
    """(compression, packed events)."""
    cdef Cursor c = cursor(event.body, event.body_size)
    cdef Cursor value
    cdef uint64_t compression = 255, size = 0
    cdef uint64_t field, n
    while True:
        field = take_packed(&c)
        if field == 0:
            break
        n = take_packed(&c)
        value = cursor(take(&c, n), n)
        if field == 1:
            size = take_packed(&value)
        elif field == 2:
            compression = take_packed(&value)
    if size != <uint64_t>left(&c):
        raise ShortRead(f"a compressed transaction announces {size} bytes, {left(&c)} came")
    return compression, PyBytes_FromStringAndSize(<const char*>c.at, left(&c))
