"""Every code of every character set, as the server itself converts it."""

from collections.abc import Iterator
from itertools import islice, product

import pytest

from cdcd.binlog.charsets import UNMAPPED, Charset, charset_of
from tests.servers import MysqlServer

pytestmark = pytest.mark.must_show("5.1")

# Where cdcd differs: Python's euc_jp has an ASCII tilde for the wave of JIS X 0212.
KNOWN = {("eucjpms", "8fa2b7")}

TRAIL = range(0x30, 0x100)
KANJI = range(0xA1, 0xFF)
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
    rows = ",".join(f"ROW(x'{code.hex()}')" for code in chunk)
    found = {}
    for code, text in server.query(
        f"SELECT column_0, HEX(CONVERT(CONVERT(column_0 USING {charset.name}) USING utf32)) FROM (VALUES {rows}) t"
    ):
        if text and len(text) == 8:
            character = chr(int(text, 16))
            if character != UNMAPPED and (character != "?" or code == "?".encode(charset.codec)):
                found[code] = character
    return found


CHARSETS = {charset.name: charset for charset in map(charset_of, range(1, 324)) if charset}


@pytest.mark.parametrize("name", sorted(CHARSETS))
def test_every_code(mysql: MysqlServer, name: str) -> None:
    charset = CHARSETS[name]
    if charset.kind in ("binary", "utf8"):
        pytest.skip("no table of its own")
    checked, wrong = 0, []
    for chunk in chunks(charset):
        for code, character in server_text(mysql, charset, chunk).items():
            checked += 1
            if charset.decode(code) != (character, False) and (charset.name, code.hex()) not in KNOWN:
                wrong.append((code.hex(), charset.decode(code)[0], character))
    assert checked >= 95
    assert not wrong


def test_collation_ids(mysql: MysqlServer) -> None:
    """Every collation of the server: its character set and that set's longest character."""
    for id_, name, longest in mysql.query(
        "SELECT c.ID, c.CHARACTER_SET_NAME, s.MAXLEN FROM information_schema.COLLATIONS c"
        " JOIN information_schema.CHARACTER_SETS s USING (CHARACTER_SET_NAME)"
    ):
        charset = charset_of(id_)
        assert charset is not None
        assert (charset.name, charset.max_bytes) == (name, longest)
