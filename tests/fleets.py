"""Fixtures for tests that run whole fleets: `cdcd run` processes on the shared ZooKeeper, Kafka and MySQL servers."""

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.rig.fleet import Fleet
from deploy.rig.load import TABLES, create_tables
from deploy.rig.source import Source
from deploy.rig.worker import Instance
from tests.instances import source_of
from tests.servers import KafkaServer, MysqlServer, ZookeeperServer

MakeFleet = Callable[..., Fleet]
LASTING = 10.0
"""Seconds, of sessions of which none is to end by itself, however long a busy machine stands still."""


@pytest.fixture
def make_fleet(
    mysql: MysqlServer, zookeeper: ZookeeperServer, kafka: KafkaServer, tmp_path: Path
) -> Iterator[MakeFleet]:
    """`make_fleet(fleet={...}, scheduling={...}, zookeeper=...)`: no server runs yet; all are killed at the end.

    Databases of its instances on the shared MySQL server are dropped.
    """
    made: list[Fleet] = []

    def make(**options: Any) -> Fleet:
        folder = tmp_path / f"fleet-{len(made) + 1}"
        fleet = Fleet(folder, **({"zookeeper": zookeeper.hosts, "bootstrap": kafka.bootstrap} | options))
        made.append(fleet)
        return fleet

    yield make
    for fleet in made:
        fleet.close()
        for instance in fleet.instances.values():
            if instance.source.port == mysql.port:
                instance.source.run(f"DROP DATABASE IF EXISTS `{instance.database}`")


def loaded_instance(fleet: Fleet, name: str, mysql: MysqlServer, **more: Any) -> Instance:
    """An instance on a new database with the tables of `deploy.rig.load`; it starts where the binlog ends now."""
    source: Source = source_of(mysql)
    database = f"{name}_{secrets.token_hex(3)}".replace("-", "_")
    create_tables(source, database)
    return fleet.instance(name, source, database, TABLES, **({"start": {"gtid_set": source.executed()}} | more))
