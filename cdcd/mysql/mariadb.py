"""What a MariaDB source says of its GTIDs, and whether it can go on from a position."""

from dataclasses import dataclass

from cdcd.binlog.mariadb_gtid import BinlogState, MariadbPosition
from cdcd.errors import Finding, FindingError
from cdcd.mysql.connection import Connection

FIRST_EVENT = 4
_ATTEMPTS = 3
"""The oldest file may be purged between two questions."""
OLDEST_TESTED = (10, 5)
_LOSES = (
    "Read from a server that still has them, or give them up: load the tables anew and set the position to a later one. "
    "Then keep binlogs for longer (binlog_expire_logs_seconds; expire_logs_days before MariaDB 10.6)"
)
_AHEAD = "Read from a server that has them, or set the position to what this server has"


@dataclass(frozen=True, slots=True)
class BinlogGtids:
    """One reading of what a server's binlog holds."""

    state: BinlogState
    before: MariadbPosition
    """What stands before the oldest file there is."""


def read_binlog_gtids(connection: Connection) -> BinlogGtids:
    """Raises FindingError. Needs REPLICATION CLIENT (BINLOG MONITOR)."""
    before = _before_oldest(connection)
    row = connection.row("SELECT @@global.gtid_binlog_state")
    assert row is not None
    return BinlogGtids(BinlogState(_text(row[0])), MariadbPosition.parse(before))


def _before_oldest(connection: Connection) -> str:
    for _ in range(_ATTEMPTS):
        # Cheaper than SHOW BINARY LOGS, which opens all files.
        first = connection.row("SHOW BINLOG EVENTS LIMIT 1")
        if first is None:
            return ""
        found = connection.row("SELECT BINLOG_GTID_POS(%s, %s)", (first[0], FIRST_EVENT))
        if found is not None and found[0] is not None:
            return _text(found[0])
    what = f"MariaDB at {connection.endpoint} does not say which GTIDs are before its oldest binlog"
    raise FindingError(Finding("source-error", "retry", what, "See the server's error log; cdcd tries again"))


def check_gtids(known: MariadbPosition, gtids: BinlogGtids, source: str, server_id: int) -> Finding | None:
    """What keeps the server `source` (host:port) from going on after `known`, as far as numbers can tell.

    The rest it finds out by itself when it looks for the place: a history that differs, or files in between that are
    gone (error 1236, cdcd/mysql/dump_error.py).
    """
    if purged := _purged(known, gtids.before):
        what = f"MariaDB at {source} has purged transactions that are not published yet: those up to {purged}"
        return Finding("position-purged", "operator", what, _LOSES)
    ahead = gtids.state.lacks(known)
    if not ahead:
        return None
    what = f"the position is at transactions that MariaDB at {source} does not have: {ahead}"
    if any(server == server_id for server, _ in ahead.last.values()):
        why = "they bear its own server_id, so it has lost them and will never get them"
        return Finding("position-ahead", "operator", f"{what}; {why}", _AHEAD)
    if passed := gtids.state.has_passed(ahead):
        why = f"its binlog went on without {passed}: the histories differ"
        return Finding("position-ahead", "operator", f"{what}; {why}", _AHEAD)
    remedy = "Wait until that server has applied them; if it never does, it lacks what was published: use another"
    return Finding("source-behind", "retry", what, remedy)


def _purged(known: MariadbPosition, before: MariadbPosition) -> MariadbPosition:
    """Of the transactions before the oldest file, the last ones of domains in which `known` is not that far.

    Numbers of different servers are compared by the server: without gtid_strict_mode a lower one may be the later one.
    """
    missing = []
    for domain, (server, number) in before.last.items():
        mine = known.last.get(domain)
        if mine is None or (mine[0] == server and mine[1] < number):
            missing.append((domain, server, number))
    return MariadbPosition(missing)


def _text(value: object) -> str:
    return value.decode("ascii") if isinstance(value, bytes) else str(value)
