"""The dump: mysql-replication opens the session, then the socket's bytes belong to the native core.

`BinLogStreamReader` logs in, sets variables, registers and sends its dump command through a PyMySQL `Connection`. That
connection is ours (`_TapConnection`): it sends our dump command in place of the library's, whose own can express
neither an empty nor a tagged GTID set, and from then on lets nothing into the library but the control packets that
`BinlogDump.show` hands it. This is the only module that touches private names of the two libraries:

- pymysql.connections.Connection: `_write_bytes`, `_read_packet`, `_force_close`, `_sock`
- pymysqlreplication.BinLogStreamReader: `_BinLogStreamReader__use_checksum`, and that `fetchone` connects
"""

import selectors
import socket
import ssl
import struct
import time
import zlib
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from pymysql.connections import Connection
from pymysql.cursors import Cursor
from pymysql.protocol import MysqlPacket
from pymysqlreplication import BinLogStreamReader

from cdcd.binlog.gtid import GtidSet
from cdcd.errors import CdcdError, Finding, FindingError, Stopped
from cdcd.mysql.connection import CONNECT_SECONDS, Endpoint, client_settings, source_errors
from cdcd.mysql.dump_error import classify_dump_error
from cdcd.mysql.findings import lost_finding, rights_finding

if TYPE_CHECKING:

    class _Client(Connection[Cursor]):
        """PyMySQL's connection with the private names used here."""

        _sock: socket.socket | None
        server_thread_id: tuple[int]

        def _write_bytes(self, data: bytes) -> None: ...
        def _read_packet(self, packet_type: type[MysqlPacket] = ...) -> MysqlPacket: ...
        def _force_close(self) -> None: ...

else:
    _Client = Connection

COM_BINLOG_DUMP: Final = 0x12
COM_BINLOG_DUMP_GTID: Final = 0x1E
DUMP_NON_BLOCK: Final = 0x01
DUMP_HEARTBEAT_V2: Final = 0x02
DUMP_THROUGH_GTID: Final = 0x04
ROTATE: Final = 4
FDE: Final = 15
FIRST_EVENT: Final = 4
"""Offset of a binlog file's first event: the magic number stands before it."""
LAST_OFFSET: Final = 0xFFFFFFFF
"""COM_BINLOG_DUMP has 32 bits for it."""
READ_BYTES: Final = 1 << 20
HEARTBEATS_MISSED: Final = 3
NET_WRITE_TIMEOUT: Final = 600
"""Seconds that the source waits for a reader that pauses (a broker that is away), instead of 60."""
ANY_GTID_SET: Final = "00000000-0000-0000-0000-000000000001:1"
"""Makes the library send COM_BINLOG_DUMP_GTID without asking for a position; the payload is replaced."""


@dataclass(frozen=True, slots=True)
class DumpRequest:
    """What to read, and as whom."""

    server_id: int
    """Not 0, unique among the source's replicas and readers."""
    server_uuid: UUID
    """A dump with this UUID evicts an older one that has it: an instance's own zombie, never another reader's."""
    gtid_set: GtidSet | None = None
    """Everything already handled: the source sends the rest. None: by file and offset."""
    file: str = ""
    offset: int = FIRST_EVENT
    heartbeat: float = 10.0
    """Seconds. The source sends one when it has nothing else; three missed ones are a lost connection."""
    non_blocking: bool = False
    """End with an EOF packet at the present end of the binlog."""

    def payload(self) -> bytes:
        """The dump command (MySQL internals manual, COM_BINLOG_DUMP and COM_BINLOG_DUMP_GTID)."""
        flags = DUMP_HEARTBEAT_V2 | (DUMP_NON_BLOCK if self.non_blocking else 0)
        name = self.file.encode()
        if self.gtid_set is None:
            return struct.pack("<BIHI", COM_BINLOG_DUMP, self.offset, flags, self.server_id) + name
        known = self.gtid_set.encode()
        head = struct.pack("<BHI", COM_BINLOG_DUMP_GTID, flags | DUMP_THROUGH_GTID, self.server_id)
        return head + struct.pack("<IQI", 0, FIRST_EVENT, len(known)) + known

    def variables(self) -> str:
        """Session variables in both spellings: "master" until MySQL 8.0.25, "source" from 8.0.26 on."""
        nanoseconds = int(self.heartbeat * 1_000_000_000)
        return (
            "SET @master_binlog_checksum = 'CRC32', @source_binlog_checksum = 'CRC32',"
            f" @master_heartbeat_period = {nanoseconds}, @source_heartbeat_period = {nanoseconds},"
            f" @slave_uuid = '{self.server_uuid}', @replica_uuid = '{self.server_uuid}',"
            f" SESSION net_write_timeout = {NET_WRITE_TIMEOUT}"
        )


