"""The rows of prepared XA transactions, read from the source's binlog once more when they are committed.

That is done under an identity of its own: the instance's would evict its running dump.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace

from cdcd.binlog.compression import inflate
from cdcd.binlog.core.native import BOUNDARY, CONTROL, END, NEED_BYTES, Decoder
from cdcd.binlog.gtid import GtidSet
from cdcd.binlog.position import coordinate, file_number
from cdcd.binlog.prepared import Place, Prepared
from cdcd.errors import Finding, FindingError
from cdcd.mysql.connection import Connection, Endpoint, connect
from cdcd.mysql.dump import BinlogDump
from cdcd.mysql.dump_request import LAST_OFFSET, DumpRequest
from cdcd.mysql.findings import lost_finding
from cdcd.mysql.scan import POLL_SECONDS, BinlogScan, Transaction, Watch, own_reader, unwatched
from cdcd.mysql.server import binlog_files
from cdcd.observe.failpoints import Failpoint, off

PIECE_BYTES = 1 << 20
_PURGED = frozenset({"position-purged", "binlog-file-missing"})
_REMEDY = (
    "Read from a server that still has it (source.hosts), or give those rows up: load the tables anew and set the position "
    "behind the XA COMMIT"
)


class HeldRows:
    """Finds and reads them: the decoder's `reread`. Nothing of them is kept here, neither in memory nor on disk."""

    def __init__(
        self,
        endpoint: Endpoint,
        server_uuid: str,
        watch: Watch = unwatched,
        searching: Callable[[str], None] = lambda _: None,
        failpoint: Failpoint = off,
    ) -> None:
        """`searching` is told, in a sentence, when a transaction has to be looked for: that may take minutes."""
        self._endpoint = endpoint
        self._server_uuid = server_uuid
        self._watch = watch
        self._searching = searching
        self._failpoint = failpoint

    def __call__(self, xid: str, prepared: Prepared | None, before: Place) -> tuple[Prepared, Iterator[bytes]] | None:
        """The transaction that the XA COMMIT at `before` commits, and its events piece by piece.

        None if an earlier one has ended it. Raises FindingError: `xa-purged`, `xa-unknown`, or retry where the source
        cannot be read; and what `watch` raises, here and while the pieces are taken.
        """
        if prepared is None or not (prepared.file or _found_by_source(prepared)):
            prepared = self._find(xid, before)
        return None if prepared is None else self._open(prepared)

    # ---------------------------------------------------------------- reading

    def _open(self, prepared: Prepared) -> tuple[Prepared, Iterator[bytes]]:
        reading = _Reading(self._endpoint, prepared, self._watch, self._failpoint)
        try:
            reading.begin(self._request(prepared), self._server_uuid)
        except BaseException:
            reading.close()
            raise
        return reading.prepared, reading.pieces()

    def _request(self, prepared: Prepared) -> DumpRequest:
        """By place, which the source goes to at once; by GTID on a server where it has another place."""
        if prepared.file and (prepared.offset <= LAST_OFFSET or not _found_by_source(prepared)):
            return DumpRequest(file=prepared.file, offset=prepared.offset, non_blocking=True)
        with connect(self._endpoint) as connection:
            row = connection.row("SELECT GTID_SUBTRACT(@@global.gtid_executed, %s)", (prepared.gtid,))
        assert row is not None
        return DumpRequest(gtid_set=GtidSet.parse(row[0]), non_blocking=True)

    # ---------------------------------------------------------------- finding

    def _find(self, xid: str, before: Place) -> Prepared | None:
        """The last statement on `xid` before that place: an XA PREPARE, or one that ended it already."""
        self._searching(
            f"XA transaction {xid} was prepared before the place where reading began: the binlog is read backwards from "
            f"{before[0]}:{before[1]} to find it"
        )
        with connect(self._endpoint) as connection:
            for file in _files_up_to(connection, before[0]):
                if (found := self._last_in(file, xid, before)) is not None:
                    return _prepared(*found) if found[0].xa == ("PREPARE", xid) else None
        what = f"MySQL at {self._endpoint} has no binlog any more in which XA transaction {xid} is prepared"
        raise FindingError(Finding("xa-unknown", "operator", f"{what}; {before[0]}:{before[1]} commits it", _REMEDY))

    def _last_in(self, file: str, xid: str, before: Place) -> tuple[Transaction, int] | None:
        """With when the file was created."""
        last = None
        scan = BinlogScan(self._endpoint, file, watch=self._watch, compressed=True)
        with closing(scan.transactions()) as transactions:
            for each in transactions:
                if each.file != file or coordinate(each.file, each.start) >= coordinate(*before):
                    break
                if each.xa is not None and each.xa[1] == xid:
                    last = each, scan.created
        return last


