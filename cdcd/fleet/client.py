"""kazoo, set up as cdcd needs it: login, access rights, TLS with host name check, reconnects, logs."""

import ssl
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any

import structlog
from kazoo.client import KazooClient
from kazoo.handlers.threading import SequentialThreadingHandler
from kazoo.retry import KazooRetry
from kazoo.security import CREATOR_ALL_ACL, OPEN_ACL_UNSAFE

from cdcd.config.secrets import Credentials, Login
from cdcd.config.section import NO_PASSPHRASE
from cdcd.config.zookeeper import ZooKeeper, ZooKeeperTls
from cdcd.fleet.trouble import sasl_missing, tls_files
from cdcd.observe.repeats import Repeats, told_again

LONGEST_PAUSE = 1.0
"""Between two attempts to connect; kazoo's own limit is an hour."""


def make_client(
    ensemble: ZooKeeper, credentials: Credentials, log: "ClientLog", session: tuple[int, bytes] | None = None
) -> KazooClient:
    """A client that is not started.

    FindingError (operator) where the credential is missing or may not be sent there, or a certificate cannot be used.
    """
    auth, tls = ensemble.auth, ensemble.tls
    if ensemble.effective_encryption == "tls":
        _check_files(tls)
    login = _login(ensemble, credentials)
    digest = [("digest", f"{login.user}:{login.password}")] if auth and login and auth.scheme == "digest" else None
    return KazooClient(
        hosts=",".join(map(str, ensemble.endpoints)),
        timeout=ensemble.session_timeout,
        client_id=session,
        handler=_Handler(ensemble.session_timeout / len(ensemble.hosts), log),
        default_acl=OPEN_ACL_UNSAFE if auth is None else CREATOR_ALL_ACL,
        auth_data=digest,
        sasl_options=_sasl(login) if auth and login and auth.scheme == "sasl" else None,
        connection_retry=KazooRetry(max_tries=-1, delay=0.05, max_delay=LONGEST_PAUSE),
        logger=log,
        use_ssl=ensemble.effective_encryption == "tls",
        ca=None if tls.ca is None else str(tls.ca),
        certfile=None if tls.cert is None else str(tls.cert),
        keyfile=None if tls.key is None else str(tls.key),
        keyfile_password=NO_PASSPHRASE,
        check_hostname=True,
    )


def _check_files(tls: ZooKeeperTls) -> None:
    """Kazoo reads them with each connection, and takes a wrong one for a server that is away."""
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if tls.ca is not None:
            context.load_verify_locations(tls.ca)
        if tls.cert is not None:
            context.load_cert_chain(tls.cert, tls.key, NO_PASSPHRASE)
    except OSError as error:
        raise tls_files(tls, error) from error


def _login(ensemble: ZooKeeper, credentials: Credentials) -> Login | None:
    """The same for all servers; each must be one that the credential may be sent to."""
    if ensemble.auth is None or ensemble.auth.credential is None:
        return None
    credential = credentials.load(ensemble.auth.credential)
    logins = [credential.login_for(*endpoint) for endpoint in ensemble.endpoints]
    return logins[0]


def _sasl(login: Login) -> dict[str, str]:
    if find_spec("puresasl") is None:
        raise sasl_missing()
    return {"mechanism": "DIGEST-MD5", "username": login.user, "password": login.password}


class _Handler(SequentialThreadingHandler):
    """Threads and sockets. One server that swallows packets must not use up the session while another would answer."""

    def __init__(self, longest_connect: float, log: "ClientLog") -> None:
        super().__init__()
        self._longest_connect = longest_connect
        self._log = log

    def create_connection(self, *args: Any, **options: Any) -> Any:
        options["timeout"] = min(options.get("timeout") or self._longest_connect, self._longest_connect)
        try:
            return super().create_connection(*args, **options)
        except OSError as error:
            self._log.refused(error)
            raise


class ClientLog:
    """The logger that kazoo writes to. Its lines of every request are dropped, the rest is `zookeeper.client`.

    It also catches what kazoo tells nobody else: the negotiated session timeout, and why the last attempt failed.
    """

    def __init__(
        self, name: str, negotiated: Callable[[float], None] = lambda _: None, failed: Callable[[], None] = lambda: None
    ) -> None:
        self._log = structlog.get_logger().bind(session=name)
        self._negotiated = negotiated
        self._failed = failed
        self.last_failure = ""
        self.refusal: OSError | None = None
        """With which the last attempt ended, if no connection came about."""
        self.untrusted = 0
        """Attempts in a row that ended because of the server's certificate."""
        self._repeats = Repeats()
        self.info = partial(self._write, "debug")
        self.warning = self.warn = partial(self._write, "warning")
        self.error = partial(self._write, "error")

    def log(self, level: int, message: str, *arguments: object) -> None:
        """Of the finest level but for one line: the session is made, its callbacks not called yet."""
        del level
        if message.startswith("Session created"):
            self.last_failure, self.refusal, self.untrusted = "", None, 0
            milliseconds = arguments[2]
            assert isinstance(milliseconds, int)
            self._negotiated(milliseconds / 1000)

    def refused(self, error: OSError) -> None:
        """No connection came about."""
        self.refusal = error
        self.untrusted = self.untrusted + 1 if isinstance(error, ssl.SSLCertVerificationError) else 0

    def debug(self, message: str, *arguments: object) -> None:
        """One for each request and answer."""

    def exception(self, message: str, *arguments: object) -> None:
        self._log.error("zookeeper.client", reason=message % arguments, exc_info=True)

    def _write(self, level: str, message: str, *arguments: object) -> None:
        text = message % arguments if arguments else message
        if message.startswith(("Connection dropped", "Connection time-out", "Cannot resolve", "AUTH_FAILED")):
            self.last_failure = text
            self._failed()
        untold = self._repeats.new(text) if level == "warning" else 0
        if untold is None:
            level, untold = "debug", 0
        getattr(self._log, level)("zookeeper.client", reason=text, **told_again(untold))
