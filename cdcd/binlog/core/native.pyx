# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The native core: see native.pyi for its contract."""

from cpython.bytes cimport PyBytes_FromStringAndSize

include "cursor.pyx"
include "out.pyx"
include "column.pyx"
include "numbers.pyx"
include "floats.pyx"
include "temporal.pyx"
include "text.pyx"
include "jsonb.pyx"
include "renderers.pyx"
