"""The end of every transaction: the position record goes in, then the commit goes out."""

from collections.abc import Sequence

from cdcd.binlog.position import PositionRecord
from cdcd.errors import HoldingLost
from cdcd.kafka.positions import KEY
from cdcd.kafka.producer import TransactionalProducer
from cdcd.kafka.reading import PARTITION
from cdcd.observe.failpoints import Failpoint

Kept = tuple[str, Sequence[tuple[bytes, bytes | None]]]
"""What Sink.keep was given."""


class PositionCommit:
    """Commits `producer`'s transaction together with a position; begins one if there is none."""

    def __init__(self, producer: TransactionalProducer, topic: str, failpoint: Failpoint) -> None:
        self._producer = producer
        self._topic = topic
        self._failpoint = failpoint

    def __call__(self, record: PositionRecord, kept: Sequence[Kept] = ()) -> None:
        """With `kept` beside it. HoldingLost unless it is certain that `record` and what was written before it are committed."""
        if not self._producer.in_transaction:
            self._producer.begin()
        for topic, facts in kept:
            self._producer.keep(topic, facts)
        self._failpoint("kafka.before_position")
        self._producer.write(self._topic, PARTITION, [KEY], [record.to_json()])
        self._failpoint("kafka.before_commit")
        self._producer.commit()
        self._answer_arrives()
        self._failpoint("kafka.after_commit")

    def _answer_arrives(self) -> None:
        try:
            self._failpoint("kafka.commit_unknown")
        except Exception as error:
            self._producer.discard()
            raise HoldingLost("the outcome of a commit is unknown: its answer was lost") from error
