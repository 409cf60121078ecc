# What the core knows of a column: compiled once for each distinct TABLE_MAP.

cdef struct ColumnPlan

# Writes one value as text, without quotes. `p[0:n]` is exactly the value as it stands in the row image, without
# length prefix. Text is escaped for a JSON string. Raises ShortRead where the bytes are too few for the type.
ctypedef int (*Render)(Out* out, const ColumnPlan* column, cbyte* p, Py_ssize_t n) except -1


cdef struct Label:
    const char* text     # UTF-8, already escaped for a JSON string
    Py_ssize_t size


cdef struct ColumnPlan:
    int type                 # binlog type; ENUM, SET and CHAR told apart (247, 248, 254)
    int meta                 # see cdcd.binlog.schema.Column.meta
    bint unsigned
    bint quoted              # the text stands between quotes
    Py_ssize_t pad           # BINARY(n): n, trailing zero bytes are cut in the binlog; else 0
    const uint16_t* table    # 8-bit character sets: 256 code points
    void* zone               # `compat: strict`: a Zone, for TIMESTAMP
    void* charset            # character sets of several bytes: a cdcd.binlog.charsets.Charset
    uint64_t invalid         # values with bytes that are no text in their character set, so far
    int n_labels
    Label* labels            # ENUM, SET
    const char* name         # `"name":`, escaped
    Py_ssize_t name_size
    Render render
    Render plain             # compressed: of the value that was unpacked
