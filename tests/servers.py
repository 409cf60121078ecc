"""The real servers that tests talk to: a server of `deploy/stack` with what a test does to it."""

import os
import secrets
import signal
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import pymysql

from cdcd.config.network import parse_endpoint
from cdcd.config.zookeeper import ZooKeeper
from deploy.stack import (
    KafkaEndpoint,
    KafkaSettings,
    MysqlEndpoint,
    MysqlSettings,
    Stack,
    ZookeeperEndpoint,
    ZookeeperSettings,
)
from deploy.stack.endpoints import SaslAccess
from deploy.stack.home import write
from deploy.stack.mysql import NEWEST
from tests.certificates import Certificate
from tests.waiting import until


class MysqlServer:
    """A MySQL or MariaDB server of its own stack; `query` and `connect` have all rights."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.endpoint = self._endpoint()

    def _endpoint(self) -> MysqlEndpoint:
        endpoint = self.stack.endpoints().mysql
        assert endpoint is not None
        return endpoint

    @property
    def flavour(self) -> str:
        """mysql-9.7 ...: a key of `deploy.stack.mysql.FLAVOURS`."""
        return self.endpoint.flavour

    @property
    def host(self) -> str:
        return self.endpoint.host

    @property
    def port(self) -> int:
        return self.endpoint.port

    @property
    def user(self) -> str:
        return self.endpoint.user

    @property
    def password(self) -> str:
        return self.endpoint.password

    @property
    def binlog_dir(self) -> Path:
        return self.endpoint.binlog_dir

    @property
    def bin_dir(self) -> Path:
        """The server's own `mysql`, `mysqlbinlog`, `mysqldump`; of mysql-5.6 there is `mysqld` only."""
        return self.endpoint.bin_dir

    @property
    def ca(self) -> Path:
        """The authority of the server's certificate, which names no host; of MySQL 9.7 only."""
        return self.endpoint.ca

    def connect(self, **options: Any) -> "pymysql.connections.Connection[Any]":
        """A connection with autocommit; `options` are PyMySQL's."""
        given: dict[str, Any] = {
            "host": self.host,
            "port": self.port,
            "user": self.user,
            "password": self.password,
            "autocommit": True,
        }
        return pymysql.connect(**(given | options))

    def query(self, sql: str, arguments: Any = None) -> list[tuple[Any, ...]]:
        """Run one statement in a connection of its own; its rows."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(sql, arguments)
            return list(cursor.fetchall())

    def run(self, *statements: str, database: str | None = None) -> None:
        """Run statements one after the other in one connection."""
        with self.connect(database=database) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    @contextmanager
    def database(self) -> Iterator[str]:
        """The name of a new, empty database, which is dropped at the end."""
        name = f"t_{secrets.token_hex(4)}"
        self.query(f"CREATE DATABASE {name}")
        try:
            yield name
        finally:
            self.query(f"DROP DATABASE IF EXISTS {name}")

    def show(self, certificate: Certificate) -> None:
        """New connections see this one. It has to be valid now: MySQL loads no other."""
        names = (("ssl_ca", certificate.ca), ("ssl_cert", certificate.cert), ("ssl_key", certificate.key))
        self.run(*(f"SET GLOBAL {name} = '{path}'" for name, path in names), "ALTER INSTANCE RELOAD TLS")

    def stop(self, *, kill: bool = False) -> None:
        """Stop it cleanly, or with SIGKILL."""
        self.stack.down("mysql", kill=kill)

    def start(self) -> None:
        """Start it again, on the same port."""
        self.stack.up("mysql")
        self.endpoint = self._endpoint()

    def restart(self, *, kill: bool = False) -> None:
        self.stop(kill=kill)
        self.start()


class KafkaServer:
    """A Kafka cluster of its own stack; `bootstrap` needs no credentials and has all rights."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.endpoint = self._endpoint()

    def _endpoint(self) -> KafkaEndpoint:
        endpoint = self.stack.endpoints().kafka
        assert endpoint is not None
        return endpoint

    @property
    def bootstrap(self) -> str:
        return self.endpoint.bootstrap

    @property
    def sasl(self) -> SaslAccess:
        """The listener with accounts; only of a server made with `sasl=True`."""
        assert self.endpoint.sasl is not None
        return self.endpoint.sasl

    @property
    def tls(self) -> Mapping[str, str]:
        """The listeners with TLS by name."""
        return self.endpoint.tls

    def stop(self, *, kill: bool = False) -> None:
        """Stop all brokers cleanly, or with SIGKILL."""
        self.stack.down("kafka", kill=kill)

    def start(self) -> None:
        """Start all brokers that do not run, on the same ports."""
        self.stack.up("kafka")
        self.endpoint = self._endpoint()

    def restart(self, *, kill: bool = False) -> None:
        self.stop(kill=kill)
        self.start()


