"""What librdkafka does not tell: why it does not trust a broker's certificate. It says the same whatever the reason."""

import re
import ssl
from typing import Final

from confluent_kafka import KafkaError

from cdcd.kafka.client import ClientConfig
from cdcd.tls import Objection, handshake, objection, reason_of

SECONDS: Final = 5.0
"""So long a broker may take to show it again."""
_BROKER = re.compile(r"ssl://(?:\[([^\]]+)\]|([^:/]+)):(\d+)/")
"""Begins the text of an error: that of a broker which another one has named, too."""


def objection_to(error: KafkaError, config: ClientConfig) -> tuple[Objection, str] | None:
    """Shakes hands once more with the broker that `error` is about, with the same authorities.

    None: there is nothing against its certificate. OSError: it does not answer any more.
    """
    broker = _BROKER.search(error.str())
    if broker is None:
        return None
    try:
        context = ssl.create_default_context(cafile=config.get("ssl.ca.location"))
    except OSError:  # of which librdkafka tells itself
        return None
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # Python 3.13 asks for more than librdkafka does
    found = handshake(broker[1] or broker[2], int(broker[3]), context, SECONDS)
    return (objection(found), reason_of(found)) if isinstance(found, ssl.SSLCertVerificationError) else None
