"""One transactional producer: opened with a fence, its failures named, its end bounded."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from cdcd.errors import CdcdError, HoldingLost
from cdcd.kafka.client import SLICE, ClientConfig, Trouble, let_go, serve, with_callbacks, within
from cdcd.kafka.failures import Subject, is_fenced, lost, refused
from cdcd.kafka.opening import Opening, Waiting
from cdcd.observe.failpoints import Failpoint

Headers = list[tuple[str, str | bytes | None]]
ID_HEADER = "cdcd-id"
"""`<epoch>;<seq>;<transaction>`: identity of a message (formats.md section 1, rule 5)."""

BATCH_BYTES = 1_000_000
"""Of a request to one partition; smaller ones cost throughput (measured: a third less at 250 kB)."""


@dataclass(frozen=True, slots=True)
class ProducerSettings:
    """What a producer may use."""

    message_max_bytes: int = 1_000_000
    """Largest message, key and headers included."""
    queue_bytes: int = 64 << 20
    """Messages waiting for the brokers; librdkafka's own default is 1 GiB."""
    transaction_timeout: float = 30.0
    """Seconds after which the brokers abort an open transaction: so long a dead owner holds back readers."""


def not_stopped() -> None:
    """The `waiting` of a caller that waits as long as it takes."""


class Refusals:
    """Delivery reports of failures: the first message that was refused, and the largest one refused for its size.

    `delivery.report.only.error` makes this free of charge for messages that arrive.
    """

    def __init__(self) -> None:
        self.error: KafkaError | None = None
        self.topic = ""
        self.largest = 0

    def __call__(self, error: KafkaError | None, message: Message) -> None:
        if error is None or error.code() in _PURGED:
            return
        if self.error is None:
            self.error, self.topic = error, message.topic() or ""
        if error.code() == self.error.code():
            self.largest = max(self.largest, size_of(message))


_PURGED = frozenset({KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT})


def size_of(message: Message) -> int:
    return len(message.value() or b"") + len(message.key() or b"")


