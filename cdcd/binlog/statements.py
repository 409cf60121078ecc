"""What kind of statement a QUERY event holds: told from its first words, never parsed further."""

import re
from enum import Enum

_SPACE_OR_COMMENT = re.compile(
    r"(?:\s++|--[^\n]*(?:\n|$)|\#[^\n]*(?:\n|$)|/\*(?!M?!).*?\*/|/\*M?!\d*|\*/|\()++", re.DOTALL
)
_WORD = re.compile(r"[A-Za-z_]+")

# Text in quotes and comments, which may hold any word.
_QUOTED = re.compile(
    r"""'(?:[^'\\]|\\.)*+'|"(?:[^"\\]|\\.)*+"|`[^`]*+`|/\*(?!M?!).*?\*/|--[^\n]*|\#[^\n]*""", re.DOTALL
)

_FOR = re.compile(r"\bFOR\b", re.IGNORECASE)

_ACCOUNT_OBJECTS = frozenset({"USER", "ROLE", "SERVER"})  # a server's OPTIONS hold a password
_DDL = frozenset({"CREATE", "ALTER", "DROP", "TRUNCATE", "RENAME"})
# A SELECT is logged only for a stored function that changes rows (MySQL manual, "Stored Program Binary Logging").
_DML = frozenset({"INSERT", "UPDATE", "DELETE", "REPLACE", "LOAD", "WITH", "CALL", "DO", "SELECT", "VALUES"})
# What changes no rows by itself. Of statements inside others (BEGIN NOT ATOMIC, EXECUTE) those inside are logged.
_NO_ROWS = frozenset({
    "OPTIMIZE", "REPAIR", "CHECK", "CHECKSUM", "FLUSH", "RESET", "CACHE", "INSTALL", "UNINSTALL", "SET", "USE",
    "BEGIN", "START", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "XA", "LOCK", "UNLOCK",
    "PURGE", "CHANGE", "STOP", "KILL", "SHOW", "EXPLAIN", "DESCRIBE", "DESC", "HELP",
})  # fmt: skip
# ANALYZE TABLE; any other ANALYZE is MariaDB's of a statement, which it executes.
_ANALYZE_TABLE = frozenset({"TABLE", "TABLES", "LOCAL", "NO_WRITE_TO_BINLOG"})


class StatementClass(Enum):
    """What to do with a statement."""

    DDL = "ddl"
    ACCOUNT = "account"
    """Its logged text may hold password hashes: never published."""
    DML = "dml"
    """A change of rows logged as a statement: its rows are not in the binlog."""
    OTHER = "other"
    """Maintenance and the like: no rows, nothing to publish."""
    UNKNOWN = "unknown"
    """Whether it changes rows nobody here can tell."""


def first_words(sql: str, n: int = 3) -> tuple[str, ...]:
    """The first `n` words, upper case, comments skipped; the content of /*! ... */ counts, as the server executes it.

    Of MariaDB's SET STATEMENT ... FOR, which is logged with what it stands before, those of the latter.
    """
    at, plain = 0, ""
    words: list[str] = []
    while len(words) < n:
        if space := _SPACE_OR_COMMENT.match(sql, at):
            at = space.end()
        word = _WORD.match(sql, at)
        if word is None:
            break
        words.append(word.group().upper())
        at = word.end()
        if words == ["SET", "STATEMENT"]:
            plain = plain or _QUOTED.sub(lambda quoted: " " * len(quoted[0]), sql)
            if found := _FOR.search(plain, at):
                at = found.end()
                words.clear()
    return tuple(words)


_BY_FIRST_WORD = dict.fromkeys(_DML, StatementClass.DML) | dict.fromkeys(_NO_ROWS, StatementClass.OTHER)


def classify(sql: str) -> StatementClass:
    words = first_words(sql, 4)
    if not words:
        return StatementClass.OTHER if not sql or _SPACE_OR_COMMENT.fullmatch(sql) else StatementClass.UNKNOWN
    if words[0] in ("GRANT", "REVOKE") or words[:2] in (("SET", "PASSWORD"), ("SET", "DEFAULT"), ("SET", "ROLE")):
        return StatementClass.ACCOUNT
    if words[0] in _DDL:
        object_at = 3 if words[1:3] == ("OR", "REPLACE") else 1
        # Not `TRUNCATE user`: there TABLE may be left out.
        account = words[0] != "TRUNCATE" and bool(_ACCOUNT_OBJECTS.intersection(words[object_at : object_at + 1]))
        if account:
            return StatementClass.ACCOUNT
        return StatementClass.DML if _fills_a_table(words, sql) else StatementClass.DDL
    if words[0] == "ANALYZE":
        return StatementClass.OTHER if _ANALYZE_TABLE.intersection(words[1:2]) else StatementClass.DML
    return _BY_FIRST_WORD.get(words[0], StatementClass.UNKNOWN)


def _fills_a_table(words: tuple[str, ...], sql: str) -> bool:
    """CREATE TABLE ... SELECT as a statement; logged as rows its text has no SELECT (MySQL manual, "CREATE TABLE ... SELECT")."""
    return (
        words[:2] == ("CREATE", "TABLE") and re.search(r"\bselect\b", _QUOTED.sub(" ", sql), re.IGNORECASE) is not None
    )


def ddl_kind(sql: str) -> str:
    """CREATE, ALTER, DROP, TRUNCATE, RENAME, CREATE INDEX, DROP INDEX, or OTHER."""
    words = first_words(sql, 4)
    if not words or words[0] not in _DDL:
        return "OTHER"
    if words[0] in ("CREATE", "DROP") and "INDEX" in words[1:]:
        return f"{words[0]} INDEX"
    return words[0]
