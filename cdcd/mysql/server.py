"""What a source says of itself, and whether cdcd can read it from a position: snapshots and pure checks."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from cdcd.binlog.gtid import GtidSet
from cdcd.binlog.mariadb_gtid import MariadbPosition
from cdcd.binlog.position import Gtids, Position, file_number
from cdcd.errors import Finding, FindingError
from cdcd.mysql.clock import clock_offset
from cdcd.mysql.connection import Connection
from cdcd.mysql.findings import grants
from cdcd.mysql.mariadb import OLDEST_TESTED, BinlogGtids, check_gtids, read_binlog_gtids
from cdcd.mysql.version import Flavour, Version, server_identity

_VARIABLES = (
    "server_uuid",
    "server_id",
    "version",
    "gtid_mode",
    "log_bin",
    "binlog_format",
    "binlog_row_image",
    "binlog_row_metadata",
    "binlog_row_value_options",
    "binlog_expire_logs_seconds",
    "binlog_expire_logs_auto_purge",
    "expire_logs_days",
)
DAY = 86_400
_LENGTHS = (8, 0, 2)
"""From this MySQL on a GTID event tells how long its transaction is."""


@dataclass(frozen=True, slots=True)
class BinlogFile:
    name: str
    size: int


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """One reading of a source's identity, settings and end of binlog. Settings are global: a session may differ."""

    source: str
    """host:port"""
    server_uuid: str
    """Of MariaDB, which has none, `server-id-<n>`."""
    server_id: int
    version_text: str
    version: tuple[int, ...]
    flavour: Flavour
    log_bin: bool
    binlog_format: str
    row_image: str
    row_metadata: str
    """FULL or MINIMAL; empty on servers that know none."""
    row_value_options: str
    expire_seconds: int
    """0: binlogs are kept for ever."""
    gtid_mode: str
    """OFF, OFF_PERMISSIVE, ON_PERMISSIVE or ON; empty on servers that know none."""
    gtid_executed: Gtids
    gtid_purged: Gtids
    """Those of MariaDB are positions: the end of its binlog, and where its oldest file begins."""
    file: str
    offset: int
    """End of the binlog at the time of reading; empty and 0 with log_bin off."""
    binlog_gtids: BinlogGtids | None = None
    """MariaDB's."""
    clock_offset: float = 0.0
    """Seconds by which its clock is ahead of this host's, by one question."""

    @property
    def by_gtid(self) -> bool:
        """Whether a dump can start from a GTID set; in every other mode by file and position only."""
        return self.gtid_mode == "ON" or self.flavour == "mariadb"

    @property
    def tells_lengths(self) -> bool:
        """Whether one can pass over a transaction by what its first event says (Decoder.pass_over)."""
        return self.flavour == "mariadb" or self.version >= _LENGTHS

    @property
    def product(self) -> str:
        return "MariaDB" if self.flavour == "mariadb" else "MySQL"

    def setting(self, name: str, value: str) -> str:
        """The statement that changes a setting of the server, for good where it can."""
        return Version(self.version_text).setting(name, value)


def read_status(connection: Connection) -> ServerStatus:
    """Read a snapshot. The GTID sets are read before the end of the binlog, which thus is never behind them.

    Raises FindingError.
    """
    source = str(connection.endpoint)
    settings = _read_variables(connection)
    version = Version(settings["version"])
    log_bin = settings["log_bin"] == "ON"
    executed, purged, gtids = _read_gtids(connection, settings, version.flavour)
    file, offset = read_end(connection, version) if log_bin else ("", 0)
    return ServerStatus(
        source=source,
        server_uuid=server_identity(settings),
        server_id=int(settings["server_id"]),
        version_text=version.text,
        version=version.numbers,
        flavour=version.flavour,
        log_bin=log_bin,
        binlog_format=settings.get("binlog_format", "ROW").upper(),
        row_image=settings.get("binlog_row_image", "FULL").upper(),
        row_metadata=settings.get("binlog_row_metadata", "").upper(),
        row_value_options=settings.get("binlog_row_value_options", "").upper(),
        expire_seconds=expire_seconds(settings),
        gtid_mode=settings.get("gtid_mode", "").upper(),
        gtid_executed=executed,
        gtid_purged=purged,
        file=file,
        offset=offset,
        binlog_gtids=gtids,
        clock_offset=clock_offset(connection, samples=1).seconds,
    )


def read_version(connection: Connection) -> Version:
    return Version(str(connection.rows("SELECT VERSION()")[0][0]))