class BatchSize:
    """How much a producer sends to a partition at once: less after a topic's limit has refused a batch.

    The broker judges whole batches. What fails in a batch no larger than itself is too large.
    """

    def __init__(self, settings: ProducerSettings) -> None:
        self.bytes = min(BATCH_BYTES, settings.message_max_bytes)

    def smaller(self, error: KafkaError, subject: Subject) -> HoldingLost | None:
        """Smaller batches from the next take-over on, if `error` may mean the batch; `subject`: its largest message."""
        if error.code() != KafkaError.MSG_SIZE_TOO_LARGE or subject.size >= self.bytes:
            return None
        self.bytes = max(subject.size, self.bytes // 4)
        return HoldingLost(
            f"topic {', '.join(subject.topics)} takes no batch that large: sending {self.bytes:,} bytes at once"
        )


def bulk_config(config: ClientConfig, settings: ProducerSettings, batch_bytes: int) -> ClientConfig:
    """`config` for a producer that sends much, in batches of at most `batch_bytes`, with nothing lost or repeated."""
    return {
        **config,
        "enable.idempotence": True,
        "acks": "all",
        "compression.type": "lz4",
        "batch.size": batch_bytes,
        "batch.num.messages": 100_000,
        "message.max.bytes": settings.message_max_bytes,
        # A message larger than the whole queue would wait for ever.
        "queue.buffering.max.kbytes": max(settings.queue_bytes, 2 * settings.message_max_bytes) >> 10,
        "queue.buffering.max.messages": 1_000_000,
        "retry.backoff.ms": 20,
        "retry.backoff.max.ms": 1000,
        "socket.nagle.disable": True,
        "allow.auto.create.topics": False,
        # Topics are made before anything is published, so that one the brokers do not know is gone, not late.
        "topic.metadata.propagation.max.ms": 5000,
    }


class TransactionalProducer:
    """A producer with a transactional id. Not thread-safe; after any exception it is gone, and `open` starts anew.

    `topic`: what it will write to first.
    """

    def __init__(
        self,
        config: ClientConfig,
        transactional_id: str,
        topic: str,
        settings: ProducerSettings,
        *,
        failpoint: Failpoint,
        waiting: Waiting,
    ) -> None:
        self._config = config
        self._id = transactional_id
        self._topic = topic
        self._settings = settings
        self._failpoint = failpoint
        self._waiting = waiting
        self._batches = BatchSize(settings)
        self._producer: Producer | None = None
        self._initialised = False
        self._trouble = Trouble()
        self._refusals = Refusals()
        self._topics: dict[str, None] = {}
        self.in_transaction = False
        self.waited = 0.0
        """Seconds spent waiting for room in the queue."""

    def construct(self, timeout: float) -> None:
        """Make the client and connect it, ahead of `open`; fences nobody. One that is there and not opened yet is kept.

        FindingError: `retry` if no broker answers within `timeout` seconds, else what the operator must mend.
        """
        if self._producer is None or self._initialised:
            self.discard()
            self._trouble, self._refusals = Trouble(), Refusals()
            self._producer = self._construct()
        self._open(lambda opening: opening.connect(self._topic), timeout)

    def open(self, timeout: float) -> None:
        """`construct`, and run `init_transactions`: fences every other one and aborts what it left open."""
        self.construct(timeout)
        self._failpoint("producer.before_init")
        self._open(Opening.init_transactions, timeout)
        self._initialised = True
        self._failpoint("producer.after_init")

    def _open(self, step: Callable[[Opening], None], timeout: float) -> None:
        assert self._producer is not None
        self._trouble.clear()
        try:
            step(Opening(self._producer, self._trouble, self._waiting, timeout, self._id))
        except BaseException:
            self.discard()
            raise

    def begin(self) -> None:
        """Start a transaction; nothing is sent yet."""
        try:
            self._opened().begin_transaction()
        except KafkaException as error:
            self.fail(error.args[0], "begin a transaction")
        self._topics.clear()
        self.in_transaction = True

    def write(
        self,
        topic: str,
        partition: int,
        keys: Sequence[bytes | None],
        values: Sequence[bytes],
        ids: Sequence[bytes] | None = None,
    ) -> None:
        """Hand over messages in order; waits while the queue is full."""
        self._topics[topic] = None
        produce = self._opened().produce
        value = b""
        try:
            if ids is None:
                for key, value in zip(keys, values, strict=True):
                    try:
                        produce(topic, value, key, partition)
                    except BufferError:
                        self._produce_when_room(topic, value, key, partition, None)
            else:
                for key, value, identity in zip(keys, values, ids, strict=True):
                    headers: Headers = [(ID_HEADER, identity)]
                    try:
                        produce(topic, value, key, partition, headers=headers)
                    except BufferError:
                        self._produce_when_room(topic, value, key, partition, headers)
        except KafkaException as error:
            self.fail(error.args[0], "publish a message", topic, len(value))
        finally:
            del produce  # a traceback must not keep alive a producer that is given up
        self.poll()

    def keep(self, topic: str, facts: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Hand over keys and values for partition 0 of `topic`; a value may be missing (a tombstone)."""
        self._topics[topic] = None
        for key, value in facts:
            try:
                self._produce_when_room(topic, value, key, 0, None)
            except KafkaException as error:
                self.fail(error.args[0], "publish a message", topic, len(value or b""))

    def poll(self, timeout: float = 0) -> None:
        """Serve delivery reports; raises if a message was refused."""
        try:
            self._opened().poll(timeout)
        except KafkaException as error:  # the producer's fatal error: fenced, most likely
            self.fail(error.args[0], "publish a message")
        if self._refusals.error is not None:
            self.fail(self._refusals.error, "publish a message")

    def commit(self) -> None:
        """Commit the open transaction. HoldingLost if it is not certain that it is committed."""
        deadline = time.monotonic() + self._settings.transaction_timeout
        while self.in_transaction:
            try:
                self._opened().commit_transaction(SLICE)
            except KafkaException as error:
                self._go_on_committing(error.args[0], deadline)
            else:
                self.in_transaction = False

    def fail(self, error: KafkaError, doing: str, topic: str = "", size: int = 0) -> NoReturn:
        """Give the producer up and raise what `error` means, by the delivery reports and the brokers' own words."""
        cause = self._explain(error, Subject(doing, (topic,) if topic else tuple(self._topics), self._id, size))
        self.discard(abort=not error.fatal() and not is_fenced(error))
        raise cause

    def discard(self, *, abort: bool = False, seconds: float = 5.0) -> bool:
        """Destroy the producer, with `abort` after aborting what is open (else readers wait for its time limit).

        Bounded: False if it took longer than `seconds` and was left behind.
        """
        producer, self._producer, self._initialised = self._producer, None, False
        abort, self.in_transaction = abort and self.in_transaction, False
        if producer is None:
            return True
        end = _End(producer, seconds if abort else 0.0)
        del producer
        return within(seconds, end)

    def _construct(self) -> Producer:
        milliseconds = int(self._settings.transaction_timeout * 1000)
        config = {
            **with_callbacks(bulk_config(self._config, self._settings, self._batches.bytes), self._trouble),
            "transactional.id": self._id,
            "transaction.timeout.ms": milliseconds,
            # A request must not outlive the transaction it belongs to (K7).
            "socket.timeout.ms": min(milliseconds, 60_000),
            # Commit sends at once what lingers; before it, larger requests are cheaper.
            "linger.ms": 20,
            "on_delivery": self._refusals,
            "delivery.report.only.error": True,
        }
        try:
            return Producer(config)
        except KafkaException as error:
            raise refused(error.args[0], Subject("set up the Kafka client", (), self._id)) from error

    def _go_on_committing(self, error: KafkaError, deadline: float) -> None:
        """After a slice of waiting for a commit: called again it goes on where it was. Raises when it is given up."""
        unanswered = error.code() == KafkaError._TIMED_OUT and error.retriable()
        # An abort behind a commit that may still be under way could end the next transaction instead (K4).
        self.in_transaction = error.txn_requires_abort()
        if unanswered and time.monotonic() < deadline:
            self._waiting()
            self.in_transaction = True
        else:
            self.fail(error, "commit a transaction")

    def _produce_when_room(
        self, topic: str, value: bytes | None, key: bytes | None, partition: int, headers: Headers | None
    ) -> None:
        """Hand over a message; while the queue is full wait for acknowledgements."""
        while True:
            try:
                self._opened().produce(topic, value, key, partition, headers=headers)
            except BufferError:
                self._wait_for_room()
            else:
                return

    def _wait_for_room(self) -> None:
        began = time.monotonic()
        self.poll(SLICE / 10)
        self.waited += time.monotonic() - began
        self._waiting()

    def _explain(self, error: KafkaError, subject: Subject) -> CdcdError:
        if self._producer is not None:
            serve(self._producer)
        if is_fenced(error) or error.fatal():
            return lost(error, subject)
        refusal = self._refusals.error
        if refusal is not None:
            named = Subject("publish a message", (self._refusals.topic,), self._id, self._refusals.largest)
            return self._batches.smaller(refusal, named) or lost(refusal, named)
        return lost(self._state(error), subject)

    def _state(self, error: KafkaError) -> KafkaError:
        """Why the transaction must be aborted, where `error` only says that it must: any call tells."""
        if error.code() != KafkaError._STATE or self._producer is None:
            return error
        try:
            self._producer.begin_transaction()
        except KafkaException as reason:
            told: KafkaError = reason.args[0]
            return told
        return error

    def _opened(self) -> Producer:
        assert self._producer is not None, "the producer is not open"
        return self._producer


class _End:
    """The end of a producer, to be run where it may hang; holds the last reference to it."""

    def __init__(self, producer: Producer, abort_seconds: float) -> None:
        self._producer: Producer | None = producer
        self._abort_seconds = abort_seconds

    def __call__(self) -> None:
        producer, self._producer = self._producer, None
        assert producer is not None
        if self._abort_seconds:
            # Failing is no harm: the next `open` aborts it, or the brokers do at its time limit.
            with suppress(KafkaException):
                producer.abort_transaction(self._abort_seconds)
        let_go(producer)
