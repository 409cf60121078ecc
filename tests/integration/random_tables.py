"""Random tables, rows and changes, and how the server shows them: each from a seed, as SQL that any server understands.

A column is made once for its table; `value` is then an SQL expression of it. As in type_corpus, `shown` is what the server is
asked for, and `expected`, `published` read both texts where two may stand for one value.
"""

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass

from tests.integration.type_corpus import SAMPLES, Read, float32, same

TEXT = "CONVERT(@ USING utf8mb4)"
BASE64 = r"REPLACE(TO_BASE64(@), '\n', '')"
CHARSETS = sorted(SAMPLES.keys() - {"gb18030", "geostd8", "armscii8"})
LETTERS = "abcdefghijklmnopqrstuvwxyz 0123456789_-'\"\\`.,;:!?%$#@\n\tÄéß漢字Ωж😀"


@dataclass(frozen=True)
class RandomColumn:
    """One column; `@` in `shown` stands for its name."""

    name: str
    type: str
    nullable: bool
    value: Callable[[random.Random], str]
    shown: str = "@"
    read: Read = same

    @property
    def declared(self) -> str:
        return f"{quoted(self.name)} {self.type} {'NULL' if self.nullable else 'NOT NULL'}"

    @property
    def selected(self) -> str:
        return self.shown.replace("@", quoted(self.name))

    def some(self, random_: random.Random) -> str:
        return "NULL" if self.nullable and random_.random() < 0.15 else self.value(random_)


@dataclass(frozen=True)
class RandomTable:
    """Column 0 is the primary key, and numbers the rows."""

    name: str
    columns: tuple[RandomColumn, ...]

    @property
    def create(self) -> str:
        columns = ", ".join(column.declared for column in self.columns)
        return f"CREATE TABLE {self.name} (id INT PRIMARY KEY, {columns})"

    @property
    def select(self) -> str:
        return f"SELECT id, {', '.join(column.selected for column in self.columns)} FROM {self.name}"

    def insert(self, random_: random.Random, ids: range) -> str:
        rows = (f"({', '.join([str(id_), *(column.some(random_) for column in self.columns)])})" for id_ in ids)
        return f"INSERT INTO {self.name} VALUES {', '.join(rows)}"

    def update(self, random_: random.Random, id_: int) -> str:
        changed = random_.sample(self.columns, random_.randint(1, len(self.columns)))
        sets = ", ".join(f"{quoted(column.name)} = {column.some(random_)}" for column in changed)
        return f"UPDATE {self.name} SET {sets} WHERE id = {id_}"


def quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def literal(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def random_table(random_: random.Random, name: str, flavour: str) -> RandomTable:
    kinds = [kind for kind in KINDS if kind is not json_column or flavour.startswith("mysql-9")]
    names = random_names(random_, random_.randint(1, 10))
    return RandomTable(name, tuple(random_.choice(kinds)(random_, column) for column in names))


def random_names(random_: random.Random, count: int) -> list[str]:
    """Any characters but those above U+FFFF; no spaces at the end, no case or accent apart (MySQL manual, "Identifiers")."""
    letters = "abcxyz019_$ .-'\"`\\äж漢%"
    return [f"{''.join(random_.choices(letters, k=random_.randint(0, 12)))}_{i}" for i in range(count)]


def may_be_null(random_: random.Random) -> bool:
    return random_.random() < 0.7


def integer_column(random_: random.Random, name: str) -> RandomColumn:
    kind, bits = random_.choice((("TINYINT", 8), ("SMALLINT", 16), ("MEDIUMINT", 24), ("INT", 32), ("BIGINT", 64)))
    unsigned = random_.random() < 0.5
    low, high = (0, 2**bits - 1) if unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)

    def value(random_: random.Random) -> str:
        return str(
            random_.choice((low, high, 0, random_.randint(low, high), max(low, min(high, random_.randint(-99, 99)))))
        )

    return RandomColumn(name, kind + " UNSIGNED" * unsigned, may_be_null(random_), value)


def decimal_column(random_: random.Random, name: str) -> RandomColumn:
    precision = random_.randint(1, 65)
    scale = random_.randint(0, min(precision, 30))

    def value(random_: random.Random) -> str:
        digits = f"{random_.randrange(10 ** random_.randint(0, precision)):0{precision}d}"
        return f"{random_.choice(('', '-'))}{digits[: precision - scale] or '0'}.{digits[precision - scale :] or '0'}"

    return RandomColumn(name, f"DECIMAL({precision},{scale})", may_be_null(random_), value)


def float_column(random_: random.Random, name: str) -> RandomColumn:
    if random_.random() < 0.5:
        return RandomColumn(name, "FLOAT", may_be_null(random_), _float, "@ * 1e0", float32)
    return RandomColumn(name, "DOUBLE", may_be_null(random_), _double)


def _float(random_: random.Random) -> str:
    bits = random_.getrandbits(32)
    value: float = struct.unpack("<f", struct.pack("<I", bits & 0x807FFFFF | random_.randrange(255) << 23))[0]
    return f"{value!r}e0" if "e" not in repr(value) else repr(value)


def _double(random_: random.Random) -> str:
    if random_.random() < 0.5:
        return f"{random_.uniform(-1e9, 1e9)!r}e0"
    bits = random_.getrandbits(64)
    value = struct.unpack("<d", struct.pack("<Q", bits & 0x800FFFFFFFFFFFFF | random_.randrange(2047) << 52))[0]
    return f"{value!r}e0" if "e" not in repr(value) else repr(value)


