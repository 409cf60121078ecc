"""Binlog files through a decoder."""

from typing import Final

from cdcd.binlog.core.native import NEED_BYTES, STATEMENT, Decoder
from cdcd.binlog.files import FileEvent, rotate_event

OUTPUT_BYTES: Final = 1 << 20
"""Made before the decoder stops so that it is taken."""
_PACKET: Final = 0xFFFFFF


class Feed:
    """A decoder that is given a file's events as the packets in which a source would send them."""

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder
        self.before = 0
        """Transactions that had ended before the event given last."""
        self._sequence = 1
        self._outside = False

    def enter(self, name: str) -> None:
        """What follows stands in the file `name`."""
        self._send(rotate_event(name, checksum=self.decoder.checksums))
        while self.decoder.decode(0, OUTPUT_BYTES) != NEED_BYTES:
            pass

    def give(self, event: FileEvent) -> None:
        self.before, self._outside = self.decoder.transactions, not self.decoder.in_transaction
        self._send(event.data)

    def began(self, reason: int) -> bool:
        """Whether the event given last began a transaction, by why decoding stopped; told once."""
        began = self._outside and (
            self.decoder.in_transaction or reason == STATEMENT or self.decoder.transactions > self.before
        )
        self._outside = self._outside and not began
        return began

    def _send(self, event: bytes) -> None:
        payload = b"\0" + event
        for at in range(0, len(payload) + 1, _PACKET):
            piece = payload[at : at + _PACKET]
            self.decoder.feed(len(piece).to_bytes(3, "little") + bytes([self._sequence]) + piece)
            self._sequence = (self._sequence + 1) % 256
