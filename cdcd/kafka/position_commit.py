"""The end of every transaction: the position record goes in, then the commit goes out."""

from cdcd.binlog.position import PositionRecord
from cdcd.errors import HoldingLost
from cdcd.kafka.positions import KEY, PARTITION
from cdcd.kafka.producer import TransactionalProducer
from cdcd.observe.failpoints import Failpoint


class PositionCommit:
    """Commits `producer`'s transaction together with a position; begins one if there is none."""

    def __init__(self, producer: TransactionalProducer, topic: str, failpoint: Failpoint) -> None:
        self._producer = producer
        self._topic = topic
        self._failpoint = failpoint

    def __call__(self, record: PositionRecord) -> None:
        """HoldingLost unless it is certain that `record` and what was written before it are committed."""
        if not self._producer.in_transaction:
            self._producer.begin()
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
