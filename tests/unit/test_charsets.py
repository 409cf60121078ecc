"""Character sets: literals; every code against the server is in tests/integration/test_charsets.py."""

import pytest

from cdcd.binlog.charsets import charset_of


@pytest.mark.parametrize(
    ("collation", "name", "max_bytes"),
    # From INFORMATION_SCHEMA.COLLATIONS of MySQL 9.7 and MariaDB 11.8.
    [
        (255, "utf8mb4", 4),
        (323, "utf8mb4", 4),
        (33, "utf8mb3", 3),
        (8, "latin1", 1),
        (63, "binary", 1),
        (250, "gb18030", 4),
        (1070, "utf8mb4", 4),  # utf8mb4_nopad_bin
        (608, "utf8mb4", 4),  # utf8mb4_croatian_ci
        (2048, "utf8mb3", 3),  # utf8mb3_uca1400_ai_ci
        (2304, "utf8mb4", 4),  # utf8mb4_uca1400_ai_ci
        (3271, "utf32", 4),
    ],
)
def test_collations(collation: int, name: str, max_bytes: int) -> None:
    charset = charset_of(collation)
    assert charset is not None
    assert (charset.name, charset.max_bytes) == (name, max_bytes)


@pytest.mark.parametrize("collation", [0, 17, 100, 125, 252, 999, 5000])
def test_ids_no_server_gives_out(collation: int) -> None:
    assert charset_of(collation) is None


@pytest.mark.parametrize(
    ("collation", "raw", "text"),
    [
        (8, b"\x80\x81\xe9", "€\x81é"),  # latin1: the manual calls it cp1252 with the gaps filled
        (10, b"[\\]", "ÄÖÅ"),  # swe7
        (92, b"\xc0\xc1", "აბ"),  # geostd8
        (32, b"\xb2\xb3", "Աա"),  # armscii8
        (37, b"\x80\x81", "Čü"),  # keybcs2
        (97, b"\xad\xa1\x8f\xf3\xf3\xf5\xa1a", "①ⅰ\ue000a"),  # eucjpms
        (1, b"\xf9\xd6\xa4\x40", "碁一"),  # big5
        (13, b"\x81\x5f", "\\"),  # sjis
    ],
)
def test_text_as_the_server_reads_it(collation: int, raw: bytes, text: str) -> None:
    charset = charset_of(collation)
    assert charset is not None
    assert charset.decode(raw) == (text, False)


@pytest.mark.parametrize(("collation", "raw"), [(97, b"a\xff"), (255, b"\xc3"), (54, b"\xd8\x00"), (11, b"\x80")])
def test_bytes_that_are_no_text(collation: int, raw: bytes) -> None:
    charset = charset_of(collation)
    assert charset is not None
    text, replaced = charset.decode(raw)
    assert replaced
    assert "\ufffd" in text