class TapBrokenError(CdcdError):
    """mysql-replication did what it must not: a defect of cdcd, or a library version it does not know."""

    hint = "Install the pinned versions of PyMySQL and mysql-replication"


class _HandOverError(Exception):
    """Carries control out of `fetchone` once the dump command is sent. Nothing in the library catches it."""


class _TapConnection(_Client):
    """Sends our dump command in place of the library's; afterwards the library reads `shown` and nothing else."""

    request: DumpRequest | None = None
    """Set once the login is over: before, a packet may begin with any byte (a scrambled password)."""
    dumping = False
    shown: bytes | None = None

    def _write_bytes(self, data: bytes) -> None:
        if self.request is not None and len(data) > 4 and data[4] in {COM_BINLOG_DUMP, COM_BINLOG_DUMP_GTID}:
            if self.dumping:
                raise TapBrokenError("mysql-replication sent a second dump command on one connection")
            payload = self.request.payload()
            data = len(payload).to_bytes(3, "little") + b"\0" + payload
            self.dumping = True
        super()._write_bytes(data)

    def _read_packet(self, packet_type: type[MysqlPacket] = MysqlPacket) -> MysqlPacket:
        if not self.dumping:
            return super()._read_packet(packet_type)
        shown, self.shown = self.shown, None
        if shown is None:
            raise _HandOverError
        return packet_type(shown, self.encoding)


class _ControlStandIn:
    """In place of the library's second connection, which it asks only for what decoding rows would need."""

    charset = "utf8mb4"
    _get_dbms: Any = None

    def cursor(self) -> "_ControlStandIn":
        return self

    def execute(self, sql: str) -> None:
        """Every query of the library's gets the answer of `fetchone`."""

    def fetchone(self) -> dict[str, str]:
        return {"Value": "FULL"}

    def get_server_info(self) -> str:
        return "MySQL"

    def close(self) -> None:
        """Nothing was opened."""


