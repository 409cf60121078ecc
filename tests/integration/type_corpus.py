"""Every column type of MySQL and MariaDB with ordinary values and edges, and how the server itself shows them.

The oracle is the server: `shown` is an SQL expression over column `c` whose text must be what cdcd publishes; where two
texts may stand for one value (FLOAT, VECTOR) both sides are read into it first.
"""

import json
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace

Read = Callable[[str], object]


def same(text: str) -> object:
    return text


def float32(text: str) -> object:
    return struct.pack("<f", float(text))


def floats_of_hex(text: str) -> object:
    return bytes.fromhex(text)


def floats_of_list(text: str) -> object:
    return b"".join(struct.pack("<f", value) for value in json.loads(text))


def without_holes(text: str) -> object:
    """The server shows a code that is no character as a question mark, and its value has no others."""
    return re.sub(r"[?\ufffd]+", "\ufffd", text)


@dataclass(frozen=True)
class Case:
    """One column."""

    type: str
    """As in CREATE TABLE."""
    values: tuple[str, ...]
    """SQL expressions; NULL is added to them."""
    shown: str = "c"
    expected: Read = same
    published: Read = same
    only: str = ""
    """Regular expression of the flavours of server that have the type or can say the values; empty: all."""

    def on(self, flavour: str) -> bool:
        return re.match(self.only, flavour) is not None


# The connection is utf8mb4, so this is what the server makes of a value in any character set.
TEXT = "CONVERT(c USING utf8mb4)"
BASE64 = r"REPLACE(TO_BASE64(c), '\n', '')"


def _integers() -> list[Case]:
    cases = []
    for name, bits in (("TINYINT", 8), ("SMALLINT", 16), ("MEDIUMINT", 24), ("INT", 32), ("BIGINT", 64)):
        half = 2 ** (bits - 1)
        signed = (0, 1, -1, 5, -5, 10, 99, 100, -100, 127, half - 1, -half, 1 - half)
        unsigned = (0, 1, 9, 10, 99, 100, 255, half - 1, half, 2 * half - 1)
        steps = [10**k for k in range(20) if 10**k < half]
        cases.append(Case(name, tuple(map(str, (*signed, *steps, *(step - 1 for step in steps))))))
        cases.append(Case(f"{name} UNSIGNED", tuple(map(str, (*unsigned, *steps)))))
    # SELECT shows the zeros, which are no part of the value.
    return [*cases, Case("INT(8) UNSIGNED ZEROFILL", ("0", "42", "4294967295"), "c + 0")]


def _decimals() -> list[Case]:
    def case(precision: int, scale: int, unsigned: str = "") -> Case:
        whole, fraction = "9" * (precision - scale), "9" * scale
        most = f"{whole or 0}.{fraction or 0}"
        least = f"0.{'0' * (scale - 1)}1" if scale else "1"
        plain = ["0", "1" if precision > scale else "0.1", most, least]
        signed = [] if unsigned else [f"-{value}" for value in plain[1:]]
        return Case(f"DECIMAL({precision},{scale}){unsigned}", (*plain, *signed))

    shapes = ((1, 0), (1, 1), (5, 2), (9, 0), (9, 9), (10, 0), (10, 2), (14, 4), (18, 9), (19, 2), (20, 10), (30, 30))
    wide = ((38, 0), (38, 10), (40, 30), (65, 0), (65, 30))
    cases = [case(precision, scale) for precision, scale in (*shapes, *wide)]
    more = Case("DECIMAL(12,4)", ("12.34", "-0.0001", "12345678.9", "1000000000e-2", "-99999999.9999", "100", "0.5"))
    return [*cases, case(10, 3, " UNSIGNED"), more]


