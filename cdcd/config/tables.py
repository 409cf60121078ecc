"""Which tables an instance reads: the rules of `tables.include` and `tables.exclude`.

A glob is `database.table`: `*` any run of characters, `?` one, `[a-z]` one of, `[!a-z]` one not of; case matters.
Names may hold dots themselves; the glob's dot between its two parts stands for the border between database and
table, so `shop.*` never matches a table `x` of a database `shop.old`. With several dots in a glob any one of them
may be the border; `[.]` is a dot that is not.
A rule `regex:...` must match all of `database.table`; it runs on RE2, whose time grows only linearly with the name.

The server's own schemas hold accounts and other matters of the server: only a rule that names such a schema
without wildcards includes it.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple, Self

import re2

from cdcd.config.problems import shown

SYSTEM_SCHEMAS = frozenset({"mysql", "sys", "information_schema", "performance_schema", "ndbinfo"})
REGEX_PREFIX = "regex:"
MAX_RULE_CHARACTERS = 1000
_REGEX_MEMORY = 1 << 20
_CACHED_TABLES = 1 << 15
_PREFIX_BYTES = 256  # a database name is at most 64 characters of 3 bytes
_OF_EXPRESSIONS = frozenset("\\()|,")
"""Hardly in a name, but in canal's filters: read as a glob such a one would be valid, and match nothing."""
_GLOB_PIECE = re.compile(r"\[!?\]?[^\]]*\]|.", re.DOTALL)


class _Part(NamedTuple):
    """One side of a glob: a plain name, or a pattern."""

    name: str | None
    pattern: "re2._Regexp | None"

    def matches(self, text: str) -> bool:
        return text == self.name if self.pattern is None else self.pattern.fullmatch(text) is not None


class _Glob(NamedTuple):
    """One reading of a glob rule."""

    database: _Part
    table: _Part
    all_tables: bool


class _Regex(NamedTuple):
    """A `regex:` rule with the range of bytes in which all its matches lie."""

    pattern: "re2._Regexp"
    least: bytes
    greatest: bytes

    def may_begin(self, prefix: bytes) -> bool:
        return self.least[: len(prefix)] <= prefix <= self.greatest


def check_rule(rule: str) -> str:
    """The rule itself, or ValueError with what is wrong with it."""
    if len(rule) > MAX_RULE_CHARACTERS:
        raise ValueError(f"must have at most {MAX_RULE_CHARACTERS} characters")
    if rule.startswith(REGEX_PREFIX):
        _regex(rule)
    elif not _globs(rule):
        raise ValueError("must be a glob on database.table, such as shop.* or crm.customer_?, or regex:<expression>")
    elif found := _OF_EXPRESSIONS.intersection(_GLOB_PIECE.findall(rule)):
        raise ValueError(
            f"looks like a regular expression or several rules in one: write each rule by itself, as a glob such as shop.* "
            f"or as regex:<expression>; `{min(found)}` in a name is written [{min(found)}]"
        )
    return rule


def named_databases(rules: Sequence[str]) -> frozenset[str] | None:
    """The databases that the rules are about; None if a wildcard leaves that open."""
    return _named([glob.database for glob in _single_globs(rules)], len(rules))


def named_tables(rules: Sequence[str]) -> frozenset[str] | None:
    """The rules themselves if each names one table; None if a wildcard leaves that open."""
    globs = _single_globs(rules)
    named = all(glob.database.name is not None and glob.table.name is not None for glob in globs)
    return frozenset(rules) if named and len(globs) == len(rules) else None


class TableFilter:
    """Whether a table is read: some `include` rule matches it and no `exclude` rule does."""

    def __init__(self, include: Sequence[str], exclude: Sequence[str] = ()) -> None:
        self._include = _Rules.of(include)
        self._exclude = _Rules.of(exclude)
        self._answer = lru_cache(_CACHED_TABLES)(self._decide)

    def matches(self, database: str, table: str) -> bool:
        """Names as the binlog has them. Answers are remembered."""
        return self._answer(database, table)

    def may_match_database(self, database: str) -> bool:
        """Whether any table of `database` could be read, for statements whose event names no table.

        False only where that is certain. A statement without a default database (`""`) may be about any.
        """
        return not database or (self._include.may_match_in(database) and not self._exclude.match_all_of(database))

    def _decide(self, database: str, table: str) -> bool:
        return self._include.match(database, table, wild=database not in SYSTEM_SCHEMAS) and not self._exclude.match(
            database, table
        )


