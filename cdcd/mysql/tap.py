"""A replica's session with a source: mysql-replication opens it, then the socket's bytes belong to the native core.

`BinLogStreamReader` logs in, sets variables, registers and sends its dump command through a PyMySQL `Connection`. That
connection is ours (`_TapConnection`): the library's dump command, which can express neither an empty nor a tagged GTID
set, ends there. Ours goes out in its place when `Session.dump` is called, at once or long after; from then on nothing
gets into the library but the control packets that `Session.show` hands it. This is the only module that touches private
names of the two libraries:

- pymysql.connections.Connection: `_write_bytes`, `_read_packet`, `_force_close`, `_sock`
- pymysqlreplication.BinLogStreamReader: `_BinLogStreamReader__use_checksum`, and that `fetchone` connects
"""

import select
import socket
import time
import zlib
from typing import TYPE_CHECKING, Any, Final

from pymysql.connections import Connection
from pymysql.cursors import Cursor
from pymysql.protocol import MysqlPacket
from pymysqlreplication import BinLogStreamReader

from cdcd.errors import CdcdError, FindingError
from cdcd.mysql.connection import CONNECT_SECONDS, Endpoint, client_settings, source_errors
from cdcd.mysql.dump_request import COM_BINLOG_DUMP, COM_BINLOG_DUMP_GTID, DumpRequest, Reader
from cdcd.mysql.findings import rights_finding
from cdcd.mysql.version import server_identity

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

ROTATE: Final = 4
FDE: Final = 15
KEPT_SECONDS: Final = 60.0
"""So long a session waits for its dump command and is still trusted: a firewall may have forgotten an older one, and
then nobody would answer."""
ANY_GTID_SET: Final = "00000000-0000-0000-0000-000000000001:1"
"""Makes the library send COM_BINLOG_DUMP_GTID without asking for a position; its command goes nowhere."""


class TapBrokenError(CdcdError):
    """mysql-replication did what it must not: a defect of cdcd, or a library version it does not know."""

    hint = "Install the pinned versions of PyMySQL and mysql-replication"


class _HandOverError(Exception):
    """Carries control out of `fetchone` when the library believes it has sent its command. Nothing in it catches this."""


class _TapConnection(_Client):
    """Keeps the library's dump command to itself; afterwards the library reads `shown` and nothing else."""

    logged_in = False
    """Before, a packet may begin with any byte (a scrambled password)."""
    held = False
    """The library has given its dump command."""
    shown: bytes | None = None

    def _write_bytes(self, data: bytes) -> None:
        if not self.logged_in or len(data) < 5 or data[4] not in {COM_BINLOG_DUMP, COM_BINLOG_DUMP_GTID}:
            super()._write_bytes(data)
        elif self.held:
            raise TapBrokenError("mysql-replication sent a second dump command on one connection")
        else:
            self.held = True

    def set_variables(self, statement: str) -> None:
        """Of our own, after the library believes that its dump has begun."""
        self.held = False
        self.query(statement)
        self.held = True

    def send_command(self, payload: bytes) -> None:
        super()._write_bytes(len(payload).to_bytes(3, "little") + b"\0" + payload)

    def _read_packet(self, packet_type: type[MysqlPacket] = MysqlPacket) -> MysqlPacket:
        if not self.held:
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


