"""Where the servers of a stack answer: what callers get back from `up`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

LOOPBACK = "127.0.0.1"
USER = "admin"
PASSWORD = "sandbox"  # noqa: S105 - throw-away servers on the loopback address


@dataclass(frozen=True, slots=True)
class MysqlEndpoint:
    """A server that speaks MySQL's protocol; `user` has all rights."""

    flavour: str
    """mysql-9.7 ...: a key of `deploy.stack.mysql.FLAVOURS`."""
    port: int
    data_dir: Path
    binlog_dir: Path
    bin_dir: Path
    """Holds the server's own `mysql`, `mysqlbinlog`, `mysqladmin` and `mysqldump`; mysql-5.6 comes without them."""
    ca: Path
    """Certificate of the authority that signed the server's: the one that was given, or its own, which names no host; of the others only MySQL 9.7 has one."""
    host: str = LOOPBACK
    user: str = USER
    password: str = PASSWORD

    def assignments(self) -> Iterator[tuple[str, str]]:
        yield "MYSQL_FLAVOUR", self.flavour
        yield "MYSQL_HOST", self.host
        yield "MYSQL_PORT", str(self.port)
        yield "MYSQL_USER", self.user
        yield "MYSQL_PASSWORD", self.password
        yield "MYSQL_DATA_DIR", str(self.data_dir)
        yield "MYSQL_BINLOG_DIR", str(self.binlog_dir)
        yield "MYSQL_BIN", str(self.bin_dir)
        yield "MYSQL_CA", str(self.ca)


@dataclass(frozen=True, slots=True)
class ZookeeperEndpoint:
    """A single ZooKeeper server; `secure` is its TLS port, if it has one."""

    hosts: str
    secure: str | None = None

    def assignments(self) -> Iterator[tuple[str, str]]:
        yield "ZOOKEEPER_HOSTS", self.hosts
        if self.secure:
            yield "ZOOKEEPER_SECURE_HOSTS", self.secure


@dataclass(frozen=True, slots=True)
class SaslAccess:
    """The SASL_PLAINTEXT / PLAIN listener of `--kafka-sasl`: one account with all rights, one with none."""

    bootstrap: str
    admin_user: str = "admin"
    admin_password: str = "admin-secret"  # noqa: S105
    limited_user: str = "limited"
    limited_password: str = "limited-secret"  # noqa: S105

    def assignments(self) -> Iterator[tuple[str, str]]:
        yield "KAFKA_SASL_BOOTSTRAP", self.bootstrap
        yield "KAFKA_SASL_MECHANISM", "PLAIN"
        yield "KAFKA_ADMIN_USER", self.admin_user
        yield "KAFKA_ADMIN_PASSWORD", self.admin_password
        yield "KAFKA_LIMITED_USER", self.limited_user
        yield "KAFKA_LIMITED_PASSWORD", self.limited_password


@dataclass(frozen=True, slots=True)
class KafkaEndpoint:
    """A Kafka cluster. `bootstrap` needs no credentials and, with `sasl`, still has all rights. `tls`: the listeners with TLS by name."""

    bootstrap: str
    sasl: SaslAccess | None = None
    tls: Mapping[str, str] = field(default_factory=dict)

    def assignments(self) -> Iterator[tuple[str, str]]:
        yield "KAFKA_BOOTSTRAP", self.bootstrap
        if self.sasl:
            yield from self.sasl.assignments()
        for name, bootstrap in self.tls.items():
            yield f"KAFKA_{name.upper().replace('-', '_')}_BOOTSTRAP", bootstrap


Endpoint = MysqlEndpoint | ZookeeperEndpoint | KafkaEndpoint


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Everything a stack has; None for a service that was never asked for."""

    mysql: MysqlEndpoint | None = None
    zookeeper: ZookeeperEndpoint | None = None
    kafka: KafkaEndpoint | None = None

    def assignments(self) -> Iterator[tuple[str, str]]:
        for endpoint in (self.mysql, self.zookeeper, self.kafka):
            if endpoint:
                yield from endpoint.assignments()
