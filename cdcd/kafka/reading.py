"""Reading topics that one instance writes transactionally: up to their high watermark, or not at all.

An earlier end may be stale, so it is never taken for the newest.
"""

import time
from collections.abc import Callable, Iterator
from math import inf

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from cdcd.errors import HoldingLost
from cdcd.kafka.client import ClientConfig, Trouble, with_callbacks
from cdcd.kafka.failures import Subject, explained, unreachable

PARTITION = 0
"""The only one that such a topic has."""
_METADATA_SECONDS = 5.0
"""So long a broker may not know a topic that was just made or has just got another leader."""
_NOT_YET = frozenset(
    {
        KafkaError._UNKNOWN_PARTITION,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
    }
)


class PositionHeld(HoldingLost):
    """Somebody opened a transaction after our `init_transactions`: the newest record is not decided yet."""


class CommittedReader:
    """Two clients, as the isolation level is a client's own: one asks how far a topic goes, one reads up to there.

    They are made with the first question, which thus takes longer (50 to 300 ms), and are there until `close`. Every
    method raises FindingError where the brokers do not answer within `timeout` seconds, and takes `patience`: seconds to
    wait for the high watermark, else PositionHeld; None: what is committed by now will do.
    """

    def __init__(self, config: ClientConfig, name: str) -> None:
        """`name`: of the consumer group, which is never joined; the client only refuses to start without one."""
        self._config = config
        self._name = name
        self._clients: _Clients | None = None

    def newest(self, topic: str, reach: int, timeout: float, patience: float | None) -> Message | None:
        """The last message, None if there is none at all; looked for in the last `reach`, then further back."""
        with _Asking(self._opened(), topic) as clients:
            low, high = clients.watermarks(topic, timeout)
            while True:
                start = max(low, high - reach)
                found: Message | None = None
                for message in _Span(clients, topic, start, high).messages(timeout, patience):
                    found = message
                if found is not None or start == low:
                    return found
                reach *= 2

    def since(
        self, topic: str, offset: int, timeout: float, patience: float | None, each: Callable[[Message], None]
    ) -> int:
        """Show all messages from `offset` on to `each`; the offset behind them."""
        with _Asking(self._opened(), topic) as clients:
            low, high = clients.watermarks(topic, timeout)
            span = _Span(clients, topic, max(low, offset), high)
            for message in span.messages(timeout, patience):
                each(message)
            return max(span.end, offset)

    def close(self) -> None:
        """Let go of the clients; repeatable."""
        clients, self._clients = self._clients, None
        if clients is not None:
            clients.close()

    def _opened(self) -> "_Clients":
        if self._clients is None:
            self._clients = _Clients(self._config, self._name)
        return self._clients


class _Clients:
    """Its methods raise KafkaException; why the brokers cannot be reached is in `trouble`."""

    def __init__(self, config: ClientConfig, name: str) -> None:
        self.trouble = Trouble()
        self._config = config
        self._name = name
        # With read_committed librdkafka gives the last stable offset in place of the high watermark.
        self._probe = self._consumer("read_uncommitted")
        self.reader = self._consumer("read_committed")

    def watermarks(self, topic: str, timeout: float) -> tuple[int, int]:
        """First offset and high watermark."""
        deadline = time.monotonic() + min(timeout, _METADATA_SECONDS)
        while True:
            try:
                return self._probe.get_watermark_offsets(TopicPartition(topic, PARTITION), timeout, cached=False)
            except KafkaException as error:
                self._probe.poll(0)
                if error.args[0].code() not in _NOT_YET or time.monotonic() > deadline:
                    raise
                self._check_rights(topic, timeout)
            time.sleep(0.02)

    def close(self) -> None:
        self._probe.close()
        self.reader.close()

    def _check_rights(self, topic: str, timeout: float) -> None:
        """A topic that we may not see looks like none in other answers."""
        error = self._probe.list_topics(topic, timeout).topics[topic].error
        if error is not None and error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            raise KafkaException(error)

    def _consumer(self, isolation: str) -> Consumer:
        return Consumer(
            {
                **with_callbacks(self._config, self.trouble),
                "group.id": self._name,
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "isolation.level": isolation,
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 2,
                "queued.max.messages.kbytes": 4096,
            }
        )


class _Asking:
    """One question: what the clients raise becomes a finding, and nothing is fetched afterwards."""

    def __init__(self, clients: _Clients, topic: str) -> None:
        self._clients = clients
        self._topic = topic

    def __enter__(self) -> _Clients:
        self._clients.trouble.clear()
        return self._clients

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._clients.reader.unassign()
        if isinstance(error, KafkaException):
            raise explained(error.args[0], self._clients.trouble, _reading(self._topic)) from error


class _Span:
    """One read from `start` to the high watermark `high`, and beyond it as far as is committed by then."""

    def __init__(self, clients: _Clients, topic: str, start: int, high: int) -> None:
        self._reader = clients.reader
        self._trouble = clients.trouble
        self._topic = topic
        self._start = start
        self._high = high
        self.end = start
        """Behind the last one read."""

    def messages(self, timeout: float, patience: float | None) -> Iterator[Message]:
        """The committed messages of the span. Without `patience`: those that are committed by now."""
        if self._start >= self._high:
            return
        self._reader.assign([TopicPartition(self._topic, PARTITION, self._start)])
        silent, held = time.monotonic() + timeout, inf
        while True:
            message = self._reader.poll(0.1)
            if message is not None and message.error() is None:
                silent = time.monotonic() + timeout
                yield message
            elif message is not None and self._is_end(message):
                self.end = message.offset() or 0
                if patience is None or self.end >= self._high:
                    return
                # The committed records end short of the watermark: only an open transaction can be in the way.
                held = min(held, time.monotonic() + patience)
            self._check(silent, held)

    def _is_end(self, message: Message) -> bool:
        error = message.error()
        assert error is not None
        if error.code() == KafkaError._PARTITION_EOF:
            return True
        if error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:  # of no matter: no group is joined
            return False
        raise KafkaException(error)

    def _check(self, silent: float, held: float) -> None:
        now = time.monotonic()
        if now > held:
            raise PositionHeld(f"an open transaction holds back the newest record of {self._topic}")
        if now > silent:
            raise unreachable(self._trouble.reason(), _reading(self._topic))


def _reading(topic: str) -> Subject:
    return Subject("read the position" if topic.startswith("__cdcd_positions.") else "read the schemas", (topic,))
