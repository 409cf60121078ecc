# binlog_row_value_options=PARTIAL_JSON: an after image holds what changed in a document instead of the document. The changes
# are made in the before image's JSONB, and the result is JSONB again (MySQL source, sql/json_diff.cc, json_binary.h).
# Only containers on the way to a change are taken apart; what lies beside it is copied as it stands.

cdef enum:
    DIFF_REPLACE = 0
    DIFF_INSERT = 1
    DIFF_REMOVE = 2

PATH_LEG = re.compile(rb'\.("(?:[^"\\]|\\.)*"|[^\s.\[*"]+)|\[(\d{1,10})\]|\[(last)(?:-(\d{1,10}))?\]', re.DOTALL)


cdef class JsonNode:
    """A value of a document: as it stands (`data`, without its type byte), or a container taken apart."""

    cdef uint8_t type
    cdef bytes data          # None: taken apart
    cdef list keys           # of an object: UTF-8, by length, then by bytes
    cdef list members        # JsonNode

    cdef bint is_object(self) noexcept:
        return self.type <= JSONB_LARGE_OBJECT

    cdef bint is_array(self) noexcept:
        return self.type == JSONB_SMALL_ARRAY or self.type == JSONB_LARGE_ARRAY

    cdef int find(self, bytes key) except -1:
        """Where the key of an object stands, or would stand."""
        return bisect_left(self.keys, (len(key), key), key=by_length)


def by_length(bytes key):
    return len(key), key


cdef JsonNode json_node(uint8_t type, cbyte* p, cbyte* end):
    """The value that begins at `p`; inline ones have been given their own bytes."""
    cdef JsonNode node = JsonNode()
    cdef Py_ssize_t size = json_size(type, p, end)
    node.type = type
    node.data = PyBytes_FromStringAndSize(<const char*>p, size)
    return node


cdef JsonNode json_document(cbyte* p, Py_ssize_t n):
    """A type byte and the value; no bytes at all mean null."""
    cdef JsonNode node
    if n:
        return json_node(p[0], p + 1, p + n)
    node = JsonNode()
    node.type = JSONB_LITERAL
    node.data = b"\0"
    return node


cdef Py_ssize_t json_size(uint8_t type, cbyte* p, cbyte* end) except -1:
    """Bytes of the value at `p`."""
    cdef Cursor c = cursor(p, end - p)
    cdef int width = 4 if type & 1 else 2
    cdef Py_ssize_t size
    if type <= JSONB_LARGE_ARRAY:
        take(&c, width)
        size = <Py_ssize_t>take_le(&c, width)
        if not 2 * width <= size <= end - p:
            malformed_json(f"container of {size} bytes in {end - p}")
        return size
    if type == JSONB_LITERAL:
        take(&c, 1)
    elif type == JSONB_INT16 or type == JSONB_UINT16:
        take(&c, 2)
    elif type == JSONB_INT32 or type == JSONB_UINT32:
        take(&c, 4)
    elif type == JSONB_INT64 or type == JSONB_UINT64 or type == JSONB_DOUBLE:
        take(&c, 8)
    elif type == JSONB_STRING:
        take(&c, take_varint(&c))
    elif type == JSONB_OPAQUE:
        take(&c, 1)
        take(&c, take_varint(&c))
    else:
        malformed_json(f"type {type}")
    return c.at - p


cdef JsonNode json_member(Cursor* entries, cbyte* start, cbyte* end, int width):
    """The next value of the container in start .. end; see put_member."""
    cdef uint8_t type = take(entries, 1)[0]
    cdef cbyte* entry = take(entries, width)
    cdef uint64_t offset
    if is_inline(type, width == 4):
        return json_node(type, entry, entry + width)
    offset = load_le(entry, width)
    if offset >= <uint64_t>(end - start):
        malformed_json(f"offset {offset} in a container of {end - start} bytes")
    return json_node(type, start + offset, end)


