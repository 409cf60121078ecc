"""The tap before the login is over: what is sent then may look like a dump command."""

import socket

import pytest

from cdcd.mysql.dump_request import COM_BINLOG_DUMP, COM_BINLOG_DUMP_GTID
from cdcd.mysql.tap import _TapConnection


@pytest.mark.parametrize("first", [COM_BINLOG_DUMP, COM_BINLOG_DUMP_GTID])
def test_a_scrambled_password_is_not_taken_for_a_dump_command(first: int) -> None:
    """One login in 128 that answers an authentication switch begins with one of the two bytes."""
    ours, servers = socket.socketpair()
    with ours, servers:
        tap = _TapConnection(defer_connect=True)
        tap._sock = ours
        tap._current_timeout = tap._write_timeout  # type: ignore[attr-defined] # as connect() leaves it
        answer = b"\x14\0\0\x03" + bytes([first]) + bytes(range(19))
        tap._write_bytes(answer)
        assert servers.recv(100) == answer
        assert not tap.held
