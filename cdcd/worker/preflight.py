"""The preflight of an instance: asks its source and its brokers, and has the answers checked. Changes nothing anywhere."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from cdcd.config.definition import Definition
from cdcd.config.settings import Settings
from cdcd.config.topics import topic_name
from cdcd.errors import FindingError
from cdcd.kafka.survey import survey as kafka_survey
from cdcd.mysql.connection import Connection, connect
from cdcd.mysql.survey import MysqlFacts, Survey
from cdcd.preflight.found import Found, Severity, by_severity
from cdcd.preflight.kafka import kafka
from cdcd.preflight.mysql import mysql
from cdcd.worker.connections import Connections
from cdcd.worker.journal import Level
from cdcd.worker.source import Identity

LEVELS: dict[Severity, Level] = {"fatal": "error", "warning": "warning", "notice": "info"}
"""Of the log lines of what an instance's start finds."""


class Preflight:
    """Of one instance. `run` raises nothing that is the operator's trouble: that is what it finds."""

    def __init__(
        self,
        definition: Definition,
        settings: Settings,
        connections: Connections,
        identity: Identity,
        lag_seconds: float | None = None,
    ) -> None:
        """`lag_seconds`: of the instance, where it runs."""
        self._definition = definition
        self._cluster = settings.kafka_cluster(definition.sink.kafka)
        self._connections = connections
        self._identity = identity
        self._lag_seconds = lag_seconds

    def run(self) -> list[Found]:
        """Everything, the worst first; each server of `source.hosts` is asked."""
        found: list[Found] = []
        tables: tuple[str, ...] = ()
        for facts in self._sources(found):
            found += mysql(facts)
            tables = tables or facts.tables
        return by_severity([*found, *self.brokers(tables)])

    def running(self, control: Connection) -> list[Found]:
        """Of the source that is read and the brokers."""
        try:
            facts = self._facts(control)
        except FindingError as error:
            return [Found.of(error.finding, "mysql")]
        return by_severity([*mysql(facts), *self.brokers(facts.tables)])

    def brokers(self, tables: Iterable[str]) -> list[Found]:
        """`tables`: `database.table` of those that are published."""
        cluster = self._cluster
        try:
            facts = kafka_survey(
                self._connections.topics,
                self._definition.sink.kafka,
                self._topics(tables),
                self._connections.position_topic,
                message_bytes=cluster.message_max_bytes,
                transaction_seconds=cluster.transaction_timeout,
            )
        except FindingError as error:
            return [Found.of(error.finding, "kafka")]
        finally:
            self._connections.rest()
        return list(kafka(facts))

    def _sources(self, found: list[Found]) -> Iterator[MysqlFacts]:
        """Facts of those that answer; why the others do not goes to `found`."""
        try:
            endpoints = self._connections.endpoints()
        except FindingError as error:
            found.append(Found.of(error.finding, "mysql"))
            return
        for endpoint in endpoints:
            try:
                with connect(endpoint) as control:
                    yield self._facts(control)
            except FindingError as error:
                found.append(Found.of(error.finding, "mysql"))

    def _facts(self, control: Connection) -> MysqlFacts:
        survey = Survey(control, self._definition.table_filter.matches, self._cluster.message_max_bytes)
        return survey.read(
            self._identity.server_id,
            str(self._identity.server_uuid),
            statements=self._definition.sink.statements == "ddl-topic",
            lag_seconds=self._lag_seconds,
        )

    def _topics(self, tables: Iterable[str]) -> Iterator[str]:
        """A table whose name makes no topic stops the instance only when a row of it comes."""
        sink, name = self._definition.sink, self._definition.name
        for each in tables:
            database, _, table = each.partition(".")
            with suppress(FindingError):
                yield topic_name(sink.topic, instance=name, database=database, table=table)
        if sink.ddl_topic is not None:
            yield topic_name(sink.ddl_topic, instance=name)


class StartCheck:
    """Runs the preflight once in a process, beside an instance that has begun, and tells what it finds."""

    def __init__(self, make: Callable[[], Preflight], note: Callable[[Found], None]) -> None:
        self._make = make
        self._note = note
        self._told: set[tuple[str, str]] = set()
        self._done = False

    def __call__(self, control: Connection) -> None:
        if self._done:
            return
        self._done = True
        for found in self._make().running(control):
            if (found.code, found.what) not in self._told:
                self._told.add((found.code, found.what))
                self._note(found)
