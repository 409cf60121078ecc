# Table maps in force and the rows that refer to them (binlog.md sections 7 and 8).

cdef enum:
    MOST_TABLES = 20000    # distinct table maps kept; beyond that all are asked for again
    NO_TABLE = -1


cdef uint64_t DUMMY_ID = 0xFFFFFFFFFFFF    # of a rows event without rows, which only ends a statement


cdef class Table:
    """How to read a table's rows and, unless they are left out, what to make of them."""

    cdef bytes map           # the TABLE_MAP's body without the table id
    cdef Layout layout
    cdef Plan plan           # None: left out
    cdef object schema


cdef inline bint map_is(Table table, const Cursor* map) noexcept:
    return left(map) == PyBytes_Size(table.map) and memcmp(map.at, PyBytes_AsString(table.map), left(map)) == 0


cdef Py_ssize_t count_bits(cbyte* bits, Py_ssize_t n) noexcept:
    cdef Py_ssize_t i, count = 0
    for i in range(n):
        count += bits[i >> 3] >> (i & 7) & 1
    return count


cdef class Rows:
    """Reads rows events and hands each row change to its table's messages."""

    cdef object catalog
    cdef Messages messages
    cdef dict by_id          # table id -> Table; ids are used again by a restarted server
    cdef dict by_map         # map without id -> Table
    cdef dict maps_of        # (database, table) -> its maps in `by_map`
    cdef int64_t last_id     # of the map seen last, which nearly always is the one asked for
    cdef Table last
    cdef Value* before
    cdef Value* after
    cdef Py_ssize_t room     # values that `before` and `after` have room for
    cdef int id_size
    cdef tuple mariadb       # its version if it wrote the file, else empty
    cdef uint64_t done       # row changes and statements of the open transaction, before filters
    cdef uint64_t skip       # how many more of them were published before
    cdef uint64_t filtered
    cdef Plan reading        # of the event in work
    cdef list patched        # documents of the row in work that were made of changes

    def __cinit__(self, catalog, Messages messages):
        self.catalog = catalog
        self.messages = messages
        self.by_id = {}
        self.by_map = {}
        self.maps_of = {}
        self.last_id = NO_TABLE
        self.id_size = 6
        self.mariadb = ()

    def __dealloc__(self):
        free(self.before)
        free(self.after)

    cdef void drop_ids(self) noexcept:
        self.by_id = {}
        self.last_id = NO_TABLE
        self.last = None

    cdef int forget(self, str database, str table) except -1:
        for map in self.maps_of.pop((database, table), ()):
            self.by_map.pop(map, None)
        self.drop_ids()
        return 0

    cdef void use(self, catalog):
        self.catalog = catalog
        self.forget_all()

    cdef void forget_all(self):
        self.by_map = {}
        self.maps_of = {}
        self.drop_ids()

    cdef int announce(self, const Event* event) except -1:
        """A TABLE_MAP."""
        cdef Cursor c = cursor(event.body, event.body_size)
        cdef int64_t id = <int64_t>take_le(&c, self.id_size)
        cdef Table table
        if id == self.last_id and map_is(self.last, &c):
            return 0
        table = self.by_id.get(id)
        if table is None or not map_is(table, &c):
            table = self.table_of(take_bytes(&c, left(&c)), event)
            self.by_id[id] = table
        self.last_id = id
        self.last = table
        return 0

    cdef Table table_of(self, bytes map, const Event* event):
        """The Table of a distinct map: compiled on first sight, kept while nothing makes it doubtful."""
        cdef Table table = self.by_map.get(map)
        if table is not None:
            return table
        table = Table()
        table.map = map
        table.schema = read_table_map(event.body, event.body_size, self.id_size, self.mariadb)
        answer = self.catalog(table.schema)
        if isinstance(answer, TableSchema):
            table.schema = answer
        elif answer is not None:
            table.plan = answer
            table.schema = table.plan.schema
        table.layout = Layout(table.schema.columns)
        self.reserve(table.layout.n)
        if len(self.by_map) >= MOST_TABLES:
            self.by_map = {}
            self.maps_of = {}
        self.by_map[map] = table
        self.maps_of.setdefault((table.schema.database, table.schema.table), []).append(map)
        return table

    cdef int reserve(self, Py_ssize_t n) except -1:
        if n <= self.room:
            return 0
        free(self.before)
        free(self.after)
        self.room = 0
        self.before = <Value*>malloc(n * sizeof(Value))
        self.after = <Value*>malloc(n * sizeof(Value))
        if self.before == NULL or self.after == NULL:
            raise MemoryError
        self.room = n
        return 0

    cdef int read(self, const Event* event) except -1:
        """WRITE, UPDATE, DELETE: every row of the event becomes messages, or none of it and an error."""
        cdef uint64_t done = self.done, skip = self.skip, filtered = self.filtered
        self.messages.begin_event()
        self.messages.event_seconds = event.timestamp
        try:
            return self.read_rows(event)
        except BaseException:
            if self.done != done and self.reading is not None:
                self.messages.undo_event(self.reading)
            self.done, self.skip, self.filtered = done, skip, filtered
            raise

    cdef int read_rows(self, const Event* event) except -1:
        cdef Cursor c = cursor(event.body, event.body_size)
        cdef Table table
        cdef Layout layout
        cdef cbyte* first
        cdef cbyte* second = NULL
        cdef cbyte* partial = NULL
        cdef Py_ssize_t n_first, n_second = 0
        cdef int kind = plain_type(event.type)
        cdef bytes plain         # of compressed rows: keeps what the values point to
        if load_le(c.at, self.id_size if left(&c) >= self.id_size else 0) == DUMMY_ID:
            return 0
        table = self.table_named(&c, kind)
        layout = table.layout
        self.reading = table.plan
        if take_packed(&c) != <uint64_t>layout.n:
            raise ShortRead(f"the rows have another number of columns than the table map of {table.schema.name}")
        first = take(&c, (layout.n + 7) // 8)
        n_first = count_bits(first, layout.n)
        if kind == E_UPDATE or kind == E_UPDATE_V1 or kind == E_PARTIAL_UPDATE:
            second = take(&c, (layout.n + 7) // 8)
            n_second = count_bits(second, layout.n)
        if n_first + n_second == 0:
            return self.read_empty(kind, table, &c, first)
        if kind != event.type:
            plain = unpacked(&c)
            c = cursor(<cbyte*>PyBytes_AsString(plain), PyBytes_Size(plain))
        while left(&c):
            if second != NULL:
                layout.read_image(&c, first, n_first, self.before)
                if event.type == E_PARTIAL_UPDATE:
                    partial = layout.take_partial_bits(&c)
                layout.read_image(&c, second, n_second, self.after)
                if self.wanted(table.plan):
                    if n_second < layout.n:
                        complete_image(layout.n, self.before, self.after)
                    if partial != NULL:
                        self.patch(table, partial, second)
                    self.messages.update(table.plan, self.before, self.after)
            elif kind == E_WRITE or kind == E_WRITE_V1:
                layout.read_image(&c, first, n_first, self.after)
                if self.wanted(table.plan):
                    self.messages.insert(table.plan, self.after)
            else:
                layout.read_image(&c, first, n_first, self.before)
                if self.wanted(table.plan):
                    self.messages.delete(table.plan, self.before)
        return 0

    cdef int patch(self, Table table, cbyte* partial, cbyte* present) except -1:
        """Make whole documents of the after image's changes and the before image's documents."""
        cdef Py_ssize_t k, i
        cdef bytes whole
        self.patched = []
        for k in range(len(table.layout.json)):
            i = table.layout.json[k]
            if not (partial[k >> 3] >> (k & 7) & 1 and present[i >> 3] >> (i & 7) & 1) or self.after[i].size < 0:
                continue
            if self.before[i].size == VALUE_ABSENT:
                raise UnsupportedEvent(
                    f"an update of {table.schema.name} says what changed in column {table.plan.schema.columns[i].name}, not the"
                    " document, and the before image lacks it (some session has binlog_row_image MINIMAL beside PARTIAL_JSON)"
                )
            if self.before[i].size == VALUE_NULL:
                raise ShortRead("changes of a JSON document that was NULL")
            whole = apply_diffs(&self.before[i], &self.after[i])
            self.patched.append(whole)
            self.after[i].data = <cbyte*>PyBytes_AsString(whole)
            self.after[i].size = PyBytes_Size(whole)
        return 0

    cdef int read_empty(self, int kind, Table table, Cursor* c, cbyte* none) except -1:
        """binlog_row_image=MINIMAL logs `INSERT INTO t VALUES ()` as an image without columns: one row of no bytes."""
        if left(c) or (kind != E_WRITE and kind != E_WRITE_V1):
            raise ShortRead(f"rows of {table.schema.name} without any column")
        table.layout.read_image(c, none, 0, self.after)
        if self.wanted(table.plan):
            self.messages.insert(table.plan, self.after)
        return 0

    cdef Table table_named(self, Cursor* c, int kind):
        """The table that the post-header of a rows event names; leaves the cursor behind it."""
        cdef int64_t id = <int64_t>take_le(c, self.id_size)
        cdef Table table = self.last if id == self.last_id else self.by_id.get(id)
        cdef uint64_t extra
        take(c, 2)
        if kind == E_WRITE or kind == E_UPDATE or kind == E_DELETE or kind == E_PARTIAL_UPDATE:
            extra = load_u16(take(c, 2))
            if extra < 2:
                raise ShortRead(f"extra row information of {extra} bytes; its length counts itself")
            take(c, extra - 2)
        if table is None:
            raise ShortRead(f"rows of table id {id}, which no table map announced")
        return table

    cdef bint count_statement(self) noexcept:
        """A statement inside a transaction counts as a row change; whether it was published before."""
        self.done += 1
        if self.skip:
            self.skip -= 1
            return True
        return False

    cdef inline bint wanted(self, Plan plan) except -1:
        """Count a raw row change; whether it is to be published."""
        self.done += 1
        if self.skip:
            self.skip -= 1
            return False
        if plan is None:
            self.filtered += 1
            return False
        return True
