"""Collation id -> character set, and what its bytes mean: as MySQL 9.7 and MariaDB 11.8 convert them themselves.

A collation id is what the binlog says of a text column. Where Python's codec of a set and the server's own table differ,
the server is followed; where only Python's has a character for a code, it is given rather than nothing (checked against
`CONVERT(... USING utf32)` of every code: tests/integration/test_charsets.py).
"""

# ruff: noqa: RUF001 - the tables hold look-alikes of ASCII characters because the character sets do

import codecs
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

Kind = Literal["binary", "utf8", "table", "codec"]
"""How the core reads it: base64; checked UTF-8; a table of 256 code points; `Charset.decode`."""

UNMAPPED = "\ufffd"


def _no_codes() -> dict[bytes, str]:
    return {}


@dataclass(frozen=True)
class Charset:
    """A character set of MySQL."""

    name: str
    max_bytes: int
    """Longest character; COLUMN_TYPE's length is the binlog's length in bytes divided by it."""
    codec: str
    """Python codec: the one it is, or the one it differs from by what follows."""
    changes: dict[int, str] = field(default_factory=dict, compare=False)
    """8-bit sets: byte -> the characters of it and of the bytes after it."""
    swaps: dict[int, int] = field(default_factory=dict, compare=False)
    """Sets of several bytes: a character of the codec -> the server's, for `str.translate`."""
    more: Callable[[], dict[bytes, str]] = field(default=_no_codes, compare=False)
    """Sets of several bytes: codes that the codec does not have."""

    @property
    def kind(self) -> Kind:
        if self.name == "binary":
            return "binary"
        if self.codec == "utf-8":
            return "utf8"
        return "table" if self.max_bytes == 1 else "codec"

    @property
    def table(self) -> bytes:
        """8-bit sets: 256 code points of 16 bits in the machine's byte order; 0xFFFD where a byte is none."""
        return b"".join(ord(character).to_bytes(2, sys.byteorder) for character in _characters(self))

    def decode(self, raw: bytes) -> tuple[str, bool]:
        """Text of `raw`, and whether bytes that are none had to become U+FFFD. Of `binary` only for labels of ENUM and SET."""
        if self.kind == "table":
            text = "".join(_characters(self)[byte] for byte in raw)
            return text, UNMAPPED in text
        try:
            text, replaced = raw.decode(self.codec), False
        except UnicodeDecodeError:
            text = raw.decode(self.codec, _error_handler(self))
            replaced = UNMAPPED in text
        return (text.translate(self.swaps) if self.swaps else text), replaced


@cache
def _characters(charset: Charset) -> str:
    """The 256 characters of an 8-bit set."""
    characters = [bytes((byte,)).decode(charset.codec, "replace") for byte in range(256)]
    for first, text in charset.changes.items():
        characters[first : first + len(text)] = text
    return "".join(characters)


@cache
def _error_handler(charset: Charset) -> str:
    """Name of the codec error handler that reads a set's further codes and replaces what is none."""
    more = charset.more()
    if not more:
        return "replace"

    def handle(error: UnicodeError) -> tuple[str, int]:
        if not isinstance(error, UnicodeDecodeError):
            raise error
        for size in (2, 3):
            character = more.get(error.object[error.start : error.start + size])
            if character is not None:
                return character, error.start + size
        return UNMAPPED, error.end

    name = f"cdcd.{charset.name}"
    codecs.register_error(name, handle)
    return name


def _big5_codes() -> dict[bytes, str]:
    """The seven characters ETEN added."""
    return {bytes((0xF9, 0xD6 + i)): character for i, character in enumerate("碁銹裏墻恒粧嫺")}


def _user_codes() -> dict[bytes, str]:
    """EUC-JP's user-defined rows 85 to 94 of both planes: the private use area from U+E000."""
    cells = [(row, cell) for row in range(0xF5, 0xFF) for cell in range(0xA1, 0xFF)]
    codes = {bytes(code): chr(0xE000 + i) for i, code in enumerate(cells)}
    codes.update({bytes((0x8F, *code)): chr(0xE000 + len(cells) + i) for i, code in enumerate(cells)})
    return codes


