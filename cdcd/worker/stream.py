"""The read side of a worker: one dump and its decoder, advanced step by step."""

import time
from collections.abc import Iterator
from enum import Enum

from cdcd.binlog.core.native import CONTROL, END, HELD, NEED_BYTES, STATEMENT, Decoder
from cdcd.errors import FindingError
from cdcd.mysql.dump import BinlogDump
from cdcd.observe.failpoints import Failpoint, off

TORN_BYTES = 512
"""Bytes fed at a time while failpoints are set, so that faults also strike in the middle of events and transactions."""
OUTPUT_BYTES = 1 << 20
"""Messages decoded at a time: what is held between the core and the producer."""


class Step(Enum):
    """What one step came to."""

    IDLE = "the source has nothing more for now"
    PROGRESS = "events were decoded"
    STATEMENT = "decoder.statement is to be looked at"
    HELD = "the next step reads a prepared XA transaction again, which may take long"


_STEPS = {STATEMENT: Step.STATEMENT, HELD: Step.HELD}


class Stream:
    """Pulls bytes when the decoder wants them; decides nothing."""

    def __init__(self, dump: BinlogDump, decoder: Decoder, failpoint: Failpoint = off) -> None:
        self.dump = dump
        self.decoder = decoder
        self.received_bytes = 0
        self._waited = 0.0
        self._failpoint = failpoint
        self._torn = failpoint is not off
        self._pieces: Iterator[bytes] = iter(())
        self._hungry = True
        self._ended = False

    def step(self, timeout: float, *, stop_at_boundary: bool = False) -> Step:
        """Decode what is buffered, or wait up to `timeout` seconds for more.

        Raises FindingError (connection lost, dump ended), BinlogError, Stopped.
        """
        if self._ended:
            raise FindingError(self.dump.ended(self.decoder.control))
        self.dump.raise_if_stopped()  # a compressed transaction may keep us from reading for long
        if self._hungry:
            data = next(self._pieces, b"") or self._read(timeout)
            if not data:
                return Step.IDLE
            self._feed(data)
        reason = self.decoder.decode(time.time_ns() // 1_000_000, OUTPUT_BYTES, stop_at_boundary)
        self._hungry = reason == NEED_BYTES
        if reason == CONTROL:
            self.dump.show(self.decoder.control)
        self._ended = reason == END  # told with the next step: messages from before it wait in the decoder
        return _STEPS.get(reason, Step.PROGRESS)

    def take_waited(self) -> float:
        """Seconds spent waiting for the source since the last call."""
        waited, self._waited = self._waited, 0.0
        return waited

    def _read(self, timeout: float) -> bytes:
        began = time.monotonic()
        data = self.dump.read(timeout)
        self._waited += time.monotonic() - began
        if not self._torn:
            return data
        self._pieces = (data[at : at + TORN_BYTES] for at in range(0, len(data), TORN_BYTES))
        return next(self._pieces, b"")

    def _feed(self, data: bytes) -> None:
        if not self.received_bytes:
            self._failpoint("source.first_event")
        self.received_bytes += len(data)
        self.decoder.feed(data)
        if self.decoder.buffered > len(data):
            self._failpoint("source.mid_event")
