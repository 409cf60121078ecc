"""The rows of prepared XA transactions, read from binlog files once more when they are committed: `cdcd decode`."""

from collections.abc import Iterator, Sequence

from cdcd.binlog.compression import inflate
from cdcd.binlog.core.native import NEED_BYTES, Decoder
from cdcd.binlog.files import FDE, STDIN, FileEvent, file_name, open_binlog
from cdcd.binlog.prepared import Place, Prepared
from cdcd.errors import Finding, FindingError
from cdcd.worker.feed import OUTPUT_BYTES, Feed


class HeldFiles:
    """Finds and reads them: the decoder's `reread`, as cdcd.mysql.held_rows is on a server."""

    def __init__(self, paths: Sequence[str]) -> None:
        """`paths`: the files that are decoded, in their order."""
        self._paths = paths

    def __call__(self, xid: str, prepared: Prepared | None, before: Place) -> tuple[Prepared, Iterator[bytes]] | None:
        """The transaction that the XA COMMIT at `before` commits, and its events; None if an earlier one has ended it.

        Raises FindingError, BinlogError, OSError.
        """
        paths = self._up_to(before[0])
        if STDIN in paths:
            raise _unknown(xid, "standard input cannot be read once more")
        if prepared is None:
            found = next(filter(None, (_last_in(path, xid, before) for path in reversed(paths))), None)
            if found is None:
                raise _unknown(xid, "none of the files given has it")
            verb, prepared = found
            if verb != "PREPARE":
                return None
        path = next(path for path in paths if file_name(path) == prepared.file)
        return prepared, _events(path, prepared)

    def _up_to(self, file: str) -> Sequence[str]:
        names = [file_name(path) for path in self._paths]
        return self._paths[: names.index(file) + 1]


def _last_in(path: str, xid: str, before: Place) -> tuple[str, Prepared] | None:
    """The last statement on `xid` in a file, before that place."""
    decoder, last = Decoder(None, inflate), None
    for _ in _fed(path, Feed(decoder)):
        if decoder.in_transaction or decoder.xa is None or decoder.xa[1] != xid:
            continue
        file, offset, created = decoder.reading
        if file == before[0] and offset >= before[1]:
            break
        gtid = decoder.transaction if decoder.has_gtid else None
        last = decoder.xa[0], Prepared(xid, gtid, file, offset, created, decoder.commit_us // 1000)
    return last


def _events(path: str, prepared: Prepared) -> Iterator[bytes]:
    decoder = Decoder(None, inflate)
    decoder.extract(prepared.gtid or f"{prepared.file}:{prepared.offset}")
    for _ in _fed(path, Feed(decoder), prepared.offset):
        if events := decoder.take_events():
            yield events
        if decoder.transactions:
            return


def _fed(path: str, feed: Feed, start: int = 0) -> Iterator[FileEvent]:
    """Events of a file from `start` on, each told when the decoder has done what it can with it, or has much to take."""
    with open_binlog(path) as file:
        feed.enter(file.name)
        for event in file.events():
            if event.offset < start and event.kind != FDE:
                continue
            feed.give(event)
            while feed.decoder.decode(0, OUTPUT_BYTES) != NEED_BYTES:
                yield event
            yield event


def _unknown(xid: str, why: str) -> FindingError:
    what = f"the files commit XA transaction {xid}, and {why}"
    return FindingError(Finding("xa-unknown", "operator", what, "Give the files since its XA PREPARE too"))