def _found_by_source(prepared: Prepared) -> bool:
    """Whether a dump can be asked for that one transaction: by a GTID set, which MySQL has and MariaDB has not."""
    return prepared.gtid is not None and ":" in prepared.gtid


def _files_up_to(connection: Connection, last: str) -> list[str]:
    """The newest first."""
    names = [file.name for file in binlog_files(connection)]
    return [name for name in reversed(names) if file_number(name) <= file_number(last)]


def _prepared(found: Transaction, created: int) -> Prepared:
    assert found.xa is not None
    return Prepared(found.xa[1], found.gtid, found.file, found.start, created, found.logged_us // 1000)


def lost_rows(endpoint: Endpoint, held: Sequence[Prepared]) -> list[Finding]:
    """A warning for each of those whose rows this server has purged, while they can still be read elsewhere."""
    places = [each for each in held if each.file]
    if not places:
        return []
    with connect(endpoint) as connection:
        names = {file.name for file in binlog_files(connection)}
    then = "if it is committed, this stops the instance"
    return [_purged(str(endpoint), each, then) for each in places if each.file not in names]


def _purged(source: str, prepared: Prepared, then: str) -> Finding:
    place = ", ".join(filter(None, (prepared.gtid, prepared.file and f"{prepared.file}:{prepared.offset}")))
    what = f"MySQL at {source} has purged the binlog with the rows of XA transaction {prepared.xid} ({place}); {then}"
    return Finding("xa-purged", "operator", what, _REMEDY)


class _Reading:
    """One prepared transaction, from its first event to its last."""

    def __init__(self, endpoint: Endpoint, prepared: Prepared, watch: Watch, failpoint: Failpoint) -> None:
        self.prepared = prepared
        self._dump = BinlogDump(endpoint, own_reader())
        self._decoder = Decoder(None, inflate)
        self._decoder.extract(prepared.gtid or f"{prepared.file}:{prepared.offset}")
        self._watch = watch
        self._failpoint = failpoint
        self._ended = False

    def begin(self, request: DumpRequest, server_uuid: str) -> None:
        """Up to where the transaction starts, which completes `prepared`."""
        self._dump.begin(request)
        if self._dump.server_uuid != server_uuid:
            raise FindingError(lost_finding(str(self._dump.endpoint), "another server answers under this address"))
        while not self._decoder.transaction:
            self._step()
        file, offset, created = self._decoder.reading
        if self.prepared.created not in (0, created):  # the binlog was begun anew, under the same names
            raise FindingError(self._gone())
        self.prepared = replace(self.prepared, file=file, offset=offset, created=created)

    def pieces(self) -> Generator[bytes, None, None]:
        try:
            while True:
                if events := self._decoder.take_events():
                    yield events
                    self._failpoint("held.mid_reread")
                if self._ended:
                    return
                self._step()
        finally:
            self.close()

    def close(self) -> None:
        self._dump.close()

    def _step(self) -> None:
        self._watch()
        reason = self._decoder.decode(0, PIECE_BYTES, True)
        if reason == NEED_BYTES:
            if data := self._dump.read(POLL_SECONDS):
                self._decoder.feed(data)
        elif reason == CONTROL:
            self._dump.show(self._decoder.control)
        elif reason == BOUNDARY:
            self._ended = True
        elif reason == END:
            raise FindingError(self._refused(self._decoder.control))

    def _refused(self, packet: bytes) -> Finding:
        if packet[0] == 0xFF and (finding := self._dump.ended(packet)).code not in _PURGED:
            return finding
        return self._gone()

    def _gone(self) -> Finding:
        return _purged(str(self._dump.endpoint), self.prepared, "it is committed now")
