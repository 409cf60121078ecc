# Which renderer a column gets, and what of it is prepared once for each distinct TABLE_MAP.

cdef Render integer_renderer(int type, bint unsigned) noexcept:
    if type == T_TINY:
        return render_u8 if unsigned else render_i8
    if type == T_SHORT:
        return render_u16 if unsigned else render_i16
    if type == T_INT24:
        return render_u24 if unsigned else render_i24
    if type == T_LONG:
        return render_u32 if unsigned else render_i32
    return render_u64 if unsigned else render_i64


cdef Render simple_renderer(int type) noexcept:
    """Types whose renderer needs nothing but the metadata; NULL for the others."""
    if type == T_FLOAT:
        return render_float
    if type == T_DOUBLE:
        return render_double
    if type == T_TIMESTAMP:
        return render_timestamp
    if type == T_TIME:
        return render_time
    if type == T_DATETIME:
        return render_datetime
    if type == T_DATE or type == T_NEWDATE:
        return render_date
    if type == T_YEAR:
        return render_year
    if type == T_BIT:
        return render_bit
    if type == T_TIMESTAMP2:
        return render_timestamp2
    if type == T_DATETIME2:
        return render_datetime2
    if type == T_TIME2:
        return render_time2
    if type == T_NEWDECIMAL:
        return render_decimal
    if type == T_JSON:
        return render_json
    if type == T_VECTOR:
        return render_vector
    if type == T_GEOMETRY:
        return render_binary
    return NULL


cdef bint meta_fits(int type, int meta) noexcept:
    """Whether the metadata is within what renderers rely on."""
    cdef int precision = meta >> 8, scale = meta & 0xFF
    if type in (T_TIMESTAMP2, T_DATETIME2, T_TIME2, T_TIMESTAMP, T_DATETIME, T_TIME):
        return 0 <= meta <= 6
    if type == T_NEWDECIMAL:
        return 0 < precision <= 65 and scale <= 30 and scale <= precision
    if type == T_BIT:
        return 1 <= meta <= 64
    if type == T_ENUM:
        return 1 <= meta <= 2
    if type == T_SET:
        return 1 <= meta <= 8
    return meta >= 0


cdef const char* keep_bytes(bytes data, list keep) except NULL:
    keep.append(data)
    return PyBytes_AsString(data)


cdef bint is_binary(object column):
    cdef object charset = charset_of(column.collation)
    return charset is not None and charset.name == "binary"


cdef int plan_text(ColumnPlan* plan, object column, list keep) except -1:
    """CHAR, VARCHAR, TEXT; BINARY, VARBINARY, BLOB."""
    cdef object charset = charset_of(column.collation)
    if charset is None:
        raise UnsupportedEvent(f"column {column.name!r}: the character set of collation {column.collation} is not known")
    if column.form:
        plan.pad = plan.meta
        plan.render = form_renderer(column.form)
    elif charset.name == "binary":
        plan.pad = plan.meta if plan.type == T_STRING else 0
        plan.render = render_binary
    elif charset.kind == "utf8":
        plan.render = render_utf8
    elif charset.kind == "table":
        plan.table = <const uint16_t*>keep_bytes(charset.table, keep)
        plan.render = render_table
    else:
        keep.append(charset)
        plan.charset = <void*>charset
        plan.render = render_codec
    return 0


cdef Render form_renderer(str form) noexcept:
    """Types that MariaDB logs as bytes."""
    if form == "uuid":
        return render_uuid
    if form == "inet4":
        return render_inet4
    return render_inet6 if form == "inet6" else render_vector


cdef bytes escaped(str text):
    """UTF-8, escaped for a JSON string."""
    cdef bytes data = text.encode("utf-8", "replace")
    cdef Out out
    memset(&out, 0, sizeof(Out))
    try:
        put_utf8(&out, <cbyte*>PyBytes_AsString(data), PyBytes_Size(data), 1)
        return PyBytes_FromStringAndSize(out.data, out.size)
    finally:
        release(&out)


