"""The Kafka clusters of a server's settings."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_settings import NoDecode

from cdcd.config.fields import NOT_EMPTY, Duration, Name, Size, duration_between, size_between
from cdcd.config.network import Endpoint, is_loopback, parse_endpoint
from cdcd.config.problems import broken_rule
from cdcd.config.secrets import Credentials
from cdcd.config.section import ClientTls, Section, split_list, with_port

SecurityProtocol = Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"]

ALLOWED_OPTIONS = frozenset({
    "broker.address.family", "broker.address.ttl", "client.rack", "connections.max.idle.ms", "metadata.max.age.ms",
    "reconnect.backoff.max.ms", "reconnect.backoff.ms", "socket.connection.setup.timeout.ms",
    "socket.keepalive.enable", "socket.receive.buffer.bytes", "socket.send.buffer.bytes", "ssl.cipher.suites",
    "ssl.curves.list", "ssl.sigalgs.list", "topic.metadata.refresh.interval.ms",
})  # fmt: skip
"""librdkafka's properties that suit every client and only tune.

Not here: what decides where secrets go, loads code, breaks a guarantee, or is set by cdcd itself.
"""


def _option_text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int):
        return str(value)
    raise ValueError('must be text, a number, true or false; in TOML its name needs quotes: "client.rack" = "a"')


def _allowed(options: dict[str, str]) -> dict[str, str]:
    if refused := sorted(set(options) - ALLOWED_OPTIONS):
        raise ValueError(
            f"{', '.join(option[:80] for option in refused)} cannot be set here; these librdkafka properties can: "
            + ", ".join(sorted(ALLOWED_OPTIONS))
        )
    return options


class Sasl(Section):
    """How cdcd proves who it is to Kafka."""

    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    """SASL mechanism."""
    credential: Name
    """Name of the credential that holds user, password and the brokers they may be sent to."""


class KafkaTls(ClientTls):
    """Certificates for Kafka. The broker's certificate and the host name in it are always checked."""


class KafkaCluster(Section):
    """A Kafka cluster that definitions name in `sink.kafka`."""

    bootstrap_servers: Annotated[
        tuple[Annotated[str, AfterValidator(with_port)], ...], BeforeValidator(split_list), NoDecode, NOT_EMPTY
    ]
    """Brokers to ask first, as `host:port`; a list, or text with commas."""
    security_protocol: SecurityProtocol | None = None
    """Without it `ssl` (`sasl_ssl` with `sasl`), but plain text if all bootstrap servers are loopback addresses. Plain text to another host is used only where this says so."""
    sasl: Sasl | None = None
    tls: KafkaTls = KafkaTls()
    options: Annotated[dict[str, Annotated[str, BeforeValidator(_option_text)]], AfterValidator(_allowed)] = Field(
        default={}
    )
    """Further librdkafka properties, from a list of those that tune."""
    replication: Annotated[int, Field(ge=1, le=100)] | None = None
    """Replicas of topics that cdcd creates, where the definition does not say; without one the broker's own default."""
    transaction_timeout: Annotated[Duration, duration_between("1s", "15m")] = 30.0
    """After this time the broker aborts a transaction whose owner died; until then it holds back read_committed readers, unless a new owner comes. 15 s to 60 s suit most."""
    message_max_bytes: Annotated[Size, size_between("1KiB", "900MiB")] = 1_000_000
    """Largest message with its key; brokers and topics have a limit of their own (`max.message.bytes`)."""
    queue_memory: Annotated[Size, size_between("1MiB", "1GiB")] = 64 << 20
    """Most that an instance's producer holds in memory."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        protocol = self.effective_security_protocol
        if protocol.startswith("sasl") != (self.sasl is not None):
            raise broken_rule("sasl", f"does not go with security_protocol {protocol}")
        if (self.tls.ca or self.tls.cert) and not protocol.endswith("ssl"):
            raise broken_rule("tls", f"does not go with security_protocol {protocol}")
        return self

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """`bootstrap_servers`, taken apart."""
        return tuple(parse_endpoint(server) for server in self.bootstrap_servers)

    @property
    def effective_security_protocol(self) -> SecurityProtocol:
        """`security_protocol`, or what holds where nothing is said."""
        if self.security_protocol is not None:
            return self.security_protocol
        if all(is_loopback(endpoint.host) for endpoint in self.endpoints):
            return "sasl_plaintext" if self.sasl else "plaintext"
        return "sasl_ssl" if self.sasl else "ssl"


def client_properties(cluster: KafkaCluster, credentials: Credentials) -> dict[str, str]:
    """What every librdkafka client of the cluster needs: servers, TLS, SASL, `options`.

    FindingError (operator) if there is no such credential or it may not be sent to one of the bootstrap servers.
    (Brokers that those name are trusted as they are.)
    """
    return {
        **cluster.options,
        "bootstrap.servers": ",".join(map(str, cluster.endpoints)),
        "security.protocol": cluster.effective_security_protocol,
        **_tls_properties(cluster.tls),
        **(_sasl_properties(cluster, cluster.sasl, credentials) if cluster.sasl else {}),
    }


def _tls_properties(tls: KafkaTls) -> dict[str, str]:
    files = {"ssl.ca.location": tls.ca, "ssl.certificate.location": tls.cert, "ssl.key.location": tls.key}
    return {
        "enable.ssl.certificate.verification": "true",
        "ssl.endpoint.identification.algorithm": "https",
        **{name: str(path) for name, path in files.items() if path is not None},
    }


def _sasl_properties(cluster: KafkaCluster, sasl: Sasl, credentials: Credentials) -> dict[str, str]:
    credential = credentials.load(sasl.credential)
    logins = [credential.login_for(*endpoint) for endpoint in cluster.endpoints]
    return {"sasl.mechanism": sasl.mechanism, "sasl.username": logins[0].user, "sasl.password": logins[0].password}
