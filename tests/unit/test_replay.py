"""`cdcd decode` on files made by hand: what is printed, and what is said of files that are damaged or none at all."""

import gzip
import io
import json
import random
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import zstandard

from cdcd.binlog.ordinals import Ordinals
from cdcd.config.tables import TableFilter
from cdcd.errors import BinlogError, FindingError, InvalidConfig, MalformedEvent, UnsupportedEvent
from cdcd.formats.canal import CANAL_JSON
from cdcd.mysql.schema_file import SchemaFile
from cdcd.worker.catalog import Names
from cdcd.worker.replay import Replay, Summary, parse_bound
from tests.binlog_files import MAGIC, events_of, file_of, places, with_flags
from tests.events import (
    BEGIN,
    COMMIT,
    DELETE,
    STOP,
    WRITE,
    Dump,
    gtid,
    header,
    image,
    prepared,
    query,
    rotate,
    rows,
    table_map,
    with_crc,
    xa_commit,
    xa_rollback,
)

HEADER = (
    *("database", "table", "name", "data", "declared", "octets", "digits", "scale", "fraction"),
    *("collation", "collation_id", "nullable", "extra", "key_part", "mariadb"),
)


@dataclass
class Told:
    """What a reading printed and said."""

    lines: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    summary: Summary = field(default_factory=Summary)

    @property
    def ids(self) -> list[str]:
        return [line["data"][0]["id"] for line in self.lines if not line["isDdl"]]

    def take(self, lines: list[bytes]) -> None:
        self.lines += map(json.loads, lines)


def replay(
    *paths: Path | str, told: Told | None = None, names: Names | None = None, tables: str = "*.*", **options: Any
) -> Told:
    told = Told() if told is None else told
    reading = Replay(
        [str(path) for path in paths],
        TableFilter((tables,)),
        CANAL_JSON,
        names or Ordinals(told.notes.append),
        **options,
    )
    told.summary = reading.run(told.take, told.notes.append)
    return told


def changes(*numbers: int) -> tuple[Any, ...]:
    return (BEGIN, table_map(), rows(WRITE, *(image(number, "x") for number in numbers)), COMMIT)


def a_dump(file: str = "binlog.000001", *, checksums: bool = True, first: int = 1) -> Dump:
    dump = Dump(file, checksums=checksums)
    dump.add(gtid(100 + first), query("CREATE TABLE orders (id INT)"))
    return dump.transaction(first, *changes(first)).transaction(first + 1, *changes(first + 1, first + 2))


def closed(dump: Dump) -> Dump:
    return dump.add((STOP, b""))


@pytest.fixture
def binlog(tmp_path: Path) -> Path:
    path = tmp_path / "binlog.000001"
    path.write_bytes(file_of(closed(a_dump())))
    return path


def test_rows_and_what_is_said_of_them(binlog: Path) -> None:
    told = replay(binlog)
    assert told.ids == ["1", "2", "3"]
    assert [line["gtid"][-2:] for line in told.lines] == [":1", ":2", ":2"]
    assert told.notes == []
    assert str(told.summary) == (
        "3 transactions: 3 inserts, 0 updates, 0 deletes; committed 2023-11-14T22:13:20.123Z to "
        f"2023-11-14T22:13:20.123Z; read up to {binlog}:{binlog.stat().st_size}"
    )


def test_without_checksums(tmp_path: Path) -> None:
    path = tmp_path / "binlog.000001"
    path.write_bytes(file_of(closed(a_dump(checksums=False))))
    other = tmp_path / "binlog.000002"
    other.write_bytes(file_of(closed(a_dump(first=5))))
    assert replay(path, other, path).ids == ["1", "2", "3", "5", "6", "7", "1", "2", "3"]


@pytest.mark.parametrize(("pack", "suffix"), [(gzip.compress, ".gz"), (zstandard.compress, ".zst")])
def test_packed(binlog: Path, pack: Any, suffix: str) -> None:
    packed = binlog.with_name(binlog.name + suffix)
    packed.write_bytes(pack(binlog.read_bytes()))
    assert replay(packed, begin=parse_bound("file:binlog.000001:4")).ids == ["1", "2", "3"]


