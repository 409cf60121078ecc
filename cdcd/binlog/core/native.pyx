# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The native core: see native.pyi for its contract."""

import json
import re
import zlib
from hashlib import blake2b
from sys import byteorder

from cpython.bytes cimport PyBytes_AsString, PyBytes_FromStringAndSize, PyBytes_Size

from cdcd.binlog.charsets import charset_of
from cdcd.binlog.prepared import MOST_HELD, Prepared
from cdcd.binlog.schema import UNSAID, Column, TableSchema
from cdcd.errors import MalformedEvent, UnsupportedEvent

# Reading and writing.
include "cursor.pyx"
include "out.pyx"
# Values: one file a family of types.
include "types.pyx"
include "column.pyx"
include "numbers.pyx"
include "floats.pyx"
include "temporal.pyx"
include "text.pyx"
include "jsonb.pyx"
include "strict.pyx"
include "mariadb.pyx"
include "renderers.pyx"
# Data flows from top to bottom: bytes, packets, events, rows, messages.
include "packets.pyx"
include "events.pyx"
include "payload.pyx"
include "table_map.pyx"
include "plan.pyx"
include "jsontree.pyx"
include "jsondiff.pyx"
include "transactions.pyx"
include "held.pyx"
include "messages.pyx"
include "rows.pyx"
include "decoder.pyx"
