"""The checks of a source. Pure; sources: MySQL 8.4 and MariaDB manuals, "Binary Logging Options and Variables"."""

from collections.abc import Iterator
from math import ceil

from cdcd.mysql.connection import quote_identifier
from cdcd.mysql.server import expire_seconds
from cdcd.mysql.survey import Cascade, KeyColumn, MysqlFacts, OtherReader
from cdcd.preflight.found import Checks, Said, listed, statements

DAY = 86_400
WEEK = 7 * DAY
MOST_DAYS = 99
"""That expire_logs_days takes."""
CLOCK_SECONDS = 1.0
OLDEST_MARIADB = (10, 5)
_LOGS_CASCADES = (9, 6)
"""From this MySQL on the server itself carries out foreign keys, and logs what they change."""
_GTID_MODE_CHANGES = (5, 7, 6)
"""From this MySQL on it changes while the server runs."""
_GTID_MODE_OPTIONS = "gtid_mode = ON, enforce_gtid_consistency = ON, log_slave_updates = ON"

mysql = Checks[MysqlFacts]("mysql")


def _config(line: str) -> str:
    """For the server's option file."""
    return f"[mysqld] {line}  # and restart"


# ---------------------------------------------------------------- the server and its binlog


@mysql.rule("source-unsupported", "fatal", "Its binlog has events that this version of cdcd was not built for")
def version(facts: MysqlFacts) -> Iterator[Said]:
    """MariaDB is 10.5 or later."""
    if facts.product == "MariaDB" and facts.version < OLDEST_MARIADB:
        text = ".".join(map(str, facts.version))
        yield (
            f"{facts.source} is MariaDB {text}",
            "Upgrade the server to MariaDB 10.5 or later, or name another in source.host",
        )


@mysql.rule("privilege-missing", "fatal", "The instance cannot read the binlog, or not the names of columns")
def privileges(facts: MysqlFacts) -> Iterator[Said]:
    """The account has REPLICATION SLAVE, REPLICATION CLIENT and SELECT."""
    for finding in facts.missing:
        yield finding.what, finding.remedy.partition(": ")[2] + ";"


@mysql.rule("binlog-off", "fatal", "What is not logged cannot be read")
def log_bin(facts: MysqlFacts) -> Iterator[Said]:
    """The server writes a binlog."""
    if facts.value("log_bin") != "ON":
        yield f"{facts.product} at {facts.source} writes no binlog (log_bin is off)", _config("log_bin = binlog")


@mysql.rule("binlog-format", "fatal", "Statements do not say which rows they change, so nobody could publish them")
def row_format(facts: MysqlFacts) -> Iterator[Said]:
    """`binlog_format` is ROW."""
    if (found := facts.value("binlog_format")) not in {"ROW", ""} and not facts.statements:
        yield (
            f"binlog_format is {found}; sessions that are open keep their own until they connect anew",
            facts.change("binlog_format", "'ROW'"),
        )


@mysql.rule(
    "partial-json",
    "fatal",
    "Updates say what changed in a document that is not logged at all: the new value is unknown",
)
def partial_json(facts: MysqlFacts) -> Iterator[Said]:
    """PARTIAL_JSON comes with whole row images."""
    if "PARTIAL_JSON" in facts.value("binlog_row_value_options") and facts.value("binlog_row_image") == "MINIMAL":
        yield (
            "binlog_row_value_options is PARTIAL_JSON and binlog_row_image MINIMAL",
            facts.change("binlog_row_value_options", "''"),
        )


@mysql.rule("binlog-row-image", "warning", "Messages lack the columns that did not change, and old values")
def row_image(facts: MysqlFacts) -> Iterator[Said]:
    """`binlog_row_image` is FULL."""
    if (found := facts.value("binlog_row_image")) not in {"FULL", "FULL_NODUP", ""}:
        yield f"binlog_row_image is {found}", facts.change("binlog_row_image", "'FULL'")


