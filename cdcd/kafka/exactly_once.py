"""Exactly once: rows and the position behind them in one Kafka transaction (KIP-98)."""

import time
from collections.abc import Sequence

from cdcd.binlog.position import PositionRecord
from cdcd.kafka.client import ClientConfig
from cdcd.kafka.opening import Waiting
from cdcd.kafka.position_commit import PositionCommit
from cdcd.kafka.producer import (
    ProducerSettings,
    TransactionalProducer,
    not_stopped,
)
from cdcd.observe.failpoints import Failpoint, off


class ExactlyOnceSink:
    """A Sink whose checkpoints are commits: each transaction holds its rows and the position record."""

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
        self._producer = TransactionalProducer(
            config,
            transactional_id,
            position_topic,
            settings or ProducerSettings(),
            failpoint=failpoint,
            waiting=waiting,
        )
        self._commit = PositionCommit(self._producer, position_topic, failpoint)
        self._failpoint = failpoint
        self._open_timeout = open_timeout
        self.open_since: float | None = None
        self.open_records = 0
        self.open_bytes = 0
        self.durable: PositionRecord | None = None

    @property
    def waited(self) -> float:
        return self._producer.waited

    @property
    def acknowledged(self) -> PositionRecord | None:
        return self.durable

    def construct(self) -> None:
        self._producer.construct(self._open_timeout)

    def open(self) -> None:
        self._settled(None)
        self._producer.open(self._open_timeout)

    def write(
        self,
        topic: str,
        partition: int,
        keys: Sequence[bytes | None],
        values: Sequence[bytes],
        ids: Sequence[bytes] | None = None,
    ) -> None:
        if self.open_since is None:
            self._begin()
        self._producer.write(topic, partition, keys, values, ids)
        self.open_records += len(values)
        self.open_bytes += sum(map(len, values))
        self._failpoint("kafka.mid_rows")

    def keep(self, topic: str, facts: Sequence[tuple[bytes, bytes | None]]) -> None:
        if self.open_since is None:
            self._begin()
        self._producer.keep(topic, facts)

    def checkpoint(self, record: PositionRecord, *, wait: bool = False) -> None:  # noqa: ARG002 - a commit is always waited for
        """Commit the transaction, with `record` in it; without rows a transaction that holds only the record."""
        self._commit(record)
        self._settled(record)

    def poll(self) -> None:
        self._producer.poll()

    def close(self, seconds: float) -> bool:
        self._settled(self.durable)
        return self._producer.discard(abort=True, seconds=seconds)

    def _begin(self) -> None:
        self._producer.begin()
        self.open_since = time.monotonic()
        self._failpoint("kafka.after_begin")

    def _settled(self, record: PositionRecord | None) -> None:
        self.durable = record
        self.open_since = None
        self.open_records = self.open_bytes = 0
