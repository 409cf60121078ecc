"""What the worker publishes into, whichever delivery guarantee stands behind it."""

from collections.abc import Sequence
from typing import Protocol

from cdcd.binlog.position import PositionRecord


class Sink(Protocol):
    """Messages in, checkpoints between them.

    Every method but `close` may raise FindingError (the operator's trouble, its kind says whether waiting mends it)
    or HoldingLost (`Fenced` where the producer was fenced). After either the sink is closed and nothing published since
    the last durable checkpoint counts: take over again, from `construct` or `open` on. One thread uses a sink.
    """

    @property
    def open_since(self) -> float | None:
        """When the oldest message without a checkpoint was written (time.monotonic); None if there is none.

        With exactly-once readers are held back, and the brokers' time limit runs, from then on.
        """

    @property
    def open_records(self) -> int:
        """Messages written since the last checkpoint."""

    @property
    def open_bytes(self) -> int:
        """Bytes of their values."""

    @property
    def waited(self) -> float:
        """Seconds that `write` has spent waiting for room in the queue, ever."""

    @property
    def durable(self) -> PositionRecord | None:
        """The newest checkpoint of this holding that a take-over would find; None before the first."""

    @property
    def acknowledged(self) -> PositionRecord | None:
        """The newest checkpoint of this holding whose messages readers see; with exactly-once that is `durable`."""

    def construct(self) -> None:
        """Make its clients and connect them ahead of `open`, which is quicker then. Fences nobody; again: looks after them."""

    def open(self) -> None:
        """Fence every earlier owner. Read the position only after it. FindingError (retry) if no broker answers."""

    def write(
        self,
        topic: str,
        partition: int,
        keys: Sequence[bytes | None],
        values: Sequence[bytes],
        ids: Sequence[bytes] | None = None,
    ) -> None:
        """Publish a run of messages of one partition, in order; waits while the queue is full.

        `ids` are their identities (`<epoch>;<seq>;<transaction>`), sent as header `cdcd-id`.
        """

    def keep(self, topic: str, facts: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Store keys and values in partition 0 of `topic`, together with the next checkpoint; they are no messages."""

    def checkpoint(self, record: PositionRecord, *, wait: bool = False) -> None:
        """Everything written so far belongs to `record`. With `wait` (exactly-once: always) it is durable on return."""

    def poll(self) -> None:
        """Serve the client; call it at least every 100 ms, also when nothing is written."""

    def close(self, seconds: float) -> bool:
        """Abort what is open and let go of the client. False if `seconds` were not enough: end the process then."""
