"""Real servers for tests, started when the first test asks, deleted at the end of the run.

A run's stacks carry its pid and a random word, so that runs side by side do not meet; what a killed run left is
deleted by the next one.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from cdcd.config.zookeeper import ZooKeeper
from deploy.stack import sweep
from deploy.stack.mysql import FLAVOURS
from tests.background import Background
from tests.certificates import Papers
from tests.fleets import LASTING, make_fleet
from tests.instances import figures, make_instance
from tests.lone_workers import make_stage
from tests.play import play
from tests.servers import (
    KafkaFactory,
    KafkaServer,
    MariadbFactory,
    MysqlFactory,
    MysqlServer,
    Stacks,
    ZookeeperFactory,
    ZookeeperServer,
)

# How long an example takes is up to what else the machine does. Two runs say the same; `--hypothesis-profile random` looks further.
settings.register_profile("fixed", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
settings.register_profile("random", settings.get_profile("fixed"), derandomize=False)
settings.load_profile("fixed")

__all__ = ["figures", "make_fleet", "make_instance", "make_stage", "play"]
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
def minimal(stacks: Stacks) -> MysqlServer:
    """The MySQL server with binlog_row_metadata=MINIMAL that all tests share, under the same rules."""
    return stacks.mysql(binlog_row_metadata="MINIMAL")


@pytest.fixture(scope="session")
def mysql56(stacks: Stacks) -> MysqlServer:
    """The MySQL 5.6 server that all tests share: no test may stop it or change its global settings."""
    return stacks.mysql("mysql-5.6")


@pytest.fixture(scope="session")
def mariadb(stacks: Stacks) -> MariadbFactory:
    """`mariadb("11.8")`: the MariaDB server of that version that all tests share, under the same rules."""
    return lambda version: stacks.mysql(f"mariadb-{version}")


@pytest.fixture(scope="session", params=FLAVOURS)
def each_mysql(stacks: Stacks, request: pytest.FixtureRequest) -> MysqlServer:
    """The shared server of each flavour in turn; `server.flavour` tells which."""
    return stacks.mysql(request.param)


@pytest.fixture(scope="session")
def kafka(stacks: Stacks) -> KafkaServer:
    """The Kafka broker that all tests share: no test may stop it. Topics are never created by themselves."""
    return stacks.kafka()


@pytest.fixture(scope="session")
def guarded(stacks: Stacks, papers: Papers) -> KafkaServer:
    """A broker with accounts and ACLs that tests share: `limited` and whom a test adds have the rights that it grants.

    TLS listeners by what they show: `own`, `other_host`, `expired`; each with accounts as `own-sasl` ...
    """
    shown = {name: getattr(papers, name).files for name in ("own", "other_host", "expired")}
    return stacks.kafka(sasl=True, tls=shown)


@pytest.fixture(scope="session")
def zookeeper(stacks: Stacks) -> ZookeeperServer:
    """The ZooKeeper server that all tests share (tick 500 ms): no test may stop it."""
    return stacks.zookeeper()


@pytest.fixture
def ensemble(zookeeper: ZookeeperServer) -> ZooKeeper:
    """Settings for the shared ZooKeeper server: sessions of 3 s, and a chroot that nobody else uses."""
    return zookeeper.ensemble()


@pytest.fixture
def lasting(ensemble: ZooKeeper) -> ZooKeeper:
    """The same with sessions of LASTING seconds: where none is to end by itself, however long a busy machine stands still."""
    return ensemble.model_copy(update={"session_timeout": LASTING})


@pytest.fixture(scope="module")
def zookeeper_server(_module_stacks: Stacks) -> ZookeeperFactory:
    """Makes ZooKeeper servers with other settings, for tests that may also stop, freeze and wipe them; one for a module."""
    return _module_stacks.zookeeper


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


@pytest.fixture(scope="session")
def papers() -> Iterator[Papers]:
    """Certificates that servers and clients show; the servers' uid may read them."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Papers(Path(folder))


@pytest.fixture
def background() -> Iterator[Background]:
    """Calls in threads of their own."""
    made = Background()
    yield made
    made.join()