class BinlogDump:
    """One dump of a source's binlog: `open`, then `read` until it raises, then `close`; never used twice.

    One thread opens, reads and closes; any other may call `stop`. Every trouble is a FindingError that names the
    server; the one way on is a new BinlogDump from the position reached.
    """

    def __init__(self, endpoint: Endpoint, request: DumpRequest) -> None:
        self.endpoint = endpoint
        self.request = request
        self._source = str(endpoint)
        self._stopping = False
        self._reader: BinLogStreamReader | None = None
        self._stream: _TapConnection | None = None
        self._socket: socket.socket | None = None
        self._wake_up, self._woken = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._heard = 0.0

    @property
    def log_file(self) -> str:
        """The file that the library believes to be in, by the packets it was shown."""
        return (self._reader and self._reader.log_file) or ""

    def open(self) -> None:
        """Connect, log in, register, send the dump command: at most some CONNECT_SECONDS for each step."""
        self.raise_if_stopped()
        if self.request.gtid_set is None and self.request.offset > LAST_OFFSET:
            raise FindingError(self._too_far())
        self._reader = BinLogStreamReader(
            connection_settings=client_settings(self.endpoint, CONNECT_SECONDS),
            server_id=self.request.server_id,
            blocking=not self.request.non_blocking,
            auto_position=ANY_GTID_SET,
            slave_uuid=str(self.request.server_uuid),
            report_slave=socket.gethostname()[:60],
            filter_non_implemented_events=False,
            enable_logging=False,
            pymysql_wrapper=self._connection_for,
        )
        try:
            with source_errors(self.endpoint):
                self._run_library()
        except FindingError as error:
            if self._stream is not None and error.finding.code == "access-denied":
                # After the login it means the right to register as a replica, not the password.
                raise FindingError(rights_finding(error.finding.what, self.endpoint.user)) from error
            raise
        if self._stream is None or self._stream._sock is None:  # noqa: SLF001 - see the head of this module
            raise TapBrokenError("mysql-replication returned without a connection")
        self._take_over(self._stream._sock)  # noqa: SLF001

    def read(self, timeout: float) -> bytes:
        """All bytes that are there, at most 1 MiB, packet headers included; b"" if none came in `timeout` seconds.

        Raises Stopped, and FindingError (retry) when the connection ended or not even a heartbeat came.
        """
        self.raise_if_stopped()
        data = self._receive()
        if not data and self._wait(timeout):
            self.raise_if_stopped()
            data = self._receive()
        if data:
            self._heard = time.monotonic()
        else:
            self._raise_if_silent()
        return data

    def show(self, packet: bytes) -> None:
        """Let the library see a control packet (ROTATE, FDE): the payload as Decoder.control has it."""
        assert self._stream is not None
        assert self._reader is not None
        # The library slices by one setting of today; whether an event has a checksum is a matter of its file.
        self._reader._BinLogStreamReader__use_checksum = _has_checksum(packet)  # type: ignore[attr-defined] # noqa: SLF001
        self._stream.shown = packet
        if self._reader.fetchone() is None or self._stream.shown is not None:
            raise TapBrokenError("mysql-replication did not take a control packet")

    def ended(self, packet: bytes) -> Finding:
        """Why the source ended the dump, by the packet that Decoder.control has at END."""
        return classify_dump_error(self._source, self.endpoint.user, packet)

    def stop(self) -> None:
        """From any thread, any time: `read` raises Stopped at once, now and ever after."""
        self._stopping = True
        with suppress(OSError):
            self._wake_up.send(b"\0", socket.MSG_DONTWAIT)

    def close(self) -> None:
        """Drop the connection without a word to the server, so that a dead peer cannot hold us; repeatable."""
        if self._stream is not None:
            self._stream._force_close()  # noqa: SLF001
        self._selector.close()
        self._wake_up.close()
        self._woken.close()

    def _connection_for(self, **settings: Any) -> "_TapConnection | _ControlStandIn":
        """`pymysql_wrapper`: the library's first connection is the stream, one to information_schema its control."""
        if settings.get("db") == "information_schema":
            return _ControlStandIn()
        if self._stream is not None:
            raise TapBrokenError("mysql-replication tried to connect again by itself")
        self._stream = _TapConnection(**settings, init_command=self.request.variables())
        self._stream.request = self.request
        return self._stream

    def _too_far(self) -> Finding:
        what = f"MySQL at {self._source} sends no binlog by file and position from beyond 4 GiB: {self._place}"
        return Finding("position-beyond-4-gib", "operator", what, "Start at the next file, or set gtid_mode=ON")

    @property
    def _place(self) -> str:
        return f"{self.request.file}:{self.request.offset}"

    def _run_library(self) -> None:
        assert self._reader is not None
        try:
            self._reader.fetchone()
        except _HandOverError:
            return
        raise TapBrokenError("mysql-replication read past its dump command")

    def _take_over(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._selector.register(sock, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._heard = time.monotonic()

    def _receive(self) -> bytes:
        """What is there now, b"" for nothing; raises FindingError at the stream's end."""
        assert self._socket is not None
        try:
            data = self._socket.recv(READ_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return b""
        except OSError as error:
            raise FindingError(lost_finding(self._source, error.strerror or str(error))) from error
        if not data:
            raise FindingError(lost_finding(self._source, "the source closed the connection"))
        return self._receive_records(data) if isinstance(self._socket, ssl.SSLSocket) else data

    def _receive_records(self, first: bytes) -> bytes:
        """One `recv` of a TLS socket returns one record, 16 KiB at most: gather those that are there."""
        assert self._socket is not None
        parts, size = [first], len(first)
        # An error or the end comes again with the next call, after these bytes.
        with suppress(OSError):
            while size < READ_BYTES and (part := self._socket.recv(READ_BYTES - size)):
                parts.append(part)
                size += len(part)
        return b"".join(parts)

    def _wait(self, timeout: float) -> bool:
        """Whether something is there before `timeout` seconds or the last heartbeat's time limit have passed."""
        patience = self._heard + self._silence_limit - time.monotonic()
        return bool(self._selector.select(max(0.0, min(timeout, patience))))

    @property
    def _silence_limit(self) -> float:
        return HEARTBEATS_MISSED * self.request.heartbeat

    def _raise_if_silent(self) -> None:
        if time.monotonic() - self._heard >= self._silence_limit:
            reason = f"not even a heartbeat in {self._silence_limit:g} seconds"
            raise FindingError(lost_finding(self._source, reason))

    def raise_if_stopped(self) -> None:
        """Raises Stopped once `stop` was called."""
        if self._stopping:
            raise Stopped(f"the dump of {self._source} was asked to stop")


def _has_checksum(packet: bytes) -> bool:
    """Whether a control packet's event ends in the CRC32 of what precedes it. A ROTATE may; an FDE always does."""
    return packet[5] != ROTATE or zlib.crc32(packet[1:-4]) == int.from_bytes(packet[-4:], "little")
