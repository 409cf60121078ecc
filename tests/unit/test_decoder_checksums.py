"""CRC32 of events, and files without."""

import pytest

from cdcd.binlog.core.native import Decoder
from cdcd.errors import MalformedEvent, UnsupportedEvent
from tests.decoding import a_decoder, hear
from tests.events import (
    ARTIFICIAL,
    BEGIN,
    COMMIT,
    FDE,
    ROTATE,
    TABLE_MAP,
    WRITE,
    Dump,
    fde,
    header,
    image,
    rotate,
    rows,
    table_map,
    with_crc,
)

ROWS = (BEGIN, table_map(), rows(WRITE, image(1, "a")), COMMIT)
MESSAGE = '+orders "id":"1","name":"a"'


def damaged(packet: bytes, at: int) -> bytes:
    return packet[:at] + bytes([packet[at] ^ 0x10]) + packet[at + 1 :]


@pytest.mark.parametrize("at", [5, 22, 23, 30, -5, -1])
def test_a_damaged_byte_names_file_position_and_type(at: int) -> None:
    """Time stamp, flags, body, the checksum itself: every byte of an event but its size is covered by it."""
    dump = Dump("binlog.000042").transaction(1, *ROWS)
    start = 4 + sum(map(len, dump.packets[1:4])) - 5 * 3
    packets = [*dump.packets[:4], damaged(dump.packets[4], at)]
    with pytest.raises(MalformedEvent, match="CRC32 checksum does not match") as caught:
        hear(packets)
    error = caught.value
    assert (error.file, error.position, error.event_type) == ("binlog.000042", start, TABLE_MAP)


def test_what_came_before_the_damage_can_be_taken() -> None:
    dump = Dump().transaction(1, *ROWS).transaction(2, *ROWS)
    decoder = a_decoder()
    decoder.feed(b"".join([*dump.packets[:-2], damaged(dump.packets[-2], 40)]))
    for _ in range(2):
        decoder.decode(0)
    with pytest.raises(MalformedEvent):
        decoder.decode(0)
    [(_, _, _, values, _)] = decoder.take_runs()
    assert values == [MESSAGE.encode()]


def test_files_without_checksums() -> None:
    assert hear(Dump(checksums=False).transaction(1, *ROWS)).messages == [MESSAGE]


def test_each_file_has_its_own_algorithm() -> None:
    """`SET GLOBAL binlog_checksum` rotates; the artificial ROTATE still follows the file before."""
    dump = Dump(checksums=False).transaction(1, *ROWS).rotate("binlog.000002").transaction(2, *ROWS)
    dump.rotate("binlog.000003", checksums=False).transaction(3, *ROWS)
    heard = hear(dump)
    assert heard.messages == [MESSAGE] * 3
    assert heard.decoder.file == "binlog.000003"


def test_the_first_rotate_carries_a_checksum() -> None:
    """CRC32 was announced, and no FDE has come yet."""
    kind, body = rotate("binlog.000001")
    event = header(kind, body, log_pos=0, flags=ARTIFICIAL, size=19 + len(body) + 4) + body
    dump = Dump()
    dump.packets.clear()
    dump.packet(b"\0" + damaged(with_crc(event), 20))
    with pytest.raises(MalformedEvent, match="CRC32") as caught:
        hear(dump)
    assert caught.value.event_type == ROTATE


def test_the_fdes_own_is_checked() -> None:
    dump = Dump()
    with pytest.raises(MalformedEvent, match="CRC32") as caught:
        hear([dump.packets[0], damaged(dump.packets[1], 30)])
    assert caught.value.event_type == FDE


def test_the_fdes_own_says_nothing_without_checksums() -> None:
    """A source that begins inside a file clears the creation time (offset 52 of the body) and leaves the CRC32 as it was."""
    dump = Dump(checksums=False).transaction(1, *ROWS)
    assert hear([dump.packets[0], damaged(dump.packets[1], 4 + 1 + 19 + 52), *dump.packets[2:]]).messages == [MESSAGE]


def test_an_unknown_algorithm() -> None:
    with pytest.raises(UnsupportedEvent, match="checksum algorithm 2"):
        hear(Dump().add(fde(algorithm=2)))


def test_servers_before_checksums() -> None:
    """MySQL 5.5: no algorithm byte and no CRC32 behind the post-header lengths."""
    dump = Dump()
    dump.packets.pop()
    body = fde("5.5.62-log")[1][:-1]
    dump.packet(b"\0" + header(FDE, body, log_pos=120) + body)
    dump.checksums = False
    dump.position = 120
    assert hear(dump.add(*ROWS)).messages == [MESSAGE]


def test_server_version() -> None:
    decoder = Decoder(None)
    hear(Dump().add(fde("8.4.3-commercial")), decoder)
    assert decoder.server_version == "8.4.3"