def bit_column(random_: random.Random, name: str) -> RandomColumn:
    size = random_.randint(1, 64)
    return RandomColumn(
        name, f"BIT({size})", may_be_null(random_), lambda random_: str(random_.getrandbits(size)), "@ + 0"
    )


def temporal_column(random_: random.Random, name: str) -> RandomColumn:
    kind = random_.choice(("DATE", "YEAR", "DATETIME", "TIMESTAMP", "TIME"))
    digits = random_.randint(0, 6)
    fraction = f"({digits})" if kind in {"DATETIME", "TIMESTAMP", "TIME"} else ""

    def value(random_: random.Random) -> str:
        micros = f"{random_.randrange(10**6):06d}"[:digits]
        clock = f"{random_.randrange(24):02d}:{random_.randrange(60):02d}:{random_.randrange(60):02d}" + (
            f".{micros}" if micros else ""
        )
        if kind == "YEAR":
            return str(random_.choice((0, random_.randint(1901, 2155))))
        if kind == "TIME":
            hours = random_.choice((0, random_.randrange(838)))
            return f"'{random_.choice(('', '-'))}{hours:02d}{clock[2:]}'"
        year = (
            random_.randint(1971, 2037) if kind == "TIMESTAMP" else random_.choice((0, 1, random_.randint(1000, 9999)))
        )
        day = f"{year:04d}-{random_.randint(1, 12):02d}-{random_.randint(1, 28):02d}"
        return f"'{day}'" if kind == "DATE" else f"'{day} {clock}'"

    nullable = kind == "TIMESTAMP" or may_be_null(random_)  # older servers give others a default of their own
    return RandomColumn(name, kind + fraction, nullable, value)


def text_column(random_: random.Random, name: str) -> RandomColumn:
    charset = random_.choice(CHARSETS)
    wide = charset.startswith(("utf8mb4", "utf16", "utf32"))
    letters = LETTERS if wide else SAMPLES[charset] + "abc 019_'\"\\"
    size = random_.randint(1, 300)
    kind = random_.choice((f"VARCHAR({size})", f"CHAR({min(size, 60)})", "TINYTEXT", "TEXT", "MEDIUMTEXT", "LONGTEXT"))
    longest = min(size, 60)

    def value(random_: random.Random) -> str:
        return literal("".join(random_.choices(letters, k=random_.randint(0, longest))))

    return RandomColumn(name, f"{kind} CHARACTER SET {charset}", may_be_null(random_), value, TEXT)


def binary_column(random_: random.Random, name: str) -> RandomColumn:
    size = random_.randint(1, 255)
    kind = random_.choice((f"VARBINARY({size})", f"BINARY({size})", "TINYBLOB", "BLOB", "MEDIUMBLOB", "LONGBLOB"))

    def value(random_: random.Random) -> str:
        return f"x'{random_.randbytes(random_.randint(0, size)).hex()}{random_.choice(('', '00')) * (size > 9)}'"

    return RandomColumn(name, kind, may_be_null(random_), value, BASE64)


def member_column(random_: random.Random, name: str) -> RandomColumn:
    charset = random_.choice(("utf8mb4", "latin1", "gbk", "utf16", "koi8r"))
    letters = SAMPLES[charset].replace("😀", "").replace("\x81", "").replace("\x9d", "") + "abcxyz '`\"\\"
    count = random_.choice((1, 3, 8, 9, 33, 64))
    labels = [f"{''.join(random_.choices(letters, k=3))}{i}" for i in range(count)]
    texts = ", ".join(map(literal, labels))
    if random_.random() < 0.5:
        pick: Callable[[random.Random], str] = lambda random_: str(random_.randint(1, count))  # noqa: E731 - one of two
        return RandomColumn(name, f"ENUM({texts}) CHARACTER SET {charset}", may_be_null(random_), pick, TEXT)
    some: Callable[[random.Random], str] = lambda random_: str(random_.getrandbits(count))  # noqa: E731 - one of two
    return RandomColumn(name, f"SET({texts}) CHARACTER SET {charset}", may_be_null(random_), some, TEXT)


def json_column(random_: random.Random, name: str) -> RandomColumn:
    def document(random_: random.Random, depth: int) -> str:
        kind = random_.randrange(8 if depth else 6)
        if kind < 3:
            return random_.choice(("null", "true", "false", "0", "-1.5", str(random_.getrandbits(64)), "1e300"))
        if kind < 6:
            return '"' + "".join(random_.choices("abc é漢😀/", k=random_.randint(0, 200))) + '"'
        members = [document(random_, depth - 1) for _ in range(random_.randint(0, 6))]
        if kind == 6:
            return f"[{','.join(members)}]"
        return "{" + ",".join(f'"k{random_.randrange(10**6)}":{member}' for member in members) + "}"

    return RandomColumn(
        name,
        "JSON",
        may_be_null(random_),
        lambda random_: literal(document(random_, 4)),
        "CAST(@ AS CHAR CHARACTER SET utf8mb4)",
    )


def geometry_column(random_: random.Random, name: str) -> RandomColumn:
    def value(random_: random.Random) -> str:
        points = ",".join(
            f"{random_.uniform(-180, 180)!r} {random_.uniform(-90, 90)!r}" for _ in range(random_.randint(2, 9))
        )
        return f"ST_GeomFromText('LINESTRING({points})', {random_.choice((0, 3857))})"

    return RandomColumn(
        name, "GEOMETRY", may_be_null(random_), value, r"REPLACE(TO_BASE64(CAST(@ AS BINARY)), '\n', '')"
    )


KINDS = (
    integer_column,
    decimal_column,
    float_column,
    bit_column,
    temporal_column,
    text_column,
    binary_column,
    member_column,
    json_column,
    geometry_column,
)
