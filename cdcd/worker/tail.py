"""`cdcd tail`: change events of a server as JSON lines; nothing is written anywhere else and no position is kept."""

from collections.abc import Callable
from dataclasses import dataclass

from cdcd.config.start import Start
from cdcd.config.tables import TableFilter
from cdcd.errors import FindingError, Stopped
from cdcd.formats.template import Format
from cdcd.mysql.connection import Endpoint, connect
from cdcd.mysql.dump import BinlogDump
from cdcd.mysql.dump_request import DumpRequest
from cdcd.mysql.held_rows import HeldRows
from cdcd.mysql.scan import own_reader
from cdcd.mysql.schema import SchemaLookup
from cdcd.mysql.server import ServerStatus, check_grants, check_server, read_status
from cdcd.mysql.start import resolve_start
from cdcd.worker.lines import Lines, Write
from cdcd.worker.pump import POLL_SECONDS, End
from cdcd.worker.stream import Step, Stream


@dataclass(frozen=True, slots=True)
class Tail:
    """One reading of a server."""

    endpoint: Endpoint
    tables: TableFilter
    start: Start
    template: Format
    until_end: bool

    def run(self, write: Write, stop: Callable[[BinlogDump], None]) -> None:
        """Until the end, a stop, or FindingError / BinlogError. `stop` is given the dump that a signal may stop."""
        status = self._examine()
        with connect(self.endpoint) as connection:
            position = resolve_start(self.start, connection, status)
        # Under an identity of its own: an equal one would evict a running instance.
        dump = BinlogDump(self.endpoint, own_reader())
        stop(dump)
        try:
            dump.begin(DumpRequest.after(position, status))
            held_rows = HeldRows(self.endpoint, status.server_uuid, dump.raise_if_stopped)
            self._follow(dump, End(status.file, status.offset) if self.until_end else None, held_rows, write)
        except Stopped:
            return
        finally:
            dump.close()

    def _follow(self, dump: BinlogDump, end: End | None, held_rows: HeldRows, write: Write) -> None:
        names = SchemaLookup(self.endpoint, wanted=self.tables.matches)
        lines = Lines(self.tables, self.template, names, write, held_rows)
        decoder = lines.decoder
        stream = Stream(dump, decoder)
        while end is None or not end.reached(decoder):
            try:
                step = stream.step(POLL_SECONDS, stop_at_boundary=end is not None and end.near(decoder))
            finally:
                lines.take()
            if step is Step.STATEMENT:
                lines.handle_statement()

    def _examine(self) -> ServerStatus:
        with connect(self.endpoint) as connection:
            findings = check_grants(connection)
            status = read_status(connection)
        findings += check_server(status)
        if findings:
            raise FindingError(findings[0])
        return status
