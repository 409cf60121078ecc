"""Every code of every character set, as the servers themselves convert it."""

from collections.abc import Iterator
from itertools import islice, product

import pytest

from cdcd.binlog.charsets import UNMAPPED, Charset, charset_of
from tests.instances import Figures
from tests.servers import MariadbFactory, MysqlServer, Stacks

pytestmark = pytest.mark.must_show("5.1")

# Where cdcd differs: Python's euc_jp has an ASCII tilde for the wave of JIS X 0212.
KNOWN = {("eucjpms", "8fa2b7")}

TRAIL = range(0x30, 0x100)
KANJI = range(0xA1, 0xFF)
OLDER = ("mysql-5.6", "mariadb-10.5", "mariadb-10.11", "mariadb-11.8")
WIDE = ("ucs2", "utf16", "utf16le", "utf32")


def codes(charset: Charset) -> Iterator[bytes]:
    """All codes a set can have; of gb18030's four-byte ones those of the first plane."""
    if charset.name in WIDE:
        points = (*range(0xD800), *range(0xE000, 0x10000))
        yield from (chr(point).encode(charset.codec) for point in points)
        if charset.name != "ucs2":
            yield from (chr(point).encode(charset.codec) for point in range(0x10000, 0x110000, 0x101))
        return
    yield from (bytes((byte,)) for byte in range(256))
    if charset.kind == "codec":
        yield from (bytes(code) for code in product(range(0x81, 0xFF), TRAIL))
    if charset.name in ("ujis", "eucjpms"):
        yield from (bytes((0x8F, *code)) for code in product(KANJI, KANJI))
    if charset.name == "gb18030":
        digits = range(0x30, 0x3A)
        yield from (bytes(code) for code in product(range(0x81, 0x85), digits, range(0x81, 0xFF), digits))


def chunks(charset: Charset) -> Iterator[tuple[bytes, ...]]:
    left = codes(charset)
    while chunk := tuple(islice(left, 3000)):
        yield chunk


def server_text(server: MysqlServer, charset: Charset, chunk: tuple[bytes, ...]) -> dict[bytes, str]:
    """Code -> its one character; codes that are none, or several, are left out."""
    row = "ROW" if server.flavour.startswith("mysql") else ""
    rows = ",".join(f"{row}(x'{code.hex()}')" for code in chunk)
    found = {}
    for code, text in server.query(
        f"WITH t (c) AS (VALUES {rows}) SELECT c, HEX(CONVERT(CONVERT(c USING {charset.name}) USING utf32)) FROM t"
    ):
        if text and len(text) == 8:
            character = chr(int(text, 16))
            if character != UNMAPPED and (character != "?" or code == "?".encode(charset.codec)):
                found[code] = character
    return found


CHARSETS = {charset.name: charset for charset in map(charset_of, range(1, 324)) if charset}
WITH_TABLES = sorted(name for name, charset in CHARSETS.items() if charset.kind not in ("binary", "utf8"))


def compared(server: MysqlServer, charset: Charset) -> tuple[int, list[tuple[str, str, str]]]:
    """How many codes the server has a character for, and those that are another one here."""
    checked, wrong = 0, []
    for chunk in chunks(charset):
        for code, character in server_text(server, charset, chunk).items():
            checked += 1
            if charset.decode(code) != (character, False) and (charset.name, code.hex()) not in KNOWN:
                wrong.append((code.hex(), charset.decode(code)[0], character))
    return checked, wrong


@pytest.mark.parametrize("name", WITH_TABLES)
def test_every_code(mysql: MysqlServer, name: str) -> None:
    checked, wrong = compared(mysql, CHARSETS[name])
    assert checked >= 95
    assert not wrong


@pytest.mark.prove
@pytest.mark.parametrize("version", ["10.5", "10.11", "11.8"])
def test_every_code_of_mariadb(mariadb: MariadbFactory, version: str, figures: Figures) -> None:
    found = {name: compared(mariadb(version), CHARSETS[name]) for name in WITH_TABLES if name != "gb18030"}
    assert not {name: wrong[:5] for name, (_, wrong) in found.items() if wrong}
    figures({"server": f"mariadb-{version}", "charsets": len(found), "codes": sum(n for n, _ in found.values())})


@pytest.mark.parametrize("flavour", ["mysql-9.7", *(pytest.param(old, marks=pytest.mark.prove) for old in OLDER)])
def test_collation_ids(stacks: Stacks, flavour: str) -> None:
    """Every collation of the server: its character set and that set's longest character."""
    server = stacks.mysql(flavour)
    # MariaDB's newer collations serve several character sets, and have an id for each.
    where = "COLLATION_CHARACTER_SET_APPLICABILITY" if flavour in {"mariadb-10.11", "mariadb-11.8"} else "COLLATIONS"
    known = server.query(
        "SELECT c.ID, c.CHARACTER_SET_NAME, s.MAXLEN"
        f" FROM information_schema.{where} c JOIN information_schema.CHARACTER_SETS s USING (CHARACTER_SET_NAME)"
    )
    assert len(known) > 200
    for id_, name, longest in known:
        charset = charset_of(id_)
        assert charset is not None
        assert (charset.name, charset.max_bytes) == ("utf8mb3" if name == "utf8" else name, longest)