def _ibm_characters() -> list[str]:
    """IBM's characters in their order, which cp932 has from FA40 to FC4B, without those JIS has a place for."""
    codes = (bytes((lead, trail)) for lead in (0xFA, 0xFB, 0xFC) for trail in range(0x40, 0xFD))
    texts = [code.decode("cp932", "replace") for code in codes]
    characters = [text for text in texts if UNMAPPED not in text]
    outside_jis = {character for character in characters if not character.encode("euc_jp", "ignore")}
    # U+2116 is in plane 2 of JIS as well; the not sign and the broken bar have been given places in row 2.
    return sorted((outside_jis | {"№"}) - {"￢", "￤"}, key=characters.index)


def _eucjpms_codes() -> dict[bytes, str]:
    """Microsoft's EUC-JP: also NEC's row 13, which cp932 has at 8740, and IBM's characters at the end of plane 2."""
    codes = _user_codes()
    row = range(0x40, 0x9F)
    nec = [bytes((0x87, cell)).decode("cp932", "replace") for cell in row if cell != 0x7F]
    codes.update({bytes((0xAD, 0xA1 + i)): character for i, character in enumerate(nec) if character != UNMAPPED})
    cells = [(0xF3, cell) for cell in range(0xF3, 0xFF)] + [(0xF4, cell) for cell in range(0xA1, 0xFF)]
    codes.update({bytes((0x8F, *code)): character for code, character in zip(cells, _ibm_characters(), strict=True)})
    return codes


_CHARSETS = (
    Charset("binary", 1, "utf-8"),  # of labels, which are to be text
    Charset("utf8mb4", 4, "utf-8"),
    Charset("utf8mb3", 3, "utf-8"),
    Charset("ucs2", 2, "utf-16-be"),
    Charset("utf16", 4, "utf-16-be"),
    Charset("utf16le", 4, "utf-16-le"),
    Charset("utf32", 4, "utf-32-be"),
    Charset("big5", 2, "big5", more=_big5_codes),
    Charset("cp932", 2, "cp932"),
    Charset("eucjpms", 3, "euc_jp", swaps=str.maketrans("〜‖−¢£¬¦", "～∥－￠￡￢￤"), more=_eucjpms_codes),
    Charset("euckr", 2, "cp949"),
    Charset("gb18030", 4, "gb18030", swaps=str.maketrans("\ue7c7\u1e3f", "\u1e3f\ue7c7")),
    Charset("gb2312", 2, "gb2312"),
    Charset("gbk", 2, "gbk"),
    Charset("sjis", 2, "shift_jis", swaps=str.maketrans("＼", "\\")),
    Charset("ujis", 3, "euc_jp", swaps=str.maketrans("＼", "\\"), more=_user_codes),
    Charset("ascii", 1, "ascii"),
    Charset("cp1250", 1, "cp1250"),
    Charset("cp1251", 1, "cp1251"),
    Charset("cp1256", 1, "cp1256"),
    Charset("cp1257", 1, "cp1257"),
    Charset("cp850", 1, "cp850"),
    Charset("cp852", 1, "cp852"),
    Charset("cp866", 1, "cp866", {0xFC: "ⁿ²"}),
    Charset("greek", 1, "iso8859-7", {0xA1: "ʽʼ"}),
    Charset("hebrew", 1, "iso8859-8", {0xAF: "‾"}),
    Charset("hp8", 1, "hp-roman8"),
    Charset("koi8r", 1, "koi8-r"),
    Charset("koi8u", 1, "koi8-u", {0x95: "•"}),
    Charset("latin1", 1, "cp1252", {0x81: "\x81", 0x8D: "\x8d", 0x8F: "\x8f\x90", 0x9D: "\x9d"}),
    Charset("latin2", 1, "iso8859-2"),
    Charset("latin5", 1, "iso8859-9"),
    Charset("latin7", 1, "iso8859-13"),
    Charset("macce", 1, "mac-latin2"),
    Charset("macroman", 1, "mac-roman"),
    Charset("tis620", 1, "tis-620"),
    # Python has no codec for these.
    Charset(
        "armscii8",
        1,
        "latin-1",
        {
            0xA1: "❁§։)(»«—.՝,-՟…՜՛՞ԱաԲբԳգԴդԵեԶզԷէԸըԹթԺժԻիԼլԽխԾծԿկՀհՁձՂղՃճՄմՅյՆնՇշՈոՉչՊպՋջՌռՍսՎվՏտՐրՑցՒւՓփՔքՕօՖֆ’'",
        },
    ),
    Charset(
        "dec8",
        1,
        "latin-1",
        {
            0xA4: UNMAPPED,
            0xA6: UNMAPPED,
            0xA8: "¤",
            0xAC: 4 * UNMAPPED,
            0xB4: UNMAPPED,
            0xB8: UNMAPPED,
            0xBE: UNMAPPED,
            0xD0: UNMAPPED,
            0xD7: "Œ",
            0xDD: "Ÿ" + UNMAPPED,
            0xF0: UNMAPPED,
            0xF7: "œ",
            0xFD: "ÿ" + 2 * UNMAPPED,
        },
    ),
    Charset(
        "geostd8",
        1,
        "cp1252",
        {
            0xC0: "აბგდევზჱთიკლმნჲოპჟრსტჳუფქღყშჩცძწჭხჴჯჰჵ" + 23 * UNMAPPED + "№" + 2 * UNMAPPED,
        },
    ),
    Charset(
        "keybcs2",
        1,
        "cp437",
        {
            0x80: "Č",
            0x83: "ď",
            0x85: "ĎŤčěĚĹÍľĺ",
            0x8F: "Á",
            0x91: "žŽ",
            0x95: "ÓůÚý",
            0x9B: "ŠĽÝŘť",
            0xA4: "ňŇŮÔšřŕŔ",
        },
    ),
    Charset("swe7", 1, "ascii", {0x40: "É", 0x5B: "ÄÖÅÜ", 0x60: "é", 0x7B: "äöåü" + UNMAPPED}),
)

