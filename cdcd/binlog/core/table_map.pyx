# TABLE_MAP: body -> TableSchema. Rare (once for each distinct map), so it is written for the reader, not for speed.

cdef enum:
    MOST_COLUMNS = 0xFFFF    # servers allow 4096; what is made of a column takes far more memory than its byte in the event

NUMERIC = frozenset((T_DECIMAL, T_TINY, T_SHORT, T_INT24, T_LONG, T_LONGLONG, T_FLOAT, T_DOUBLE, T_YEAR, T_NEWDECIMAL))
CHARACTER = frozenset((T_VARCHAR, T_VAR_STRING, T_STRING, T_BLOB, T_TINY_BLOB, T_MEDIUM_BLOB, T_LONG_BLOB, T_VECTOR))
TWO_BYTES_OF_METADATA = frozenset((T_VARCHAR, T_VAR_STRING, T_BIT, T_NEWDECIMAL, T_STRING, T_ENUM, T_SET, T_DECIMAL))
ONE_BYTE_OF_METADATA = frozenset((T_FLOAT, T_DOUBLE, T_BLOB, T_TINY_BLOB, T_MEDIUM_BLOB, T_LONG_BLOB, T_JSON, T_GEOMETRY, T_VECTOR, T_TIMESTAMP2, T_DATETIME2, T_TIME2))


cdef int unpacked_type(int kind) noexcept:
    """The type that a column of MariaDB has but for its values' compression."""
    if kind == T_PACKED_BLOB:
        return T_BLOB
    return T_VARCHAR if kind == T_PACKED_VARCHAR else kind


cdef tuple read_metadata(Cursor* c, int kind, bint mariadb):
    """(type, meta) of one column as cdcd.binlog.schema.Column has them; ENUM, SET and long CHAR are unpacked."""
    cdef cbyte* p
    cdef bint packed = kind == T_PACKED_VARCHAR     # its length counts the byte that says how
    kind = unpacked_type(kind)
    if mariadb and kind in (T_TIMESTAMP, T_DATETIME, T_TIME):
        return kind, UNSAID
    if kind in ONE_BYTE_OF_METADATA:
        return kind, take(c, 1)[0]
    if kind not in TWO_BYTES_OF_METADATA:
        return kind, 0
    p = take(c, 2)
    if kind == T_BIT:
        return kind, p[1] * 8 + p[0]
    if kind == T_NEWDECIMAL:
        return kind, p[0] << 8 | p[1]
    if kind != T_STRING:
        if load_u16(p) < packed:
            raise ShortRead("a compressed column of no bytes")
        return kind, <int>load_u16(p) - packed
    if p[0] in (T_ENUM, T_SET):
        return p[0], p[1]
    # A CHAR over 255 bytes hides bits 8 and 9 of its length, inverted, in bits 4 and 5 of the type.
    return T_STRING, p[1] | (((p[0] & 0x30) ^ 0x30) << 4)


