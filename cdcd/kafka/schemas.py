"""The schema topic of one instance: what it remembers of tables whose column names the binlog does not carry.

One partition, compacted. It is there once an instance has something to remember, and then its name stands among the
topics of the position record: without that nobody asks for it.
"""

from collections.abc import Callable

from confluent_kafka import Message

from cdcd.errors import Finding, FindingError
from cdcd.kafka.positions import COMPACTED
from cdcd.kafka.reading import CommittedReader
from cdcd.kafka.topics import Topics

Fact = tuple[bytes, bytes | None]
"""Key and value; without a value it is forgotten."""


def schema_topic_name(cluster: str, instance: str) -> str:
    """Name of an instance's schema topic."""
    return f"__cdcd_schemas.{cluster}.{instance}"


class SchemaTopic:
    """Reads one instance's facts, the newest of each key. Writing is the sink's part."""

    def __init__(self, reader: CommittedReader, name: str, topics: Callable[[], Topics], replication: int) -> None:
        """The reader's owner closes it. `replication`: of a topic that has to be made."""
        self.name = name
        self._reader = reader
        self._topics = topics
        self._replication = replication
        self._offset = 0
        self._facts: dict[bytes, bytes] = {}

    def exists(self) -> bool:
        return self._topics().exists(self.name)

    def ensure(self) -> None:
        """Create the topic unless it exists; FindingError (operator) for one of another form."""
        if (partitions := self._topics().ensure(self.name, 1, self._replication, COMPACTED)) != 1:
            raise FindingError(
                Finding(
                    "schema-topic-unfit",
                    "operator",
                    f"Schema topic {self.name} has {partitions} partitions; it needs exactly one",
                    "Delete it: cdcd makes it anew, and looks names up again",
                )
            )

    def peek(self, timeout: float = 10.0) -> None:
        """Read what is committed by now, so that `take` has only the rest to read."""
        self._facts, self._offset = {}, 0
        self._read(timeout, None)

    def take(self, timeout: float = 10.0, patience: float = 1.0) -> dict[bytes, bytes]:
        """All facts; call it after `init_transactions`. Raises what CommittedReader raises."""
        self._read(timeout, patience)
        facts, self._facts, self._offset = self._facts, {}, 0
        return facts

    def _read(self, timeout: float, patience: float | None) -> None:
        self._offset = self._reader.since(self.name, self._offset, timeout, patience, self._note)

    def _note(self, message: Message) -> None:
        """Seen once more, after a reading that failed, it changes nothing."""
        key, value = message.key() or b"", message.value()
        if value is None:
            self._facts.pop(key, None)
        else:
            self._facts[key] = value
