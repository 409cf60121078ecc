"""PARTIAL_UPDATE_ROWS by hand: what a sound server does not send."""

import struct

import pytest

from cdcd.errors import BinlogError, MalformedEvent, UnsupportedEvent
from tests.decoding import hear
from tests.events import BEGIN, COMMIT, UPDATE, Dump, Event, packed, rows, table_map

PARTIAL_UPDATE = 39
REPLACE, INSERT, REMOVE = 0, 1, 2
JSON = 245
NULL = b"\x04\x00"
SEVEN = b"\x05\x07\x00"
TEXT = b"\x0c\x03abc"


def small(kind: int, count: int, rest: bytes) -> bytes:
    """A small container: count and size of 2 bytes each, then the tables and what they point to."""
    return bytes([kind]) + struct.pack("<HH", count, 4 + len(rest)) + rest


# {"a": 7, "b": "abc"}: keys at 18 and 19, the text at 20. [7]: the value stands in the table.
OBJECT = small(0, 2, struct.pack("<HHHHBhBH", 18, 1, 19, 1, 5, 7, 12, 20) + b"ab" + b"\x03abc")
ARRAY = small(2, 1, b"\x05\x07\x00")


def diff(operation: int, path: str | bytes, value: bytes | None = None) -> bytes:
    text = path.encode() if isinstance(path, str) else path
    out = bytes([operation]) + packed(len(text)) + text
    return out if value is None else out + packed(len(value)) + value


def update(
    before: bytes | None, *diffs: bytes, options: int = 1, partial: int = 1, present: list[int] | None = None
) -> Event:
    """One row of (id INT, doc JSON), id 1."""
    changes = b"".join(diffs)
    first = b"\x00" if before is not None else b"\x02"
    if present is None:
        image = first + struct.pack("<i", 1) + (b"" if before is None else struct.pack("<I", len(before)) + before)
    else:
        image = b"\x00" + struct.pack("<i", 1)
    head = packed(options) + (bytes([partial]) if options else b"")
    after = head + b"\x00" + struct.pack("<i", 1) + struct.pack("<I", len(changes)) + changes
    return PARTIAL_UPDATE, rows(UPDATE, image, after, present=present, present_after=[0, 1])[1]


def published(event: Event) -> str:
    """The document after the update."""
    columns = ("id", 3, b""), ("doc", JSON, b"\x04")
    [message] = hear(Dump().transaction(1, BEGIN, table_map(columns=columns), event, COMMIT)).messages
    return message.split(" > ")[1].partition('"doc":')[2].strip('"').replace("\\", "")


@pytest.mark.parametrize(
    ("before", "diffs", "after"),
    [
        (OBJECT, (), '{"a": 7, "b": "abc"}'),
        (OBJECT, (diff(REPLACE, "$.a", TEXT),), '{"a": "abc", "b": "abc"}'),
        (OBJECT, (diff(REMOVE, "$.a"), diff(REMOVE, "$.b")), "{}"),
        (OBJECT, (diff(INSERT, "$.aa", SEVEN),), '{"a": 7, "b": "abc", "aa": 7}'),
        (OBJECT, (diff(INSERT, '$."\\u0041 c"', NULL),), '{"a": 7, "b": "abc", "A c": null}'),
        (OBJECT, (diff(INSERT, "$.c", OBJECT), diff(REPLACE, "$.c.a", ARRAY)), '{"a": 7, "b": "abc", "c": {"a": [7], "b": "abc"}}'),
        (ARRAY, (diff(INSERT, "$[0]", b""),), "[null, 7]"),
        (ARRAY, (diff(INSERT, "$[0]", TEXT), diff(INSERT, "$[99]", NULL)), '["abc", 7, null]'),
        (ARRAY, (diff(INSERT, "$[last]", TEXT), diff(REMOVE, "$[last-1]")), "[7]"),
        (ARRAY, (diff(REPLACE, "$[last]", b"\x07" + struct.pack("<i", 70_000)),), "[70000]"),
    ],
)  # fmt: skip
def test_changes(before: bytes, diffs: tuple[bytes, ...], after: str) -> None:
    assert published(update(before, *diffs)) == after


def test_whole_documents_stand_beside_partial_ones() -> None:
    assert published(update(OBJECT, ARRAY, options=0)) == "[7]"
    assert published(update(OBJECT, ARRAY, partial=0)) == "[7]"


@pytest.mark.parametrize("size", [60_000, 70_000])
def test_a_container_that_outgrows_its_offsets(size: int) -> None:
    """Of 2 bytes; beyond 64 KiB they have 4."""
    text = b"\x0c" + bytes([size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14]) + b"x" * size
    assert published(update(OBJECT, diff(INSERT, "$.c", text))) == '{"a": 7, "b": "abc", "c": "%s"}' % ("x" * size)


def refused(event: Event) -> BinlogError:
    with pytest.raises(BinlogError) as caught:
        published(event)
    assert caught.value.event_type == PARTIAL_UPDATE
    return caught.value


@pytest.mark.parametrize(
    "change",
    [
        diff(REPLACE, "$.z", SEVEN),
        diff(REPLACE, "$[0]", SEVEN),
        diff(REPLACE, "$.a.b", SEVEN),
        diff(REPLACE, "$.b.c.d", SEVEN),
        diff(INSERT, "$.a", SEVEN),
        diff(INSERT, "$[0]", SEVEN),
        diff(INSERT, "$.a.b", SEVEN),
        diff(REMOVE, "$.z"),
    ],
)
def test_a_change_that_does_not_fit(change: bytes) -> None:
    error = refused(update(OBJECT, change))
    assert isinstance(error, MalformedEvent)
    assert "does not have" in error.reason


@pytest.mark.parametrize(
    "change",
    [
        b"\x03",
        diff(REPLACE, "$.a"),
        diff(REPLACE, "$.a", b"\x0d"),
        diff(REPLACE, "$.a", b"\x00\x01\x00"),
        *(
            diff(REMOVE, path)
            for path in (
                "",
                "$",
                "a",
                "$.",
                "$.*",
                "$[]",
                "$[x]",
                "$[-1]",
                "$[last1]",
                '$."a',
                '$."\\ud800"',
                "$.a]",
                "$" + "[0]" * 101,
            )
        ),
        b"\x02\xfc",
        b"\x02\x50$",
    ],
)
def test_malformed_changes(change: bytes) -> None:
    assert isinstance(refused(update(OBJECT, change)), MalformedEvent)


@pytest.mark.parametrize(
    "document",
    [
        small(0, 2, struct.pack("<HHHHBhBh", 18, 1, 18, 1, 5, 7, 5, 7) + b"a"),  # a key twice
        small(2, 2, struct.pack("<BHBH", 12, 10, 12, 10) + b"\x04abcd"),  # two members in one place
        small(2, 9, b""),
        small(0, 1, struct.pack("<HHBh", 99, 1, 5, 7)),
        small(2, 1, struct.pack("<BH", 12, 99)),
        b"\x00\x00",
    ],
)
def test_malformed_documents(document: bytes) -> None:
    assert isinstance(refused(update(document, diff(INSERT, "$.zz", SEVEN))), MalformedEvent)


def test_no_document_before() -> None:
    assert isinstance(refused(update(None, diff(REMOVE, "$.a"))), MalformedEvent)
    error = refused(update(OBJECT, diff(REMOVE, "$.a"), present=[0]))
    assert isinstance(error, UnsupportedEvent)
    assert "the before image lacks it" in error.reason


def test_unknown_options() -> None:
    assert isinstance(refused(update(OBJECT, options=2)), UnsupportedEvent)
