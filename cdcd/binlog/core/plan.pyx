# What to do with a table's rows: where each value stands in a row image (Layout), how a message is put together
# (Program), where it goes (Route). Compiled once for each distinct TABLE_MAP.

cdef enum:
    VALUE_NULL = -1      # in Value.size
    VALUE_ABSENT = -2    # the column is not in this image (binlog_row_image MINIMAL, NOBLOB)


cdef struct Value:
    cbyte* data
    Py_ssize_t size


cdef struct Slot:
    int fixed      # bytes of a value; -1: a length of `prefix` bytes stands before it
    int prefix


cdef dict FIXED_SIZES = {
    T_TINY: 1, T_SHORT: 2, T_INT24: 3, T_LONG: 4, T_LONGLONG: 8, T_YEAR: 1, T_DATE: 3, T_NEWDATE: 3, T_TIME: 3,
    T_DATETIME: 8, T_TIMESTAMP: 4, T_FLOAT: 4, T_DOUBLE: 8, T_NULL: 0,
}


cdef int old_temporal_bytes(int kind, int digits) except -1:
    """TIMESTAMP, DATETIME, TIME of MariaDB before 10.1, with a fraction: whole numbers of 10^-digits seconds, except that
    TIMESTAMP keeps its seconds apart (MariaDB source, sql/field.cc, Field_timestamp_hires ... Field_time_hires)."""
    if not 1 <= digits <= 6:
        raise UnsupportedEvent("the binlog does not say how many digits the fraction of an old TIMESTAMP, DATETIME or TIME has")
    if kind == T_TIMESTAMP:
        return 4 + (digits + 1) // 2
    if kind == T_TIME:
        return (4, 4, 5, 5, 5, 6)[digits - 1]
    return (6, 6, 7, 7, 7, 8)[digits - 1]


cdef Slot slot_of(column) except *:
    cdef Slot slot
    cdef int kind = column.type
    cdef int meta = column.meta
    slot.fixed = -1
    slot.prefix = 0
    if kind in (T_TIMESTAMP, T_DATETIME, T_TIME) and meta != 0:
        slot.fixed = old_temporal_bytes(kind, meta)
    elif kind in FIXED_SIZES:
        slot.fixed = FIXED_SIZES[kind]
    elif kind in (T_VARCHAR, T_VAR_STRING, T_STRING):
        slot.prefix = 1 if meta + column.compressed < 256 else 2    # a compressed one has a byte of its own before it
    elif kind in (T_BLOB, T_JSON, T_GEOMETRY, T_VECTOR):
        if not 1 <= meta <= 4:
            raise UnsupportedEvent(f"column {column.name!r} of type {kind} announces a length prefix of {meta} bytes")
        slot.prefix = meta
    elif kind in (T_ENUM, T_SET):
        slot.fixed = meta
    elif kind == T_BIT:
        slot.fixed = (meta + 7) // 8
    elif kind == T_NEWDECIMAL:
        slot.fixed = <int>decimal_bytes(meta >> 8, meta & 0xFF)
    elif kind == T_TIMESTAMP2:
        slot.fixed = 4 + (meta + 1) // 2
    elif kind == T_DATETIME2:
        slot.fixed = 5 + (meta + 1) // 2
    elif kind == T_TIME2:
        slot.fixed = 3 + (meta + 1) // 2
    else:
        raise UnsupportedEvent(f"column {column.name!r} has binlog type {kind}, which cdcd does not know")
    return slot