def _floats() -> list[Case]:
    values = (
        "0",
        "-0e0",
        "1",
        "1.1",
        "-2.5",
        "0.1e0",
        "100",
        "123456.789",
        "1e10",
        "1e15",
        "1e-5",
        "1e20",
        "3.14159265",
    )
    single = (
        "3.4028234e38",
        "-3.4028234e38",
        "1.17549435e-38",
        "1.1754942e-38",
        "1.4e-45",
        "-2.8e-45",
        "16777216",
        "0.3",
        "33554434",
    )
    double = (
        "1.7976931348623157e308",
        "2.2250738585072014e-308",
        "2.2250738585072009e-308",
        "5e-324",
        "-1e-323",
        "0.1e0+0.2e0",
        "1e14",
        "1e-15",
        "1e-16",
        "1e22",
        "1e23",
        "123456789012345678",
        "1234567890123456.8",
        "5.307694214742346e15",
        "9007199254740993",
        "1/3e0",
        "1e300",
        "4.35",
        "2.675",
        "-1.5e-300",
    )
    as_double = "c * 1e0"
    return [
        Case("FLOAT", (*values, *single), as_double, float32, float32),
        Case("FLOAT UNSIGNED", ("0", "1.1", "3e38"), as_double, float32, float32),
        Case("DOUBLE", (*values, *double)),
        Case("DOUBLE UNSIGNED", ("0", "1.1", "1e300")),
        # SELECT fills up the digits that the type announces.
        Case("FLOAT(7,3)", ("0", "-1.5", "1234.567"), as_double, float32, float32),
        Case("DOUBLE(10,2)", ("0", "-1.5", "12345678.12"), as_double, float, float),
    ]


def _bits() -> list[Case]:
    return [
        Case(f"BIT({n})", ("0", "1", str(2 ** (n - 1)), str(2**n - 1)), "c+0")
        for n in (1, 2, 7, 8, 9, 16, 17, 33, 63, 64)
    ]


def _temporals() -> list[Case]:
    dates = (
        "2024-02-29",
        "0000-00-00",
        "1000-01-01",
        "9999-12-31",
        "2024-00-15",
        "2024-01-00",
        "2024-02-31",
        "0001-01-01",
        "0000-01-01",
        "0000-00-01",
    )
    cases = [
        Case("DATE", tuple(f"'{date}'" for date in dates)),
        Case("YEAR", ("0", "1901", "2024", "2155", "1970")),
    ]
    for digits in range(7):
        suffix = f"({digits})" if digits else ""
        moments = (
            "2024-02-29 01:02:03.123456",
            "0000-00-00 00:00:00",
            "1000-01-01 00:00:00",
            "9999-12-31 23:59:59",
            "2024-00-15 10:00:00.5",
            "2024-02-31 23:59:59.000001",
            "1969-12-31 23:59:59.9",
            "0000-01-01 00:00:00",
            "0001-01-01 00:00:00.000001",
        )
        stamps = (
            "1970-01-01 00:00:01",
            "2024-02-29 01:02:03.123456",
            "2038-01-19 03:14:07",
            "0000-00-00 00:00:00",
            "2001-09-09 01:46:40.000001",
            "1999-12-31 23:59:59.5",
            "2000-03-01 00:00:00",
            "2037-12-31 12:34:56.99",
            "2038-01-19 03:14:07.4",
        )
        times = (
            "00:00:00",
            "00:00:00.000001",
            "-00:00:00.1",
            "-00:00:00.123456",
            "01:02:03.5",
            "-01:02:03.25",
            "-00:00:01",
            "23:59:59.9",
            "100:00:00",
            "838:59:59",
            "-838:59:59",
            "-838:59:58.999",
            "-10:00:00.9",
            "838:59:58.999999",
            "-00:00:59.999999",
            "00:59:59.5",
        )
        cases.append(Case(f"DATETIME{suffix}", tuple(f"'{moment}'" for moment in moments)))
        cases.append(Case(f"TIMESTAMP{suffix}", tuple(f"'{stamp}'" for stamp in stamps)))
        cases.append(Case(f"TIME{suffix}", tuple(f"'{moment}'" for moment in times)))
    return cases


