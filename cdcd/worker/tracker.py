"""Where publishing has come to, as a position that may be stored."""

from dataclasses import replace

from cdcd.binlog.core.native import Decoder
from cdcd.binlog.position import Position, coordinate


class Tracker:
    """`position` follows one dump from the position it was started at. Never goes back, and never runs ahead of the decoder."""

    def __init__(self, start: Position, server_uuid: str) -> None:
        self.position = start if start.server_uuid == server_uuid else _elsewhere(start, server_uuid)

    def advance(self, decoder: Decoder) -> Position:
        """The position of everything the decoder has handled; call it when all its messages are taken."""
        gtids, gtid_set = decoder.take_gtids(), self.position.gtid_set
        if gtids and gtid_set is not None:
            gtid_set = gtid_set.add_all(gtids)
        txn, rows_done = self._part(decoder)
        at = self._moved(decoder)
        self.position = replace(at, gtid_set=gtid_set, txn=txn, rows_done=rows_done, held=decoder.held)
        return self.position

    def _moved(self, decoder: Decoder) -> Position:
        """In file and offset. A dump by GTID begins at the start of a file that was left long ago: that is no way back."""
        at = self.position
        if not decoder.file:
            return at
        if at.file and coordinate(decoder.file, decoder.end_offset) < coordinate(at.file, at.end_offset):
            return at
        # A place where reading began is no transaction's start: the last one known in this file stays.
        start = max(decoder.start_offset, at.start_offset if at.file == decoder.file else 0)
        return replace(at, file=decoder.file, start_offset=start, end_offset=decoder.end_offset)

    def _part(self, decoder: Decoder) -> tuple[str | None, int]:
        """(transaction, rows done) of one that is published in parts."""
        at = self.position
        resuming = at.txn is not None and decoder.transactions == 0
        if resuming and decoder.rows_done <= at.rows_done:
            return at.txn, at.rows_done
        if decoder.in_transaction and decoder.rows_done:
            return decoder.transaction, decoder.rows_done
        return None, 0


def _elsewhere(start: Position, server_uuid: str) -> Position:
    """On another server places mean nothing; GTIDs do."""
    held = tuple(replace(each, file="", offset=0, created=0) for each in start.held)
    return replace(start, server_uuid=server_uuid, file="", held=held)
