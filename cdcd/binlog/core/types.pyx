# Column types as they stand in a TABLE_MAP (enum_field_types of the server).

cdef enum:
    T_DECIMAL = 0
    T_TINY = 1
    T_SHORT = 2
    T_LONG = 3
    T_FLOAT = 4
    T_DOUBLE = 5
    T_NULL = 6
    T_TIMESTAMP = 7
    T_LONGLONG = 8
    T_INT24 = 9
    T_DATE = 10
    T_TIME = 11
    T_DATETIME = 12
    T_YEAR = 13
    T_NEWDATE = 14
    T_VARCHAR = 15
    T_BIT = 16
    T_TIMESTAMP2 = 17
    T_DATETIME2 = 18
    T_TIME2 = 19
    T_PACKED_BLOB = 140      # MariaDB: BLOB COMPRESSED
    T_PACKED_VARCHAR = 141
    T_VECTOR = 242
    T_JSON = 245
    T_NEWDECIMAL = 246
    T_ENUM = 247
    T_SET = 248
    T_TINY_BLOB = 249
    T_MEDIUM_BLOB = 250
    T_LONG_BLOB = 251
    T_BLOB = 252
    T_VAR_STRING = 253
    T_STRING = 254
    T_GEOMETRY = 255