ORDINARY = ("''", "'a'", "'  two spaces  '", "'quote \" back\\\\slash / tab\\t line\\n'", "'0123456789abcdefghij'")
CONTROLS = f"CHAR({','.join(map(str, (*range(32), 127)))} USING utf8mb4)"
ACCENTS = ("'é ü ñ'", "'漢字'", "'😀 x'", "'Ω≈ç√'", "CONCAT('q', CHAR(0 USING utf8mb4), 'x')", CONTROLS)

# Something each character set can hold beyond ASCII.
SAMPLES = {
    "armscii8": "ԱԲա",
    "ascii": "~",
    "big5": "中文碁",
    "cp1250": "Žluťoučký €",
    "cp1251": "Привет №",
    "cp1256": "سلام €",
    "cp1257": "Žąsis Õ",
    "cp850": "ñÑ░█",
    "cp852": "Žluť▒",
    "cp866": "Привет░",
    "cp932": "日本語①髙ⅲ",
    "dec8": "Œÿ¤é",
    "eucjpms": "日本語①髙",
    "euckr": "한국어똠",
    "gb18030": "中文😀㐀é",
    "gb2312": "中文",
    "gbk": "中文鎔",
    "geostd8": "აბგ",
    "greek": "Ωδός",
    "hebrew": "שלום",
    "hp8": "éÀÿ",
    "keybcs2": "Žluť█",
    "koi8r": "Привет═",
    "koi8u": "Привіт",
    "latin1": "é€Ÿ\x81\x9d",
    "latin2": "Žluťoučký",
    "latin5": "ğİş",
    "latin7": "ąžõ",
    "macce": "Žluť",
    "macroman": "é∞Ω",
    "sjis": "日本語",
    "swe7": "ÅÄÖ",
    "tis620": "ภาษาไทย",
    "ucs2": "é漢",
    "ujis": "日本語",
    "utf16": "é漢😀",
    "utf16le": "é漢😀",
    "utf32": "é漢😀",
    "utf8mb3": "é漢",
    "utf8mb4": "é漢😀",
}


def _texts() -> list[Case]:
    def case(type_: str, *more: str) -> Case:
        return Case(type_, (*ORDINARY, *ACCENTS, *more), TEXT)

    cases = [
        case("CHAR(40)"),
        case("CHAR(255)", "REPEAT('é', 255)"),
        case("VARCHAR(40)"),
        # Of 252 and of 256 bytes: a length of one byte, and of two.
        *(case(f"{kind}({n})", f"REPEAT('😀', {n})") for kind in ("CHAR", "VARCHAR") for n in (63, 64)),
        case("VARCHAR(300)", "REPEAT('x', 300)", "REPEAT('漢', 300)"),
        case("VARCHAR(16000)", "REPEAT('0123456789', 1600)", "REPEAT('é\"', 8000)"),
        case("TINYTEXT", "REPEAT('x', 255)"),
        case("TEXT", "REPEAT('x', 65535)"),
        case("MEDIUMTEXT", "REPEAT('x', 70000)", "REPEAT('é\\n', 40000)"),
        case("LONGTEXT", "REPEAT('😀', 50000)"),
    ]
    for name, sample in SAMPLES.items():
        only = "mysql-9" if name == "gb18030" else ""
        # As text of the connection, which the server converts into the column's set.
        values = ("''", f"'{sample}'", f"'x{sample}y'", f"REPEAT('{sample}', 20)", "'abc'")
        cases.append(Case(f"VARCHAR(400) CHARACTER SET {name}", values, TEXT, only=only))
        cases.append(
            Case(f"CHAR(60) CHARACTER SET {name}", (*values[:3], f"CONCAT('{sample}', '  ')"), TEXT, only=only)
        )
        cases.append(Case(f"TEXT CHARACTER SET {name}", values, TEXT, only=only))
        # INFORMATION_SCHEMA is utf8mb3, so labels of MINIMAL metadata can hold nothing above U+FFFF.
        label = sample.replace("😀", "")
        members = f"('{label}','x{label}','a','b c')"
        cases.append(Case(f"ENUM{members} CHARACTER SET {name}", ("1", "2", "3", "4"), TEXT, only=only))
        cases.append(Case(f"SET{members} CHARACTER SET {name}", ("0", "1", "6", "15"), TEXT, only=only))
    return cases