# Ids that MySQL and MariaDB share, and MySQL's own.
_COLLATIONS = {
    "armscii8": "32 64",
    "ascii": "11 65",
    "big5": "1 84",
    "binary": "63",
    "cp1250": "26 34 44 66 99",
    "cp1251": "14 23 50-52",
    "cp1256": "57 67",
    "cp1257": "29 58 59",
    "cp850": "4 80",
    "cp852": "40 81",
    "cp866": "36 68",
    "cp932": "95 96",
    "dec8": "3 69",
    "eucjpms": "97 98",
    "euckr": "19 85",
    "gb18030": "248-250",
    "gb2312": "24 86",
    "gbk": "28 87",
    "geostd8": "92 93",
    "greek": "25 70",
    "hebrew": "16 71",
    "hp8": "6 72",
    "keybcs2": "37 73",
    "koi8r": "7 74",
    "koi8u": "22 75",
    "latin1": "5 8 15 31 47-49 94",
    "latin2": "2 9 21 27 77",
    "latin5": "30 78",
    "latin7": "20 41 42 79",
    "macce": "38 43",
    "macroman": "39 53",
    "sjis": "13 88",
    "swe7": "10 82",
    "tis620": "18 89",
    "ucs2": "35 90 128-151 159 640-663",
    "ujis": "12 91",
    "utf16": "54 55 101-124 672-695",
    "utf16le": "56 62",
    "utf32": "60 61 160-183 736-759",
    "utf8mb3": "33 76 83 192-215 223 576-599",
    "utf8mb4": "45 46 224-247 255-323 608-631",
}

# MariaDB: NO PAD collations stand 1024 above those they derive from; the UCA 14 ones have 256 for each Unicode set.
_NO_PAD = 1024
_UCA14 = {2048: "utf8mb3", 2304: "utf8mb4", 2560: "ucs2", 2816: "utf16", 3072: "utf32"}
_UCA14_IDS = 256


def _ids(text: str) -> list[int]:
    ids: list[int] = []
    for part in text.split():
        first, _, last = part.partition("-")
        ids.extend(range(int(first), int(last or first) + 1))
    return ids


@cache
def _by_id() -> dict[int, Charset]:
    named = {charset.name: charset for charset in _CHARSETS}
    found: dict[int, Charset] = {}
    for name, text in _COLLATIONS.items():
        for collation in _ids(text):
            found[collation] = found[collation + _NO_PAD] = named[name]
    for first, name in _UCA14.items():
        found.update(dict.fromkeys(range(first, first + _UCA14_IDS), named[name]))
    return found


def charset_of(collation: int) -> Charset | None:
    """The character set of a collation id; None for an id that neither server gives out."""
    return _by_id().get(collation)