class _Rules(NamedTuple):
    """Rules by kind. Long lists are mostly plain names: those are looked up, not tried one by one."""

    tables: frozenset[tuple[str, str]]
    databases: frozenset[str]
    """Of `tables`."""
    globs: tuple[_Glob, ...]
    regexes: tuple[_Regex, ...]

    @classmethod
    def of(cls, rules: Sequence[str]) -> Self:
        globs = [glob for rule in rules if not rule.startswith(REGEX_PREFIX) for glob in _globs(rule)]
        tables = frozenset(
            (glob.database.name, glob.table.name)
            for glob in globs
            if glob.database.name is not None and glob.table.name is not None
        )
        return cls(
            tables=tables,
            databases=frozenset(database for database, _ in tables),
            globs=tuple(glob for glob in globs if glob.database.pattern or glob.table.pattern),
            regexes=tuple(_regex(rule) for rule in rules if rule.startswith(REGEX_PREFIX)),
        )

    def match(self, database: str, table: str, *, wild: bool = True) -> bool:
        """`wild` false: only rules that name the database count."""
        return (
            (database, table) in self.tables
            or any(glob.table.matches(table) for glob in self._globs_of(database, wild))
            or (wild and any(regex.pattern.fullmatch(f"{database}.{table}") for regex in self.regexes))
        )

    def may_match_in(self, database: str) -> bool:
        wild = database not in SYSTEM_SCHEMAS
        prefix = f"{database}.".encode()
        return (
            database in self.databases
            or bool(self._globs_of(database, wild))
            or (wild and any(regex.may_begin(prefix) for regex in self.regexes))
        )

    def match_all_of(self, database: str) -> bool:
        """Whether a glob matches every table of the database."""
        return any(glob.all_tables for glob in self._globs_of(database, wild=True))

    def _globs_of(self, database: str, wild: bool) -> list[_Glob]:
        return [
            glob for glob in self.globs if glob.database.matches(database) and (wild or glob.database.name is not None)
        ]


def _single_globs(rules: Sequence[str]) -> list[_Glob]:
    """The globs among the rules that can be read in one way only."""
    readings = [_globs(rule) for rule in rules if not rule.startswith(REGEX_PREFIX)]
    return [globs[0] for globs in readings if len(globs) == 1]


def _named(parts: Sequence[_Part], rules: int) -> frozenset[str] | None:
    names = frozenset(part.name for part in parts if part.name is not None)
    return names if len(parts) == rules and all(part.name is not None for part in parts) else None


def _globs(rule: str) -> list[_Glob]:
    """The readings of a glob, one for each dot that may be the border; none if it has no such dot."""
    pieces = _GLOB_PIECE.findall(rule)
    borders = [index for index in range(1, len(pieces) - 1) if pieces[index] == "."]
    return [_glob(pieces[:border], pieces[border + 1 :]) for border in borders]


def _glob(database: list[str], table: list[str]) -> _Glob:
    return _Glob(_part(database), _part(table), all_tables=set(table) == {"*"})


def _part(pieces: list[str]) -> _Part:
    if not any(piece in "*?" or len(piece) > 1 for piece in pieces):
        return _Part("".join(pieces), None)
    return _Part(None, _compile("(?s)" + "".join(map(_translated, pieces))))


def _translated(piece: str) -> str:
    if piece == "*":
        return ".*"
    if piece == "?":
        return "."
    return _translated_set(piece) if len(piece) > 1 else re2.escape(piece)


def _translated_set(piece: str) -> str:
    negated = piece.startswith("[!")
    members = piece[2 if negated else 1 : -1]
    quoted = "".join(f"\\{member}" if member in "\\^[]" else member for member in members)
    return f"[{'^' if negated else ''}{quoted}]"


def _regex(rule: str) -> _Regex:
    pattern = _compile(rule.removeprefix(REGEX_PREFIX))
    try:
        return _Regex(pattern, *pattern.possiblematchrange(_PREFIX_BYTES))
    except re2.error:  # the expression leaves the beginning open
        return _Regex(pattern, b"", b"\xff")


def _compile(expression: str) -> "re2._Regexp":
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _REGEX_MEMORY
    try:
        return re2.compile(expression, options)
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise ValueError(f"is not an RE2 expression: {shown(text)}") from None
