# JSONB that can be changed: only containers on the way to a change are taken apart, what lies beside it is copied as it stands
# (MySQL source, sql-common/json_binary.h).

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

    cdef Py_ssize_t find(self, bytes key) except -1:
        """Where the key of an object stands, or would stand."""
        cdef Py_ssize_t low = 0, high = len(self.keys), middle
        while low < high:
            middle = (low + high) // 2
            if precedes(self.keys[middle], key):
                low = middle + 1
            else:
                high = middle
        return low


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
    cdef bytes key, before = None
    cdef JsonNode member
    if node.data is None:
        return 0
    start = <cbyte*>PyBytes_AsString(node.data)
    budget = PyBytes_Size(node.data)
    end = start + budget
    c = cursor(start, budget)
    count = take_le(&c, width)
    take(&c, width)
    keys = values = c
    if node.is_object():
        take(&values, count * (2 + width))
    node.keys, node.members = [], []
    for i in range(count):
        if node.is_object():
            key = json_key(&keys, start, end, width)
            if before is not None and not precedes(before, key):
                malformed_json("keys out of order")
            node.keys.append(key)
            before = key
        member = json_member(&values, start, end, width)
        budget -= 1 + PyBytes_Size(member.data)
        if budget < 0:
            malformed_json("parts overlap")
        node.members.append(member)
    node.data = None
    return 0


cdef bint precedes(bytes a, bytes b) noexcept:
    """The order of an object's keys: by length, then by bytes."""
    cdef Py_ssize_t n = PyBytes_Size(a), m = PyBytes_Size(b)
    return n < m or (n == m and memcmp(PyBytes_AsString(a), PyBytes_AsString(b), n) < 0)


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
    cdef bytes key
    cdef Py_ssize_t size = tables_size(node, width)
    if node.is_object():
        for key in node.keys:
            size += PyBytes_Size(key)
    for member in node.members:
        if not is_inline(member.type, width == 4):
            size += PyBytes_Size(member.data)
    return size


cdef Py_ssize_t tables_size(JsonNode node, int width) except -1:
    """Count, size, table of keys, table of values."""
    cdef Py_ssize_t n = len(node.members)
    return 2 * width + n * (1 + width) + (n * (2 + width) if node.is_object() else 0)


cdef inline char* store_le(char* at, uint64_t v, int n) noexcept:
    cdef int i
    for i in range(n):
        at[i] = <char>(v >> (8 * i) & 0xFF)
    return at + n


cdef inline char* store_bytes(char* at, bytes data) noexcept:
    memcpy(at, PyBytes_AsString(data), PyBytes_Size(data))
    return at + PyBytes_Size(data)


cdef bytes pack_container(JsonNode node, Py_ssize_t size, int width):
    """Its tables, then what they point to: `size` bytes in all. Offsets count from the container's start."""
    cdef bytes packed = PyBytes_FromStringAndSize(NULL, size)
    cdef char* start = PyBytes_AsString(packed)
    cdef char* tail = start + tables_size(node, width)
    cdef char* head = store_le(store_le(start, len(node.members), width), size, width)
    cdef JsonNode member
    cdef bytes key
    if node.is_object():
        for key in node.keys:
            head = store_le(store_le(head, tail - start, width), PyBytes_Size(key), 2)
            tail = store_bytes(tail, key)
    for member in node.members:
        head = store_le(head, member.type, 1)
        if is_inline(member.type, width == 4):
            memset(head, 0, width)
            store_bytes(head, member.data)
            head += width
        else:
            head = store_le(head, tail - start, width)
            tail = store_bytes(tail, member.data)
    return packed
