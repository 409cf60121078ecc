"""Reading a test server's binlog the way cdcd does."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from cdcd.binlog.core.native import CONTROL, END, NEED_BYTES, Decoder
from cdcd.binlog.gtid import GtidSet
from cdcd.errors import FindingError
from cdcd.mysql.connection import Endpoint, Tls
from cdcd.mysql.dump import BinlogDump
from cdcd.mysql.dump_request import DumpRequest, Reader
from cdcd.mysql.scan import own_reader
from deploy.stack.mysql import NEWEST
from tests.servers import MysqlServer


def endpoint_of(server: MysqlServer, tls: Tls | None = None) -> Endpoint:
    return Endpoint(server.host, server.port, server.user, server.password, tls)


@contextmanager
def opened(endpoint: Endpoint, request: DumpRequest, reader: Reader | None = None) -> Iterator[BinlogDump]:
    """A dump that has begun, under an identity of its own unless `reader` is given."""
    dump = BinlogDump(endpoint, own_reader() if reader is None else reader)
    try:
        dump.begin(request)
        yield dump
    finally:
        dump.close()


@dataclass
class Read:
    """What a dump brought until it ended."""

    gtids: GtidSet
    decoder: Decoder
    data: bytes = field(repr=False)


def read_to_end(dump: BinlogDump) -> Read:
    """All of a non-blocking dump; FindingError if the source ended it for a reason."""
    decoder, data, deadline = Decoder(None), b"", time.monotonic() + 60
    while (reason := decoder.decode(0)) != END:
        assert time.monotonic() < deadline, "no end of the dump"
        if reason == CONTROL:
            dump.show(decoder.control)
        elif reason == NEED_BYTES:
            more = dump.read(1.0)
            decoder.feed(more)
            data += more
    if decoder.control[0] == 0xFF:
        raise FindingError(dump.ended(decoder.control))
    return Read(GtidSet(decoder.take_gtids()), decoder, data)


def executed(server: MysqlServer) -> GtidSet:
    """By the server's own account."""
    return GtidSet.parse(server.query("SELECT @@global.gtid_executed")[0][0])


def binlog_end(server: MysqlServer) -> tuple[str, int]:
    row = server.query("SHOW BINARY LOG STATUS" if server.flavour == NEWEST else "SHOW MASTER STATUS")[0]
    return row[0], row[1]