# Codes that a set has no character for, which the server stores all the same.
HOLES = {
    "armscii8": "a1ff",
    "ascii": "80ff",
    "big5": "f9fe",
    "cp1250": "8183",
    "cp1251": "98",
    "cp1257": "a1a5",
    "cp932": "effc",
    "dec8": "a4acfe",
    "euckr": "fefe",
    "gb2312": "a2a1",
    "gbk": "fefe",
    "geostd8": "ff",
    "greek": "aed2ff",
    "hebrew": "a1dbff",
    "latin7": "a1a5",
    "sjis": "effc",
    "tis620": "fcff",
    "ujis": "fefe",
}


def _holes() -> list[Case]:
    """`a`, the codes, `b`."""

    def case(name: str, codes: str) -> Case:
        value = f"_{name} x'61{codes}62'"
        return Case(f"VARCHAR(9) CHARACTER SET {name}", (value,), TEXT, without_holes, without_holes)

    return [case(name, codes) for name, codes in HOLES.items()]


def _binaries() -> list[Case]:
    values = ("''", "'a'", "x'00'", "x'00ff00'", "x'ff0000'", "x'0102'", "'abc'", "x'c3a9'")
    return [
        Case("BINARY(1)", ("x'00'", "x'ff'", "'a'"), BASE64),
        Case("BINARY(16)", values, BASE64),
        Case("BINARY(255)", (*values, "REPEAT(x'ff', 255)"), BASE64),
        Case("VARBINARY(20)", values, BASE64),
        Case("VARBINARY(300)", (*values, "REPEAT(x'fe', 300)"), BASE64),
        Case("TINYBLOB", (*values, "REPEAT(x'80', 255)"), BASE64),
        Case("BLOB", (*values, "REPEAT(x'80', 65535)"), BASE64),
        Case("MEDIUMBLOB", (*values, "REPEAT(x'0001', 40000)"), BASE64),
        Case("LONGBLOB", (*values, "REPEAT(x'aa55', 500000)"), BASE64),
    ]


def _members() -> list[Case]:
    def labels(n: int) -> str:
        return ",".join(f"'m{i}'" for i in range(n))

    return [
        Case("ENUM('a','b','it''s','q\"q','x\\\\y','a\\nb','')", ("1", "2", "3", "4", "5", "6", "7", "0"), TEXT),
        Case(f"ENUM({labels(3000)})", ("1", "256", "2999", "3000"), TEXT),
        Case(f"ENUM({labels(300)})", ("1", "255", "256", "257", "300"), TEXT),
        Case("SET('a','b','q\"q','it''s')", ("0", "1", "2", "3", "8", "15"), TEXT),
        *(
            Case(f"SET({labels(n)})", ("0", "1", str(2**n - 1), str(2 ** (n - 1))), TEXT)
            for n in (8, 9, 17, 33, 63, 64)
        ),
        # Of no character set: text all the same, if it can be.
        Case("ENUM('a','é','漢') CHARACTER SET binary", ("1", "2", "3"), "CONVERT(CAST(c AS BINARY) USING utf8mb4)"),
        Case("SET('a','é','漢') CHARACTER SET binary", ("0", "5", "7"), "CONVERT(CAST(c AS BINARY) USING utf8mb4)"),
    ]


