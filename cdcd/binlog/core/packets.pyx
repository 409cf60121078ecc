# The socket's bytes, cut into packets, and their checksums.

cdef enum:
    MAX_PIECE = 0xFFFFFF  # a packet of this length is continued in the next ("Sending More Than 16Mb", MySQL manual)
    MAX_EVENT = (1 << 30) + (1 << 20)   # max_allowed_packet's limit, and room for what stands around the data


cdef uint32_t[8][256] CRC_TABLES


cdef void build_crc_tables() noexcept:
    """Tables for CRC-32 (IEEE 802.3, as zlib's crc32) eight bytes at a step ("slicing by 8")."""
    cdef uint32_t i, j, crc
    for i in range(256):
        crc = i
        for j in range(8):
            crc = (crc >> 1) ^ (0xEDB88320U if crc & 1 else 0)
        CRC_TABLES[0][i] = crc
    for i in range(256):
        crc = CRC_TABLES[0][i]
        for j in range(1, 8):
            crc = (crc >> 8) ^ CRC_TABLES[0][crc & 0xFF]
            CRC_TABLES[j][i] = crc


build_crc_tables()


cdef uint32_t crc32(cbyte* p, Py_ssize_t n) noexcept:
    cdef uint32_t crc = 0xFFFFFFFFU
    cdef uint32_t low, high
    while n >= 8:
        low = crc ^ load_u32(p)
        high = load_u32(p + 4)
        crc = (
            CRC_TABLES[7][low & 0xFF] ^ CRC_TABLES[6][low >> 8 & 0xFF] ^ CRC_TABLES[5][low >> 16 & 0xFF] ^ CRC_TABLES[4][low >> 24]
            ^ CRC_TABLES[3][high & 0xFF] ^ CRC_TABLES[2][high >> 8 & 0xFF] ^ CRC_TABLES[1][high >> 16 & 0xFF] ^ CRC_TABLES[0][high >> 24]
        )
        p += 8
        n -= 8
    while n > 0:
        crc = (crc >> 8) ^ CRC_TABLES[0][(crc ^ p[0]) & 0xFF]
        p += 1
        n -= 1
    return ~crc


cdef struct Inbox:
    # Bytes fed and not yet handled: data[start:end].
    char* data
    Py_ssize_t start
    Py_ssize_t end
    Py_ssize_t room


cdef extern from *:
    """
    /* Under AddressSanitizer (make fuzz) nothing around the event in work may be touched, though it stands in one buffer with
       others. */
    #if defined(__SANITIZE_ADDRESS__)
    #include <sanitizer/asan_interface.h>
    #define fence_off(box, begin, end) do { \\
        ASAN_POISON_MEMORY_REGION((box)->data, (const char*)(begin) - (box)->data); \\
        ASAN_POISON_MEMORY_REGION((end), (box)->data + (box)->room - (const char*)(end)); } while (0)
    #define open_up(box) ASAN_UNPOISON_MEMORY_REGION((box)->data, (box)->room)
    #else
    #define fence_off(box, begin, end) ((void)0)
    #define open_up(box) ((void)0)
    #endif
    """
    void fence_off(Inbox* box, const void* begin, const void* end) noexcept
    void open_up(Inbox* box) noexcept


cdef int inbox_append(Inbox* box, const char* data, Py_ssize_t n) except -1:
    cdef Py_ssize_t held = box.end - box.start
    cdef Py_ssize_t room = box.room
    cdef char* grown
    if n == 0:
        return 0
    open_up(box)
    if box.start and (held == 0 or box.end + n > room):
        memmove(box.data, box.data + box.start, held)
        box.start = 0
        box.end = held
    if held + n > room:
        while held + n > room:
            room = room * 2 if room else 1 << 19
        grown = <char*>realloc(box.data, room)
        if grown == NULL:
            raise MemoryError(f"no {room} bytes for an event")
        box.data = grown
        box.room = room
    memcpy(box.data + box.end, data, n)
    box.end += n
    return 0


cdef void inbox_trim(Inbox* box) noexcept:
    """Give memory back after a giant event, so that it does not stay resident for ever."""
    if box.room > (8 << 20) and box.start == box.end:
        free(box.data)
        box.data = NULL
        box.start = box.end = box.room = 0


cdef class Packets:
    """Splits the stream into packets and joins continued ones ("Protocol::Packet", MySQL manual)."""

    cdef Inbox inbox
    cdef Out joined         # pieces of a packet over 16 MiB
    cdef bint joining
    cdef bint handed        # `joined` was given out and may be cleared
    cdef uint8_t sequence

    def __cinit__(self):
        self.sequence = 1   # the dump command was number 0

    def __dealloc__(self):
        free(self.inbox.data)
        release(&self.joined)

    cdef int feed(self, bytes data) except -1:
        return inbox_append(&self.inbox, <const char*>PyBytes_AsString(data), PyBytes_Size(data))

    cdef int next(self, Cursor* packet) except -1:
        """1 and the next whole packet's payload, valid until the next call or feed; 0 when bytes are missing."""
        cdef cbyte* p
        cdef Py_ssize_t size
        if self.handed:
            self.drop_joined()
        open_up(&self.inbox)
        while True:
            if self.inbox.end - self.inbox.start < 4:
                inbox_trim(&self.inbox)
                return 0
            p = <cbyte*>self.inbox.data + self.inbox.start
            size = load_u24(p)
            if self.inbox.end - self.inbox.start - 4 < size:
                return 0
            if p[3] != self.sequence:
                raise ShortRead(f"packet number {p[3]} follows where {self.sequence} is due: packets were lost")
            self.sequence += 1
            self.inbox.start += 4 + size
            if size < MAX_PIECE and not self.joining:
                packet[0] = cursor(p + 4, size)
                fence_off(&self.inbox, p + 4, p + 4 + size)
                return 1
            if self.joined.size + size > MAX_EVENT:
                raise ShortRead(f"an event of more than {MAX_EVENT} bytes")
            put(&self.joined, p + 4, size)
            self.joining = size == MAX_PIECE
            if not self.joining:
                self.handed = True
                packet[0] = cursor(<cbyte*>self.joined.data, self.joined.size)
                return 1

    cdef void drop_joined(self) noexcept:
        self.handed = False
        release(&self.joined)
