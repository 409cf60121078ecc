"""What MySQL and the way to it answer when something is wrong, as findings. Pure.

Codes: MySQL error message reference, https://dev.mysql.com/doc/mysql-errors/9.7/en/server-error-reference.html
"""

import socket
import ssl
from collections.abc import Sequence

import pymysql

from cdcd.errors import Finding, FindingClass
from cdcd.tls import Objection, objection, reason_of, refuses_ours

LOST = frozenset({1053, 1077, 1079, 1080, 1152, 1158, 1159, 1160, 1161, 1184, 1317, 1927, 2006, 2013, 2055, 3169})
_REFUSED: tuple[tuple[frozenset[int], str, FindingClass, str], ...] = (
    (
        frozenset({1045, 1698, 1862, 1820, 3118, 3955}),
        "access-denied",
        "operator",
        "Correct user and password of source.credential; an account with REQUIRE X509, ISSUER or SUBJECT also wants tls.cert",
    ),
    (
        frozenset({2059, 2061}),
        "access-denied",
        "operator",
        "Give the account an authentication plugin that PyMySQL has, such as caching_sha2_password",
    ),
    (
        frozenset({1129, 1130}),
        "access-denied",
        "operator",
        "Allow this machine's address for the account on the server",
    ),
    (
        frozenset({2026}),
        "tls-failed",
        "operator",
        "Offer TLS on the server, or set tls.mode to disabled on a network you trust",
    ),
    (
        frozenset({3159}),
        "tls-failed",
        "operator",
        "Ask for TLS here: set tls.mode to verify-identity",
    ),
    (
        frozenset({1040, 1203, 1226, 3032}),
        "source-busy",
        "retry",
        "Raise the server's or the account's limit of connections",
    ),
)
_UNTRUSTED: dict[Objection, tuple[str, FindingClass, str, str]] = {
    "time": (
        "tls-expired",
        "retry",
        "is not valid at this time",
        "Load a new one there (ALTER INSTANCE RELOAD TLS): it is tried again by itself. Or is it this machine's clock?",
    ),
    "name": (
        "tls-untrusted",
        "operator",
        "is made for other host names",
        "Set source.host to a name that is in it, or give the server one with that name; tls.mode verify-ca checks no name",
    ),
    "issuer": (
        "tls-untrusted",
        "operator",
        "is not signed by an authority that is trusted",
        "Set tls.ca to the file of the authority that signed it",
    ),
}
NO_RIGHTS = frozenset({1044, 1142, 1143, 1227, 1370})


PRIVILEGES = ("REPLICATION SLAVE", "REPLICATION CLIENT", "SELECT")


def grants(user: str, privileges: Sequence[str] = PRIVILEGES) -> str:
    """The statement that gives `user`, as 'name'@'host' or a bare name, what cdcd needs."""
    account = user if "@" in user else f"'{user}'@'<host>'"
    return f"GRANT {', '.join(privileges)} ON *.* TO {account}"


def error_code(error: BaseException | None) -> int:
    """MySQL's number of a PyMySQL error; 0 where it has none."""
    code = error.args[0] if isinstance(error, pymysql.err.Error) and error.args else 0
    return code if isinstance(code, int) else 0


def source_finding(source: str, user: str, error: Exception) -> Finding:
    """The finding for whatever PyMySQL raised while talking to `source` (`host:port`) as `user`."""
    cause = getattr(error, "original_exception", error)
    if refuses_ours(error.__context__):  # with TLS 1.3 it is heard after the handshake, when the connection is lost
        return _certificate_finding(source, error.__context__)
    if isinstance(cause, OSError):
        return _network_finding(source, cause)
    return server_finding(source, user, error_code(error), str(error.args[-1] if error.args else error))


def tls_files_finding(source: str, names: str, error: OSError) -> Finding:
    what = f"the TLS files for MySQL at {source} ({names}) cannot be used: {error.strerror or error}"
    return Finding(
        "tls-files",
        "operator",
        what,
        "Name readable files in PEM form, the key that of the certificate and without a passphrase",
    )


def rights_finding(what: str, user: str) -> Finding:
    return Finding("privilege-missing", "operator", what, f"Run as an administrator: {grants(user)}")


def lost_finding(source: str, reason: str) -> Finding:
    what = f"the connection to MySQL at {source} was lost: {reason}"
    return Finding("source-lost", "retry", what, "cdcd connects again by itself; look at that server if it stays away")


def _network_finding(source: str, error: OSError) -> Finding:
    if isinstance(error, ssl.SSLCertVerificationError):
        code, kind, why, remedy = _UNTRUSTED[objection(error)]
        return Finding(code, kind, f"the certificate of MySQL at {source} {why}: {reason_of(error)}", remedy)
    if refuses_ours(error):
        return _certificate_finding(source, error)
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
        what = f"no TLS session with MySQL at {source}: {error.strerror or error}"
        return Finding("tls-failed", "operator", what, "Check tls.cert and tls.key, and the server's TLS versions")
    if isinstance(error, socket.gaierror):
        what = f"unknown host: the name in {source} cannot be resolved ({error.strerror})"
        return Finding("source-unknown-host", "retry", what, "Correct source.host, or mend the name service")
    what = f"MySQL at {source} cannot be reached: {error.strerror or error or type(error).__name__}"
    return Finding("source-unreachable", "retry", what, "Check source.host, source.port, the server and the firewall")


def _certificate_finding(source: str, error: object) -> Finding:
    what = f"MySQL at {source} refuses our certificate, or asks for one: {error}"
    return Finding(
        "tls-failed", "operator", what, "Set tls.cert and tls.key to a certificate that the server's ssl_ca signed"
    )


def server_finding(source: str, user: str, code: int, text: str) -> Finding:
    """The finding for an error that the server itself (or PyMySQL, from 2000 on) reports."""
    if not code:
        what = f"what answers at {source} does not speak MySQL's protocol: {text}"
        return Finding("source-error", "retry", what, "Check source.host and source.port")
    if code in LOST:
        return lost_finding(source, f"{text} (error {code})")
    said = f"MySQL at {source} says to user {user!r}: {text} (error {code})"
    if code in NO_RIGHTS:
        return rights_finding(said, user)
    for codes, name, kind, remedy in _REFUSED:
        if code in codes:
            return Finding(name, kind, said, remedy)
    return Finding("source-error", "retry", said, "See the server's error log; cdcd tries again")