def test_a_packed_file_that_was_cut(binlog: Path) -> None:
    packed = binlog.with_name("binlog.000001.gz")
    packed.write_bytes(gzip.compress(binlog.read_bytes())[:-20])
    with pytest.raises(MalformedEvent, match="cannot be unpacked"):
        replay(packed)


def test_standard_input(binlog: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(binlog.read_bytes()))))
    assert replay("-").ids == ["1", "2", "3"]


def test_an_event_that_fills_packets(tmp_path: Path) -> None:
    """The decoder takes a dump's packets: an event of 16 MiB and one that ends with a packet."""
    dump = Dump()
    frame = 1 + dump.size_of(query(b"", ""))
    for extra in (0, 1):
        dump.add(query(b"# " + b"x" * (0xFFFFFF + extra - frame - 2), ""))
    data = b"".join(packet[4:] for packet in dump.packets[1:])  # joined again
    path = tmp_path / "binlog.000001"
    path.write_bytes(MAGIC + _unframed(data) + b"")
    assert replay(path).summary.transactions == 2


def _unframed(data: bytes) -> bytes:
    """Events from payloads that follow each other: a 0 before each."""
    events, at = b"", 0
    while at < len(data):
        size = int.from_bytes(data[at + 10 : at + 14], "little")
        events += data[at + 1 : at + 1 + size]
        at += 1 + size
    return events


# ------------------------------------------------------------------ which part


def starts(dump: Dump) -> list[int]:
    return [offset for offset, kind in places(dump) if kind == 33]


@pytest.mark.parametrize(("number", "ids"), [(0, "123"), (1, "123"), (2, "23")])
def test_from_a_place(binlog: Path, number: int, ids: str) -> None:
    place = starts(a_dump())[number]
    for at in (place, place - 1 if number else place):
        told = replay(binlog, begin=parse_bound(f"file:binlog.000001:{max(4, at)}"))
        assert told.ids == list(ids)
        assert told.summary.skipped == number
    assert replay(binlog, end=parse_bound(f"file:binlog.000001:{place}")).ids == list(
        "123"[: -len(ids)] if number else ""
    )


def test_a_place_inside_a_transaction_means_the_next(binlog: Path) -> None:
    place = starts(a_dump())[1]
    assert replay(binlog, begin=parse_bound(f"file:binlog.000001:{place + 1}")).ids == ["2", "3"]
    assert replay(binlog, end=parse_bound(f"file:binlog.000001:{place + 1}")).ids == ["1"]


def test_places_in_several_files(tmp_path: Path) -> None:
    paths = [tmp_path / f"binlog.{n:06}" for n in (1, 2, 3)]
    for n, path in enumerate(paths):
        path.write_bytes(file_of(closed(a_dump(first=1 + 3 * n))))
    assert replay(*paths, begin=parse_bound("file:binlog.000002:4"), end=parse_bound("file:binlog.000003:4")).ids == [
        "4",
        "5",
        "6",
    ]
    with pytest.raises(FindingError, match="none of the files given"):
        replay(*paths, begin=parse_bound("file:binlog.000004:4"))


def test_times(binlog: Path) -> None:
    """All transactions of the file were committed at 2023-11-14T22:13:20.123456Z."""
    at, later = parse_bound("time:2023-11-14T22:13:20.123456Z"), parse_bound("time:2023-11-14T22:13:20.123457Z")
    assert replay(binlog, begin=at).ids == ["1", "2", "3"]
    assert replay(binlog, begin=later).summary == Summary(skipped=3, path=str(binlog), offset=binlog.stat().st_size)
    assert replay(binlog, end=at).ids == []
    assert replay(binlog, end=later).ids == ["1", "2", "3"]


