"""Topics of tables: named by the template, created if absent, their number of partitions never changed silently."""

from collections.abc import Callable

from cdcd.binlog.core.native import Route
from cdcd.binlog.schema import TableSchema
from cdcd.config.definition import Sink
from cdcd.config.topics import topic_name
from cdcd.errors import Finding, FindingError

EnsureTopic = Callable[[str, int], int]
"""Create a topic with that many partitions unless it exists; returns how many it has."""


class Router:
    """Routes of one instance's topics."""

    def __init__(
        self,
        instance: str,
        sink: Sink,
        ensure: EnsureTopic,
        recorded: dict[str, int],
        warn: Callable[[Finding], None],
        *,
        shared: bool,
    ) -> None:
        self._instance = instance
        self._sink = sink
        self._ensure = ensure
        self._warn = warn
        self._shared = shared
        self._routes: dict[str, Route] = {}
        self._owners: dict[str, str] = {}
        self._ddl_topic = None if sink.ddl_topic is None else topic_name(sink.ddl_topic, instance=instance)
        self.partitions = dict(recorded)
        """Topic -> partitions that keys are mapped to; goes into the position record."""

    def __call__(self, schema: TableSchema) -> Route:
        """The route of a table. FindingError (operator) for a topic that Kafka or another table does not allow."""
        topic = topic_name(self._sink.topic, instance=self._instance, database=schema.database, table=schema.table)
        if topic == self._ddl_topic:
            raise FindingError(_ddl_collision(topic, schema.name))
        owner = self._owners.setdefault(topic, schema.name)
        if not self._shared and owner != schema.name:
            raise FindingError(_collision(topic, owner, schema.name))
        return self._route(topic, self._sink.create.partitions)

    def ddl(self) -> Route | None:
        """The route of DDL statements: one partition, for their order; None where they are not published."""
        return None if self._ddl_topic is None else self._route(self._ddl_topic, 1)

    def _route(self, topic: str, partitions: int) -> Route:
        if topic not in self._routes:
            self._routes[topic] = Route(topic, self._mapped(topic, self._ensure(topic, partitions)))
        return self._routes[topic]

    def _mapped(self, topic: str, actual: int) -> int:
        """The partitions that keys are mapped to: those of the first time, as long as the topic still has them."""
        mapped = self.partitions.setdefault(topic, actual)
        if actual < mapped:
            raise FindingError(_shrunk(topic, mapped, actual))
        if actual > mapped:
            self._warn(_grown(topic, mapped, actual))
        return mapped


def _collision(topic: str, first: str, second: str) -> Finding:
    return Finding(
        "topic-collision",
        "operator",
        f"tables {first} and {second} both give the topic {topic}, whose keys do not name the table",
        "Choose a sink.topic that keeps them apart, or a fixed topic (its keys name the table)",
    )


def _ddl_collision(topic: str, table: str) -> Finding:
    return Finding(
        "topic-collision",
        "operator",
        f"the rows of {table} and the DDL statements would go to one topic, {topic}",
        "Choose another sink.ddl_topic, or null for none",
    )


def _shrunk(topic: str, mapped: int, actual: int) -> Finding:
    return Finding(
        "topic-recreated",
        "operator",
        f"topic {topic} has {actual} partitions, but keys are mapped to {mapped}: it was deleted and created anew",
        f"Create it with {mapped} partitions, or delete the instance with its position and start anew",
    )


def _grown(topic: str, mapped: int, actual: int) -> Finding:
    return Finding(
        "topic-grown",
        "operator",
        f"topic {topic} was given partitions: it has {actual}, keys stay mapped to the first {mapped}",
        "Nothing is lost. To use the new ones, publish to a new topic: re-mapping would break the order of each key",
    )
