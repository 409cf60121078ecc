# What the core knows of a column: compiled once for each distinct TABLE_MAP.

cdef struct ColumnPlan

# Writes one value as text, without quotes. `p[0:n]` is exactly the value as it stands in the row image, without
# length prefix. Text is escaped for a JSON string. Raises ShortRead where the bytes are too few for the type.
ctypedef int (*Render)(Out* out, const ColumnPlan* column, cbyte* p, Py_ssize_t n) except -1


cdef enum CharsetKind:
    CS_UTF8      # ascii, utf8mb3, utf8mb4: checked and copied
    CS_LATIN1    # MySQL's latin1: cp1252 with 81 8D 8F 90 9D as U+0081 ...
    CS_CODEC     # any other: through a Python codec


cdef struct Label:
    const char* text     # UTF-8, already escaped for a JSON string
    Py_ssize_t size


cdef struct ColumnPlan:
    int type                 # binlog type; ENUM, SET and CHAR told apart (247, 248, 254)
    int meta                 # see cdcd.binlog.schema.Column.meta
    bint unsigned
    bint quoted              # the text stands between quotes
    Py_ssize_t pad           # BINARY(n): n, trailing zero bytes are cut in the binlog; else 0
    CharsetKind charset
    const char* codec        # CS_CODEC: the Python codec's name
    int n_labels
    Label* labels            # ENUM, SET
    const char* name         # `"name":`, escaped
    Py_ssize_t name_size
    Render render