@pytest.mark.parametrize(
    "text", ["latest", "4", "gtid:00112233-4455-6677-8899-aabbccddeeff:1", "file:x:4", "time:yesterday"]
)
def test_what_is_no_bound(text: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        parse_bound(text)


def test_statements_and_other_tables(binlog: Path) -> None:
    told = replay(binlog, ddl=True)
    assert [line["sql"] for line in told.lines if line["isDdl"]] == ["CREATE TABLE orders (id INT)"]
    assert [line["id"] for line in told.lines] == [1, 2, 3, 4]
    assert told.summary.statements == 1
    other = replay(binlog, ddl=True, tables="crm.*")
    assert (other.lines, other.summary.filtered) == ([], 3)


def test_rows_changed_by_a_statement_are_refused(tmp_path: Path) -> None:
    path, dump = tmp_path / "binlog.000001", Dump()
    dump.transaction(1, *changes(1)).transaction(2, BEGIN, query("DELETE FROM orders"), COMMIT)
    path.write_bytes(file_of(dump))
    told = Told()
    with pytest.raises(UnsupportedEvent, match="logged as text") as caught:
        replay(path, told=told)
    assert (caught.value.file, caught.value.position) == (str(path), places(dump)[-2][0])
    assert told.ids == ["1"]


# ------------------------------------------------------------------ damage


def test_every_cut(tmp_path: Path) -> None:
    """Between transactions a file may end; anywhere else it is an error, at the right place, of the right type."""
    dump = a_dump()
    whole, path = file_of(dump), tmp_path / "binlog.000001"
    ends = {0: 0} | {offset: number for number, (offset, kind) in enumerate(places(dump)) if kind == 33 or number == 1}
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        if size < 4:
            with pytest.raises(FindingError, match="no binlog file"):
                replay(path)
        elif size == 4 or size in ends:
            replay(path)
        else:
            last = max(place for place in places(dump) if place[0] < size)
            with pytest.raises(MalformedEvent, match="the file ends inside") as caught:
                replay(path)
            assert (caught.value.file, caught.value.position) == (str(path), last[0])
            assert caught.value.event_type == (last[1] if size > last[0] + 4 else -1)


def test_every_damaged_byte(tmp_path: Path) -> None:
    """Where the header's length still holds, the checksum finds it."""
    dump = a_dump()
    whole, path = file_of(dump), tmp_path / "binlog.000001"
    for offset, kind in places(dump)[1:]:
        for at in (0, 5, 13, 18, 19, 25):
            path.write_bytes(whole[: offset + at] + bytes([whole[offset + at] ^ 1]) + whole[offset + at + 1 :])
            with pytest.raises(MalformedEvent) as caught:
                replay(path)
            assert (caught.value.file, caught.value.position, caught.value.event_type) == (str(path), offset, kind)


@pytest.mark.parametrize("size", [0, 18, 1 << 31, 0xFFFFFFFF])
def test_lengths_that_lie(tmp_path: Path, size: int) -> None:
    dump = a_dump()
    whole, path = file_of(dump), tmp_path / "binlog.000001"
    offset, kind = places(dump)[3]
    path.write_bytes(whole[: offset + 9] + size.to_bytes(4, "little") + whole[offset + 13 :])
    told = Told()
    with pytest.raises(MalformedEvent, match=f"{size} bytes long") as caught:
        replay(path, told=told)
    assert (caught.value.position, caught.value.event_type) == (offset, kind)


def test_damage_that_no_checksum_shows(tmp_path: Path) -> None:
    """Anything may be read then, but nothing is raised that is no finding about this file."""
    whole, path, rng = file_of(closed(a_dump(checksums=False))), tmp_path / "binlog.000001", random.Random(1)
    refused_ = 0
    for _ in range(400):
        data = bytearray(whole)
        for _ in range(rng.choice((1, 2, 6))):
            data[rng.randrange(len(data))] = rng.choice((0, 1, 0x7F, 0xFF, rng.randrange(256)))
        path.write_bytes(data[: rng.choice((len(data), rng.randrange(len(data))))])
        try:
            replay(path, ddl=True)
        except BinlogError as error:
            assert error.file == str(path)  # noqa: PT017 - most of the damage is refused, not all
            refused_ += 1
        except FindingError:
            refused_ += 1
    assert refused_ > 200


def test_an_end_inside_a_transaction(tmp_path: Path) -> None:
    dump, path = Dump().transaction(1, *changes(1)), tmp_path / "binlog.000001"
    dump.add(gtid(2), *changes(2)[:-1])
    path.write_bytes(file_of(dump))
    told = Told()
    with pytest.raises(MalformedEvent, match=r"inside transaction .*:2, 1 row changes of which came"):
        replay(path, told=told)
    assert told.ids == ["1", "2"]


def test_a_part_that_is_not_there(tmp_path: Path) -> None:
    dump, path = a_dump(), tmp_path / "binlog.000001"
    events, lost = list(events_of(dump)), places(dump)
    kept = events[:3] + events[8:]  # without the first transaction with rows
    path.write_bytes(MAGIC + b"".join(kept))
    told = replay(path)
    assert told.ids == ["2", "3"]
    assert told.notes[-2:] == [
        (
            f"{path}: the events from {lost[3][0]} on were written at {lost[8][0]}, not at {lost[3][0]}: "
            "what stood between is not in this file"
        ),
        f"{path} ends without ROTATE or STOP: a part may be missing",
    ]


def test_positions_over_4_gib_are_no_jump(tmp_path: Path) -> None:
    dump, path = Dump(), tmp_path / "binlog.000001"
    dump.position = (1 << 32) - 100
    dump.transaction(1, *changes(1)).transaction(2, *changes(2))
    path.write_bytes(file_of(dump))
    told = replay(path)
    assert told.ids == ["1", "2"]
    assert len([note for note in told.notes if "was written at" in note or "were written at" in note]) == 1


# ------------------------------------------------------------------ other files


def refused(path: Path, data: bytes) -> FindingError:
    path.write_bytes(data)
    with pytest.raises(FindingError) as caught:
        replay(path)
    assert str(path) in caught.value.finding.what
    return caught.value


def test_encrypted_files(tmp_path: Path) -> None:
    path, whole = tmp_path / "binlog.000001", file_of(a_dump())
    assert refused(path, b"\xfdbin" + whole[4:]).finding.code == "binlog-file-encrypted"
    encryption = with_crc(header(164, bytes(17), log_pos=0, size=40) + bytes(17))
    dump = Dump()
    finding = refused(path, file_of(dump) + encryption + b"\x17" * 300).finding
    assert finding.code == "binlog-file-encrypted"
    assert f"at {len(file_of(dump))}" in finding.what
    assert "--raw --host <server> binlog.000001" in finding.remedy


@pytest.mark.parametrize("data", [b"", b"# at 4\n#261122 23:42:05 server id 1", b"\x7fELF"])
def test_what_is_no_binlog(tmp_path: Path, data: bytes) -> None:
    assert refused(tmp_path / "x", data).finding.code == "binlog-file-unreadable"


def test_a_relay_log(tmp_path: Path) -> None:
    fde, *others = events_of(a_dump())
    error = refused(tmp_path / "relay.000001", MAGIC + with_flags(fde, 0x40) + b"".join(others))
    assert "relay log" in error.finding.what


def test_a_file_in_use(tmp_path: Path) -> None:
    """Its format description has the checksum of before the flag was set."""
    path, (fde, *others) = tmp_path / "binlog.000001", events_of(a_dump())
    in_use = MAGIC + with_flags(fde, 1, checksum=False) + b"".join(others)
    path.write_bytes(in_use)
    assert replay(path).notes[-1] == f"{path} ends without ROTATE or STOP: its server has it open, or crashed"
    path.write_bytes(in_use[:-1])
    with pytest.raises(MalformedEvent, match="it was copied while the server wrote it, or the server crashed"):
        replay(path)


def test_a_file_without_its_head(tmp_path: Path) -> None:
    path, (_, *others) = tmp_path / "binlog.000001", events_of(a_dump())
    path.write_bytes(MAGIC + b"".join(others))
    with pytest.raises(MalformedEvent, match="does not begin with a format description"):
        replay(path)


def test_another_servers_file(binlog: Path) -> None:
    assert replay(binlog, server_id=1).ids == ["1", "2", "3"]
    with pytest.raises(FindingError, match="server_id 1; that of --host has 2") as caught:
        replay(binlog, server_id=2)
    assert caught.value.finding.code == "binlog-file-foreign"


def test_the_real_rotate_is_no_jump(tmp_path: Path) -> None:
    paths = [tmp_path / "binlog.000001", tmp_path / "binlog.000002"]
    paths[0].write_bytes(file_of(a_dump().add(rotate("binlog.000002"))))
    paths[1].write_bytes(file_of(closed(a_dump("binlog.000002", first=4))))
    told = replay(*paths)
    assert (told.ids, told.notes) == (["1", "2", "3", "4", "5", "6"], [])


# ------------------------------------------------------------------ names

ENUM = (("id", 3, b""), ("name", 15, b"\x50\x00"), ("kind", 254, b"\xf7\x01"), ("flags", 254, b"\xf8\x02"))


def unnamed(tmp_path: Path, **options: Any) -> Path:
    path = tmp_path / "binlog.000001"
    row = bytes([0]) + (7).to_bytes(4, "little") + b"\x01x" + b"\x02" + b"\x05\x01"
    events = (BEGIN, table_map(columns=ENUM, named=False, **options), rows(DELETE, row, columns=4), COMMIT)
    path.write_bytes(file_of(closed(Dump().transaction(1, *events))))
    return path


def test_columns_by_their_numbers(tmp_path: Path) -> None:
    told = replay(unnamed(tmp_path))
    [line] = told.lines
    assert line["data"] == [{"@1": "7", "@2": "x", "@3": "2", "@4": "261"}]
    assert line["pkNames"] is None
    [note] = told.notes
    assert note.startswith("shop.orders: the binlog does not name its columns")


@pytest.mark.parametrize("column", [("id", 3, b""), ("name", 15, b"\x50\x00")])
def test_without_any_metadata_numbers_of_columns_do_not_help(tmp_path: Path, column: tuple[str, int, bytes]) -> None:
    """MySQL 5.6: nothing behind the bits that say which columns may be null."""
    kind, body = table_map(columns=[column], key=(), named=False)
    end = body.index(b"\xff") + 1
    path = tmp_path / "binlog.000001"
    row = rows(WRITE, b"\0" + (b"\1\0\0\0" if column[1] == 3 else b"\1x"), columns=1)
    path.write_bytes(file_of(Dump().transaction(1, BEGIN, (kind, body[:end]), row, COMMIT)))
    with pytest.raises(FindingError, match="which numbers have a sign") as caught:
        replay(path)
    assert caught.value.finding.code == "schema-unknown"


def table_file(tmp_path: Path, *rows_: str, head: tuple[str, ...] = HEADER) -> Path:
    path = tmp_path / "columns.tsv"
    path.write_text("\n".join(("\t".join(head), *rows_, "")))
    return path


COLUMNS = (
    "shop\torders\tid\tint\tint\tNULL\t10\t0\tNULL\tNULL\tNULL\tYES\t\t2\t0",
    "shop\torders\tname\tvarchar\tvarchar(20)\t80\tNULL\tNULL\tNULL\tutf8mb4_0900_ai_ci\t255\tYES\t\t1\t0",
    "shop\torders\tki\\tnd\tenum\tenum('a','b')\t4\tNULL\tNULL\tNULL\tutf8mb4_0900_ai_ci\t255\tYES\t\tNULL\t0",
    "shop\torders\tflags\tset\tset('1','2','3','4','5','6','7','8','9')\t4\tNULL\tNULL\tNULL\tlatin1_bin\t47\tYES\t\tNULL\t0",
)


def test_names_from_a_file(tmp_path: Path) -> None:
    [line] = replay(unnamed(tmp_path), names=SchemaFile(table_file(tmp_path, *COLUMNS))).lines
    assert line["data"] == [{"id": "7", "name": "x", "ki\tnd": "b", "flags": "1,3,9"}]
    assert line["pkNames"] == ["name", "id"]


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ((), "it does not have that table"),
        (COLUMNS[:3], "the binlog has 4 columns, the table has 3"),
        ((COLUMNS[0].replace("int", "bigint"), *COLUMNS[1:]), "binlog column 1 is INT, the table has BIGINT"),
    ],
)
def test_a_file_with_another_table(tmp_path: Path, lines: tuple[str, ...], why: str) -> None:
    with pytest.raises(FindingError, match=why) as caught:
        replay(unnamed(tmp_path), names=SchemaFile(table_file(tmp_path, *lines)))
    assert caught.value.finding.code == "schema-unknown"