class Session:
    """One connection as a replica: `open`, then `dump` once, then its bytes are read from `socket`.

    Every trouble is a FindingError that names the server. Close it also if `open` failed.
    """

    def __init__(self, endpoint: Endpoint, reader: Reader) -> None:
        self._endpoint = endpoint
        self._identity = reader
        self._reader: BinLogStreamReader | None = None
        self._stream: _TapConnection | None = None
        self._opened_at = 0.0
        self._dumping = False
        self.server_uuid = ""
        """Identity of the server that this connection leads to; behind one address there may be several."""

    def open(self) -> None:
        """Connect, log in, set variables, register: at most some CONNECT_SECONDS for each step."""
        self._reader = BinLogStreamReader(
            connection_settings=client_settings(self._endpoint, CONNECT_SECONDS),
            server_id=self._identity.server_id,
            blocking=True,
            auto_position=ANY_GTID_SET,
            slave_uuid=str(self._identity.server_uuid),
            report_slave=socket.gethostname()[:60],
            filter_non_implemented_events=False,
            enable_logging=False,
            pymysql_wrapper=self._connection_for,
        )
        try:
            with source_errors(self._endpoint):
                self._run_library()
        except FindingError as error:
            if self._stream is not None and error.finding.code == "access-denied":
                # After the login it means the right to register as a replica, not the password.
                raise FindingError(rights_finding(error.finding.what, self._endpoint.user)) from error
            raise
        self._opened_at = time.monotonic()

    def usable(self) -> bool:
        """Whether the dump command may still be given: not given yet, not too old, and the source has not hung up.

        A source says nothing to a session that is silent but why it ends it.
        """
        if self._dumping or time.monotonic() - self._opened_at > KEPT_SECONDS:
            return False
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        return not poll.poll(0)

    def dump(self, request: DumpRequest) -> None:
        """Give the dump command. An instance's older dump on this source, if there is one, ends now."""
        if self._dumping:
            raise TapBrokenError("a second dump on one connection")
        assert self._stream is not None
        self._dumping = True
        with source_errors(self._endpoint):
            if variables := request.variables():
                self._stream.set_variables(variables)
            self._stream.send_command(request.payload(self._identity.server_id))
        self.socket.setblocking(False)

    @property
    def socket(self) -> socket.socket:
        """With TLS an SSLSocket; not blocking once the dump has begun."""
        if self._stream is None or self._stream._sock is None:  # noqa: SLF001 - see the head of this module
            raise TapBrokenError("mysql-replication returned without a connection")
        return self._stream._sock  # noqa: SLF001

    @property
    def log_file(self) -> str:
        """The file that the library believes to be in, by the packets it was shown."""
        return (self._reader and self._reader.log_file) or ""

    def show(self, packet: bytes) -> None:
        """Let the library see a control packet (ROTATE, FDE): the payload as Decoder.control has it."""
        assert self._stream is not None
        assert self._reader is not None
        # The library slices by one setting of today; whether an event has a checksum is a matter of its file.
        self._reader._BinLogStreamReader__use_checksum = _has_checksum(packet)  # type: ignore[attr-defined] # noqa: SLF001
        self._stream.shown = packet
        if self._reader.fetchone() is None or self._stream.shown is not None:
            raise TapBrokenError("mysql-replication did not take a control packet")

    def close(self) -> None:
        """Drop the connection without a word to the server, so that a dead peer cannot hold us; repeatable."""
        if self._stream is not None:
            self._stream._force_close()  # noqa: SLF001

    def _connection_for(self, **settings: Any) -> "_TapConnection | _ControlStandIn":
        """`pymysql_wrapper`: the library's first connection is the stream, one to information_schema its control."""
        if settings.get("db") == "information_schema":
            return _ControlStandIn()
        if self._stream is not None:
            raise TapBrokenError("mysql-replication tried to connect again by itself")
        self._stream = _TapConnection(**settings, init_command=self._identity.variables())
        self.server_uuid = _server_identity(self._stream)
        self._stream.logged_in = True
        return self._stream

    def _run_library(self) -> None:
        assert self._reader is not None
        try:
            self._reader.fetchone()
        except _HandOverError:
            return
        raise TapBrokenError("mysql-replication read past its dump command")


def _server_identity(client: _TapConnection) -> str:
    with client.cursor() as cursor:
        cursor.execute("SHOW GLOBAL VARIABLES WHERE Variable_name IN ('server_uuid', 'server_id', 'version')")
        return server_identity(dict(cursor.fetchall()))


def _has_checksum(packet: bytes) -> bool:
    """Whether a control packet's event ends in the CRC32 of what precedes it. A ROTATE may; an FDE always does."""
    return packet[5] != ROTATE or zlib.crc32(packet[1:-4]) == int.from_bytes(packet[-4:], "little")
