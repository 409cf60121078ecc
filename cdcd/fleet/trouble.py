"""What can be wrong with ZooKeeper, told apart: each finding says what to do about it (docs/findings.md)."""

import socket
import ssl
from collections.abc import Sequence
from typing import Literal

from cdcd.config.network import Endpoint
from cdcd.config.zookeeper import ZooKeeper, ZooKeeperTls
from cdcd.errors import Finding, FindingError
from cdcd.tls import objection, reason_of, refuses_ours, speaks_tls

PROBE_SECONDS = 1.0


class ZooKeeperAway(FindingError):
    """No answer; class `retry`. A write that was under way may or may not have been done: read again."""


class NoRights(FindingError):
    """The access control list of one node lets this account do something less than was asked for; class `operator`."""


def away(code: str, what: str, remedy: str) -> ZooKeeperAway:
    return ZooKeeperAway(Finding(code, "retry", what, remedy))


def slow(seconds: float) -> ZooKeeperAway:
    return away(
        "zookeeper-slow",
        f"ZooKeeper is connected but did not answer within {seconds:.1f} s",
        "Look at the ensemble's disks (its log warns of slow fsync), its load and its garbage collection.",
    )


def suspended(last: str) -> ZooKeeperAway:
    return away(
        "zookeeper-lost",
        f"The connection to ZooKeeper broke{f' ({last})' if last else ''}",
        "It is made again by itself; if this comes again and again, look at the ensemble's log and the network.",
    )


def no_rights(path: str) -> NoRights:
    return NoRights(
        Finding(
            "zookeeper-no-rights",
            "operator",
            f"ZooKeeper's access control list of {path} gives this account no right to do that",
            "Set `zookeeper.auth` to the account that made the tree, or have that account change the list (setAcl -R).",
        )
    )


def unexpected(path: str, error: str) -> ZooKeeperAway:
    return away(
        "zookeeper-error",
        f"ZooKeeper answered {error} when asked for {path}",
        "Look at the ensemble's log; it is tried again by itself.",
    )


def auth_failed(last: str) -> FindingError:
    return _operator(
        "zookeeper-auth-failed",
        f"ZooKeeper refuses the login{f': {last}' if last else ''}",
        "Check user and password of the credential that `zookeeper.auth` names, and the ensemble's JAAS configuration.",
    )


def sasl_missing() -> FindingError:
    return _operator(
        "zookeeper-sasl-missing",
        "zookeeper.auth.scheme is sasl, which needs the Python package pure-sasl",
        "Install it: pip install 'cdcd[sasl]'.",
    )


def too_large(path: str, size: int, most: int) -> FindingError:
    return _operator(
        "zookeeper-node-too-large",
        f"{path} would hold {size} bytes; ZooKeeper takes less than 1 MB a node ({most} bytes are our limit)",
        "Make it smaller: a definition can use wildcards instead of long lists of tables.",
    )


def session_timeout(asked: float, given: float) -> Finding:
    """Advice: the fleet works, with the ensemble's bound instead of the setting."""
    bound = "longest" if given < asked else "shortest"
    return Finding(
        "zookeeper-session-timeout",
        "operator",
        f"zookeeper.session_timeout is {asked:g} s, but the {bound} session that ZooKeeper allows is {given:g} s: that is used",
        "Set zookeeper.session_timeout between 2 and 20 ticks of the ensemble (tickTime), or change its minSessionTimeout or maxSessionTimeout.",
    )


def tls_files(tls: ZooKeeperTls, error: OSError) -> FindingError:
    files = ", ".join(f"{name} {path}" for name, path in tls if path is not None)
    return _operator(
        "zookeeper-tls-files",
        f"A file of `zookeeper.tls` ({files}) cannot be used: {error.strerror or error}",
        "Name readable files in PEM form, the key that of the certificate.",
    )


