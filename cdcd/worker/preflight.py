"""The preflight of an instance: asks its source and its brokers, and has the answers checked. Changes nothing anywhere."""

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

import structlog

from cdcd.config.definition import Definition
from cdcd.config.settings import Settings
from cdcd.config.topics import topic_name
from cdcd.errors import CdcdError, FindingError
from cdcd.kafka.survey import survey as kafka_survey
from cdcd.mysql.connection import Connection, Endpoint, connect
from cdcd.mysql.survey import MysqlFacts, Survey
from cdcd.preflight.found import Found, Severity, by_severity
from cdcd.preflight.kafka import kafka
from cdcd.preflight.mysql import mysql
from cdcd.worker.connections import Connections
from cdcd.worker.journal import Level
from cdcd.worker.source import Identity

LEVELS: dict[Severity, Level] = {"fatal": "error", "warning": "warning", "notice": "info"}
"""Of the log lines of what an instance's start finds."""

ATTEMPTS = 3
"""Where brokers or source do not answer."""
SPREAD = 10.0
"""Seconds: what starts together, as all that a dead server ran, does not ask together."""


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
        try:
            found += self._brokers(tables)
        except FindingError as error:
            found.append(Found.of(error.finding, "kafka"))
        return by_severity(found)

    def running(self, control: Connection) -> list[Found]:
        """Of the source that is read and its brokers. Raises FindingError where they do not answer."""
        facts = self._facts(control)
        return by_severity([*mysql(facts), *self._brokers(facts.tables)])

    def _brokers(self, tables: Iterable[str]) -> Iterator[Found]:
        """`tables`: `database.table` of those that are published. Raises FindingError."""
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
        finally:
            self._connections.rest()
        return kafka(facts)

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
    """Runs the preflight once in a process, on a thread of its own beside an instance that has begun; tells what it finds."""

    def __init__(self, make: Callable[[], Preflight], note: Callable[[Found], None]) -> None:
        self._make = make
        self._note = note
        self._left = ATTEMPTS
        self._wait_until: float | None = None
        self._thread: threading.Thread | None = None

    def __call__(self, endpoint: Endpoint) -> None:
        """Call it now and then: some time after the first call it begins, unless that was done. Returns at once."""
        if self._wait_until is None:
            self._wait_until = time.monotonic() + random.uniform(0, SPREAD)  # noqa: S311 - chance for spread, no secret
        idle = self._thread is None or not self._thread.is_alive()
        if self._left and idle and time.monotonic() >= self._wait_until:
            self._left -= 1
            self._thread = threading.Thread(target=self._run, args=(endpoint,), name="preflight", daemon=True)
            self._thread.start()

    def _run(self, endpoint: Endpoint) -> None:
        try:
            with connect(endpoint) as control:
                found = self._make().running(control)
        except CdcdError:
            return  # what does not answer now is asked again; the instance itself tells of it
        except Exception:  # noqa: BLE001 - a defect in a check is not the instance's
            structlog.get_logger().exception(
                "preflight.failed", reason="a defect of cdcd: please report it with this log"
            )
            self._left = 0
            return
        self._left = 0
        for each in found:
            self._note(each)