@mysql.rule(
    "binlog-row-metadata",
    "warning",
    "Column names must be looked up, and may be unknown for what was logged before a DDL: the instance stops there",
)
def row_metadata(facts: MysqlFacts) -> Iterator[Said]:
    """`binlog_row_metadata` is FULL."""
    if (found := facts.value("binlog_row_metadata")) not in {"FULL", ""}:
        yield f"binlog_row_metadata is {found}", facts.change("binlog_row_metadata", "'FULL'")


@mysql.rule(
    "binlog-no-metadata",
    "notice",
    "Column names must be looked up, and may be unknown for what was logged before a DDL; a newer server logs them",
)
def no_metadata(facts: MysqlFacts) -> Iterator[Said]:
    """The server knows `binlog_row_metadata`."""
    if not facts.value("binlog_row_metadata"):
        yield (
            f"{facts.product} {'.'.join(map(str, facts.version))} logs no column names",
            "Upgrade to MySQL 8.0 or MariaDB 10.5 or later",
        )


@mysql.rule(
    "binlog-compression",
    "notice",
    "Each transaction is unpacked here, at some cost of processor time; a large one is one piece that has to be unpacked as it comes",
)
def compression(facts: MysqlFacts) -> Iterator[Said]:
    """Transactions are not compressed."""
    if facts.value("binlog_transaction_compression") == "ON":
        yield "binlog_transaction_compression is ON", facts.change("binlog_transaction_compression", "OFF")


@mysql.rule("binlog-checksum", "notice", "Damage on the way, or on the source's disk, is not noticed")
def checksum(facts: MysqlFacts) -> Iterator[Said]:
    """Events carry a checksum."""
    if facts.value("binlog_checksum") == "NONE":
        yield "binlog_checksum is NONE", facts.change("binlog_checksum", "'CRC32'")


@mysql.rule(
    "binlog-error-ignored",
    "warning",
    "A full disk ends the binlog without a word while the server goes on: what it writes then is lost for every reader",
)
def error_action(facts: MysqlFacts) -> Iterator[Said]:
    """The server stops when it cannot log."""
    if facts.value("binlog_error_action") == "IGNORE_ERROR":
        yield "binlog_error_action is IGNORE_ERROR", facts.change("binlog_error_action", "'ABORT_SERVER'")


@mysql.rule(
    "binlog-not-synced",
    "warning",
    "After a crash of its machine the source may have lost transactions that are published, and the position is ahead of it",
)
def synced(facts: MysqlFacts) -> Iterator[Said]:
    """Each commit is on disk before anybody reads it."""
    if facts.value("sync_binlog") not in {"1", ""}:
        yield f"sync_binlog is {facts.value('sync_binlog')}", facts.change("sync_binlog", "1")


@mysql.rule(
    "redo-not-synced",
    "notice",
    "After a crash the source may lack rows that are published: they are in its binlog and not in its tables",
)
def redo_synced(facts: MysqlFacts) -> Iterator[Said]:
    """`innodb_flush_log_at_trx_commit` is 1."""
    if (found := facts.value("innodb_flush_log_at_trx_commit")) not in {"1", ""}:
        yield f"innodb_flush_log_at_trx_commit is {found}", facts.change("innodb_flush_log_at_trx_commit", "1")


@mysql.rule(
    "binlog-expiry",
    "warning",
    "A stop of that length loses the position: what is purged before it is published is lost",
)
def expiry(facts: MysqlFacts) -> Iterator[Said]:
    """Binlogs are kept for a day at least."""
    seconds = expire_seconds(facts.settings)
    if 0 < seconds < DAY:
        yield f"binlogs are kept for {seconds} s", _keep(facts, WEEK)


@mysql.rule(
    "binlog-expiry-near",
    "fatal",
    "The source purges what is not published yet before the instance has caught up: those changes are lost",
)
def expiry_near(facts: MysqlFacts) -> Iterator[Said]:
    """The instance is not behind by more than half of the time for which binlogs are kept."""
    seconds = expire_seconds(facts.settings)
    if seconds and facts.lag_seconds is not None and facts.lag_seconds > seconds / 2:
        yield (
            f"the instance is {facts.lag_seconds:.0f} s behind, binlogs are kept for {seconds} s",
            _keep(facts, max(WEEK, 4 * int(facts.lag_seconds))),
        )


