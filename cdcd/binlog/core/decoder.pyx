# One dump's state machine: packets -> events -> transactions, rows -> messages.

cdef enum:
    R_NONE = 0
    R_NEED_BYTES = 1
    R_OUTPUT_FULL = 2
    R_BOUNDARY = 3
    R_STATEMENT = 4
    R_CONTROL = 5
    R_END = 6

NEED_BYTES = R_NEED_BYTES
OUTPUT_FULL = R_OUTPUT_FULL
BOUNDARY = R_BOUNDARY
STATEMENT = R_STATEMENT
CONTROL = R_CONTROL
END = R_END

LITERAL, AFTER, BEFORE, CHANGED, COLUMN, SEQ, NOW_MS, COMMIT_MS, GTID = range(9)

cdef enum:
    E_QUERY = 2
    E_STOP = 3
    E_ROTATE = 4
    E_FDE = 15
    E_XID = 16
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
    MOST_PLANS = 20000     # distinct table maps kept; beyond that all are asked for again
    DUMMY_TABLE = -1

UNSUPPORTED = {
    5: "INTVAR: a change logged as a statement, not as rows",
    9: "LOAD DATA logged as a statement, not as rows",
    11: "LOAD DATA logged as a statement, not as rows",
    13: "RAND: a change logged as a statement, not as rows",
    14: "USER_VAR: a change logged as a statement, not as rows",
    17: "LOAD DATA logged as a statement, not as rows",
    18: "LOAD DATA logged as a statement, not as rows",
    E_INCIDENT: "INCIDENT: the source says that changes may be missing from its binlog",
    E_XA_PREPARE: "XA PREPARE: prepared XA transactions are not published by this version of cdcd",
    E_PARTIAL_UPDATE: "PARTIAL_UPDATE_ROWS: binlog_row_value_options=PARTIAL_JSON is not read by this version of cdcd",
}


cdef struct Event:
    uint32_t timestamp
    int type
    uint32_t size
    uint32_t log_pos
    int flags
    cbyte* body
    Py_ssize_t body_size     # without header and checksum


cdef tuple version_tuple(str version):
    return tuple([int(part) for part in version.split(".") if part.isdigit()])


cdef inline bint text_is(const Query* query, const char* text, Py_ssize_t size) noexcept:
    return query.size == size and memcmp(query.text, text, size) == 0


cdef Py_ssize_t write_gtid(char* to, const Gtid* gtid) noexcept:
    """`uuid[:tag]:n`, at most 91 bytes."""
    cdef const char* hexes = b"0123456789abcdef"
    cdef Py_ssize_t at = 0
    cdef int i
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


cdef class Table:
    """A table map in force: how to read its rows and, unless they are left out, what to make of them."""

    cdef bytes map           # the event's body without the table id
    cdef Layout layout       # None while scanning
    cdef Plan plan           # None: left out
    cdef object schema


