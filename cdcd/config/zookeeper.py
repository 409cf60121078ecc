"""The ZooKeeper ensemble of a server's settings."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, model_validator
from pydantic_settings import NoDecode

from cdcd.config.fields import NOT_EMPTY, Duration, Name, duration_between
from cdcd.config.network import Endpoint, is_loopback, parse_endpoint
from cdcd.config.problems import broken_rule
from cdcd.config.section import ClientTls, Section, split_list, with_port

_CHROOT = re.compile(r"(/[A-Za-z0-9][A-Za-z0-9._-]{0,62}){1,8}", re.ASCII)


def _chroot(path: str) -> str:
    if not _CHROOT.fullmatch(path):
        raise ValueError("must be a path such as /cdcd: names of letters, digits, `.`, `_`, `-`")
    return path


class ZooKeeperAuth(Section):
    """How cdcd proves who it is to ZooKeeper; what it creates is then its own alone."""

    scheme: Literal["digest", "sasl", "x509"]
    """`digest`: user and password; `sasl`: DIGEST-MD5 with user and password; `x509`: the certificate of `tls`."""
    credential: Name | None = None
    """Name of the credential that holds user, password and the servers they may be sent to; for `digest` and `sasl`."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.credential is None) != (self.scheme == "x509"):
            needs = "is required" if self.credential is None else "does not go with scheme x509"
            raise broken_rule("credential", needs)
        return self


class ZooKeeperTls(ClientTls):
    """Certificates for ZooKeeper. The server's certificate and the host name in it are always checked."""


class ZooKeeper(Section):
    """The ZooKeeper ensemble that coordinates the fleet."""

    hosts: Annotated[
        tuple[Annotated[str, AfterValidator(with_port)], ...], BeforeValidator(split_list), NoDecode, NOT_EMPTY
    ]
    """Servers as `host:port`; a list, or text with commas."""
    chroot: Annotated[str, AfterValidator(_chroot)] = "/cdcd"
    """Where the fleet's tree stands; made if it is not there."""
    session_timeout: Annotated[Duration, duration_between("1s", "5m")] = 10.0
    """After this time without a sign of life ZooKeeper gives a server's instances away; the lease is two thirds of it. ZooKeeper allows 2 to 20 of its ticks."""
    encryption: Literal["tls", "plaintext"] | None = None
    """Without it `tls`, but plain text if all hosts are loopback addresses. Plain text to another host is used only where this says so."""
    tls: ZooKeeperTls = ZooKeeperTls()
    auth: ZooKeeperAuth | None = None
    """Without it everybody who reaches ZooKeeper can change the tree; cdcd warns."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.effective_encryption == "plaintext" and (self.tls.ca or self.tls.cert):
            raise broken_rule("tls", "does not go with encryption plaintext")
        if self.auth is not None and self.auth.scheme == "x509" and self.tls.cert is None:
            raise broken_rule("tls", "needs a client certificate for auth.scheme x509")
        return self

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """`hosts`, taken apart."""
        return tuple(parse_endpoint(host) for host in self.hosts)

    @property
    def effective_encryption(self) -> Literal["tls", "plaintext"]:
        """`encryption`, or what holds where nothing is said."""
        if self.encryption is not None:
            return self.encryption
        return "plaintext" if all(is_loopback(endpoint.host) for endpoint in self.endpoints) else "tls"