def _keep(facts: MysqlFacts, seconds: int) -> str:
    """In days where that is what counts: before MySQL 8 and MariaDB 10.6, or because it was set; MySQL refuses both."""
    if facts.number("binlog_expire_logs_seconds"):
        return facts.change("binlog_expire_logs_seconds", str(seconds))
    return facts.change("expire_logs_days", str(min(MOST_DAYS, ceil(seconds / DAY))))


@mysql.rule(
    "binlog-size-limit", "warning", "The source purges by size: a burst of changes may be purged before it is published"
)
def size_limit(facts: MysqlFacts) -> Iterator[Said]:
    """Binlogs are not purged for their size."""
    if limit := facts.number("max_binlog_total_size"):
        yield f"max_binlog_total_size is {limit:,} bytes", facts.change("max_binlog_total_size", "0")


@mysql.rule(
    "binlog-filtered", "warning", "Changes in other databases are not in the binlog, whatever the definition says"
)
def filters(facts: MysqlFacts) -> Iterator[Said]:
    """The server logs all databases."""
    if facts.filters:
        yield (
            f"the server's own settings leave databases out of the binlog: {facts.filters}",
            _config("without binlog_do_db and binlog_ignore_db"),
        )


@mysql.rule("replica-updates-not-logged", "warning", "Changes that come by replication are not in this server's binlog")
def replica_updates(facts: MysqlFacts) -> Iterator[Said]:
    """`log_replica_updates` is ON."""
    name = "log_replica_updates" if "log_replica_updates" in facts.settings else "log_slave_updates"
    if facts.value(name) == "OFF":
        yield f"{name} is OFF", _config(f"{name} = ON")


# ---------------------------------------------------------------- positions and identity


@mysql.rule(
    "gtid-mode", "warning", "Positions hold on this server only: after a failover the instance cannot go on by itself"
)
def gtid_mode(facts: MysqlFacts) -> Iterator[Said]:
    """`gtid_mode` is ON."""
    modes = ("OFF", "OFF_PERMISSIVE", "ON_PERMISSIVE", "ON")
    if (found := facts.value("gtid_mode")) in modes[:-1]:
        steps = [facts.change("gtid_mode", mode) for mode in modes[modes.index(found) + 1 :]]
        if facts.value("enforce_gtid_consistency") != "ON":
            steps.insert(0, facts.change("enforce_gtid_consistency", "ON"))
        at_once = facts.version >= _GTID_MODE_CHANGES
        yield f"gtid_mode is {found}", "\n".join(steps) if at_once else _config(_GTID_MODE_OPTIONS)


@mysql.rule(
    "gtid-not-strict",
    "warning",
    "GTIDs may be logged in another order on each server: a position then means another place on the next one",
)
def gtid_strict(facts: MysqlFacts) -> Iterator[Said]:
    """MariaDB: `gtid_strict_mode` is ON."""
    if facts.value("gtid_strict_mode") == "OFF":
        yield "gtid_strict_mode is OFF", facts.change("gtid_strict_mode", "ON")


@mysql.rule(
    "server-id-clash",
    "warning",
    "Two readers of one server_id end each other's dump, in turn and for ever (MariaDB), or are taken for one",
)
def clash(facts: MysqlFacts) -> Iterator[Said]:
    """Nobody else reads under the instance's server_id."""
    if facts.number("server_id") == facts.server_id:
        yield f"server_id {facts.server_id} of the instance is the source's own", facts.change("server_id", "1")
    for reader in facts.readers:
        if reader.server_id == facts.server_id and not _ours(reader, facts):
            who = reader.host or reader.uuid or "unnamed"
            yield (
                f"replica {who} is registered with server_id {reader.server_id}, which is this instance's",
                f"{facts.change('server_id', '<another>')}  -- on {who}, or stop it",
            )


def _ours(reader: OtherReader, facts: MysqlFacts) -> bool:
    """MariaDB names no UUIDs: there it may be the instance itself, if that runs."""
    return reader.uuid.lower() == facts.server_uuid.lower() if reader.uuid else facts.lag_seconds is not None


