"""The dump of a source's binlog: its bytes as they come, until somebody stops it or the source does."""

import selectors
import socket
import ssl
import time
from collections import deque
from contextlib import suppress
from typing import Final

import structlog

from cdcd.errors import BinlogError, Finding, FindingError, Stopped
from cdcd.mysql.connection import Endpoint
from cdcd.mysql.dump_error import classify_dump_error
from cdcd.mysql.dump_request import LAST_OFFSET, DumpRequest, Reader
from cdcd.mysql.findings import lost_finding
from cdcd.mysql.first_transaction import FirstTransaction
from cdcd.mysql.tap import Session

READ_BYTES: Final = 1 << 20
HEARTBEATS_MISSED: Final = 3
LATE_HEARTBEATS: Final = 1.5
WAKES: Final = 1 << 12
"""At most taken at a time of what `wake` has sent."""
QUICK_SECONDS: Final = 2.0
"""So long a quick start waits for a transaction that is in the binlog already; by then a search by GTID is through."""


class BinlogDump:
    """One reader's dump: `prepare` if there is time, `begin`, `read` until it raises, `close`.

    One thread uses it; any other may call `stop`. Every trouble is a FindingError that names the server; the way on is a
    new BinlogDump from the position reached.
    """

    def __init__(self, endpoint: Endpoint, reader: Reader) -> None:
        self.endpoint = endpoint
        self.request: DumpRequest | None = None
        """What the source was asked for in the end: of a quick start that was given up, the GTID set alone."""
        self._reader = reader
        self._source = str(endpoint)
        self._stopping = False
        self._session: Session | None = None
        self._socket: socket.socket | None = None
        self._kept: deque[bytes] = deque()
        """Read to see where the dump begins; comes first."""
        self._wake_up, self._woken = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._heard = 0.0

    @property
    def log_file(self) -> str:
        """The file that mysql-replication believes to be in."""
        return "" if self._session is None else self._session.log_file

    @property
    def server_uuid(self) -> str:
        """Of the server that this connection leads to; empty before `prepare`."""
        return "" if self._session is None else self._session.server_uuid

    def prepare(self) -> None:
        """Connect, log in, register: all that can be done before it is known what to ask for. Disturbs no other dump.

        Again: a session that is no longer good (old, or the source hung up) is replaced by a new one.
        """
        self.raise_if_stopped()
        if self._session is not None and self._session.usable():
            return
        self._drop()
        session = Session(self.endpoint, self._reader)
        try:
            session.open()
        except BaseException:
            session.close()
            raise
        self._session = session

    def begin(self, request: DumpRequest) -> None:
        """Give the dump command; `prepare` first, unless that was done. A quick start that does not hold is given up."""
        if request.quick:
            if not (objection := self._begin_quickly(request)):
                return
            reason = (
                f"{self._source} does not begin at {request.file}:{request.offset}: {objection}; it searches by GTID"
            )
            structlog.get_logger().info("dump.quick_start_failed", reason=reason)
            request = request.by_gtid
        self._ask(request)

    @property
    def silent(self) -> bool:
        """Whether even the next heartbeat is overdue: that nothing comes says nothing of the source then."""
        return time.monotonic() - self._heard > LATE_HEARTBEATS * self._reader.heartbeat

    def read(self, timeout: float) -> bytes:
        """All bytes that are there, at most 1 MiB, packet headers included; b"" if none came in `timeout` seconds.

        Raises Stopped, and FindingError (retry) when the connection ended or not even a heartbeat came.
        """
        self.raise_if_stopped()
        if self._kept:
            return self._kept.popleft()
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
        """Let mysql-replication see a control packet (ROTATE, FDE): the payload as Decoder.control has it."""
        assert self._session is not None
        self._session.show(packet)

    def ended(self, packet: bytes) -> Finding:
        """Why the source ended the dump, by the packet that Decoder.control has at END."""
        return classify_dump_error(self._source, self.endpoint.user, packet)

    def stop(self) -> None:
        """From any thread, any time: `read` raises Stopped at once, now and ever after."""
        self._stopping = True
        self.wake()

    def wake(self) -> None:
        """From any thread, any time: a `read` that waits returns now."""
        with suppress(OSError):
            self._wake_up.send(b"\0", socket.MSG_DONTWAIT)

    def close(self) -> None:
        """Drop the connection without a word to the server, so that a dead peer cannot hold us; repeatable."""
        if self._session is not None:
            self._session.close()
        self._selector.close()
        self._wake_up.close()
        self._woken.close()

    # ---------------------------------------------------------------- the beginning

    def _ask(self, request: DumpRequest) -> None:
        if request.gtid_set is None and request.offset > LAST_OFFSET:
            raise FindingError(self._too_far(request))
        self.prepare()
        assert self._session is not None
        self._session.dump(request)
        self.request = request
        self._socket = self._session.socket
        self._selector.register(self._socket, selectors.EVENT_READ)
        self._heard = time.monotonic()

    def _begin_quickly(self, request: DumpRequest) -> str:
        """Ask by place, and see that the transaction which begins there is a known one; else why not.

        Everything this source has before a known transaction that begins where the position says is known as well
        (docs/architecture.md, "Quick start"). What is known and comes after is passed over by the decoder.
        """
        first = FirstTransaction()
        assert request.gtid_set is not None
        self._ask(request.by_place)
        if self._session is not None and self._session.server_uuid != request.server_uuid:
            return f"this connection leads to another server, {self._session.server_uuid}"
        try:
            self._read_first(first)
        except (FindingError, BinlogError) as error:
            return str(error)
        if first.ended is not None:
            return str(self.ended(first.ended).what)
        if not first.seen:
            return "nothing follows"
        return first.objection(request.offset, request.gtid_set)

    def _read_first(self, first: FirstTransaction) -> None:
        deadline, kept = time.monotonic() + QUICK_SECONDS, deque[bytes]()
        while not first.seen and (left := deadline - time.monotonic()) > 0:
            if data := self.read(left):
                kept.append(data)
                first.feed(data)
        self._kept = kept

    def _drop(self) -> None:
        """The session that there is, if any: another will take its place."""
        self._kept.clear()
        if self._socket is not None:
            self._selector.unregister(self._socket)
            self._socket = None
        if self._session is not None:
            self._session.close()
            self._session = None

    def _too_far(self, request: DumpRequest) -> Finding:
        place = f"{request.file}:{request.offset}"
        what = f"MySQL at {self._source} sends no binlog by file and position from beyond 4 GiB: {place}"
        return Finding("position-beyond-4-gib", "operator", what, "Start at the next file, or set gtid_mode=ON")

    # ---------------------------------------------------------------- reading

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
        ready = {key.fileobj for key, _ in self._selector.select(max(0.0, min(timeout, patience)))}
        if self._woken in ready:
            self._woken.recv(WAKES)
        return bool(ready)

    @property
    def _silence_limit(self) -> float:
        return HEARTBEATS_MISSED * self._reader.heartbeat

    def _raise_if_silent(self) -> None:
        if time.monotonic() - self._heard >= self._silence_limit:
            reason = f"not even a heartbeat in {self._silence_limit:g} seconds"
            raise FindingError(lost_finding(self._source, reason))

    def raise_if_stopped(self) -> None:
        """Raises Stopped once `stop` was called."""
        if self._stopping:
            raise Stopped(f"the dump of {self._source} was asked to stop")