def _json() -> Case:
    big = "(SELECT JSON_OBJECTAGG(CONCAT('key', n), n) FROM ({numbers}) t)"
    numbers = "WITH RECURSIVE s AS (SELECT 1 n UNION ALL SELECT n + 1 FROM s WHERE n < 900) SELECT n FROM s"
    values = (
        "'null'",
        "'true'",
        "'false'",
        "'0'",
        "'-1'",
        "'32767'",
        "'-32769'",
        "'65535'",
        "'65536'",
        "'2147483647'",
        "'-2147483649'",
        "'4294967295'",
        "'4294967296'",
        "'9223372036854775807'",
        "'-9223372036854775808'",
        "'18446744073709551615'",
        "'1.5'",
        "'1e15'",
        "'1e14'",
        "'-0.0'",
        "'1e-16'",
        "'1e300'",
        "'5e-324'",
        "'\"\"'",
        "'\"text\"'",
        "'\"é漢😀\"'",
        "JSON_QUOTE('q\" b\\\\ n\\n t\\t')",
        f"JSON_QUOTE({CONTROLS})",
        "'[]'",
        "'{}'",
        "'[1, [2, [3, {\"a\": []}]]]'",
        '\'{"bb":1,"a":2,"c":{"aaa":4,"":5},"aaa":null}\'',
        '\'{"a\\\\"b":"c\\\\\\\\d"}\'',
        "JSON_ARRAY(CAST('2024-01-02' AS DATE), CAST('2024-01-02 03:04:05.678' AS DATETIME(3)), CAST('01:02:03.5' AS TIME(1)))",
        "JSON_ARRAY(CAST('-838:59:59' AS TIME), CAST('-00:00:00.000001' AS TIME(6)), CAST('9999-12-31' AS DATE))",
        "JSON_ARRAY(12.3400, -0.01, CAST(1 AS DECIMAL(65,30)), 99999999999999999999)",
        "JSON_OBJECT('d', CAST('12.50' AS DECIMAL(10,2)))",
        "CAST(CAST('2024-01-02 03:04:05' AS DATETIME) AS JSON)",
        "CAST(12.5 AS JSON)",
        "CAST(CAST('-10:00:00.25' AS TIME(2)) AS JSON)",
        "JSON_ARRAY(x'ff00', b'101', CAST(REPEAT('x', 100) AS BINARY))",
        "CAST(CAST('' AS BINARY) AS JSON)",
        "JSON_ARRAY(1.1e0, CAST(1.1 AS FLOAT), 0.1e0 + 0.2e0)",
        "CAST(ST_GeomFromText('POINT(1 2)') AS JSON)",
        "JSON_ARRAY(CAST(2024 AS YEAR), CAST('ab' AS BINARY(5)), UNHEX(REPEAT('ab', 70000)))",
        "(SELECT JSON_OBJECT('at', last_update) FROM mysql.innodb_table_stats LIMIT 1)",  # a TIMESTAMP
        "'[32767,-32768,32768,-32769,65535,65536,2147483647,-2147483648,2147483648,-2147483649,4294967295,4294967296]'",
        "'[9223372036854775807,-9223372036854775808,9223372036854775808,-9223372036854775809,18446744073709551616]'",
        """'{"a":1,"b":2,"a":{"a":3,"a":4}}'""",
        "JSON_OBJECT(REPEAT('k', 65535), 1, REPEAT('k', 65534), 2)",
        "JSON_ARRAY(REPEAT('x', 127), REPEAT('y', 128), REPEAT('é', 20000))",
        "CONCAT('[', REPEAT('1,', 30000), '2]')",
        "CONCAT('[', REPEAT('70000,', 20000), '-70000]')",
        big.format(numbers=numbers),
        "CONCAT(REPEAT('[', 100), REPEAT(']', 100))",
        "CONCAT(REPEAT('{\"k\":', 99), '1', REPEAT('}', 99))",
    )
    return Case("JSON", values, "CAST(c AS CHAR CHARACTER SET utf8mb4)", only="mysql-9")


