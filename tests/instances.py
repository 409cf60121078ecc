"""Fixtures for tests that run whole workers: instances of their own on the shared servers, and figures for `make prove`."""

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.rig.load import TABLES
from deploy.rig.source import Source
from deploy.rig.worker import Instance
from tests.servers import KafkaServer, MysqlServer

MakeInstance = Callable[..., Instance]
Figures = Callable[[dict[str, Any]], None]


def source_of(server: MysqlServer) -> Source:
    mariadb = server.endpoint.flavour.startswith("mariadb")
    return Source(server.host, server.port, server.user, server.password, server.bin_dir / "mysqlbinlog", mariadb)


@pytest.fixture
def make_instance(mysql: MysqlServer, kafka: KafkaServer, tmp_path: Path) -> Iterator[MakeInstance]:
    """`make_instance("name", start=..., overrides=..., source=..., bootstrap=...)`: its processes are killed at the end.

    Each has an unused name and its own database (made by the test, dropped here).
    """
    made: list[Instance] = []

    def make(name: str, **options: Any) -> Instance:
        unused = f"{name}-{secrets.token_hex(3)}"
        given: dict[str, Any] = {
            "source": source_of(mysql),
            "bootstrap": kafka.bootstrap,
            "database": unused.replace("-", "_"),
            "tables": TABLES,
        }
        instance = Instance(unused, tmp_path / unused, **(given | options))
        made.append(instance)
        return instance

    yield make
    for instance in made:
        instance.kill_all()
        if instance.source.port == mysql.port:
            instance.source.run(f"DROP DATABASE IF EXISTS `{instance.database}`")


@pytest.fixture
def figures(record_property: Callable[[str, object], None]) -> Figures:
    """What a must-show test measured, for the JSON line that `make prove` prints."""
    return lambda found: record_property("figures", found)
