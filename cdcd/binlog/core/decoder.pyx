# One dump's state machine: packets -> events -> transactions; rows go to Rows, messages come from Messages.

cdef enum:
    R_NONE = 0
    R_NEED_BYTES = 1
    R_OUTPUT_FULL = 2
    R_BOUNDARY = 3
    R_STATEMENT = 4
    R_CONTROL = 5
    R_END = 6
    R_HELD = 7

NEED_BYTES = R_NEED_BYTES
OUTPUT_FULL = R_OUTPUT_FULL
BOUNDARY = R_BOUNDARY
STATEMENT = R_STATEMENT
CONTROL = R_CONTROL
END = R_END
HELD = R_HELD

LITERAL, AFTER, BEFORE, CHANGED, COLUMN, SEQ, NOW_MS, COMMIT_MS, GTID = range(9)
MEMBERS, TYPE_CODES, EVENT_MS, BATCH = range(9, 13)


cdef class Decoder:
    cdef Packets packets
    cdef Messages messages
    cdef Rows rows           # None while scanning
    cdef object inflate
    cdef Payload payload     # the compressed transaction being read, or None
    cdef readonly bytes control
    cdef readonly object statement
    cdef readonly dict ignored
    cdef readonly int event_type
    cdef uint64_t event_offset

    # the file
    cdef readonly bint checksums
    cdef int id_size         # bytes of a table id
    cdef readonly str file
    cdef readonly uint64_t offset
    cdef readonly str server_version
    cdef readonly bytes previous_gtids
    cdef readonly bint mariadb
    cdef readonly uint32_t file_created

    # transactions
    cdef readonly bint in_transaction
    cdef readonly uint64_t start_offset
    cdef readonly uint64_t end_offset
    cdef readonly uint64_t transaction_start
    cdef readonly uint64_t transaction_done
    cdef Gtid gtid
    cdef GtidRuns gtids
    cdef readonly bint has_gtid
    cdef bint begun          # BEGIN came: statements that follow are part of the transaction
    cdef bint started        # a transaction was seen in this dump
    cdef uint64_t begun_seq  # `seq` when the transaction began
    cdef bint resumed        # a part of the transaction was published by another dump
    cdef bint ended          # a transaction ended in the event just handled
    cdef str expected
    cdef Known known         # transactions that are passed over, or None
    cdef bint passing        # the open transaction is one of them
    cdef readonly uint64_t passed
    cdef public uint64_t first_us
    cdef readonly uint64_t commit_us
    cdef readonly uint64_t logged_us
    cdef readonly uint64_t transactions

    # XA transactions
    cdef Held prepared
    cdef object reread       # brings the events of those that are not in memory
    cdef Events events       # of the open one, as they stand in the binlog
    cdef bint withheld       # the open transaction is an XA one: its rows wait for its end
    cdef bint extracting     # `events` is all that is wanted
    cdef str publishing      # xid of the prepared one whose rows are published now
    cdef object rows_from    # that Prepared, or None
    cdef bint asked          # HELD was said, its events come with the next step
    cdef uint64_t told       # statements outside transactions: each may have changed names of columns
    cdef readonly Py_ssize_t largest_kept
    cdef readonly object xa  # (COMMIT, ROLLBACK or PREPARE, xid) of the last transaction, while scanning

    def __cinit__(self, catalog, inflate=None, id_prefix=None, reread=None):
        self.packets = Packets()
        self.messages = Messages(id_prefix)
        self.rows = None if catalog is None else Rows(catalog, self.messages)
        self.inflate = inflate
        self.gtids = GtidRuns()
        self.prepared = Held()
        self.reread = reread
        self.events = Events()
        self.largest_kept = LARGEST_KEPT
        self.checksums = True      # announced before the dump; an FDE says otherwise
        self.id_size = 6
        self.control = b""
        self.file = ""
        self.server_version = ""
        self.previous_gtids = b""
        self.ignored = {}
        self.expected = ""
        self.event_type = -1

    # ---------------------------------------------------------------- what the worker calls

    def feed(self, bytes data):
        self.packets.feed(data)

    def decode(self, int64_t now_ms, uint64_t limit=1 << 20, bint stop_at_boundary=False):
        self.messages.set_now(<uint64_t>now_ms)
        try:
            return self.run_events(limit, stop_at_boundary)
        except ShortRead as error:
            raise MalformedEvent(self.named(str(error)), self.file, self.event_offset, self.event_type) from None
        except UnsupportedEvent as error:
            raise UnsupportedEvent(self.named(error.reason), self.file, self.event_offset, self.event_type) from None
        except MalformedEvent as error:
            raise MalformedEvent(self.named(error.reason), self.file, self.event_offset, self.event_type) from None

    cdef str named(self, str reason):
        """What is wrong with an event of a prepared transaction, whose place is not that of its commit."""
        if self.rows_from is None:
            return reason
        return f"{reason}, in XA transaction {self.publishing} that was prepared at {self.rows_from.file}:{self.rows_from.offset}"

    def take_runs(self):
        return self.messages.take_runs()

    def take_gtids(self):
        return self.gtids.take()

    def resume(self, str transaction, uint64_t rows_done):
        if self.rows is None:
            raise ValueError("a decoder without catalog does not read rows: it cannot go on inside a transaction")
        self.expected = transaction
        self.rows.skip = rows_done

    def pass_over(self, gap):
        self.known = Known(gap)

    def hold(self, prepared, Py_ssize_t largest_kept=LARGEST_KEPT):
        self.largest_kept = largest_kept
        for each in prepared:
            self.prepared.prepared[each.xid] = each

    def extract(self, str transaction):
        if self.rows is not None:
            raise ValueError("a decoder with a catalog reads rows: it does not extract them")
        self.extracting = True
        self.expected = transaction

    def take_events(self):
        return self.events.take()

    def forget(self, str database, str table):
        if self.rows is not None:
            self.rows.forget(database, table)

    def use(self, catalog):
        if self.rows is None or self.in_transaction:
            raise ValueError("another catalog only takes the place of one, and only between two transactions")
        self.rows.use(catalog)

    @property
    def transaction(self):
        if self.has_gtid:
            return PyBytes_FromStringAndSize(self.messages.gtid_text, self.messages.gtid_size).decode("ascii")
        return f"{self.file}:{self.transaction_start}" if self.started else ""

    @property
    def place(self):
        if self.rows_from is not None:
            return self.rows_from.file, self.rows_from.offset, self.rows_from.created
        return self.reading

    @property
    def reading(self):
        return self.file, self.transaction_start, self.file_created

    @property
    def held(self):
        return tuple(self.prepared.prepared.values())

    @property
    def transaction_length(self):
        return self.gtid.length

    @property
    def rows_done(self):
        return 0 if self.rows is None else self.rows.done

    @property
    def seq(self):
        return self.messages.seq

    @seq.setter
    def seq(self, uint64_t number):
        self.messages.seq = number

    @property
    def batch(self):
        return self.messages.batch

    @property
    def event_seconds(self):
        return self.messages.event_seconds

    @property
    def inserts(self):
        return self.messages.inserts

    @property
    def updates(self):
        return self.messages.updates

    @property
    def deletes(self):
        return self.messages.deletes

    @property
    def filtered(self):
        return 0 if self.rows is None else self.rows.filtered

    @property
    def buffered(self):
        return self.packets.inbox.end - self.packets.inbox.start + self.packets.joined.size

    # ---------------------------------------------------------------- packets and events

    cdef int run_events(self, uint64_t limit, bint stop_at_boundary) except -1:
        cdef Cursor next
        cdef int reason
        while True:
            self.ended = False
            if self.asked:
                reason = self.fetch_held()
            elif self.payload is not None:
                reason = self.handle_inner()
            elif self.packets.next(&next):
                reason = self.handle_packet(&next)
            else:
                return R_NEED_BYTES
            if reason != R_NONE:
                return reason
            if self.ended and stop_at_boundary:
                return R_BOUNDARY
            if self.messages.pending >= limit or (self.extracting and self.events.out.size >= <Py_ssize_t>limit):
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
        if left(packet) > 1 and packet.at[1] == SEMI_SYNC:
            drop_semi_sync_header(packet)
        return self.handle_outer(packet)

    cdef int handle_outer(self, const Cursor* packet) except -1:
        """An event of the file itself."""
        cdef Event event
        cdef int reason
        read_header(&event, packet.at + 1, left(packet) - 1)
        self.event_type = event.type
        if event.type == E_FDE:
            self.read_checksum_algorithm(&event)
        elif self.checksums:
            strip_checksum(&event)
        self.account(&event)
        reason = self.handle_event(&event)
        if event.type in (E_FDE, E_ROTATE):
            self.control = b"\0" + PyBytes_FromStringAndSize(<const char*>packet.at + 1, left(packet) - 1)
            return R_CONTROL
        return reason

    cdef int handle_inner(self) except -1:
        """An event of a compressed transaction: without checksum, and its position is that of the whole."""
        cdef Event event
        cdef Cursor next
        if not self.payload.next(&next):
            if self.in_transaction:
                raise ShortRead("a compressed transaction holds no commit")
            self.payload = None
            return R_NONE
        read_header(&event, next.at, left(&next))
        self.event_type = event.type
        if not self.in_transaction:
            raise ShortRead("a compressed transaction goes on after its end")
        if event.type in OUTER_TYPES:
            raise ShortRead(f"an event of type {event.type} in a compressed transaction")
        return self.handle_event(&event)

    cdef inline int handle_event(self, const Event* event) except -1:
        if not (self.passing or self.withheld) or event.type in BETWEEN_EVENTS:
            return self.handle_body(event)
        return self.pass_event(event) if self.passing else self.withhold_event(event)

    cdef int account(self, const Event* event) except -1:
        """Follow the position, and prove that no byte of a transaction is missing (binlog.md section 9)."""
        cdef uint64_t end
        if event.type == E_HEARTBEAT or event.type == E_HEARTBEAT_V2:
            return 0     # not part of the file
        if (event.log_pos != 0 or self.ends_at_4_gib(event)) and not event.flags & FLAG_ARTIFICIAL:
            end = self.widened(event.log_pos)
            self.event_offset = end - event.size
            if self.in_transaction and self.event_offset != self.offset:
                raise ShortRead(f"it starts at {end - event.size}, the one before ended at {self.offset}: events are missing")
            self.offset = end
        elif self.mariadb and self.in_transaction:
            self.offset += event.size    # 11.4+: only a transaction's first and last event say where they end
        if self.in_transaction:
            self.transaction_done += event.size
        return 0

    cdef inline bint ends_at_4_gib(self, const Event* event) noexcept:
        """Then log_pos, which counts in 32 bits, is 0 as if it said nothing."""
        return self.in_transaction and (self.offset + event.size) & 0xFFFFFFFF == 0

    cdef uint64_t widened(self, uint32_t low) noexcept:
        """A 32-bit position as it continues `offset`: a huge transaction makes a file larger than 4 GiB."""
        cdef uint64_t wide = (self.offset & ~<uint64_t>0xFFFFFFFFULL) | low
        if wide < self.offset and self.offset - wide > 0x7FFFFFFF:
            wide += <uint64_t>1 << 32
        return wide

    cdef int handle_body(self, const Event* event) except -1:
        cdef int kind = event.type
        if kind == E_WRITE or kind == E_UPDATE or kind == E_DELETE:
            return self.handle_rows(event)
        if kind == E_TABLE_MAP:
            return R_NONE if self.rows is None else self.rows.announce(event)
        if kind == E_GTID or kind == E_ANONYMOUS or kind == E_TAGGED:
            return self.handle_gtid(event)
        if kind == E_QUERY or kind == E_EXECUTE_LOAD:
            return self.handle_query(event)
        if kind == E_XID:
            return self.end_transaction()
        if kind == E_WRITE_V1 or kind == E_UPDATE_V1 or kind == E_DELETE_V1 or kind == E_PARTIAL_UPDATE:
            return self.handle_rows(event)
        if kind == E_MARIADB_GTID:
            return self.handle_mariadb_gtid(event)
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
        if is_packed_rows(kind):
            return self.handle_rows(event)
        if kind == E_PACKED_QUERY:
            return self.handle_query(event)
        if kind == E_GTID_LIST:
            return self.handle_gtid_list(event)
        if kind == E_START_ENCRYPTION:
            return self.handle_encryption(event)
        if kind in NOTHING_TO_DO:
            return R_NONE
        if kind == E_XA_PREPARE:
            return self.handle_prepare(event)
        if self.rows is None and kind in UNSUPPORTED:
            # A scan only looks for positions. An INCIDENT is all that comes behind its GTID.
            return self.end_transaction() if self.in_transaction else R_NONE
        if kind in UNSUPPORTED:
            raise UnsupportedEvent(UNSUPPORTED[kind])
        if event.flags & FLAG_IGNORABLE:
            self.ignored[kind] = self.ignored.get(kind, 0) + 1
            return R_NONE
        raise UnsupportedEvent(f"an event of unknown type {kind}, which is not marked as ignorable")

    cdef int handle_rows(self, const Event* event) except -1:
        if self.rows is None:
            return R_NONE
        if not self.in_transaction:
            raise ShortRead("rows outside a transaction: events are missing")
        return self.rows.read(event)

    # ---------------------------------------------------------------- files

    cdef int read_checksum_algorithm(self, Event* event) except -1:
        """The algorithm byte at the FDE's end rules all later events of the file.

        The FDE itself always carries a CRC32, but without checksums a source that begins inside a file clears the FDE's
        creation time and leaves the old CRC32 behind it (seen on 9.7.4): then it says nothing.
        """
        cdef Cursor c = cursor(event.body, event.body_size)
        take(&c, 2)
        version = bytes(take_bytes(&c, 50)).rstrip(b"\0").decode("ascii", "replace")
        self.server_version = version.split("-")[0]
        self.mariadb = "MariaDB" in version
        self.checksums = False
        if not self.mariadb and version_tuple(self.server_version) < (5, 6, 1):
            return 0     # servers before checksums
        if left(&c) < CHECKSUM + 1:
            raise ShortRead("a format description without checksum algorithm")
        algorithm = event.body[event.body_size - CHECKSUM - 1]
        if algorithm == 0:
            event.body_size -= CHECKSUM
        else:
            strip_checksum(event)
        if algorithm > 1:
            raise UnsupportedEvent(f"binlog checksum algorithm {algorithm}; cdcd knows NONE and CRC32")
        self.checksums = algorithm == 1
        return 0

    cdef int handle_fde(self, const Event* event) except -1:
        cdef Cursor c = cursor(event.body, event.body_size)
        cdef cbyte* lengths
        take(&c, 2 + 50 + 4)
        if take(&c, 1)[0] != HEADER:
            raise UnsupportedEvent("events with a header of another length than 19 bytes")
        lengths = take(&c, E_WRITE_V1)
        self.drop_table_ids()
        self.file_created = event.timestamp
        if self.rows is not None:
            self.rows.id_size = 4 if lengths[E_TABLE_MAP - 1] == 6 else 6
            self.rows.mariadb = version_tuple(self.server_version) if self.mariadb else ()
        return R_NONE

    cdef int handle_rotate(self, const Event* event) except -1:
        cdef Cursor c = cursor(event.body, event.body_size)
        cdef uint64_t offset = load_u64(take(&c, 8))
        name = take_bytes(&c, left(&c)).decode("utf-8", "replace")
        if self.in_transaction:
            raise ShortRead("the binlog file changes inside a transaction: events are missing")
        if name != self.file:
            self.file = name
            self.file_created = 0
            self.start_offset = self.end_offset = offset
        self.offset = offset
        self.drop_table_ids()
        return R_NONE

    cdef void drop_table_ids(self) noexcept:
        """They are used again after a restart of the server, which not always shows as a real ROTATE."""
        if self.rows is not None:
            self.rows.drop_ids()

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
        self.offset = self.end_offset = position
        return R_NONE

    # ---------------------------------------------------------------- transactions

    cdef int begin_transaction(self, const Event* event, bint has_gtid) except -1:
        """`gtid` is filled; for an anonymous one only its times are."""
        if self.in_transaction:
            raise ShortRead("a transaction begins inside another: events are missing")
        self.in_transaction = self.started = True
        self.begun = self.resumed = False
        self.begun_seq = self.messages.seq
        self.xa = None
        self.has_gtid = has_gtid
        self.transaction_start = self.event_offset
        self.transaction_done = event.size
        if self.rows is not None:
            self.rows.done = 0
        if self.gtid.commit_us == 0:
            self.gtid.commit_us = self.gtid.logged_us = <uint64_t>event.timestamp * 1000000
        self.commit_us = self.gtid.commit_us
        self.logged_us = self.gtid.logged_us
        if self.first_us == 0 and not self.passing:
            self.first_us = self.gtid.logged_us
        self.messages.set_transaction(&self.gtid, has_gtid)
        if self.messages.id_prefix is not None:
            self.messages.transaction = self.transaction.encode()
        return self.check_expected()

    cdef int check_expected(self) except -1:
        if self.expected and not self.passing:
            if self.transaction != self.expected:
                raise ShortRead(f"transaction {self.expected} is due, but the source sends {self.transaction} first")
            self.expected = ""
            self.resumed = True
        return 0

    cdef int handle_gtid(self, const Event* event) except -1:
        cdef Cursor c = cursor(event.body, event.body_size)
        if event.type == E_TAGGED:
            read_tagged_gtid(&c, &self.gtid)
        else:
            read_gtid(&c, &self.gtid)
        if event.type != E_ANONYMOUS:
            check_gtid(&self.gtid)
            self.passing = self.known is not None and self.known.holds(&self.gtid)
        self.begin_transaction(event, event.type != E_ANONYMOUS)
        if self.passing and not self.gtid.length:
            raise ShortRead(f"{self.transaction} is published already and cannot be passed over: it does not say how long it is")
        return R_NONE

    cdef int handle_mariadb_gtid(self, const Event* event) except -1:
        """Takes the place of BEGIN, unless the transaction is a single statement."""
        read_mariadb_gtid(event, &self.gtid)
        check_gtid(&self.gtid)
        self.passing = self.known is not None and self.known.holds(&self.gtid)
        self.begin_transaction(event, True)
        self.begun = not self.gtid.flags & G_STANDALONE
        if self.gtid.flags & G_XA_PREPARED and not self.passing:
            self.withhold()
        return R_NONE

    cdef int handle_gtid_list(self, const Event* event) except -1:
        """What stands before the file; an artificial one says where a source is that has passed over what we know."""
        if not event.flags & FLAG_ARTIFICIAL:
            self.previous_gtids = PyBytes_FromStringAndSize(<const char*>event.body, event.body_size)
        return R_NONE

    cdef int handle_encryption(self, const Event* event) except -1:
        """A source deciphers what it sends."""
        raise UnsupportedEvent("START_ENCRYPTION: what follows in this file is encrypted, and only the server has the key")

    cdef int pass_event(self, const Event* event) except -1:
        """An event of a transaction that is known: only where it ends is of interest."""
        if self.gtid.mariadb:
            if not self.closes(event):
                return R_NONE
        elif self.transaction_done < self.gtid.length:
            return R_NONE
        self.check_length()
        self.passing = False
        self.leave_transaction()
        self.passed += 1
        return R_NONE

    cdef bint closes(self, const Event* event) except -1:
        """Whether this is the last event of MariaDB's open transaction."""
        if event.type == E_XID or event.type == E_XA_PREPARE:
            return True
        if self.gtid.flags & (G_STANDALONE | G_XA_COMPLETED):
            return is_query(event)
        return ends_by_statement(event)

    cdef int begin_without_gtid(self, const Event* event) except -1:
        """BEGIN or a statement where no GTID event came before: MySQL 5.6 without GTIDs."""
        memset(&self.gtid, 0, sizeof(Gtid))
        return self.begin_transaction(event, False)

    cdef int end_transaction(self) except -1:
        if not self.in_transaction:
            raise ShortRead("a transaction ends that never began: events are missing")
        self.check_length()
        if self.rows is not None:
            self.check_resumed()
            self.rows.done = 0
        self.leave_transaction()
        self.transactions += 1
        if self.has_gtid:
            self.gtids.add(&self.gtid)
        return R_NONE

    cdef int check_length(self) except -1:
        if self.gtid.length and self.transaction_done != self.gtid.length:
            raise ShortRead(f"the transaction announces {self.gtid.length} bytes, {self.transaction_done} came")
        return 0

    cdef void leave_transaction(self) noexcept:
        self.in_transaction = False
        self.ended = True
        self.start_offset = self.transaction_start
        self.end_offset = self.offset

    cdef int check_resumed(self) except -1:
        if self.rows.skip:
            raise ShortRead(f"the transaction ends {self.rows.skip} row changes before the stored position: it is not the one that was cut")
        return 0

    cdef int handle_query(self, const Event* event) except -1:
        cdef Query query
        cdef list keep = []
        read_query(event, &query, keep)
        if text_is(&query, b"BEGIN", 5):
            if not self.in_transaction:
                self.begin_without_gtid(event)
            self.begun = True
            return R_NONE
        if text_is(&query, b"COMMIT", 6):
            return self.end_transaction()
        if text_is(&query, b"ROLLBACK", 8):
            self.refuse_rollback()
            return self.end_transaction()
        return self.handle_statement(event, &query)

    cdef int refuse_rollback(self) except -1:
        """Logged only where changes of tables without transactions are among the rows, which stay while others go."""
        if self.messages.seq != self.begun_seq or self.resumed:
            raise UnsupportedEvent("a ROLLBACK after row changes: which of them were made cannot be told from the binlog")
        return 0

    cdef int handle_statement(self, const Event* event, const Query* query) except -1:
        """A DDL is a transaction by itself: GTID, then this. Inside BEGIN it is CREATE TABLE ... SELECT, or DML."""
        cdef bint alone
        text = PyBytes_FromStringAndSize(<const char*>query.text, min(query.size, 24)).upper()
        if text.startswith((b"SAVEPOINT", b"RELEASE SAVEPOINT")):
            return R_NONE
        if text.startswith(b"ROLLBACK TO"):
            self.refuse_rollback()
            return R_NONE
        if text.startswith(b"XA "):
            return self.handle_xa(event, query)
        if not self.in_transaction:
            self.begin_without_gtid(event)
        alone = not self.begun
        if self.gtid.more_flags & (G_START_ALTER | G_ROLLBACK_ALTER):
            return self.end_transaction()    # binlog_alter_two_phase: it counts where it is committed
        if not alone and self.rows is not None and self.rows.count_statement():
            return R_NONE
        self.statement = read_statement(query, not alone)
        self.messages.event_seconds = event.timestamp
        if alone:
            self.told += 1
            self.end_transaction()
        return R_STATEMENT

    cdef int handle_payload(self, const Event* event) except -1:
        if self.rows is None and self.inflate is None:
            return self.end_transaction()      # a scan that does not look inside
        if self.inflate is None:
            raise UnsupportedEvent("a compressed transaction, and this decoder was given nothing to unpack it with")
        self.payload = Payload(self.inflate(*read_payload(event)))
        return R_NONE

    # ---------------------------------------------------------------- XA transactions

    cdef int handle_xa(self, const Event* event, const Query* query) except -1:
        """XA START and XA END stand around the rows that XA PREPARE ends; XA COMMIT or XA ROLLBACK comes by itself, later."""
        text = PyBytes_FromStringAndSize(<const char*>query.text, query.size)
        if not self.in_transaction:
            self.begin_without_gtid(event)
        if text[:8].upper() == b"XA START":
            return self.withhold() if self.publishing is None else R_NONE
        if text[:6].upper() == b"XA END":
            return R_NONE
        verb, xid = read_xa_end(text)
        if self.publishing is not None:
            raise ShortRead(f"XA {verb} inside an XA transaction")
        if self.rows is None:
            self.end_transaction()
            self.xa = verb, xid
            return R_NONE
        if verb == "COMMIT":
            return self.publish_held(xid, self.prepared.prepared.get(xid), self.prepared.kept.get(xid))
        self.end_transaction()
        return self.prepared.drop(xid)

    cdef int withhold(self) except -1:
        """The open transaction is an XA one: nothing of it is published before its end says so.

        Called at XA START, of which MariaDB's GTID event takes the place.
        """
        self.begun = True
        self.withheld = self.rows is not None or self.extracting
        self.events.begin(0 if self.extracting else self.largest_kept)
        return R_NONE

    cdef int withhold_event(self, const Event* event) except -1:
        self.events.add(event)
        if event.type == E_XA_PREPARE:
            return self.handle_prepare(event)
        if ends_by_statement(event):
            raise UnsupportedEvent("an XA transaction that ends without XA PREPARE: what became of its rows cannot be told")
        return R_NONE

    cdef int handle_prepare(self, const Event* event) except -1:
        """The end of an XA transaction's rows: in one phase it is committed by this, else held."""
        cdef bytes events
        one_phase, xid = read_prepare(event)
        if self.publishing is not None:
            if xid != self.publishing:
                raise ShortRead(f"the rows of XA transaction {xid} where those of {self.publishing} are due")
            return self.end_published()
        if self.rows is None:
            self.withheld = False
            self.end_transaction()
            self.xa = None if one_phase else ("PREPARE", xid)
            return R_NONE
        if not self.withheld:
            raise ShortRead("XA PREPARE of a transaction that did not begin with XA START")
        self.withheld = False
        events = self.events.take()
        gtid = self.transaction if self.has_gtid else None
        prepared = Prepared(xid, gtid, self.file, self.transaction_start, self.file_created, self.commit_us // 1000)
        if one_phase:
            self.prepared.told[xid] = self.told
            return self.publish_held(xid, prepared, events)
        self.end_transaction()
        return self.prepared.add(prepared, events, self.told)

    cdef int publish_held(self, str xid, prepared, bytes events) except -1:
        """The open transaction commits it. Without `events` the caller is told first, as reading them again takes its time."""
        self.publishing = xid
        self.rows_from = prepared
        if events is not None:
            return self.replay((events,))
        self.asked = True
        return R_HELD

    cdef int fetch_held(self) except -1:
        if self.reread is None:
            raise UnsupportedEvent(f"XA transaction {self.publishing} was prepared long before, and this decoder cannot read it again")
        found = self.reread(self.publishing, self.rows_from, (self.file, self.transaction_start))
        self.asked = False
        if found is None:            # committed or rolled back before: a source may log that twice around a crash
            return self.end_published()
        self.rows_from, pieces = found
        return self.replay(pieces)

    cdef int replay(self, pieces) except -1:
        """From here on the events are those of the prepared transaction, up to its XA PREPARE."""
        self.doubt_names()
        self.begun = True
        self.payload = Payload(pieces)
        return R_NONE

    cdef int end_published(self) except -1:
        self.doubt_names()
        self.end_transaction()
        self.prepared.drop(self.publishing)
        self.publishing = self.rows_from = None
        return R_NONE

    cdef int doubt_names(self) except -1:
        """Between the rows of now and those of a prepared transaction lie table ids, and perhaps other names of columns."""
        self.drop_table_ids()
        if self.told != self.prepared.told.get(self.publishing):
            self.rows.forget_all()
        return 0