cdef bytes json_key(Cursor* keys, cbyte* start, cbyte* end, int width):
    cdef uint64_t offset = take_le(keys, width)
    cdef Py_ssize_t n = <Py_ssize_t>take_le(keys, 2)
    if offset + n > <uint64_t>(end - start):
        malformed_json(f"key at {offset} of {n} bytes in a container of {end - start}")
    return PyBytes_FromStringAndSize(<const char*>start + offset, n)


cdef int take_apart(JsonNode node) except -1:
    """A container, into keys and members; a member that is one stays whole."""
    cdef cbyte* start
    cdef cbyte* end
    cdef Cursor c, keys, values
    cdef int width = 4 if node.type & 1 else 2
    cdef uint64_t count, i
    cdef Py_ssize_t budget
    cdef JsonNode member
    if node.data is None:
        return 0
    start = <cbyte*>PyBytes_AsString(node.data)
    end = start + PyBytes_Size(node.data)
    c = cursor(start, end - start)
    count = take_le(&c, width)
    take(&c, width)
    keys = values = c
    if node.is_object():
        take(&values, count * (2 + width))
    budget = PyBytes_Size(node.data)
    node.keys, node.members = [], []
    for i in range(count):
        if node.is_object():
            node.keys.append(json_key(&keys, start, end, width))
        member = json_member(&values, start, end, width)
        budget -= 1 + PyBytes_Size(member.data)
        if budget < 0:
            malformed_json("parts overlap")
        node.members.append(member)
    if node.is_object() and any([by_length(a) >= by_length(b) for a, b in zip(node.keys, node.keys[1:])]):
        malformed_json("keys out of order")
    node.data = None
    return 0


cdef bytes json_bytes(JsonNode node):
    """The value as JSONB, and its final type: a container is small while its offsets fit 16 bits."""
    cdef JsonNode member
    cdef Py_ssize_t size
    if node.data is None:
        for member in node.members:
            json_bytes(member)
        node.type &= ~1
        size = container_size(node, 2)
        if size > 0xFFFF or len(node.members) > 0xFFFF:
            node.type |= 1
            size = container_size(node, 4)
        node.data = pack_container(node, size, 4 if node.type & 1 else 2)
    return node.data


cdef Py_ssize_t container_size(JsonNode node, int width) except -1:
    cdef JsonNode member
    cdef Py_ssize_t size = 2 * width + len(node.members) * (1 + width)
    if node.is_object():
        size += len(node.keys) * (2 + width) + sum([len(key) for key in node.keys])
    for member in node.members:
        if not is_inline(member.type, width == 4):
            size += PyBytes_Size(member.data)
    return size


cdef bytes pack_container(JsonNode node, Py_ssize_t size, int width):
    """Count, size, table of keys, table of values, keys, values; offsets count from the container's start."""
    cdef list heads = [len(node.members).to_bytes(width, "little"), size.to_bytes(width, "little")]
    cdef list tails = []
    cdef Py_ssize_t at = 2 * width + len(node.members) * (1 + width)
    cdef JsonNode member
    if node.is_object():
        at += len(node.keys) * (2 + width)
        for key in node.keys:
            heads.append(at.to_bytes(width, "little") + len(key).to_bytes(2, "little"))
            tails.append(key)
            at += len(key)
    for member in node.members:
        if is_inline(member.type, width == 4):
            heads.append(bytes([member.type]) + member.data.ljust(width, b"\0"))
            continue
        heads.append(bytes([member.type]) + at.to_bytes(width, "little"))
        tails.append(member.data)
        at += PyBytes_Size(member.data)
    return b"".join(heads) + b"".join(tails)


# ---------------------------------------------------------------- paths and changes