def _spatial() -> list[Case]:
    shapes = {
        "POINT": ("POINT(1 2)", "POINT(-1.5 1e10)"),
        "LINESTRING": ("LINESTRING(0 0,1 1,2 3)",),
        "POLYGON": ("POLYGON((0 0,10 0,10 10,0 10,0 0),(1 1,2 1,2 2,1 1))",),
        "MULTIPOINT": ("MULTIPOINT(0 0,1 1)",),
        "MULTILINESTRING": ("MULTILINESTRING((0 0,1 1),(2 2,3 3))",),
        "MULTIPOLYGON": ("MULTIPOLYGON(((0 0,1 0,1 1,0 0)))",),
        "GEOMETRYCOLLECTION": ("GEOMETRYCOLLECTION(POINT(1 1),LINESTRING(0 0,1 1))",),
    }
    every = tuple(text for texts in shapes.values() for text in texts)

    def values(texts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(f"ST_GeomFromText('{text}')" for text in texts)

    # The stored bytes: SRID and WKB as they are, axes not swapped.
    shown = r"REPLACE(TO_BASE64(CAST(c AS BINARY)), '\n', '')"
    cases = [Case(name, values(texts), shown) for name, texts in shapes.items()]
    placed = Case("POINT SRID 4326", ("ST_GeomFromText('POINT(48.1 11.5)', 4326)",), shown, only="mysql-9")
    empty = Case("GEOMETRY", ("ST_GeomFromText('GEOMETRYCOLLECTION EMPTY')",), shown, only="mysql-9")
    geometry = (*values(every), "ST_GeomFromText('POINT(1 2)', 4326)", "ST_GeomFromText('LINESTRING(1 2,3 4)', 3857)")
    return [*cases, placed, empty, Case("GEOMETRY", geometry, shown)]


def _vectors() -> list[Case]:
    def to_vector(*values: float | str) -> str:
        return f"TO_VECTOR('[{','.join(map(str, values))}]')"

    some = (to_vector(1.5, 2, -0.1), to_vector(0, "1e20", "-3.4e38"), to_vector(0.333333343, "1e-10", 16777216))
    wide = (to_vector(*(n / 7 for n in range(300))),)
    return [
        Case("VECTOR(3)", some, "HEX(c)", floats_of_hex, floats_of_list, only="mysql-9"),
        Case("VECTOR(2048)", (*some, *wide), "HEX(c)", floats_of_hex, floats_of_list, only="mysql-9"),
    ]


def _of_mariadb() -> list[Case]:
    """Bytes that only information_schema can tell from BINARY and VARBINARY stand beside such."""
    since_10_11 = "mariadb-1(0.11|1)"
    long, raw = "REPEAT('long text ', 40)", "REPEAT(X'00FF', 300)"
    six = """:: ::1 2001:db8:: ::ffff:1.2.3.4 ::1.2.3.4 fe80::1:0:0:1 1:0:2:3:4:5:6:7 0:1:: 0:0:1:2:3:4:5:6 1:2:3:4:5:6:7:0
        1:0:0:2:0:0:3:4 ::2:3:4:5:6:7 ::ffff:0:1 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ::ffff ::1:0 1:: 0:0:0:0:1::"""
    uuids = """123e4567-e89b-12d3-a456-426614174000 123e4567-e89b-42d3-a456-426600000000 00000000-0000-0000-0000-000000000000
        ffffffff-ffff-ffff-ffff-ffffffffffff 018f3f2e-7c0a-7abc-8def-001122334400 00000000-0000-1000-8000-000000000000
        10000000-2000-3000-9000-a00000000000 12345678-9abc-5def-bfff-ffffffffff00 12345678-9abc-0def-1fff-ffffffffffff
        12345678-9abc-6def-8fff-ffffffffffff"""

    def quoted(words: str) -> tuple[str, ...]:
        return tuple(f"'{word}'" for word in words.split())

    def case(type_: str, values: tuple[str, ...], shown: str = "c", only: str = "mariadb", read: Read = same) -> Case:
        return Case(type_, values, shown, read, read, only)

    vectors = ("VEC_FromText('[1.5,2,-0.25]')", "VEC_FromText('[0,1e10,-3.5e-20]')")
    late = ("'1970-01-01 00:00:01'", "'2038-01-19 03:14:08'", "'2106-02-07 06:28:15'")
    later = ("'2040-02-29 23:59:59.000001'", "'2106-02-07 06:28:15.999999'")
    return [
        case("VARCHAR(500) COMPRESSED", ("''", "'a'", long, "REPEAT('ä€', 100)"), TEXT),
        case("VARCHAR(100) COMPRESSED CHARACTER SET latin1", ("''", "'é'", "REPEAT('é', 90)"), TEXT),
        case("VARCHAR(255) COMPRESSED CHARACTER SET latin1", ("''", "REPEAT('x', 255)"), TEXT),
        case("MEDIUMTEXT COMPRESSED", ("''", "'a'", long, "REPEAT('漢', 70000)"), TEXT),
        case("BLOB COMPRESSED", ("''", "X'00'", raw), BASE64),
        case("VARBINARY(700) COMPRESSED", ("''", "X'80'", raw), BASE64),
        case("INET6", quoted(six)),
        case("INET4", quoted("0.0.0.0 1.2.3.4 10.0.0.0 255.255.255.255"), only=since_10_11),
        case("UUID", quoted(uuids), only=since_10_11),
        case("BINARY(16)", ("'::1'", "X'123E4567E89B12D3A456426614174000'"), BASE64),
        case("BINARY(4)", ("'ab'", "''"), BASE64),
        # The server writes more digits than a float has.
        case("VECTOR(3)", vectors, "VEC_ToText(c)", "mariadb-11", floats_of_list),
        case("VARBINARY(12)", vectors, BASE64, "mariadb-11"),
        case("YEAR(2)", ("0", "'00'", "1", "69", "70", "99", "2024"), "IF(c < 70, 2000, 1900) + c"),
        case("TIMESTAMP", late, only="mariadb-11"),
        case("TIMESTAMP(6)", later, only="mariadb-11"),
        case("JSON", ('\'{"b": 1, "a":[1,2]}\'', "'null'")),
    ]


OF_MARIADB = _of_mariadb()
CORPUS: tuple[Case, ...] = (
    *_integers(),
    Case("BOOL", ("TRUE", "FALSE", "2")),
    *_decimals(),
    *_floats(),
    *_bits(),
    *_temporals(),
    *_texts(),
    *_binaries(),
    *_members(),
    _json(),
    *_spatial(),
    *_vectors(),
    *_holes(),
    *OF_MARIADB,
)


# ------------------------------------------------------------------ as canal shows them (formats.md section 7, `strict`)

SHANGHAI = "IF(c = 0, CAST(c AS CHAR), CAST(CONVERT_TZ(c, '+00:00', '+08:00') AS CHAR))"


def bytes_of_hex(text: str) -> object:
    return bytes.fromhex(text)


def without_zeros(text: str) -> object:
    return bytes.fromhex(text).rstrip(b"\0")


def bytes_of_latin1(text: str) -> object:
    return text.encode("latin-1")


def as_canal(case: Case) -> Case:
    """How the server is asked for what canal shows of the case."""
    name = re.match(r"[A-Z]+", case.type)
    assert name is not None
    if name[0] in {"FLOAT", "DOUBLE"}:
        read = float32 if name[0] == "FLOAT" else float
        return replace(case, shown="c * 1e0", expected=read, published=read)
    if name[0] in {"ENUM", "SET"}:
        return replace(case, shown="CAST(c AS UNSIGNED)")
    if name[0] == "BINARY":
        return replace(case, shown="HEX(c)", expected=without_zeros, published=bytes_of_latin1)
    if case.shown == BASE64:
        return replace(case, shown="HEX(c)", expected=bytes_of_hex, published=bytes_of_latin1)
    if "CAST(c AS BINARY)" in case.shown:
        return replace(case, shown="HEX(CAST(c AS BINARY))", expected=bytes_of_hex, published=bytes_of_latin1)
    return replace(case, shown=SHANGHAI) if name[0] == "TIMESTAMP" else case