cdef int plan_labels(ColumnPlan* plan, object column, list keep) except -1:
    """ENUM, SET: labels are turned into escaped UTF-8 once."""
    cdef object charset = charset_of(column.collation)
    cdef Py_ssize_t i
    cdef bytes label
    if charset is None or not column.labels:
        raise UnsupportedEvent(f"column {column.name!r}: the labels of its ENUM or SET are not known")
    plan.n_labels = len(column.labels)
    if plan.n_labels > (64 if plan.type == T_SET else 65535):
        raise MalformedEvent(f"column {column.name!r} has {plan.n_labels} labels")
    plan.labels = <Label*>keep_bytes(bytes(plan.n_labels * sizeof(Label)), keep)
    for i in range(plan.n_labels):
        label = escaped(charset.decode(column.labels[i])[0])
        plan.labels[i].text = keep_bytes(label, keep)
        plan.labels[i].size = PyBytes_Size(label)
    plan.render = render_enum if plan.type == T_ENUM else render_set
    return 0


cdef int plan_renderer(ColumnPlan* plan, object column, list keep) except -1:
    if plan.type in (T_TINY, T_SHORT, T_INT24, T_LONG, T_LONGLONG):
        plan.render = integer_renderer(plan.type, plan.unsigned)
    elif plan.type in (T_ENUM, T_SET):
        plan_labels(plan, column, keep)
    elif plan.type in (T_VARCHAR, T_VAR_STRING, T_STRING, T_BLOB):
        plan_text(plan, column, keep)
    else:
        plan.render = simple_renderer(plan.type)
    return 0


cdef int plan_strict(ColumnPlan* plan, Zone zone, list keep, object column) except -1:
    """What canal shows in a way of its own (formats.md section 7); `render` stays NULL for all else."""
    if plan.type == T_FLOAT:
        plan.render = render_java_float
    elif plan.type == T_DOUBLE:
        plan.render = render_java_double
    elif plan.type in (T_ENUM, T_SET):
        plan.render = render_members
    elif plan.type in (T_TIMESTAMP, T_TIMESTAMP2):
        keep.append(zone)
        plan.zone = <void*>zone
        plan.render = render_zoned if plan.type == T_TIMESTAMP else render_zoned2
    elif column.form:
        pass
    elif plan.type == T_GEOMETRY or (plan.type in (T_VARCHAR, T_VAR_STRING, T_STRING, T_BLOB) and is_binary(column)):
        plan.table = <const uint16_t*>keep_bytes(LATIN_1, keep)
        plan.render = render_table
    return 0


cdef int plan_column(ColumnPlan* plan, object column, list keep, Zone strict=None) except -1:
    """Fill a plan from a cdcd.binlog.schema.Column; `keep` holds what the plan points to and must live as long.

    `quoted` is set (a number style clears it afterwards); the name is the caller's to set.
    Raises UnsupportedEvent for a type or character set cdcd does not know, MalformedEvent for metadata no type has.
    """
    memset(plan, 0, sizeof(ColumnPlan))
    plan.type = column.type
    plan.meta = column.meta
    plan.unsigned = column.unsigned
    plan.quoted = True
    if not meta_fits(plan.type, plan.meta):
        raise MalformedEvent(f"column {column.name!r}: type {plan.type} with metadata {plan.meta}")
    if strict is not None:
        plan_strict(plan, strict, keep, column)
    if plan.render == NULL:
        plan_renderer(plan, column, keep)
    if plan.render == NULL:
        raise UnsupportedEvent(f"column {column.name!r}: type {plan.type} is not known")
    if column.compressed:
        plan.plain, plan.render = plan.render, render_packed
    return 0


def render(object column, bytes value, Zone strict=None) -> bytes:
    cdef ColumnPlan plan
    cdef list keep = []
    cdef Out out
    memset(&out, 0, sizeof(Out))
    plan_column(&plan, column, keep, strict)
    try:
        plan.render(&out, &plan, <cbyte*>PyBytes_AsString(value), PyBytes_Size(value))
        return PyBytes_FromStringAndSize(out.data, out.size)
    finally:
        release(&out)