cdef class Decoder:
    cdef object catalog
    cdef object inflate
    cdef object id_prefix
    cdef Packets packets
    cdef dict tables         # table id -> Table; ids are re-used by a restarted server
    cdef dict known          # map without id -> Table
    cdef int64_t last_id     # the table map seen last, which is nearly always the one asked for
    cdef Table last
    cdef list routes         # with messages that wait
    cdef Out key_text
    cdef Out old_key_text
    cdef Out text
    cdef Value* before
    cdef Value* after
    cdef Py_ssize_t value_room

    # the stream
    cdef bint checksums
    cdef int rows_id_size
    cdef object payload      # pieces of the compressed transaction being read, or None
    cdef Inbox payload_bytes
    cdef readonly bytes control
    cdef readonly object statement
    cdef readonly str file
    cdef readonly uint64_t offset
    cdef readonly str server_version
    cdef readonly bytes previous_gtids
    cdef readonly dict ignored
    cdef readonly int event_type
    cdef uint64_t event_offset

    # transactions
    cdef readonly bint in_transaction
    cdef readonly uint64_t start_offset
    cdef readonly uint64_t end_offset
    cdef readonly uint64_t transaction_start
    cdef uint64_t transaction_bytes
    cdef Gtid gtid
    cdef readonly bint has_gtid
    cdef bint begun          # BEGIN came: statements that follow are part of the transaction
    cdef bint started        # a transaction was seen in this dump
    cdef readonly uint64_t rows_done
    cdef readonly uint64_t commit_us
    cdef readonly uint64_t logged_us
    cdef str expected
    cdef uint64_t skip_rows
    cdef bint ended          # a transaction ended in the event just handled
    cdef list gtids          # finished, merged: [sid, tag, first, last]
    cdef Gtid run            # the newest of them, not yet in the list
    cdef int64_t run_first   # 0: none

    # texts that many messages share
    cdef char[96] gtid_text
    cdef Py_ssize_t gtid_text_size
    cdef char[24] commit_text
    cdef Py_ssize_t commit_text_size
    cdef char[24] now_text
    cdef Py_ssize_t now_text_size
    cdef uint64_t pending    # bytes of messages that wait

    cdef public uint64_t seq
    cdef readonly uint64_t inserts
    cdef readonly uint64_t updates
    cdef readonly uint64_t deletes
    cdef readonly uint64_t filtered
    cdef readonly uint64_t transactions

    def __cinit__(self, catalog, inflate=None, id_prefix=None):
        self.catalog = catalog
        self.inflate = inflate
        self.id_prefix = id_prefix
        self.packets = Packets()
        self.tables = {}
        self.known = {}
        self.last_id = DUMMY_TABLE
        self.routes = []
        self.checksums = True      # announced before the dump; an FDE says otherwise
        self.rows_id_size = 6
        self.control = b""
        self.file = ""
        self.server_version = ""
        self.previous_gtids = b""
        self.ignored = {}
        self.expected = ""
        self.gtids = []
        self.event_type = -1

    def __dealloc__(self):
        release(&self.text)
        release(&self.key_text)
        release(&self.old_key_text)
        free(self.before)
        free(self.after)
        free(self.payload_bytes.data)

    # ---------------------------------------------------------------- what the worker calls

    def feed(self, bytes data):
        self.packets.feed(data)

    def decode(self, int64_t now_ms, uint64_t limit=1 << 20, bint stop_at_boundary=False):
        self.now_text_size = write_u64(self.now_text, <uint64_t>now_ms) - self.now_text
        try:
            return self.run_events(limit, stop_at_boundary)
        except ShortRead as error:
            raise MalformedEvent(str(error), self.file, self.event_offset, self.event_type) from None
        except UnsupportedEvent as error:
            raise UnsupportedEvent(error.reason, self.file, self.event_offset, self.event_type) from None

    def take_runs(self):
        cdef list taken = []
        cdef Route route
        for route in self.routes:
            route.take_into(taken)
        self.routes = []
        self.pending = 0
        return taken

    def take_gtids(self):
        self.close_run()
        taken, self.gtids = self.gtids, []
        return taken

    def resume(self, str transaction, uint64_t rows_done):
        self.expected = transaction
        self.skip_rows = rows_done

    def forget(self, str database, str table):
        self.known = {m: t for m, t in self.known.items() if (t.schema.database, t.schema.table) != (database, table)}
        self.drop_table_ids()

    def forget_all(self):
        self.known = {}
        self.drop_table_ids()

    @property
    def transaction(self):
        if self.has_gtid:
            return PyBytes_FromStringAndSize(self.gtid_text, self.gtid_text_size).decode("ascii")
        return f"{self.file}:{self.transaction_start}" if self.started else ""

    @property
    def transaction_length(self):
        return self.gtid.length

    @property
    def transaction_done(self):
        return self.transaction_bytes

    @property
    def buffered(self):
        return self.packets.inbox.end - self.packets.inbox.start + self.packets.joined.size

    # ---------------------------------------------------------------- packets and events

    cdef int run_events(self, uint64_t limit, bint stop_at_boundary) except -1:
        cdef Cursor packet
        cdef int reason
        while True:
            self.ended = False
            if self.payload is not None:
                reason = self.next_inner()
            else:
                if not self.packets.next(&packet):
                    return R_NEED_BYTES
                reason = self.handle_packet(&packet)
            if reason != R_NONE:
                return reason
            if self.ended and stop_at_boundary:
                return R_BOUNDARY
            if self.pending >= limit:
                return R_OUTPUT_FULL

    cdef int handle_packet(self, Cursor* packet) except -1:
        cdef uint8_t status
        self.event_offset = self.offset
        self.event_type = -1
        if left(packet) == 0:
            raise ShortRead("an empty packet")
        status = packet.at[0]
        if status == 0xFF or (status == 0xFE and left(packet) < 9):
            self.control = PyBytes_FromStringAndSize(<const char*>packet.at, left(packet))
            return R_END
        if status != 0:
            raise ShortRead(f"a packet that starts with 0x{status:02x} is no event")
        take(packet, 1)
        return self.handle_event(packet.at, left(packet), packet.at - 1, False)

    cdef int handle_event(self, cbyte* data, Py_ssize_t size, cbyte* packet, bint inner) except -1:
        """Check the frame of one event and hand it on. `packet`: its packet with the status byte, for CONTROL."""
        cdef Event event
        cdef Cursor c = cursor(data, size)
        cdef cbyte* head = take(&c, HEADER)
        cdef bint checked = self.checksums and not inner
        event.timestamp = load_u32(head)
        event.type = head[4]
        event.size = load_u32(head + 9)
        event.log_pos = load_u32(head + 13)
        event.flags = load_u16(head + 17)
        self.event_type = event.type
        if event.size != <uint64_t>size:
            raise ShortRead(f"the header announces {event.size} bytes, {size} came")
        if event.type == E_FDE:
            checked = self.read_fde_checksum(data, size)
        if checked:
            if left(&c) < CHECKSUM:
                raise ShortRead("no room for a checksum")
            c.end -= CHECKSUM
            if crc32(data, size - CHECKSUM) != load_u32(c.end):
                raise ShortRead("its CRC32 checksum does not match: the event was damaged")
        event.body = c.at
        event.body_size = left(&c)
        self.account(&event, inner)
        reason = self.handle_body(&event, inner)
        if event.type in (E_FDE, E_ROTATE):
            self.control = PyBytes_FromStringAndSize(<const char*>packet, size + 1)
            return R_CONTROL
        return reason

    cdef int account(self, const Event* event, bint inner) except -1:
        """Follow the position, and prove that no byte of a transaction is missing (binlog.md section 9)."""
        cdef uint64_t end
        if inner:
            return 0
        if event.log_pos != 0 and not event.flags & FLAG_ARTIFICIAL and event.type not in (E_HEARTBEAT, E_HEARTBEAT_V2):
            end = self.widened(event.log_pos)
            if self.in_transaction and end - event.size != self.offset:
                raise ShortRead(f"it starts at {end - event.size}, the one before ended at {self.offset}: events are missing")
            self.event_offset = end - event.size
            self.offset = end
        if self.in_transaction:
            self.transaction_bytes += event.size
        return 0

    cdef uint64_t widened(self, uint32_t low) noexcept:
        """A 32-bit position as it continues `offset`: a huge transaction makes a file larger than 4 GiB."""
        cdef uint64_t wide = (self.offset & ~<uint64_t>0xFFFFFFFF) | low
        if wide < self.offset and self.offset - wide > 0x7FFFFFFF:
            wide += <uint64_t>1 << 32
        return wide

    cdef int handle_body(self, const Event* event, bint inner) except -1:
        cdef int kind = event.type
        if kind == E_WRITE or kind == E_UPDATE or kind == E_DELETE:
            return self.handle_rows(event, True)
        if kind == E_TABLE_MAP:
            return self.handle_table_map(event)
        if kind == E_GTID or kind == E_ANONYMOUS or kind == E_TAGGED:
            return self.handle_gtid(event)
        if kind == E_QUERY:
            return self.handle_query(event)
        if kind == E_XID:
            return self.end_transaction()
        if kind == E_WRITE_V1 or kind == E_UPDATE_V1 or kind == E_DELETE_V1:
            return self.handle_rows(event, False)
        return self.handle_rare(event)

    cdef int handle_rare(self, const Event* event) except -1:
        cdef int kind = event.type
        if kind == E_ROTATE:
            return self.handle_rotate(event)
        if kind == E_FDE:
            return self.handle_fde(event)
        if kind == E_HEARTBEAT or kind == E_HEARTBEAT_V2:
            return self.handle_heartbeat(event)
        if kind == E_PAYLOAD:
            return self.handle_payload(event)
        if kind == E_PREVIOUS_GTIDS:
            self.previous_gtids = PyBytes_FromStringAndSize(<const char*>event.body, event.body_size)
            return R_NONE
        if kind in (E_STOP, E_ROWS_QUERY, E_TRANSACTION_CONTEXT, E_VIEW_CHANGE):
            return R_NONE
        if self.catalog is None and kind in UNSUPPORTED:
            return self.end_transaction() if kind == E_XA_PREPARE else R_NONE   # a scan only looks for positions
        if kind in UNSUPPORTED:
            raise UnsupportedEvent(UNSUPPORTED[kind])
        if event.flags & FLAG_IGNORABLE:
            self.ignored[kind] = self.ignored.get(kind, 0) + 1
            return R_NONE
        raise UnsupportedEvent(f"an event of unknown type {kind}, which is not marked as ignorable")

    # ---------------------------------------------------------------- files

    cdef bint read_fde_checksum(self, cbyte* data, Py_ssize_t size) except -1:
        """Whether the FDE ends in a checksum; its algorithm byte rules all later events of the file."""
        cdef Cursor c = cursor(data, size)
        take(&c, HEADER + 2)
        version = bytes(take_bytes(&c, 50)).rstrip(b"\0").decode("ascii", "replace")
        self.server_version = version.split("-")[0]
        self.checksums = False
        if "MariaDB" not in version and version_tuple(self.server_version) < (5, 6, 1):
            return False
        if left(&c) < CHECKSUM + 1:
            raise ShortRead("a format description without checksum algorithm")
        algorithm = data[size - CHECKSUM - 1]
        if algorithm > 1:
            raise UnsupportedEvent(f"binlog checksum algorithm {algorithm}; cdcd knows NONE and CRC32")
        self.checksums = algorithm == 1
        return True     # whatever the algorithm, the FDE itself always carries a valid CRC32

    cdef int handle_fde(self, const Event* event) except -1:
        cdef Cursor c = cursor(event.body, event.body_size)
        take(&c, 2 + 50 + 4)
        if take(&c, 1)[0] != HEADER:
            raise UnsupportedEvent("events with a header of another length than 19 bytes")
        lengths = take(&c, E_WRITE_V1)
        self.rows_id_size = 4 if lengths[E_TABLE_MAP - 1] == 6 else 6
        self.drop_table_ids()
        return R_NONE

    cdef int handle_rotate(self, const Event* event) except -1:
        cdef Cursor c = cursor(event.body, event.body_size)
        cdef uint64_t offset = load_u64(take(&c, 8))
        name = take_bytes(&c, left(&c)).decode("utf-8", "replace")
        if self.in_transaction:
            raise ShortRead("the binlog file changes inside a transaction: events are missing")
        if name != self.file:
            self.file = name
            self.start_offset = self.end_offset = offset
        self.offset = offset
        self.drop_table_ids()
        return R_NONE

    cdef void drop_table_ids(self) noexcept:
        self.tables = {}
        self.last_id = DUMMY_TABLE
        self.last = None

    cdef int handle_heartbeat(self, const Event* event) except -1:
        """The source is idle, or skips transactions that we have: the position moves on."""
        cdef Cursor c = cursor(event.body, event.body_size)
        cdef uint64_t position = event.log_pos
        cdef Cursor value
        cdef int field
        name = None
        if event.type == E_HEARTBEAT:
            position = self.widened(event.log_pos)
            name = take_bytes(&c, left(&c))
        else:
            while left(&c):
                field = <int>take_packed(&c)
                if field == 0:
                    break
                size = take_packed(&c)
                value = cursor(take(&c, size), size)
                if field == 1:
                    name = take_bytes(&value, size)
                elif field == 2:
                    position = take_packed(&value)
        if self.in_transaction or name is None or name.decode("utf-8", "replace") != self.file or position <= self.offset:
            return R_NONE
        self.offset = self.start_offset = self.end_offset = position
        return R_NONE

    # ---------------------------------------------------------------- transactions

    cdef int begin_transaction(self, const Event* event) except -1:
        if self.in_transaction:
            raise ShortRead("a transaction begins inside another: events are missing")
        self.in_transaction = self.started = True
        self.begun = False
        self.transaction_start = self.event_offset
        self.transaction_bytes = event.size
        self.rows_done = 0
        return 0

    cdef int handle_gtid(self, const Event* event) except -1:
        cdef Cursor c = cursor(event.body, event.body_size)
        self.begin_transaction(event)
        if event.type == E_TAGGED:
            read_tagged_gtid(&c, &self.gtid)
        else:
            read_gtid(&c, &self.gtid)
        self.has_gtid = event.type != E_ANONYMOUS
        if self.gtid.commit_us == 0:
            self.gtid.commit_us = self.gtid.logged_us = <uint64_t>event.timestamp * 1000000
        self.commit_us = self.gtid.commit_us
        self.logged_us = self.gtid.logged_us
        self.write_transaction_texts()
        self.check_expected()
        return R_NONE

    cdef int begin_without_gtid(self, const Event* event) except -1:
        """BEGIN or a statement where no GTID event came before: MySQL 5.6 without GTIDs."""
        self.begin_transaction(event)
        self.has_gtid = False
        memset(&self.gtid, 0, sizeof(Gtid))
        self.commit_us = self.logged_us = self.gtid.commit_us = <uint64_t>event.timestamp * 1000000
        self.write_transaction_texts()
        self.check_expected()
        return 0

    cdef void write_transaction_texts(self) noexcept:
        self.commit_text_size = write_u64(self.commit_text, self.gtid.commit_us // 1000) - self.commit_text
        self.gtid_text_size = write_gtid(self.gtid_text, &self.gtid) if self.has_gtid else 0

    cdef int check_expected(self) except -1:
        if self.expected:
            if self.transaction != self.expected:
                raise ShortRead(f"the position is inside transaction {self.expected}, but the source sends {self.transaction} first")
            self.expected = ""
        return 0

    cdef int end_transaction(self) except -1:
        if not self.in_transaction:
            raise ShortRead("a transaction ends that never began: events are missing")
        if self.gtid.length and self.transaction_bytes != self.gtid.length:
            raise ShortRead(f"the transaction announces {self.gtid.length} bytes, {self.transaction_bytes} came")
        if self.skip_rows:
            raise ShortRead(f"the transaction ends {self.skip_rows} row changes before the stored position: it is not the one that was cut")
        self.in_transaction = False
        self.ended = True
        self.transactions += 1
        self.start_offset = self.transaction_start
        self.end_offset = self.offset
        self.rows_done = 0
        if self.has_gtid:
            self.add_gtid()
        return R_NONE

    cdef int add_gtid(self) except -1:
        cdef Gtid* g = &self.gtid
        cdef Gtid* r = &self.run
        if (
            self.run_first and g.number == r.number + 1 and g.tag_size == r.tag_size
            and memcmp(g.sid, r.sid, 16) == 0 and memcmp(g.tag, r.tag, g.tag_size) == 0
        ):
            r.number = g.number
            return 0
        self.close_run()
        self.run = self.gtid
        self.run_first = g.number
        return 0

    cdef int close_run(self) except -1:
        if self.run_first:
            sid = PyBytes_FromStringAndSize(<const char*>self.run.sid, 16)
            tag = PyBytes_FromStringAndSize(self.run.tag, self.run.tag_size).decode("ascii", "replace")
            self.gtids.append((sid, tag, self.run_first, self.run.number))
            self.run_first = 0
        return 0

    cdef int handle_query(self, const Event* event) except -1:
        cdef Cursor c = cursor(event.body, event.body_size)
        cdef Query query
        read_query(&c, &query)
        if text_is(&query, b"BEGIN", 5):
            if not self.in_transaction:
                self.begin_without_gtid(event)
            self.begun = True
            return R_NONE
        if text_is(&query, b"COMMIT", 6) or text_is(&query, b"ROLLBACK", 8):
            return self.end_transaction()
        return self.handle_statement(event, &query)

    cdef int handle_statement(self, const Event* event, const Query* query) except -1:
        """A DDL is a transaction by itself: GTID, then this. Inside BEGIN it is CREATE TABLE ... SELECT, or DML."""
        cdef bint alone
        text = PyBytes_FromStringAndSize(<const char*>query.text, min(query.size, 24)).upper()
        if text.startswith((b"SAVEPOINT", b"ROLLBACK TO", b"RELEASE SAVEPOINT")):
            return R_NONE
        if text.startswith(b"XA ") and self.catalog is not None:
            raise UnsupportedEvent("XA transactions are not published by this version of cdcd")
        if not self.in_transaction:
            self.begin_without_gtid(event)
        alone = not self.begun
        if self.skip_rows and not alone:
            return R_NONE        # published with the part that was committed before
        self.statement = read_statement(query, not alone)
        if alone:
            self.end_transaction()
        return R_STATEMENT

    # ---------------------------------------------------------------- compressed transactions

    cdef int handle_payload(self, const Event* event) except -1:
        """TRANSACTION_PAYLOAD: fields, then the transaction's events, compressed (binlog.md section 5)."""
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
        if self.inflate is None:
            return self.end_transaction()      # a scan does not look inside
        data = PyBytes_FromStringAndSize(<const char*>c.at, left(&c))
        self.payload = iter(self.inflate(compression, data))
        return R_NONE

    cdef int next_inner(self) except -1:
        """One event of the compressed transaction, or the end of it."""
        cdef Inbox* box = &self.payload_bytes
        cdef Py_ssize_t held, size
        cdef cbyte* data
        while True:
            held = box.end - box.start
            if held >= HEADER:
                data = <cbyte*>box.data + box.start
                size = load_u32(data + 9)
                if size < HEADER:
                    raise ShortRead(f"an event of {size} bytes in a compressed transaction")
                if held >= size:
                    box.start += size
                    return self.handle_event(data, size, data, True)
            piece = next(self.payload, None)
            if piece is None:
                if held:
                    raise ShortRead(f"a compressed transaction ends {held} bytes into an event")
                if self.in_transaction:
                    raise ShortRead("a compressed transaction holds no commit")
                self.payload = None
                inbox_trim(box)
                return R_NONE
            inbox_append(box, <const char*>PyBytes_AsString(piece), PyBytes_Size(piece))

    # ---------------------------------------------------------------- rows

    cdef int handle_table_map(self, const Event* event) except -1:
        cdef Cursor c = cursor(event.body, event.body_size)
        cdef int64_t id = <int64_t>take_le(&c, self.rows_id_size)
        cdef Table table
        if self.catalog is None:
            return R_NONE
        if id == self.last_id and map_is(self.last, &c):
            return R_NONE
        table = self.tables.get(id)
        if table is None or not map_is(table, &c):
            table = self.table_of(take_bytes(&c, left(&c)), event)
            self.tables[id] = table
        self.last_id = id
        self.last = table
        return R_NONE

    cdef Table table_of(self, bytes map, const Event* event):
        """The Table of a distinct map: compiled on first sight, kept while nothing makes it doubtful."""
        cdef Table table = self.known.get(map)
        if table is not None:
            return table
        table = Table()
        table.map = map
        table.schema = read_table_map(event.body, event.body_size, self.rows_id_size)
        table.plan = self.catalog(table.schema)
        table.layout = Layout(table.schema.columns)
        if len(self.known) >= MOST_PLANS:
            self.known = {}
        self.known[map] = table
        self.reserve_values(table.layout.n)
        return table

    cdef int reserve_values(self, Py_ssize_t n) except -1:
        if n > self.value_room:
            free(self.before)
            free(self.after)
            self.value_room = 0
            self.before = <Value*>malloc(n * sizeof(Value))
            self.after = <Value*>malloc(n * sizeof(Value))
            if self.before == NULL or self.after == NULL:
                raise MemoryError
            self.value_room = n
        return 0

    cdef int handle_rows(self, const Event* event, bint v2) except -1:
        """WRITE, UPDATE, DELETE: every row of the event becomes messages, or an error (binlog.md section 8)."""
        cdef Cursor c = cursor(event.body, event.body_size)
        cdef int64_t id
        cdef Table table
        cdef Py_ssize_t n_before, n_after = 0
        cdef cbyte* before
        cdef cbyte* after = NULL
        cdef uint64_t extra
        if self.catalog is None:
            return R_NONE
        if not self.in_transaction:
            raise ShortRead("rows outside a transaction: events are missing")
        id = <int64_t>take_le(&c, self.rows_id_size)
        take(&c, 2)
        if v2:
            extra = load_u16(take(&c, 2))
            if extra < 2:
                raise ShortRead(f"extra row information of {extra} bytes; its length counts itself")
            take(&c, extra - 2)
        table = self.last if id == self.last_id else self.tables.get(id)
        if table is None:
            raise ShortRead(f"rows of table id {id}, which no table map announced")
        if take_packed(&c) != <uint64_t>table.layout.n:
            raise ShortRead(f"the rows have another number of columns than the table map of {table.schema.name}")
        before = take(&c, (table.layout.n + 7) // 8)
        n_before = count_bits(before, table.layout.n)
        if event.type == E_UPDATE or event.type == E_UPDATE_V1:
            after = take(&c, (table.layout.n + 7) // 8)
            n_after = count_bits(after, table.layout.n)
        while left(&c):
            if event.type == E_WRITE or event.type == E_WRITE_V1:
                table.layout.read_image(&c, before, n_before, self.after)
                self.insert_row(table.plan)
            elif after != NULL:
                table.layout.read_image(&c, before, n_before, self.before)
                table.layout.read_image(&c, after, n_after, self.after)
                self.update_row(table.plan)
            else:
                table.layout.read_image(&c, before, n_before, self.before)
                self.delete_row(table.plan)
        return R_NONE

    cdef inline bint wanted(self, Plan plan) except -1:
        """Count a raw row change; whether it is to be published."""
        self.rows_done += 1
        if self.skip_rows:
            self.skip_rows -= 1
            return False
        if plan is None:
            self.filtered += 1
            return False
        return True

    cdef int insert_row(self, Plan plan) except -1:
        if self.wanted(plan):
            self.inserts += 1
            self.write_key(plan, self.after, NULL, &self.key_text)
            self.publish(plan, plan.insert, &self.key_text, self.partition_of(plan, self.after, NULL, &self.key_text))
        return 0

    cdef int delete_row(self, Plan plan) except -1:
        if self.wanted(plan):
            self.deletes += 1
            self.write_key(plan, self.before, NULL, &self.key_text)
            self.publish(plan, plan.delete, &self.key_text, self.partition_of(plan, self.before, NULL, &self.key_text))
        return 0

    cdef int update_row(self, Plan plan) except -1:
        """One message; a change of key or partition is a delete under the old and an insert under the new one."""
        cdef uint32_t old, new
        if not self.wanted(plan):
            return 0
        self.updates += 1
        self.write_key(plan, self.before, NULL, &self.old_key_text)
        old = self.partition_of(plan, self.before, NULL, &self.old_key_text)
        self.write_key(plan, self.after, self.before, &self.key_text)
        new = self.partition_of(plan, self.after, self.before, &self.key_text)
        if old == new and same_text(&self.key_text, &self.old_key_text):
            return self.publish(plan, plan.update, &self.key_text, new)
        self.publish(plan, plan.delete, &self.old_key_text, old)
        return self.publish(plan, plan.insert, &self.key_text, new)

    # ---------------------------------------------------------------- messages

    cdef int write_key(self, Plan plan, const Value* image, const Value* fallback, Out* out) except -1:
        out.size = 0
        if plan.key is not None:
            self.write_columns_of(plan, plan.key, image, fallback, out)
        return 0

    cdef uint32_t partition_of(self, Plan plan, const Value* image, const Value* fallback, Out* key) except? 0xFFFFFFFF:
        """Uses `text` as scratch where the partition does not follow from the key."""
        cdef Out* hashed = key
        if plan.partition is not None:
            hashed = &self.text
            hashed.size = 0
            self.write_columns_of(plan, plan.partition, image, fallback, hashed)
        elif plan.key is None:
            return plan.fixed_partition
        return (murmur2_hash(<cbyte*>hashed.data, hashed.size) & 0x7FFFFFFF) % <uint32_t>plan.route.partitions

    cdef int write_columns_of(self, Plan plan, Program program, const Value* image, const Value* fallback, Out* out) except -1:
        """A key: literals and single values. A value missing in a MINIMAL after image is that of the before image."""
        cdef Py_ssize_t i
        cdef const Op* op
        cdef const Value* value
        for i in range(program.n):
            op = &program.ops[i]
            if op.code == OP_LITERAL:
                put(out, op.text, op.size)
                continue
            value = &image[op.column]
            if value.size == VALUE_ABSENT and fallback != NULL:
                value = &fallback[op.column]
            write_value(out, &plan.columns[op.column], value)
        return 0

    cdef int publish(self, Plan plan, Program program, Out* key, uint32_t partition) except -1:
        cdef Py_ssize_t i
        cdef const Op* op
        cdef Out* out = &self.text
        cdef Route route = plan.route
        self.seq += 1
        out.size = 0
        for i in range(program.n):
            op = &program.ops[i]
            if op.code == OP_LITERAL:
                put(out, op.text, op.size)
            elif op.code == OP_AFTER:
                write_image(out, plan, self.after)
            elif op.code == OP_BEFORE:
                write_image(out, plan, self.before)
            elif op.code == OP_CHANGED:
                write_changed(out, plan, self.before, self.after)
            else:
                self.write_field(out, op.code)
        self.pending += out.size + key.size
        if not route.touched:
            self.routes.append(route)
        route.add(
            partition,
            None if plan.key is None else PyBytes_FromStringAndSize(key.data, key.size),
            PyBytes_FromStringAndSize(out.data, out.size),
            None if self.id_prefix is None else self.message_id(),
        )
        return 0

    cdef int write_field(self, Out* out, int code) except -1:
        if code == OP_SEQ:
            put_u64(out, self.seq)
        elif code == OP_NOW_MS:
            put(out, self.now_text, self.now_text_size)
        elif code == OP_COMMIT_MS:
            put(out, self.commit_text, self.commit_text_size)
        elif code == OP_GTID:
            put(out, self.gtid_text, self.gtid_text_size)
        else:
            raise ValueError(f"step {code} has no place in a message")
        return 0

    cdef bytes message_id(self):
        """`<epoch>;<seq>;<transaction>`: the identity of a message in at-least-once mode (formats.md section 1)."""
        return b"%b;%d;%b" % (self.id_prefix, self.seq, self.transaction.encode())


cdef inline bint map_is(Table table, const Cursor* map) noexcept:
    return left(map) == PyBytes_Size(table.map) and memcmp(map.at, PyBytes_AsString(table.map), left(map)) == 0


cdef Py_ssize_t count_bits(cbyte* bits, Py_ssize_t n) noexcept:
    cdef Py_ssize_t i, count = 0
    for i in range(n):
        count += bits[i >> 3] >> (i & 7) & 1
    return count


cdef inline bint same_text(const Out* a, const Out* b) noexcept:
    return a.size == b.size and memcmp(a.data, b.data, a.size) == 0


cdef inline int write_value(Out* out, const ColumnPlan* column, const Value* value) except -1:
    if value.size < 0:
        return put(out, b"null", 4)
    if not column.quoted:
        return column.render(out, column, value.data, value.size)
    put_char(out, c'"')
    column.render(out, column, value.data, value.size)
    return put_char(out, c'"')


cdef inline int write_member(Out* out, const ColumnPlan* column, const Value* value, bint first) except -1:
    """`,"name":"value"`; `column.name` holds comma, name, colon and opening quote."""
    if value.size >= 0 and column.quoted:
        put(out, column.name + first, column.name_size - first)
        column.render(out, column, value.data, value.size)
        return put_char(out, c'"')
    put(out, column.name + first, column.name_size - 1 - first)
    return write_value(out, column, value)


cdef int write_image(Out* out, Plan plan, const Value* image) except -1:
    cdef Py_ssize_t i
    cdef bint first = True
    for i in range(plan.n):
        if image[i].size != VALUE_ABSENT:
            write_member(out, &plan.columns[i], &image[i], first)
            first = False
    return 0


cdef inline bint changed(const Value* before, const Value* after) noexcept:
    if after.size == VALUE_ABSENT or before.size == VALUE_ABSENT:
        return False
    return before.size != after.size or (before.size > 0 and memcmp(before.data, after.data, before.size) != 0)


cdef int write_changed(Out* out, Plan plan, const Value* before, const Value* after) except -1:
    cdef Py_ssize_t i
    cdef bint first = True
    for i in range(plan.n):
        if changed(&before[i], &after[i]):
            write_member(out, &plan.columns[i], &before[i], first)
            first = False
    return 0
