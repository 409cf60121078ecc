"""Why a TLS handshake failed: what findings about MySQL, Kafka and ZooKeeper have to tell apart. No fall-back is made of it."""

import re
import socket
import ssl
from typing import Final, Literal

Objection = Literal["time", "name", "issuer"]
"""To a server's certificate: expired or not valid yet; made for other hosts; not signed by an authority that is trusted."""

_TIME: Final = frozenset({9, 10})
_NAME: Final = frozenset({62, 64})
"""X509_V_ERR_CERT_NOT_YET_VALID, CERT_HAS_EXPIRED; HOSTNAME_MISMATCH, IP_ADDRESS_MISMATCH (openssl/x509_vfy.h)."""
_ALERT = re.compile(r"\[SSL: \w+_ALERT_(\w+)\]")
_ABOUT_OURS: Final = ("CERTIFICATE", "UNKNOWN_CA", "DECRYPT_ERROR", "ACCESS_DENIED")


def objection(error: ssl.SSLCertVerificationError) -> Objection:
    if error.verify_code in _TIME:
        return "time"
    return "name" if error.verify_code in _NAME else "issuer"


def reason_of(error: ssl.SSLCertVerificationError) -> str:
    """In OpenSSL's words: `certificate has expired`."""
    return str(error.verify_message).rstrip(".")


def refuses_ours(error: BaseException | str | None) -> bool:
    """Whether the server answered with an alert about our certificate, or that we showed none (RFC 8446, section 6.2).

    `error` may be the text of an ssl.SSLError, which holds OpenSSL's name of the alert.
    """
    text = error if isinstance(error, str) else str(error) if isinstance(error, ssl.SSLError) else ""
    alert = _ALERT.search(text)
    return alert is not None and any(word in alert[1] for word in _ABOUT_OURS)


def handshake(host: str, port: int, context: ssl.SSLContext, seconds: float) -> ssl.SSLError | None:
    """Connect, and say nothing else: what was wrong with TLS. OSError where no handshake comes about."""
    with socket.create_connection((host, port), seconds) as plain:
        try:
            # Asked for by itself: where the connection was reset meanwhile, wrap_socket() alone does nothing and is content.
            with context.wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False) as wrapped:
                wrapped.do_handshake()
        except ssl.SSLError as error:
            return error
    return None


def speaks_tls(host: str, port: int, seconds: float) -> bool:
    """Whether TLS is spoken there, by whatever certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        return handshake(host, port, context, seconds) is None
    except OSError:
        return False
