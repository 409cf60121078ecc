"""At least once: rows at once, positions behind their acknowledgements.

For consumers who want the last milliseconds. There is no fence for rows (K9): a woken zombie may add stale ones, told
by the lower epoch in their header. Positions have the same home and the same fence as with exactly-once, so that changing
`delivery` neither rewinds nor skips.
"""

import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NoReturn

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from cdcd.binlog.position import PositionRecord
from cdcd.kafka.client import SLICE, ClientConfig, Trouble, let_go, with_callbacks, within
from cdcd.kafka.failures import Subject, lost, refused
from cdcd.kafka.opening import Opening, Waiting
from cdcd.kafka.position_commit import Kept, PositionCommit
from cdcd.kafka.producer import (
    ID_HEADER,
    BatchSize,
    Headers,
    ProducerSettings,
    TransactionalProducer,
    bulk_config,
    not_stopped,
    size_of,
)
from cdcd.observe.failpoints import Failpoint, off

POSITION_INTERVAL = 0.1
"""Seconds between two published positions at least: a commit each, and a replay of at most that."""


QUEUED_MESSAGES = 100_000
"""Each costs half a kilobyte beside its text (measured), which `queue_bytes` does not count."""


class _Stretch:
    """The messages between two checkpoints: how many are not acknowledged yet, what they reach, and what is kept with that.

    `failure`: the first error, its topic, and the largest message that met it.
    """

    __slots__ = ("failure", "kept", "pending", "record")

    def __init__(self) -> None:
        self.pending = 0
        self.kept: list[Kept] = []
        self.record: PositionRecord | None = None
        self.failure: tuple[KafkaError, str, int] | None = None

    def delivered(self, error: KafkaError | None, message: Message) -> None:
        """Delivery report of each of its messages, in poll()."""
        if error is None:
            self.pending -= 1
            return
        first, topic, size = self.failure or (error, message.topic() or "", 0)
        if error.code() == first.code():
            self.failure = (first, topic, max(size, size_of(message)))


