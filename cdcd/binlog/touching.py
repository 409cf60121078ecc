"""Which tables a statement may have changed the columns of. No DDL is parsed: text is searched, erring towards yes."""

import re
from collections.abc import Iterator

from cdcd.binlog.statements import first_words

Table = tuple[str, str]
"""(database, name)."""

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_$-]+", re.ASCII)
_WORDS = re.compile(r"[\w$]+")
_VERSION = re.compile(r"/\*m?!\d{5}\d?")
"""A name may follow it at once."""

# What such a statement does to a table leaves its columns and its key (MySQL manual, "Data Definition Statements").
_CREATED_AND_DROPPED = frozenset({"TRIGGER", "VIEW", "PROCEDURE", "FUNCTION", "EVENT"})
_NO_TABLE = {
    # DEFINER, ALGORITHM and SQL (SECURITY) stand before the kind of a stored program or view, never before TABLE.
    "CREATE": _CREATED_AND_DROPPED
    | {"DEFINER", "ALGORITHM", "SQL", "AGGREGATE", "DATABASE", "SCHEMA", "USER", "ROLE", "SERVER"}
    | {"INDEX", "UNIQUE", "FULLTEXT", "SPATIAL"},
    "ALTER": _CREATED_AND_DROPPED
    | {"DEFINER", "ALGORITHM", "SQL", "DATABASE", "SCHEMA", "USER", "ROLE", "SERVER", "INSTANCE"},
    "DROP": _CREATED_AND_DROPPED | {"USER", "ROLE", "SERVER"},
    "RENAME": frozenset({"USER"}),
}


def changes_columns(sql: str) -> bool:
    """Whether this kind of statement can change the columns or the key of a table, make, rename or drop one."""
    words = first_words(sql, 4)
    if not words or words[0] not in _NO_TABLE:
        return False
    kind = words[3:4] if words[1:3] == ("OR", "REPLACE") else words[1:2]
    return not _NO_TABLE[words[0]].intersection(kind)


class Change:
    """A statement that `changes_columns`: which tables it may have changed."""

    __slots__ = ("_database", "databases", "drops_database", "words")

    def __init__(self, sql: str, database: str, databases: tuple[str, ...] | None) -> None:
        """`database`: the session's default; `databases`: those the source logged as changed, if it did (it logs none of
        a CREATE TABLE ... LIKE).
        """
        self.words = frozenset(_WORDS.findall(_VERSION.sub(" ", sql.casefold())))
        self.drops_database = first_words(sql, 2) in {("DROP", "DATABASE"), ("DROP", "SCHEMA")}
        self._database = database
        self.databases = frozenset(map(str.casefold, databases)) if databases else None

    def may_touch(self, table: Table) -> bool:
        database, name = table
        if self.databases is not None and database.casefold() not in self.databases:
            return False
        if self._may_name(name):
            return True
        return self.drops_database and (database == self._database or self._may_name(database))

    def _may_name(self, name: str) -> bool:
        """A name with other letters may stand in the text in any character set, or with doubled quotes: always."""
        pieces = pieces_of(name)
        return pieces is None or self.words.issuperset(pieces)


def pieces_of(name: str) -> tuple[str, ...] | None:
    """The words that a text with this name in it has; None for a name that a search may miss."""
    return tuple(_WORDS.findall(name.casefold())) if _PLAIN_NAME.fullmatch(name) else None


class Tables:
    """A set of tables that tells quickly which of them a statement may have changed."""

    def __init__(self) -> None:
        self._all: set[Table] = set()
        self._by_home: dict[tuple[str, str], tuple[Table, ...]] = {}
        self._databases: set[str] = set()

    def add(self, table: Table) -> None:
        if table not in self._all:
            self._all.add(table)
            self._databases.add(table[0].casefold())
            self._by_home[_home(table)] = (*self._by_home.get(_home(table), ()), table)

    def discard(self, table: Table) -> None:
        if table in self._all:
            self._all.remove(table)
            others = tuple(each for each in self._by_home.pop(_home(table)) if each != table)
            if others:
                self._by_home[_home(table)] = others

    def touched(self, change: Change) -> set[Table]:
        return {table for table in self._candidates(change) if change.may_touch(table)}

    def _candidates(self, change: Change) -> Iterator[Table]:
        if change.drops_database:
            yield from self._all
            return
        databases = self._databases if change.databases is None else change.databases
        for database in databases:
            for word in (*change.words, ""):
                yield from self._by_home.get((database, word), ())


def _home(table: Table) -> tuple[str, str]:
    """Its database, and the longest word of its name; of a name that cannot be searched for none."""
    return table[0].casefold(), max(pieces_of(table[1]) or ("",), key=len)
