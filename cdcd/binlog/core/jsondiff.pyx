# binlog_row_value_options=PARTIAL_JSON: an after image holds what changed in a document instead of the document. The changes
# are made in the before image's JSONB, and the result is JSONB again (MySQL source, sql/json_diff.cc).

cdef enum:
    DIFF_REPLACE = 0
    DIFF_INSERT = 1
    DIFF_REMOVE = 2

PATH_LEG = re.compile(rb'\.("(?:[^"\\]|\\.)*"|[^\s.\[*"]+)|\[(\d{1,10})\]|\[(last)(?:-(\d{1,10}))?\]', re.DOTALL)


cdef list path_legs(bytes path):
    """`$.a."b c"[3][last-1]` -> [b"a", b"b c", (False, 3), (True, 1)] (MySQL manual, "JSON Path Syntax")."""
    legs = []
    at = 1
    while at < len(path):
        found = PATH_LEG.match(path, at)
        if found is None or len(legs) == JSON_DEPTH:
            malformed_json(f"path {path!r}")
        name, index, last, before_last = found.groups()
        if name is not None and len(name) > 0xFFFF:
            malformed_json("a name of more than 65535 bytes")
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