@pytest.mark.parametrize(
    ("head", "lines", "why"),
    [
        (("a", "b"), (), "must begin with the columns database, table"),
        (HEADER, ("shop\torders",), "line 2: has 2 fields, not 15"),
        (HEADER, (COLUMNS[0].replace("10", "ten"),), "line 2: invalid literal"),
    ],
)
def test_what_is_no_such_file(tmp_path: Path, head: tuple[str, ...], lines: tuple[str, ...], why: str) -> None:
    with pytest.raises(InvalidConfig, match=why):
        SchemaFile(table_file(tmp_path, *lines, head=head))


# ------------------------------------------------------------------ XA transactions


MANY = 6000
"""Rows of 250 bytes: more than is kept in memory."""


def xa_files(tmp_path: Path, *second: Any) -> list[Path]:
    """A transaction that is prepared in one file; what ends it in the next one."""
    big = (table_map(), *(rows(WRITE, *(image(n, "x" * 250) for n in range(at, at + 20))) for at in range(0, MANY, 20)))
    first = a_dump().transaction(10, *prepared("big", *big)).transaction(11, *prepared("small", *changes(7)[1:3]))
    files = []
    for name, dump in (("binlog.000001", first), ("binlog.000002", a_dump("binlog.000002", first=20))):
        if name.endswith("2"):
            for number, event in enumerate(second, 30):
                dump.transaction(number, event)
        files.append(tmp_path / f"{name}.gz")
        files[-1].write_bytes(gzip.compress(file_of(dump), 1))
    return files


