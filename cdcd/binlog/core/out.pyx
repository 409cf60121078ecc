# Writing: a growing buffer that messages and keys are built in. It is re-used, so a row costs no allocation here.

from libc.stdlib cimport free, malloc, realloc


cdef struct Out:
    char* data
    Py_ssize_t size       # bytes written
    Py_ssize_t room       # bytes allocated


cdef int grow(Out* out, Py_ssize_t n) except -1:
    cdef Py_ssize_t room = out.room * 2 if out.room else 4096
    cdef char* data
    while room < out.size + n:
        room *= 2
    data = <char*>realloc(out.data, room)
    if data == NULL:
        raise MemoryError(f"no {room} bytes for a message")
    out.data = data
    out.room = room
    return 0


cdef inline char* reserve(Out* out, Py_ssize_t n) except NULL:
    """Room for `n` more bytes; the caller writes them there and adds to `size` what it wrote."""
    if out.size + n >= out.room:     # also where there is no buffer yet: NULL would be taken for an error
        grow(out, n)
    return out.data + out.size


cdef inline int put(Out* out, const void* data, Py_ssize_t n) except -1:
    memcpy(reserve(out, n), data, n)
    out.size += n
    return 0


cdef inline int put_char(Out* out, char c) except -1:
    reserve(out, 1)[0] = c
    out.size += 1
    return 0


cdef void release(Out* out) noexcept:
    free(out.data)
    out.data = NULL
    out.size = out.room = 0
