"""Endpoints, TLS and control connections.

A control connection asks short questions (server variables, information_schema). It is never the dump's own.
"""

import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, NoReturn, Self

import pymysql
from pymysql.connections import Connection as ClientConnection
from pymysql.cursors import Cursor

from cdcd.config.network import is_loopback
from cdcd.config.section import NO_PASSPHRASE
from cdcd.errors import FindingError
from cdcd.mysql.findings import source_finding, tls_files_finding

TlsMode = Literal["verify-identity", "verify-ca", "disabled"]
Row = tuple[Any, ...]

BETRAYING = ("mysql_clear_password", "dialog", "mysql_old_password")
"""Authentication plugins that send the password as it is, or in the form of MySQL 4.0, from which it can be found."""
_PLUGIN_ERROR = 2061
"""CR_AUTH_PLUGIN_ERR of the client error reference."""

CONNECT_SECONDS = 10.0
QUERY_SECONDS = 60.0
"""SHOW BINARY LOGS opens each file: thousands of them take seconds on a cold disk."""


@dataclass(frozen=True, slots=True)
class Tls:
    """How the connection is protected; paths are files in PEM form."""

    mode: TlsMode = "verify-identity"
    ca: str | None = None
    """Trusted issuers; None: the system's."""
    cert: str | None = None
    key: str | None = None

    @property
    def files(self) -> str:
        named = {"tls.ca": self.ca, "tls.cert": self.cert, "tls.key": self.key}
        return ", ".join(f"{name} {path}" for name, path in named.items() if path is not None)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A MySQL server and the account to read it with."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    tls: Tls | None = None
    """None: nothing was said, so plain text to a loopback address and `verify-identity` to every other host."""

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def protection(self) -> Tls:
        if self.tls is not None:
            return self.tls
        return Tls("disabled") if is_loopback(self.host) else Tls()


def tls_context(tls: Tls) -> ssl.SSLContext | None:
    """One context that PyMySQL uses as it is, so that TLS is required and verified; None where it is disabled.

    Raises OSError (or its subclass ssl.SSLError) for files that cannot be read.
    """
    if tls.mode == "disabled":
        return None
    context = ssl.create_default_context(cafile=tls.ca)
    context.check_hostname = tls.mode == "verify-identity"
    # Python 3.13 sets it by default; the certificates that MySQL makes for itself lack the extensions it asks for.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if tls.cert is not None:
        context.load_cert_chain(tls.cert, tls.key, NO_PASSPHRASE)
    return context


class _Refused:
    """To PyMySQL the implementation of an authentication plugin.

    A server that asks for it gets nothing: without TLS it may be somebody else's, in place of the real one.
    """

    def __init__(self, client: object) -> None:
        """`client`: the connection, which is not used."""

    def authenticate(self, packet: object) -> NoReturn:
        del packet
        raise pymysql.err.OperationalError(
            _PLUGIN_ERROR, "send the password in clear text, or in a form that betrays it: it is not sent without TLS"
        )


def client_settings(endpoint: Endpoint, query_seconds: float = QUERY_SECONDS) -> dict[str, Any]:
    """Keyword arguments of PyMySQL's Connection; a new dictionary each time (mysql-replication alters it)."""
    try:
        context = tls_context(endpoint.protection)
    except OSError as error:
        raise FindingError(tls_files_finding(str(endpoint), endpoint.protection.files, error)) from error
    return {
        "host": endpoint.host,
        "port": endpoint.port,
        "user": endpoint.user,
        # As bytes: PyMySQL would encode a str as latin1.
        "password": endpoint.password.encode(),
        "charset": "utf8mb4",
        "autocommit": True,
        "program_name": "cdcd",
        "connect_timeout": CONNECT_SECONDS,
        "read_timeout": query_seconds,
        "write_timeout": query_seconds,
        "auth_plugin_map": dict.fromkeys(BETRAYING if context is None else (), _Refused),
        **({"ssl_disabled": True} if context is None else {"ssl": context}),
    }


@contextmanager
def source_errors(endpoint: Endpoint) -> Iterator[None]:
    """Turn what PyMySQL raises into a FindingError that names the server."""
    try:
        yield
    except (pymysql.err.Error, OSError) as error:
        raise FindingError(source_finding(str(endpoint), endpoint.user, error)) from error


class Connection:
    """A read-only session for control queries. One thread at a time; every error is a FindingError."""

    def __init__(self, endpoint: Endpoint, client: "ClientConnection[Cursor]") -> None:
        self.endpoint = endpoint
        self._client = client

    def rows(self, sql: str, args: Sequence[object] = ()) -> list[Row]:
        with source_errors(self.endpoint), self._client.cursor() as cursor:
            cursor.execute(sql, args or None)
            return list(cursor.fetchall())

    def row(self, sql: str, args: Sequence[object] = ()) -> Row | None:
        """The first row, or None where there is none."""
        found = self.rows(sql, args)
        return found[0] if found else None

    def records(self, sql: str, args: Sequence[object] = ()) -> list[dict[str, Any]]:
        """Rows by lower-case column name: statements of one name differ in their columns between server versions."""
        with source_errors(self.endpoint), self._client.cursor() as cursor:
            cursor.execute(sql, args or None)
            names = [column[0].lower() for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def close(self) -> None:
        with suppress(pymysql.err.Error, OSError):
            self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def connect(endpoint: Endpoint, query_seconds: float = QUERY_SECONDS) -> Connection:
    """Log in. Raises FindingError: unknown host, refused, not trusted, wrong password ..."""
    settings = client_settings(endpoint, query_seconds)
    with source_errors(endpoint):
        return Connection(endpoint, ClientConnection(**settings, init_command="SET SESSION TRANSACTION READ ONLY"))


def quote_identifier(name: str) -> str:
    """`name` as an SQL identifier (MySQL manual, "Schema Object Names"); the only place that quotes one."""
    if not name or "\0" in name:
        raise ValueError(f"not an identifier: {name!r}")
    return "`" + name.replace("`", "``") + "`"