def read_end(connection: Connection, version: Version) -> tuple[str, int]:
    """The end of the binlog: file and offset. Needs REPLICATION CLIENT. Raises FindingError."""
    row = connection.row(version.end_statement)
    if row is None:
        raise FindingError(_binlog_off(str(connection.endpoint)))
    return row[0], int(row[1])


def binlog_files(connection: Connection) -> list[BinlogFile]:
    """The source's binlog files, oldest first; it opens each of them. Needs REPLICATION CLIENT."""
    files = [BinlogFile(row[0], int(row[1])) for row in connection.rows("SHOW BINARY LOGS")]
    return sorted(files, key=lambda file: file_number(file.name))


def _read_variables(connection: Connection) -> dict[str, str]:
    """Those that exist: none of the servers knows all."""
    names = ", ".join(f"'{name}'" for name in _VARIABLES)
    return dict(connection.rows(f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({names})"))


def _read_gtids(
    connection: Connection, settings: dict[str, str], flavour: Flavour
) -> tuple[Gtids, Gtids, BinlogGtids | None]:
    """Executed and purged; by SELECT: SHOW VARIABLES cuts a value after 1024 characters."""
    if flavour == "mariadb":
        if settings["log_bin"] != "ON":
            return MariadbPosition(), MariadbPosition(), None
        gtids = read_binlog_gtids(connection)
        return gtids.state.position, gtids.before, gtids
    if not settings.get("gtid_mode"):
        return GtidSet(), GtidSet(), None
    row = connection.row("SELECT @@global.gtid_executed, @@global.gtid_purged")
    assert row is not None
    return GtidSet.parse(row[0]), GtidSet.parse(row[1]), None


def expire_seconds(settings: Mapping[str, str]) -> int:
    """After which the source may purge a binlog, by its global variables; 0: it keeps them for ever."""
    if settings.get("binlog_expire_logs_auto_purge") == "OFF":
        return 0
    seconds = int(float(settings.get("binlog_expire_logs_seconds", "0")))
    return seconds or int(float(settings.get("expire_logs_days", "0")) * DAY)


def _binlog_off(source: str) -> Finding:
    what = f"MySQL at {source} writes no binlog (log_bin is off)"
    return Finding("binlog-off", "operator", what, "Start the server with log_bin and binlog_format=ROW")


def check_server(status: ServerStatus) -> list[Finding]:
    """What makes the server unreadable for cdcd."""
    if status.flavour == "mariadb" and status.version < OLDEST_TESTED:
        what = f"{status.source} is {status.version_text}: this version of cdcd reads MariaDB from 10.5 on"
        return [Finding("source-unsupported", "operator", what, "Name a newer server in source.host")]
    if not status.log_bin:
        return [_binlog_off(status.source)]
    findings = []
    if status.binlog_format != "ROW":
        what = f"{status.product} at {status.source} has binlog_format={status.binlog_format}: it logs statements, not rows"
        change = status.setting("binlog_format", "ROW")
        remedy = f"{change} (sessions open now keep the old one until they connect anew)"
        findings.append(Finding("binlog-format", "operator", what, remedy))
    if "PARTIAL_JSON" in status.row_value_options and status.row_image == "MINIMAL":
        what = (
            f"MySQL at {status.source} has binlog_row_value_options=PARTIAL_JSON and binlog_row_image=MINIMAL: "
            "updates say what changed in a JSON document, and the document is not logged at all"
        )
        remedy = "SET PERSIST binlog_row_image = 'FULL', or SET PERSIST binlog_row_value_options = ''"
        findings.append(Finding("partial-json", "operator", what, remedy))
    return findings


def check_grants(connection: Connection) -> list[Finding]:
    """What the account may not do, by trying it: that counts roles in, and names the statement to grant it.

    Raises FindingError for anything but a missing privilege.
    """
    version = read_version(connection)
    granted = [str(row[0]) for row in connection.rows("SHOW GRANTS")]
    tried = {"REPLICATION SLAVE": version.replicas_statement, "REPLICATION CLIENT": version.end_statement, "SELECT": ""}
    missing = [
        privilege
        for privilege, statement in tried.items()
        if not (_may(connection, statement) if statement else _is_granted(privilege, granted))
    ]
    if not missing:
        return []
    account = _account(connection)
    what = f"user {account} of {version.product} at {connection.endpoint} lacks {', '.join(missing)}"
    return [Finding("privilege-missing", "operator", what, f"Run as an administrator: {grants(account, missing)}")]


def _is_granted(privilege: str, granted: list[str]) -> bool:
    """By the text of SHOW GRANTS, where no statement can try it."""
    wanted = re.compile(rf"\b{privilege}\b(?! ADMIN)|\bALL PRIVILEGES\b")
    return any(wanted.search(text) for text in granted)


def _may(connection: Connection, statement: str) -> bool:
    try:
        connection.rows(statement)
    except FindingError as error:
        if error.finding.code == "privilege-missing":
            return False
        raise
    return True


def _account(connection: Connection) -> str:
    """'user'@'host' as the server matched it."""
    name, _, host = str(connection.rows("SELECT CURRENT_USER()")[0][0]).rpartition("@")
    return f"'{name}'@'{host}'"


def check_position(position: Position, status: ServerStatus, files: list[BinlogFile] | None = None) -> Finding | None:
    """Whether the source can go on from `position` without a gap.

    Before each dump: the server itself compares a GTID set ahead of it for its own UUID only. Without GTIDs `files`
    are compared where given. A source that is merely behind is `retry`; the caller parks when that lasts.
    """
    known = position.gtid_set
    if isinstance(known, MariadbPosition) != (status.flavour == "mariadb"):
        return _other_flavour(position, status)
    if isinstance(known, MariadbPosition):
        assert status.binlog_gtids is not None
        return check_gtids(known, status.binlog_gtids, status.source, status.server_id)
    if known is not None and status.by_gtid:
        return _check_gtids(known, status)
    return _check_file(position, status, files)


def _other_flavour(position: Position, status: ServerStatus) -> Finding:
    what = (
        f"the position is one of {'MySQL' if status.flavour == 'mariadb' else 'MariaDB'} (server {position.server_uuid}), "
        f"but {status.source} is {status.version_text}: transactions of one are unknown to the other"
    )
    return Finding("other-server", "operator", what, "Read from the former server, or set a position on this one")


def _check_gtids(known: GtidSet, status: ServerStatus) -> Finding | None:
    assert isinstance(status.gtid_purged, GtidSet)
    assert isinstance(status.gtid_executed, GtidSet)
    if purged := status.gtid_purged.subtract(known):
        what = f"{status.product} at {status.source} has purged transactions that are not published yet: {_shorten(purged)}"
        remedy = (
            "Read from a server that still has them, or give them up: load the tables anew and set the position to a "
            "later one. Then raise binlog_expire_logs_seconds"
        )
        return Finding("position-purged", "operator", what, remedy)
    ahead = known.subtract(status.gtid_executed)
    if not ahead:
        return None
    what = f"the position has transactions that {status.product} at {status.source} does not: {_shorten(ahead)}"
    if _own(ahead, status):
        return Finding(
            "position-ahead",
            "operator",
            f"{what}; they bear its own UUID, so it has lost them and will never get them",
            "Read from a server that has them, or set the position to what this server has",
        )
    remedy = "Wait until that server has applied them; if it never does, it lacks what was published: use another"
    return Finding("source-behind", "retry", what, remedy)


def _own(gtids: GtidSet, status: ServerStatus) -> bool:
    own = bytes.fromhex(status.server_uuid.replace("-", ""))
    return any(uuid == own for uuid, _, _, _ in gtids.intervals())


def _shorten(gtids: GtidSet) -> str:
    text = str(gtids)
    return text if len(text) <= 300 else text[:300] + "..."


def _check_file(position: Position, status: ServerStatus, files: list[BinlogFile] | None) -> Finding | None:
    if position.server_uuid != status.server_uuid:
        what = (
            f"the position is in {position.file} of server {position.server_uuid}, but {status.source} is server "
            f"{status.server_uuid}; without GTIDs (gtid_mode={status.gtid_mode or 'unknown'}) it means nothing there"
        )
        return Finding("other-server", "operator", what, "Read from the former server, or set a position on this one")
    if files is None:
        return None
    sizes = {file.name: file.size for file in files}
    if position.file not in sizes:
        oldest = files[0].name if files else "none"
        what = (
            f"{status.product} at {status.source} has no binlog file {position.file} any more; its oldest is {oldest}"
        )
        remedy = "Give up the changes between: load the tables anew and set the position to a later one"
        return Finding("position-purged", "operator", what, remedy)
    if position.end_offset > max(sizes[position.file], status.offset if status.file == position.file else 0):
        what = f"{position.file} of {status.product} at {status.source} ends before the position {position.end_offset}"
        remedy = "The server lost the end of its binlog in a crash: compare the data and set the position anew"
        return Finding("position-beyond-file", "operator", what, remedy)
    return None