cdef list path_legs(bytes path):
    """`$.a."b c"[3][last-1]` -> [b"a", b"b c", (False, 3), (True, 1)] (MySQL manual, "JSON Path Syntax")."""
    legs = []
    at = 1
    while at < len(path):
        found = PATH_LEG.match(path, at)
        if found is None or len(legs) == JSON_DEPTH:
            malformed_json(f"path {path!r}")
        name, index, last, before_last = found.groups()
        legs.append(path_name(name) if name is not None else (last is not None, int(index or before_last or 0)))
        at = found.end()
    if path[:1] != b"$" or not legs:
        malformed_json(f"path {path!r}")
    return legs


cdef bytes path_name(bytes name):
    if not name.startswith(b'"'):
        return name
    try:
        return json.loads(name, strict=False).encode()
    except ValueError:
        malformed_json(f"name {name!r} in a path")


cdef Py_ssize_t array_index(tuple leg, Py_ssize_t n) except? -2:
    """The cell that a leg names in an array of `n` cells; -1 before the first, n or more behind the last."""
    from_end, index = leg
    return n - 1 - index if from_end else index


cdef Py_ssize_t member_at(JsonNode parent, leg) except? -2:
    """Where the member that a leg names stands in a container; -1 where there is none."""
    cdef Py_ssize_t at
    take_apart(parent)
    if parent.is_object() and isinstance(leg, bytes):
        at = parent.find(leg)
        return at if at < len(parent.keys) and parent.keys[at] == leg else -1
    if parent.is_array() and isinstance(leg, tuple):
        at = array_index(leg, len(parent.members))
        return at if 0 <= at < len(parent.members) else -1
    return -1


cdef JsonNode container_of(JsonNode root, list legs):
    """The container at the end of these legs; None where they lead nowhere, or to no container."""
    cdef JsonNode node = root
    cdef Py_ssize_t at
    for leg in legs:
        at = member_at(node, leg) if node.type <= JSONB_LARGE_ARRAY else -1
        if at < 0:
            return None
        node = node.members[at]
    return node if node.type <= JSONB_LARGE_ARRAY else None


cdef bint insert_member(JsonNode parent, leg, JsonNode value) except -1:
    cdef Py_ssize_t at = member_at(parent, leg)
    if parent.is_array() and isinstance(leg, tuple):
        at = array_index(leg, len(parent.members))
        parent.members.insert(max(0, at), value)       # behind the end: at the end
        return True
    if at >= 0 or not parent.is_object() or not isinstance(leg, bytes):
        return False
    at = parent.find(leg)
    parent.keys.insert(at, leg)
    parent.members.insert(at, value)
    return True


cdef bint change_member(JsonNode parent, leg, JsonNode value) except -1:
    """Replace, or remove where `value` is None."""
    cdef Py_ssize_t at = member_at(parent, leg)
    if at < 0:
        return False
    if value is not None:
        parent.members[at] = value
        return True
    del parent.members[at]
    if parent.is_object():
        del parent.keys[at]
    return True


cdef bint apply_diff(JsonNode root, Cursor* c) except -1:
    """One change: operation, path and, unless it removes, the new value. False where the document has no such place."""
    cdef int operation = take(c, 1)[0]
    cdef list legs
    cdef JsonNode parent, value = None
    cdef Py_ssize_t n
    if operation > DIFF_REMOVE:
        malformed_json(f"change of kind {operation}")
    legs = path_legs(take_bytes(c, take_packed(c)))
    if operation != DIFF_REMOVE:
        n = <Py_ssize_t>take_packed(c)
        value = json_document(take(c, n), n)
    last = legs.pop()
    parent = container_of(root, legs)
    if parent is None:
        return False
    if operation == DIFF_INSERT:
        return insert_member(parent, last, value)
    return change_member(parent, last, value)


cdef bytes apply_diffs(const Value* before, const Value* diffs):
    """The document after all changes, as JSONB. ShortRead where one does not fit the document before it."""
    cdef JsonNode root = json_document(before.data, before.size)
    cdef Cursor c = cursor(diffs.data, diffs.size)
    while left(&c):
        if not apply_diff(root, &c):
            malformed_json("a partial update changes what the document before it does not have")
    json_bytes(root)
    return bytes([root.type]) + root.data