def unreachable(ensemble: ZooKeeper, last: str, refusal: OSError | None = None) -> FindingError:
    """Why no session came about: `last` is what the client met last, `refusal` with what its last attempt to connect ended.

    The servers are asked themselves.
    """
    hosts = ", ".join(ensemble.hosts)
    found: set[_Mode] = set()
    if ensemble.effective_encryption == "tls":
        trouble = _tls_trouble(hosts, last, refusal)
    else:
        found = _modes(ensemble.endpoints)
        trouble = None if found - {"closes"} else _tls_wanted(hosts, ensemble.endpoints)
    if trouble is not None:
        return trouble
    if "closes" in found or (not found and "connection broken" in last):
        return away(
            "zookeeper-connection-limit",
            f"ZooKeeper ({hosts}) closes new connections at once: most likely this address has as many as it may have",
            "Raise maxClientCnxns of the ensemble (60 unless set) above the number of workers and servers behind one address.",
        )
    if "read-only" in found:
        return away(
            "zookeeper-read-only",
            f"ZooKeeper ({hosts}) is read-only: the servers that can be reached are cut off from the majority",
            "Bring the majority of the ensemble back.",
        )
    if "not-serving" in found:
        return away(
            "zookeeper-not-serving",
            f"ZooKeeper ({hosts}) answers but serves nobody: it starts, or the majority of the ensemble is away",
            "Wait, or bring the majority of the ensemble back.",
        )
    return away(
        "zookeeper-unreachable",
        f"No session with ZooKeeper ({hosts}){f': {last}' if last else ''}",
        "Check `zookeeper.hosts`, that the ensemble runs, and that no firewall is in the way.",
    )


def _tls_trouble(hosts: str, last: str, refusal: OSError | None) -> FindingError | None:
    if isinstance(refusal, ssl.SSLCertVerificationError):
        return _untrusted(hosts, refusal)
    if refuses_ours(last):
        return _operator(
            "zookeeper-tls",
            f"ZooKeeper ({hosts}) refuses our certificate, or asks for one: {last}",
            "Set `zookeeper.tls.cert` and `zookeeper.tls.key` to a certificate that the ensemble's ssl.trustStore trusts.",
        )
    if isinstance(refusal, ssl.SSLError | ConnectionResetError):
        return away(
            "zookeeper-no-tls",
            f"ZooKeeper ({hosts}) breaks the TLS handshake off: {last}",
            "Name the port with TLS (secureClientPort) in `zookeeper.hosts`. There is no fall-back to plain text: on a network "
            'you trust zookeeper.encryption = "plaintext" asks for it.',
        )
    return None


def _tls_wanted(hosts: str, endpoints: Sequence[Endpoint]) -> FindingError | None:
    if not any(speaks_tls(*endpoint, PROBE_SECONDS) for endpoint in endpoints):
        return None
    return _operator(
        "zookeeper-tls",
        f"ZooKeeper ({hosts}) speaks TLS there, which is not asked for",
        'Set zookeeper.encryption = "tls", or name the port for plain text in `zookeeper.hosts`.',
    )


def _untrusted(hosts: str, error: ssl.SSLCertVerificationError) -> FindingError:
    match objection(error):
        case "time":
            return away(
                "zookeeper-tls-expired",
                f"The certificate of ZooKeeper ({hosts}) is not valid at this time: {reason_of(error)}",
                "Give the servers a new one, it is tried again by itself; if there is one, compare this machine's clock.",
            )
        case "name":
            why = "is made for other host names"
            remedy = "Use names that are in it in `zookeeper.hosts`, or give the servers one that names the hosts."
        case "issuer":
            why = "is not signed by an authority that is trusted"
            remedy = "Set `zookeeper.tls.ca` to the file of the authority that signed it."
    return _operator("zookeeper-tls", f"The certificate of ZooKeeper ({hosts}) {why}: {reason_of(error)}", remedy)


_Mode = Literal["closes", "read-only", "not-serving", "serves"]


def _modes(endpoints: Sequence[Endpoint]) -> set[_Mode]:
    return {mode for endpoint in endpoints if (mode := _mode(endpoint)) is not None}


def _mode(endpoint: Endpoint) -> _Mode | None:
    """What a server says of itself (four-letter word `srvr`); None: it cannot be reached or says nothing in time."""
    try:
        with socket.create_connection(endpoint, timeout=PROBE_SECONDS) as connection:
            connection.sendall(b"srvr")
            answer = connection.recv(4096)
    except (ConnectionResetError, BrokenPipeError):
        return "closes"
    except OSError:
        return None
    if not answer:
        return "closes"
    if b"Mode: read-only" in answer:
        return "read-only"
    return "not-serving" if b"not currently serving" in answer else "serves"


def _operator(code: str, what: str, remedy: str) -> FindingError:
    return FindingError(Finding(code, "operator", what, remedy))