class ZookeeperServer:
    """A ZooKeeper server of its own stack, with a tick of 500 ms: sessions last 1 to 10 s."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.endpoint = self._endpoint()

    def _endpoint(self) -> ZookeeperEndpoint:
        endpoint = self.stack.endpoints().zookeeper
        assert endpoint is not None
        return endpoint

    @property
    def hosts(self) -> str:
        return self.endpoint.hosts

    def ensemble(self, **settings: Any) -> ZooKeeper:
        """Settings for it: sessions of 3 s and a chroot of its own, unless said otherwise."""
        chroot = f"/t{secrets.token_hex(4)}"
        return ZooKeeper(**({"hosts": [self.hosts], "session_timeout": "3s", "chroot": chroot} | settings))

    @property
    def secure(self) -> str:
        """Its TLS port; only of a server made with a certificate."""
        assert self.endpoint.secure is not None
        return self.endpoint.secure

    def show(self, certificate: Certificate) -> None:
        """New connections see this one; of a server with client.certReload=true, which reads the file by itself."""
        shown = certificate.cert.read_text()
        write(self.stack.folder / "zookeeper/keystore.pem", certificate.key.read_text() + shown)

        def is_shown() -> bool:
            with suppress(OSError):  # as it reads the file it may not answer
                return ssl.get_server_certificate(parse_endpoint(self.secure), timeout=5) == shown
            return False

        until(is_shown)

    def stop(self, *, kill: bool = False) -> None:
        self.stack.down("zookeeper", kill=kill)

    def start(self) -> None:
        """Start it again, on the same port."""
        self.stack.up("zookeeper")
        self.endpoint = self._endpoint()

    def restart(self, *, kill: bool = False) -> None:
        self.stop(kill=kill)
        self.start()

    def wipe(self) -> None:
        """Start it again with nothing in it: transaction ids and versions begin anew."""
        self.stop(kill=True)
        self.stack.wipe_zookeeper()
        self.start()

    def pause(self) -> None:
        """SIGSTOP: it keeps its connections and says nothing."""
        self.stack.signal("zookeeper", signal.SIGSTOP)

    def resume(self) -> None:
        self.stack.signal("zookeeper", signal.SIGCONT)


class MysqlFactory(Protocol):
    """`mysql_server("mariadb-11.8", binlog_format="STATEMENT")`: mysqld options by name, `_` for `-`."""

    def __call__(self, flavour: str = NEWEST, /, **options: str | int) -> MysqlServer: ...


class MariadbFactory(Protocol):
    """`mariadb("10.11")`: 10.5, 10.11 or 11.8."""

    def __call__(self, version: str) -> MysqlServer: ...


class KafkaFactory(Protocol):
    """`kafka_server({"message.max.bytes": "2000"}, brokers=3, sasl=True, tls={"own": (ca, cert, key)})`."""

    def __call__(
        self,
        overrides: dict[str, str] | None = None,
        *,
        brokers: int = 1,
        sasl: bool = False,
        tls: Mapping[str, Sequence[str]] | None = None,
    ) -> KafkaServer: ...


class ZookeeperFactory(Protocol):
    """`zookeeper_server({"maxClientCnxns": "3"}, certificate=(ca, cert, key))`: settings of zoo.cfg, PEM files of a TLS port."""

    def __call__(
        self,
        overrides: dict[str, str] | None = None,
        *,
        certificate: tuple[str, str, str] | None = None,
        accounts: dict[str, str] | None = None,
    ) -> ZookeeperServer: ...


class Stacks:
    """The stacks of one fixture scope: made on demand, one for each distinct set of settings, destroyed together."""

    def __init__(self) -> None:
        self._made: dict[object, Stack] = {}

    def get(self, settings: object, start: Callable[[Stack], Any]) -> Stack:
        key = repr(settings)
        if key not in self._made:
            stack = Stack(f"test-{os.getpid()}-{secrets.token_hex(3)}", owned=True)
            self._made[key] = stack  # before the start: a failed one is destroyed too
            start(stack)
        return self._made[key]

    def mysql(self, flavour: str = NEWEST, /, **options: str | int) -> MysqlServer:
        named = tuple(f"--{name.replace('_', '-')}={value}" for name, value in options.items())
        settings = MysqlSettings(named, flavour)
        return MysqlServer(self.get(settings, lambda stack: stack.up("mysql", mysql=settings)))

    def kafka(
        self,
        overrides: dict[str, str] | None = None,
        *,
        brokers: int = 1,
        sasl: bool = False,
        tls: Mapping[str, Sequence[str]] | None = None,
    ) -> KafkaServer:
        settings = KafkaSettings(brokers=brokers, sasl=sasl, tls=tls or {}, overrides=overrides or {})
        return KafkaServer(self.get(settings, lambda stack: stack.up("kafka", kafka=settings)))

    def zookeeper(
        self,
        overrides: dict[str, str] | None = None,
        *,
        certificate: tuple[str, str, str] | None = None,
        accounts: dict[str, str] | None = None,
    ) -> ZookeeperServer:
        settings = ZookeeperSettings(overrides or {}, certificate, accounts or {})
        return ZookeeperServer(self.get(settings, lambda stack: stack.up("zookeeper", zookeeper=settings)))

    def destroy(self) -> None:
        for stack in self._made.values():
            stack.destroy()