cdef list read_bits(Cursor* c, Py_ssize_t n):
    """`n` flags, the first in the highest bit."""
    cdef cbyte* p = take(c, (n + 7) // 8)
    cdef Py_ssize_t i
    return [bool(p[i // 8] & (0x80 >> (i % 8))) for i in range(n)]


cdef list read_packed_list(Cursor* c):
    values = []
    while left(c):
        values.append(take_packed(c))
    return values


cdef list read_texts(Cursor* c, Py_ssize_t n):
    texts = []
    cdef Py_ssize_t i
    for i in range(n):
        texts.append(take_bytes(c, take_packed(c)))
    return texts


cdef list read_default_collations(Cursor* c, Py_ssize_t n):
    """A default, then (index, collation) pairs of the columns that differ."""
    cdef uint64_t index
    collations = [take_packed(c)] * n
    while left(c):
        index = take_packed(c)
        if index >= <uint64_t>n:
            raise ShortRead(f"a collation is given for character column {index} of {n}")
        collations[index] = take_packed(c)
    return collations


cdef list read_label_lists(Cursor* c):
    lists = []
    while left(c):
        lists.append(tuple(read_texts(c, take_packed(c))))
    return lists


cdef Py_ssize_t count_of(list kinds, types):
    return len([1 for kind, _ in kinds if kind in types])


cdef dict spread(list kinds, types, list values):
    """{column index: value}: `values` belong, in order, to the columns whose type is in `types`."""
    return dict(zip([i for i, (kind, _) in enumerate(kinds) if kind in types], values))


cdef dict read_fields(Cursor* c, list kinds, bint mariadb):
    """The optional metadata, by what it says: `{"unsigned": {3: True}, "names": {...}, ...}`."""
    fields = {}
    # MariaDB gives GEOMETRY, a kind of BLOB, a collation too (MariaDB source, sql/log_event.cc, is_character_type).
    character = CHARACTER | {T_GEOMETRY} if mariadb else CHARACTER
    cdef Cursor value
    cdef Py_ssize_t size
    cdef int field
    while left(c):
        field = take(c, 1)[0]
        size = take_packed(c)
        value = cursor(take(c, size), size)
        if field == 1:
            fields["unsigned"] = spread(kinds, NUMERIC, read_bits(&value, count_of(kinds, NUMERIC)))
        elif field == 2:
            fields["collation"] = spread(kinds, character, read_default_collations(&value, count_of(kinds, character)))
        elif field == 3:
            fields["collation"] = spread(kinds, character, read_packed_list(&value))
        elif field == 4:
            fields["names"] = [name.decode("utf-8", "replace") for name in read_texts(&value, len(kinds))]
        elif field == 5:
            fields["sets"] = spread(kinds, (T_SET,), read_label_lists(&value))
        elif field == 6:
            fields["enums"] = spread(kinds, (T_ENUM,), read_label_lists(&value))
        elif field == 7:
            fields["geometry"] = spread(kinds, (T_GEOMETRY,), read_packed_list(&value))
        elif field == 8:
            fields["key"] = tuple(read_packed_list(&value))
        elif field == 9:
            fields["key"] = tuple(read_packed_list(&value)[::2])   # (index, prefix length) pairs
        elif field == 10:
            fields["label_collation"] = spread(kinds, (T_ENUM, T_SET), read_default_collations(&value, count_of(kinds, (T_ENUM, T_SET))))
        elif field == 11:
            fields["label_collation"] = spread(kinds, (T_ENUM, T_SET), read_packed_list(&value))
        elif field == 12:
            fields["visible"] = read_bits(&value, len(kinds))
        elif field == 13:
            fields["dimension"] = spread(kinds, (T_VECTOR,), read_packed_list(&value))
        # Other fields are hints of newer servers; none changes how a row is read.
    return fields


cdef object read_table_map(cbyte* body, Py_ssize_t size, int id_size, tuple mariadb):
    """TABLE_MAP's body after its header, without checksum -> TableSchema; `mariadb`: its version, or empty."""
    cdef Cursor c = cursor(body, size)
    cdef Cursor types, metadata
    cdef Py_ssize_t n, i
    cdef cbyte* nulls
    take(&c, id_size + 2)
    database = take_bytes(&c, take(&c, 1)[0]).decode("utf-8", "replace")
    take(&c, 1)
    table = take_bytes(&c, take(&c, 1)[0]).decode("utf-8", "replace")
    take(&c, 1)
    n = take_packed(&c)
    types = cursor(take(&c, n), n)
    if n > MOST_COLUMNS:
        raise ShortRead(f"a table of {n} columns")
    size_of_metadata = take_packed(&c)
    metadata = cursor(take(&c, size_of_metadata), size_of_metadata)
    kinds = [read_metadata(&metadata, types.at[i], len(mariadb) > 0) for i in range(n)]
    nulls = take(&c, (n + 7) // 8)
    nullable = [bool(nulls[i // 8] & (1 << (i % 8))) for i in range(n)]
    fields = read_fields(&c, kinds, len(mariadb) > 0)
    named = "names" in fields
    names = fields.get("names") or [""] * n
    unsigned, collation = fields.get("unsigned", {}), {**fields.get("collation", {}), **fields.get("label_collation", {})}
    labels = {**fields.get("sets", {}), **fields.get("enums", {})}
    geometry = fields.get("geometry", {})
    visible = fields.get("visible") or [True] * n
    columns = tuple(
        Column(
            name=names[i], type=kinds[i][0], meta=kinds[i][1], nullable=nullable[i],
            unsigned=unsigned.get(i, False), collation=collation.get(i, 0), labels=labels.get(i, ()),
            geometry=geometry.get(i, 0), dimension=fields.get("dimension", {}).get(i, 0), visible=visible[i],
            compressed=unpacked_type(types.at[i]) != types.at[i],
            declared="geometrycollection" if mariadb and geometry.get(i) == 7 else "",  # MySQL 8 calls it otherwise
        )
        for i in range(n)
    )
    key = fields.get("key", ())
    if key and max(key) >= n:
        raise ShortRead(f"the primary key of {database}.{table} names column {max(key)} of {n}")
    fingerprint = blake2b(PyBytes_FromStringAndSize(<const char*>body + id_size, size - id_size), digest_size=16).digest()
    return TableSchema(database, table, columns, key, named, fingerprint, signs="unsigned" in fields, mariadb=mariadb)
