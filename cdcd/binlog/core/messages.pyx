# Row images in, messages out: text, key, partition and running number of each.

cdef class Messages:
    """Builds messages and hands them to their routes."""

    cdef object id_prefix    # None, or what identities begin with
    cdef list routes         # with messages that wait
    cdef uint64_t pending    # bytes of them
    cdef Out text
    cdef Out key_text
    cdef Out old_key_text
    cdef uint64_t seq
    cdef uint64_t inserts
    cdef uint64_t updates
    cdef uint64_t deletes
    cdef uint64_t batch      # number of the next `take_runs` that has messages
    cdef uint32_t event_seconds
    # the rows event in work, to undo it
    cdef Out partitions      # of its messages so far, 4 bytes each
    cdef uint64_t[4] before_event
    # texts that many messages share
    cdef char[96] gtid_text
    cdef Py_ssize_t gtid_size
    cdef char[24] commit_text
    cdef Py_ssize_t commit_size
    cdef char[24] now_text
    cdef Py_ssize_t now_size
    cdef object transaction  # for identities, bytes

    def __cinit__(self, id_prefix):
        self.id_prefix = id_prefix
        self.routes = []
        self.batch = 1

    def __dealloc__(self):
        release(&self.text)
        release(&self.key_text)
        release(&self.old_key_text)
        release(&self.partitions)

    cdef void set_now(self, uint64_t now_ms) noexcept:
        self.now_size = write_u64(self.now_text, now_ms) - self.now_text

    cdef void set_transaction(self, const Gtid* gtid, bint has_gtid) noexcept:
        self.commit_size = write_u64(self.commit_text, gtid.commit_us // 1000) - self.commit_text
        self.gtid_size = write_gtid(self.gtid_text, gtid) if has_gtid else 0

    cdef list take_runs(self):
        cdef list taken = []
        cdef Route route
        for route in self.routes:
            route.take_into(taken)
        self.routes = []
        self.pending = 0
        self.batch += len(taken) > 0
        return taken

    cdef void begin_event(self) noexcept:
        self.partitions.size = 0
        self.before_event[0] = self.seq
        self.before_event[1] = self.inserts
        self.before_event[2] = self.updates
        self.before_event[3] = self.deletes

    cdef int undo_event(self, Plan plan) except -1:
        """Take back the messages since `begin_event`: an event yields all of its own or none."""
        cdef uint32_t partition
        while self.partitions.size:
            self.partitions.size -= 4
            memcpy(&partition, self.partitions.data + self.partitions.size, 4)
            plan.route.drop_last(partition)
        self.seq, self.inserts = self.before_event[0], self.before_event[1]
        self.updates, self.deletes = self.before_event[2], self.before_event[3]
        return 0

    cdef int insert(self, Plan plan, const Value* after) except -1:
        self.inserts += 1
        write_key(plan, after, &self.key_text)
        return self.publish(plan, plan.insert, &self.key_text, self.partition_of(plan, after, &self.key_text), NULL, after)

    cdef int delete(self, Plan plan, const Value* before) except -1:
        self.deletes += 1
        write_key(plan, before, &self.key_text)
        return self.publish(plan, plan.delete, &self.key_text, self.partition_of(plan, before, &self.key_text), before, NULL)

    cdef int update(self, Plan plan, const Value* before, const Value* after) except -1:
        """One message; a change of key or partition is a delete under the old and an insert under the new one."""
        cdef uint32_t old, new
        self.updates += 1
        write_key(plan, before, &self.old_key_text)
        old = self.partition_of(plan, before, &self.old_key_text)
        write_key(plan, after, &self.key_text)
        new = self.partition_of(plan, after, &self.key_text)
        if (old == new and same_text(&self.key_text, &self.old_key_text)) or not plan.splits:
            return self.publish(plan, plan.update, &self.key_text, new, before, after)
        check_whole(plan, after)
        self.publish(plan, plan.delete, &self.old_key_text, old, before, NULL)
        return self.publish(plan, plan.insert, &self.key_text, new, NULL, after)

    cdef uint32_t partition_of(self, Plan plan, const Value* image, Out* key) except? 0xFFFFFFFF:
        """Uses `text` as scratch where the partition does not follow from the key."""
        cdef Out* hashed = key
        if plan.partition is not None:
            hashed = &self.text
            hashed.size = 0
            write_columns(plan, plan.partition, image, hashed)
        elif plan.key is None:
            return plan.fixed_partition
        return (murmur2_hash(<cbyte*>hashed.data, hashed.size) & 0x7FFFFFFF) % <uint32_t>plan.route.partitions

    cdef int publish(
        self, Plan plan, Program program, const Out* key, uint32_t partition, const Value* before, const Value* after
    ) except -1:
        cdef Py_ssize_t i
        cdef const Op* op
        cdef Out* out = &self.text
        cdef Route route = plan.route
        reserve(&self.partitions, 4)     # so that a message that is in its route can always be taken back
        self.seq += 1
        out.size = 0
        for i in range(program.n):
            op = &program.ops[i]
            if op.code == OP_LITERAL:
                put(out, op.text, op.size)
            elif op.code == OP_AFTER and after != NULL:
                write_image(out, plan, after)
            elif op.code == OP_BEFORE and before != NULL:
                write_image(out, plan, before)
            elif op.code == OP_CHANGED and before != NULL and after != NULL:
                write_changed(out, plan, before, after)
            elif op.members != NULL:
                write_members(out, plan, op, after if after != NULL else before)
            else:
                self.write_field(out, op.code)
        self.pending += out.size + key.size
        if not route.touched:
            self.routes.append(route)
        route.add(
            partition,
            None if plan.key is None else PyBytes_FromStringAndSize(key.data, key.size),
            PyBytes_FromStringAndSize(out.data, out.size),
            None if self.id_prefix is None else self.identity(),
        )
        put(&self.partitions, &partition, 4)
        return 0

    cdef int write_field(self, Out* out, int code) except -1:
        if code == OP_SEQ:
            put_u64(out, self.seq)
        elif code == OP_NOW_MS:
            put(out, self.now_text, self.now_size)
        elif code == OP_COMMIT_MS:
            put(out, self.commit_text, self.commit_size)
        elif code == OP_GTID:
            put(out, self.gtid_text, self.gtid_size)
        elif code == OP_EVENT_MS:
            put_u64(out, <uint64_t>self.event_seconds * 1000)
        elif code == OP_BATCH:
            put_u64(out, self.batch)
        else:
            raise ValueError(f"a template has step {code} in a message that cannot hold it")
        return 0

    cdef bytes identity(self):
        """`<epoch>;<seq>;<transaction>`: a message's identity in at-least-once mode (formats.md section 1)."""
        return b"%b;%d;%b" % (self.id_prefix, self.seq, self.transaction)


cdef inline bint same_text(const Out* a, const Out* b) noexcept:
    return a.size == b.size and (a.size == 0 or memcmp(a.data, b.data, a.size) == 0)


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


cdef int write_key(Plan plan, const Value* image, Out* out) except -1:
    out.size = 0
    if plan.key is not None:
        write_columns(plan, plan.key, image, out)
    return 0


cdef int write_columns(Plan plan, Program program, const Value* image, Out* out) except -1:
    """A key: literals and single values."""
    cdef Py_ssize_t i
    cdef const Op* op
    cdef const Value* value
    for i in range(program.n):
        op = &program.ops[i]
        if op.code == OP_LITERAL:
            put(out, op.text, op.size)
            continue
        value = &image[op.column]
        if value.size == VALUE_ABSENT:
            raise UnsupportedEvent(
                f"a row image of {plan.schema.name} lacks column {plan.schema.columns[op.column].name}, on which its key"
                " or partition depends (some session has binlog_row_image MINIMAL or NOBLOB)"
            )
        write_value(out, &plan.columns[op.column], value)
    return 0


cdef int check_whole(Plan plan, const Value* image) except -1:
    """A row that appears under a new key has to be there with all its columns."""
    cdef Py_ssize_t i
    for i in range(plan.n):
        if image[i].size == VALUE_ABSENT:
            raise UnsupportedEvent(
                f"an update moves a row of {plan.schema.name} to another key or partition, but the row image lacks column"
                f" {plan.schema.columns[i].name} (some session has binlog_row_image MINIMAL or NOBLOB)"
            )
    return 0


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


cdef inline int code_index(const ColumnPlan* column, const Value* value) noexcept:
    """Which of a Member's codes a value has: integers are little-endian, their top bit is in the last byte."""
    if value.size < 0:
        return 0
    return 2 if column.unsigned and value.size and value.data[value.size - 1] & 0x80 else 1


cdef int write_members(Out* out, Plan plan, const Op* op, const Value* image) except -1:
    """What stands for each column of an image, separated by commas."""
    cdef Py_ssize_t i
    cdef bint first = True
    for i in range(plan.n):
        if image[i].size == VALUE_ABSENT:
            continue
        if not first:
            put_char(out, c',')
        first = False
        put(out, op.members[i].text, op.members[i].size)
        if op.code == OP_TYPE_CODES:
            put_i64(out, op.members[i].codes[code_index(&plan.columns[i], &image[i])])
    return 0