def test_xa_rows_are_read_again_from_their_file(tmp_path: Path) -> None:
    files = xa_files(tmp_path, xa_commit("small"), xa_commit("big"))
    first = ["1", "2", "3"]
    ids = ["20", "21", "22", "7", *map(str, range(MANY))]
    assert replay(*files).ids == first + ids
    told = replay(*files, begin=parse_bound("file:binlog.000002:4"))
    assert told.ids == ids
    assert told.summary.inserts == len(ids)


def test_xa_rows_that_an_earlier_statement_ended(tmp_path: Path) -> None:
    files = xa_files(tmp_path, xa_rollback("big"), xa_commit("small"))
    after = file_of(
        a_dump("binlog.000003", first=40).transaction(50, xa_commit("big")).transaction(51, xa_commit("small"))
    )
    (tmp_path / "binlog.000003").write_bytes(after)
    told = replay(*files, tmp_path / "binlog.000003", begin=parse_bound("file:binlog.000003:4"))
    assert told.ids == ["40", "41", "42"]


@pytest.mark.parametrize("name", ["big", "small"])
def test_xa_rows_that_are_in_no_file_given(tmp_path: Path, name: str) -> None:
    files = xa_files(tmp_path, xa_commit(name))
    with pytest.raises(FindingError, match="none of the files given has it") as refused:
        replay(files[1])
    assert refused.value.finding.code == "xa-unknown"


def test_xa_rows_of_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dump = (
        a_dump()
        .transaction(10, *prepared("a", *changes(7)[1:3]))
        .transaction(11, xa_commit("a"))
        .transaction(12, xa_commit("b"))
    )
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(file_of(dump)))))
    told = Told()
    with pytest.raises(FindingError, match="standard input cannot be read once more"):
        replay("-", told=told)
    assert told.ids == ["1", "2", "3", "7"]
