"""Why a source ended a dump: its error packet as a finding. Pure.

Error 1236 (ER_SOURCE_FATAL_ERROR_READING_BINLOG) has many causes, told apart by its text alone: the English one of
MySQL 5.6 to 9.x ("slave" and "master" became "replica" and "source" on the way). An unknown cause parks.
"""

import re

from cdcd.errors import Finding, FindingClass
from cdcd.mysql.findings import lost_finding, server_finding

READING_BINLOG_FAILED = 1236

_SET_POSITION = (
    "What is missing cannot be read from here any more. Read it from a server that still has it, or give up those "
    "changes: load the tables anew and set the position to a later one"
)
_CAUSES: tuple[tuple[str, str, FindingClass, str], ...] = (
    (r"purged required binary logs|has purged binary logs", "position-purged", "operator", _SET_POSITION),
    # MariaDB, where its own check of a position says more than numbers can (cdcd/mysql/mariadb.py).
    (r"could not find GTID state requested", "position-purged", "operator", _SET_POSITION),
    (r"GTID .* not in the master's binlog\. Since", "position-ahead", "operator", _SET_POSITION),
    (
        r"GTID .* not in the master's binlog",
        "source-behind",
        "retry",
        "Wait until that server has it; if it never does, it lacks what was published: use another",
    ),
    (r"could not find first log file", "binlog-file-missing", "operator", _SET_POSITION),
    (r"has more GTIDs than", "position-ahead", "operator", _SET_POSITION),
    (r"old binary log without GTIDs", "position-purged", "operator", _SET_POSITION),
    (r"position > file size|impossible position", "position-beyond-file", "operator", _SET_POSITION),
    (
        r"same server_uuid/server_id|same server_id",
        "dump-evicted",
        "retry",
        "Another reader came with this instance's identity: see that only one cdcd runs it and no replica has its server_id",
    ),
    (
        r"anonymous|GTID_MODE|GTID-transaction",
        "gtid-mode",
        "operator",
        "Set gtid_mode=ON on the source and wait until binlogs without GTIDs are behind, or start by file and position",
    ),
    (
        r"max_allowed_packet",
        "event-too-large",
        "operator",
        "Raise max_allowed_packet on the source (SET GLOBAL max_allowed_packet = 1073741824) and resume",
    ),
    (
        r"checksum",
        "binlog-checksum",
        "operator",
        "Set binlog_checksum to CRC32 or NONE on the source",
    ),
    (
        r"[Bb]inary log is not open",
        "binlog-off",
        "operator",
        "Start the source with log_bin and binlog_format=ROW",
    ),
)


def classify_dump_error(source: str, user: str, packet: bytes) -> Finding:
    """The finding for the EOF or error packet (payload, without packet header) that ended the dump of `source`.

    A blocking dump has no end, so its EOF is a lost connection.
    """
    if not packet or packet[0] != 0xFF:
        return lost_finding(source, "the source closed the dump")
    code, text = _parse(packet)
    return _read_failure(source, text) if code == READING_BINLOG_FAILED else server_finding(source, user, code, text)


def _parse(packet: bytes) -> tuple[int, str]:
    """ERR_Packet: FF, u16 code, and mostly '#' and five characters of SQL state before the text."""
    text = packet[3:].decode("utf-8", "backslashreplace")
    return int.from_bytes(packet[1:3], "little"), text[6:] if text.startswith("#") else text


def _read_failure(source: str, text: str) -> Finding:
    said = f"MySQL at {source} cannot send the binlog: {text} (error {READING_BINLOG_FAILED})"
    for pattern, code, kind, remedy in _CAUSES:
        if re.search(pattern, text, re.IGNORECASE):
            return Finding(code, kind, said, remedy)
    return Finding("binlog-unreadable", "operator", said, "See the source's error log; resume when it is mended")
