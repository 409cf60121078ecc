"""Real servers for tests, started when the first test asks, deleted at the end of the run.

A run's stacks carry its pid and a random word, so that runs side by side do not meet; what a killed run left is
deleted by the next one.
"""

from collections.abc import Iterator

import pytest

from deploy.stack import sweep
from tests.instances import figures, make_instance
from tests.servers import KafkaFactory, KafkaServer, MysqlFactory, MysqlServer, Stacks

__all__ = ["figures", "make_instance"]
"""Fixtures that are declared elsewhere."""


@pytest.fixture(scope="session")
def stacks() -> Iterator[Stacks]:
    sweep()
    made = Stacks()
    yield made
    made.destroy()


@pytest.fixture(scope="module")
def _module_stacks(stacks: Stacks) -> Iterator[Stacks]:
    del stacks  # asked for its sweep
    made = Stacks()
    yield made
    made.destroy()


@pytest.fixture(scope="session")
def mysql(stacks: Stacks) -> MysqlServer:
    """The MySQL server that all tests share: no test may stop it or change its global settings."""
    return stacks.mysql()


@pytest.fixture(scope="session")
def kafka(stacks: Stacks) -> KafkaServer:
    """The Kafka broker that all tests share: no test may stop it. Topics are never created by themselves."""
    return stacks.kafka()


@pytest.fixture(scope="module")
def mysql_server(_module_stacks: Stacks) -> MysqlFactory:
    """Makes MySQL servers with other settings, for tests that may also stop and kill them; one for a module."""
    return _module_stacks.mysql


@pytest.fixture(scope="module")
def kafka_server(_module_stacks: Stacks) -> KafkaFactory:
    """Makes Kafka clusters with other settings, for tests that may also stop and kill them; one for a module."""
    return _module_stacks.kafka


@pytest.fixture
def database(mysql: MysqlServer) -> Iterator[str]:
    """A new, empty database of the shared MySQL server."""
    with mysql.database() as name:
        yield name