class AtLeastOnceSink:
    """A Sink whose rows are visible as soon as they are written and whose checkpoints follow them."""

    def __init__(
        self,
        config: ClientConfig,
        transactional_id: str,
        position_topic: str,
        *,
        settings: ProducerSettings | None = None,
        failpoint: Failpoint = off,
        waiting: Waiting = not_stopped,
        open_timeout: float = 30.0,
    ) -> None:
        self._config = config
        self._position_topic = position_topic
        self._settings = settings or ProducerSettings()
        self._waiting = waiting
        self._failpoint = failpoint
        self._open_timeout = open_timeout
        self._positions = _Positions(
            TransactionalProducer(
                config, transactional_id, position_topic, self._settings, failpoint=failpoint, waiting=waiting
            ),
            position_topic,
            failpoint,
        )
        self._batches = BatchSize(self._settings)
        self._producer: Producer | None = None
        self._open = False
        self._trouble = Trouble()
        self._stretches: deque[_Stretch] = deque()
        self._current = _Stretch()
        self.open_since: float | None = None
        self.open_records = 0
        self.open_bytes = 0
        self.waited = 0.0
        self.acknowledged: PositionRecord | None = None

    @property
    def durable(self) -> PositionRecord | None:
        return self._positions.durable

    def construct(self) -> None:
        if self._open:
            self.close(SLICE)
        self._positions.construct(self._open_timeout)
        if self._producer is None:
            self._trouble = Trouble()
            self._producer = self._construct()
        Opening(self._producer, self._trouble, self._waiting, self._open_timeout).connect(self._position_topic)

    def open(self) -> None:
        """Fence the positions of every earlier owner (its rows it can still add)."""
        self.construct()
        self._positions.open(self._open_timeout)
        self._open = True

    def write(
        self,
        topic: str,
        partition: int,
        keys: Sequence[bytes | None],
        values: Sequence[bytes],
        ids: Sequence[bytes] | None = None,
    ) -> None:
        """`ids` is needed: without them a reader cannot tell a repeated message from a new one."""
        if ids is None:
            raise ValueError("at-least-once messages need their identities")
        if self.open_since is None:
            self.open_since = time.monotonic()
            self._failpoint("kafka.after_begin")
        self._produce(topic, partition, keys, values, ids)
        self.open_records += len(values)
        self.open_bytes += sum(map(len, values))
        self._failpoint("kafka.mid_rows")
        self.poll()

    def keep(self, topic: str, facts: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Beside a position, not beside the rows: those are not fenced."""
        if self.open_since is None:
            self.open_since = time.monotonic()
        self._current.kept.append((topic, facts))

    def checkpoint(self, record: PositionRecord, *, wait: bool = False) -> None:
        stretch, self._current = self._current, _Stretch()
        stretch.record = record
        self._stretches.append(stretch)
        self.open_since = None
        self.open_records = self.open_bytes = 0
        self.poll()
        if wait:
            self._until_durable(record)

    def poll(self) -> None:
        self._serve(0)
        self._step()

    def close(self, seconds: float) -> bool:
        until = time.monotonic() + seconds
        self._open = False
        self.open_since = None
        self.open_records = self.open_bytes = 0
        self._stretches.clear()
        self._current = _Stretch()
        gone = self._close_rows(seconds)
        return self._positions.close(max(0.0, until - time.monotonic())) and gone

    def _produce(
        self,
        topic: str,
        partition: int,
        keys: Sequence[bytes | None],
        values: Sequence[bytes],
        ids: Sequence[bytes],
    ) -> None:
        produce, delivered = self._opened().produce, self._current.delivered
        value = b""
        # Before the first of them can be acknowledged.
        self._current.pending += len(values)
        try:
            for key, value, identity in zip(keys, values, ids, strict=True):
                headers: Headers = [(ID_HEADER, identity)]
                while True:
                    try:
                        produce(topic, value, key, partition, on_delivery=delivered, headers=headers)
                        break
                    except BufferError:
                        began = time.monotonic()
                        self._serve(SLICE / 10)
                        self.waited += time.monotonic() - began
                        self._waiting()
        except KafkaException as error:
            self._fail(error.args[0], topic, len(value))
        finally:
            del produce  # a traceback must not keep alive a producer that is given up

    def _serve(self, timeout: float) -> None:
        """Take delivery reports, and offer the newest checkpoint with nothing outstanding before it."""
        try:
            self._opened().poll(timeout)
        except KafkaException as error:  # the producer's fatal error
            self._fail(error.args[0])
        while self._stretches and self._stretches[0].pending == 0:
            done = self._stretches.popleft()
            assert done.record is not None
            self.acknowledged = done.record
            self._positions.offer(done.record, done.kept)
        self._check(self._stretches[0] if self._stretches else self._current)

    def _check(self, oldest: _Stretch) -> None:
        if oldest.failure is not None:
            self._fail(*oldest.failure)

    def _fail(self, error: KafkaError, topic: str = "", size: int = 0) -> NoReturn:
        self.close(SLICE)
        subject = Subject("publish a message", (topic,) if topic else (), "", size)
        raise self._batches.smaller(error, subject) or lost(error, subject)

    def _until_durable(self, record: PositionRecord) -> None:
        while self._positions.durable is not record:
            self._serve(SLICE / 50)
            self._step(hurry=True)
            self._waiting()

    def _step(self, *, hurry: bool = False) -> None:
        try:
            self._positions.step(time.monotonic(), hurry=hurry)
        except BaseException:
            # Fenced: rows that still wait must not follow the new owner's.
            self.close(SLICE)
            raise

    def _construct(self) -> Producer:
        config = {
            **with_callbacks(bulk_config(self._config, self._settings, self._batches.bytes), self._trouble),
            "linger.ms": 0,
            "queue.buffering.max.messages": QUEUED_MESSAGES,
            # A message that gives up after a time is the classic gap.
            "message.timeout.ms": 0,
        }
        try:
            return Producer(config)
        except KafkaException as error:
            raise refused(error.args[0], Subject("set up the Kafka client")) from error

    def _close_rows(self, seconds: float) -> bool:
        producer, self._producer = self._producer, None
        if producer is None:
            return True
        last = [producer]
        del producer
        return within(seconds, lambda: let_go(last.pop()))

    def _opened(self) -> Producer:
        assert self._producer is not None, "the sink is not open"
        return self._producer


class _Positions:
    """Publishes positions beside the hot thread, one at a time, the newest offered first and no other."""

    def __init__(self, producer: TransactionalProducer, topic: str, failpoint: Failpoint) -> None:
        self._producer = producer
        self._commit = PositionCommit(producer, topic, failpoint)
        self._offered: PositionRecord | None = None
        self._kept: list[Kept] = []
        """To be stored with the next one, whichever that is."""
        self._thread: ThreadPoolExecutor | None = None
        self._running: Future[PositionRecord] | None = None
        self._last = 0.0
        self.durable: PositionRecord | None = None

    def construct(self, timeout: float) -> None:
        self._producer.construct(timeout)

    def open(self, timeout: float) -> None:
        self.durable = self._offered = None
        self._kept = []
        self._producer.open(timeout)
        self._thread = ThreadPoolExecutor(1, "kafka-position")

    def offer(self, record: PositionRecord, kept: list[Kept]) -> None:
        self._offered = record
        self._kept += kept

    def step(self, now: float, *, hurry: bool = False) -> None:
        """Take the result of what runs, raising what it raised; start the next when one is due."""
        if self._running is not None:
            if not self._running.done():
                return
            running, self._running = self._running, None
            self.durable = running.result()
        if self._offered is not None and (hurry or now - self._last >= POSITION_INTERVAL):
            assert self._thread is not None
            record, self._offered, self._last = self._offered, None, now
            kept, self._kept = self._kept, []
            self._running = self._thread.submit(self._publish, record, kept)

    def close(self, seconds: float) -> bool:
        thread, self._thread, self._running = self._thread, None, None
        if thread is not None:
            thread.shutdown(wait=False, cancel_futures=True)
        return self._producer.discard(abort=False, seconds=seconds)

    def _publish(self, record: PositionRecord, kept: list[Kept]) -> PositionRecord:
        self._commit(record, kept)
        return record