@mysql.rule(
    "clock-offset",
    "warning",
    "Time stamps in messages and `start: {time: ...}` are off by as much; lag figures are corrected",
)
def clock(facts: MysqlFacts) -> Iterator[Said]:
    """Its clock agrees with this host's to a second."""
    if abs(facts.clock_seconds) > CLOCK_SECONDS + facts.clock_uncertainty:
        ahead = "ahead of" if facts.clock_seconds > 0 else "behind"
        yield (
            f"the source's clock is {abs(facts.clock_seconds):.1f} s {ahead} this host's",
            "chronyc makestep  # on the host whose clock is wrong",
        )


# ---------------------------------------------------------------- tables


@mysql.rule(
    "tables-none",
    "warning",
    "The instance has nothing to publish: a rule is mistyped, or SELECT on the tables is missing",
)
def some_tables(facts: MysqlFacts) -> Iterator[Said]:
    """The definition's rules match a table."""
    if not facts.tables:
        yield "tables.include matches no table that there is now", "Correct tables.include, or create the tables"


@mysql.rule(
    "table-without-key",
    "warning",
    "Messages have no key: the order of a row's changes is kept only with `sink.partition_by: table`, and consumers cannot merge them",
)
def primary_keys(facts: MysqlFacts) -> Iterator[Said]:
    """Each table has a primary key."""
    if facts.without_key:
        hidden = " INVISIBLE" if facts.product == "MySQL" and facts.version >= (8, 0, 23) else ""
        column = f"ADD COLUMN cdc_key BIGINT UNSIGNED NOT NULL AUTO_INCREMENT{hidden} PRIMARY KEY FIRST"
        yield (
            f"no primary key: {listed(facts.without_key)}",
            statements(f"ALTER TABLE {_quoted(table)} {column}" for table in facts.without_key),
        )


@mysql.rule(
    "foreign-key-cascade",
    "warning",
    "The storage engine changes those rows itself and nothing of it is logged: their messages are missing",
)
def cascades(facts: MysqlFacts) -> Iterator[Said]:
    """No foreign key changes rows behind the binlog."""
    logged = facts.product == "MySQL" and facts.version >= _LOGS_CASCADES
    if facts.cascades and (not logged or facts.value("innodb_native_foreign_keys") == "ON"):
        named = (f"{each.table} by {each.name} ({each.rules} of {each.parent})" for each in facts.cascades)
        yield f"rows change with those of another table: {listed(named)}", statements(map(_dropped, facts.cascades))


@mysql.rule(
    "key-collation",
    "notice",
    "Texts that the server takes for the same key, such as `a` and `A`, are different keys in Kafka",
)
def key_collation(facts: MysqlFacts) -> Iterator[Said]:
    """Text in primary keys is compared byte by byte."""
    if facts.loose_keys:
        named = (f"{each.table}.{each.column} ({each.collation})" for each in facts.loose_keys)
        yield f"keys that ignore case: {listed(named)}", statements(map(_binary, facts.loose_keys))


@mysql.rule(
    "row-too-large", "notice", "A row may become a message that the brokers refuse, and the instance stops there"
)
def row_size(facts: MysqlFacts) -> Iterator[Said]:
    """No row can be larger than a message may be."""
    if facts.large:
        yield (
            f"rows may be larger than a message of {facts.message_bytes:,} bytes: {listed(facts.large)}",
            'kafka.<name>.message_max_bytes = "32MiB" in the server\'s settings, and max.message.bytes=33554432 on the topics',
        )


def _quoted(table: str) -> str:
    database, _, name = table.partition(".")
    return f"{quote_identifier(database)}.{quote_identifier(name)}"


def _dropped(cascade: Cascade) -> str:
    return f"ALTER TABLE {_quoted(cascade.table)} DROP FOREIGN KEY {quote_identifier(cascade.name)}"


def _binary(key: KeyColumn) -> str:
    change = f"MODIFY {quote_identifier(key.column)} {key.declared} CHARACTER SET {key.charset} COLLATE {key.charset}_bin NOT NULL"
    change += " /* and its DEFAULT and COMMENT, where it has them */"
    return f"ALTER TABLE {_quoted(key.table)} {change}"