cdef class Layout:
    """Where the values of a row image stand."""

    cdef Slot* slots
    cdef Py_ssize_t n
    cdef list json           # which columns are JSON

    def __cinit__(self, columns):
        cdef Py_ssize_t i
        self.n = len(columns)
        self.json = [i for i in range(self.n) if columns[i].type == T_JSON]
        self.slots = <Slot*>malloc(max(self.n, 1) * sizeof(Slot))
        if self.slots == NULL:
            raise MemoryError
        for i in range(self.n):
            self.slots[i] = slot_of(columns[i])

    def __dealloc__(self):
        free(self.slots)

    cdef int read_image(self, Cursor* c, cbyte* present, Py_ssize_t n_present, Value* values) except -1:
        """One row image: a null bitmap over the present columns, then the values that are there."""
        cdef cbyte* nulls = take(c, (n_present + 7) // 8)
        cdef Py_ssize_t i, bit = 0
        cdef Slot* slot
        cdef uint64_t size
        for i in range(self.n):
            if not present[i >> 3] & (1 << (i & 7)):
                values[i].size = VALUE_ABSENT
                continue
            if nulls[bit >> 3] & (1 << (bit & 7)):
                values[i].size = VALUE_NULL
            else:
                slot = &self.slots[i]
                size = slot.fixed if slot.fixed >= 0 else load_le(take(c, slot.prefix), slot.prefix)
                values[i].data = take(c, size)
                values[i].size = <Py_ssize_t>size
            bit += 1
        return 0

    cdef cbyte* take_partial_bits(self, Cursor* c) except? NULL:
        """What stands before the after image of PARTIAL_UPDATE_ROWS: a bit for each JSON column that holds changes; or NULL.

        The changes have a length of 4 bytes before them, as a whole document has, so that `read_image` finds their end.
        """
        cdef uint64_t options = take_packed(c)
        if options > 1:
            raise UnsupportedEvent(f"row value options 0x{options:x}; cdcd knows PARTIAL_JSON")
        return take(c, (len(self.json) + 7) // 8) if options else NULL


cdef void complete_image(Py_ssize_t n, const Value* before, Value* after) noexcept:
    """A column that the after image of an update lacks has not changed (binlog_row_image MINIMAL, NOBLOB; FULL_NODUP)."""
    cdef Py_ssize_t i
    for i in range(n):
        if after[i].size == VALUE_ABSENT:
            after[i] = before[i]


cdef enum:
    OP_LITERAL = 0     # text as it stands
    OP_AFTER = 1       # columns of the after image: `"a":"1","b":null`
    OP_BEFORE = 2      # columns of the before image
    OP_CHANGED = 3     # before values of the columns that the update changed
    OP_COLUMN = 4      # one value, quoted where its column is (keys)
    OP_SEQ = 5         # the message's running number
    OP_NOW_MS = 6      # when it was built, ms since 1970
    OP_COMMIT_MS = 7   # when its transaction was committed, ms since 1970
    OP_GTID = 8        # its transaction's GTID; empty without GTIDs
    OP_MEMBERS = 9     # a text for each column that is in the image
    OP_TYPE_CODES = 10 # `"name":code`, with the code of each value in the image (canal's sqlType)
    OP_EVENT_MS = 11   # time stamp of its rows event, ms since 1970: when the statement began
    OP_BATCH = 12      # number of the batch that is taken with it


cdef struct Member:
    const char* text       # of one column
    Py_ssize_t size
    int[3] codes           # OP_TYPE_CODES: of NULL, of a value, of a value with the top bit set


cdef struct Op:
    int code
    int column
    const char* text
    Py_ssize_t size
    Member* members        # OP_MEMBERS, OP_TYPE_CODES: one for each column of the table


cdef class Program:
    """A message or key as a list of steps."""

    cdef Op* ops
    cdef Py_ssize_t n
    cdef list keep

    def __cinit__(self, steps):
        cdef Py_ssize_t i
        cdef bytes text
        self.n = len(steps)
        self.keep = []
        self.ops = <Op*>malloc(max(self.n, 1) * sizeof(Op))
        if self.ops == NULL:
            raise MemoryError
        for i in range(self.n):
            code, operand = steps[i]
            self.ops[i].code = code
            self.ops[i].column = operand if code == OP_COLUMN else -1
            text = operand if code == OP_LITERAL else b""
            self.keep.append(text)
            self.ops[i].text = PyBytes_AsString(text)
            self.ops[i].size = PyBytes_Size(text)
            self.ops[i].members = NULL
            if code in (OP_MEMBERS, OP_TYPE_CODES):
                self.ops[i].members = self.members_of(operand)

    cdef Member* members_of(self, operand) except NULL:
        """Of texts, or of (text, codes)."""
        cdef Member* members
        cdef Py_ssize_t i
        cdef int code
        # One at least: an empty table's would be NULL.
        members = <Member*>keep_bytes(bytes((len(operand) + 1) * sizeof(Member)), self.keep)
        for i in range(len(operand)):
            text, codes = operand[i] if isinstance(operand[i], tuple) else (operand[i], (0, 0, 0))
            members[i].text = keep_bytes(text, self.keep)
            members[i].size = PyBytes_Size(text)
            for code in range(3):
                members[i].codes[code] = codes[code]
        return members

    def __dealloc__(self):
        free(self.ops)


cdef class Route:
    """Where a table's messages go; collects them by partition until they are taken."""

    cdef readonly str topic
    cdef readonly int partitions
    cdef list runs      # partition -> [keys, values, ids] or None
    cdef list touched   # partitions with messages

    def __cinit__(self, str topic, int partitions):
        if partitions < 1:
            raise ValueError(f"topic {topic}: {partitions} partitions")
        self.topic = topic
        self.partitions = partitions
        self.runs = [None] * partitions
        self.touched = []

    cdef int add(self, uint32_t partition, key, bytes value, id) except -1:
        run = self.runs[partition]
        if run is None:
            run = self.runs[partition] = ([], [], [])
            self.touched.append(partition)
        (<list>(<tuple>run)[0]).append(key)
        (<list>(<tuple>run)[1]).append(value)
        if id is not None:
            (<list>(<tuple>run)[2]).append(id)
        return 0

    cdef int drop_last(self, uint32_t partition) except -1:
        """The newest message of a partition that has one."""
        for texts in self.runs[partition]:
            if texts:
                texts.pop()
        return 0

    cdef int take_into(self, list taken) except -1:
        for partition in self.touched:
            keys, values, ids = self.runs[partition]
            if values:
                taken.append((self.topic, partition, keys, values, ids))
            self.runs[partition] = None
        self.touched = []
        return 0


cdef class Plan:
    """How rows of one distinct table map become messages; see native.pyi."""

    cdef readonly object schema
    cdef readonly Route route
    cdef ColumnPlan* columns
    cdef Py_ssize_t n
    cdef Program insert
    cdef Program update
    cdef Program delete
    cdef Program key             # None: messages have no key
    cdef Program partition       # None: by hash of the key, or `fixed_partition` without one
    cdef uint32_t fixed_partition
    cdef bint splits             # an update of the key or the partition is a delete and an insert
    cdef list keep               # owners of what the C structures point to

    def __cinit__(
        self, schema, Route route, *, columns, insert, update, delete, key, partition, uint32_t partition_hash,
        bint splits=True, Zone strict=None,
    ):
        cdef Py_ssize_t i
        cdef bytes name
        self.schema = schema
        self.route = route
        self.keep = []
        self.n = len(columns)
        self.columns = <ColumnPlan*>malloc(max(self.n, 1) * sizeof(ColumnPlan))
        if self.columns == NULL:
            raise MemoryError
        memset(self.columns, 0, max(self.n, 1) * sizeof(ColumnPlan))
        for i in range(self.n):
            column, text, quoted = columns[i]
            plan_column(&self.columns[i], column, self.keep, strict)
            self.columns[i].quoted = quoted
            # Comma, name and opening quote in one piece; the writer leaves off either end.
            name = b"," + text + b'"'
            self.keep.append(name)
            self.columns[i].name = PyBytes_AsString(name)
            self.columns[i].name_size = PyBytes_Size(name)
        self.insert = self.checked(insert)
        self.update = self.checked(update)
        self.delete = self.checked(delete)
        self.key = None if key is None else self.checked(key)
        self.partition = None if partition is None else self.checked(partition)
        self.splits = splits
        self.fixed_partition = (partition_hash & 0x7FFFFFFF) % <uint32_t>route.partitions

    cdef Program checked(self, steps):
        for code, operand in steps:
            if code == OP_COLUMN and not 0 <= operand < self.n:
                raise ValueError(f"a template names column {operand} of {self.n}")
            if code in (OP_MEMBERS, OP_TYPE_CODES) and len(operand) != self.n:
                raise ValueError(f"a template has texts for {len(operand)} columns of {self.n}")
        return Program(steps)

    @property
    def invalid_text(self):
        return {self.schema.columns[i].name: self.columns[i].invalid for i in range(self.n) if self.columns[i].invalid}

    def __dealloc__(self):
        free(self.columns)


cdef uint32_t murmur2_hash(cbyte* p, Py_ssize_t n) noexcept:
    """MurmurHash2, 32 bits, seed 0x9747b28c: the default partitioner of Kafka's Java clients."""
    cdef uint32_t m = 0x5BD1E995
    cdef uint32_t h = 0x9747B28CU ^ <uint32_t>n
    cdef uint32_t k
    while n >= 4:
        k = load_u32(p) * m
        k ^= k >> 24
        h = (h * m) ^ (k * m)
        p += 4
        n -= 4
    if n == 3:
        h ^= <uint32_t>p[2] << 16
    if n >= 2:
        h ^= <uint32_t>p[1] << 8
    if n >= 1:
        h = (h ^ p[0]) * m
    h = (h ^ (h >> 13)) * m
    return h ^ (h >> 15)


def murmur2(bytes data):
    return murmur2_hash(<cbyte*>PyBytes_AsString(data), PyBytes_Size(data))
