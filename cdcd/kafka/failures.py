"""librdkafka's errors as cdcd's: what the operator must mend, and what a new take-over mends.

An error that no rule below names means that the outcome is unknown: HoldingLost. The codes are Kafka's
(org.apache.kafka.common.protocol.Errors) and librdkafka's own (names that begin with `_`).
"""

import re
from dataclasses import dataclass

from confluent_kafka import KafkaError

from cdcd.errors import CdcdError, Finding, FindingClass, FindingError, HoldingLost
from cdcd.kafka.broker_certificate import objection_to
from cdcd.kafka.client import Trouble, refuses_ours
from cdcd.tls import Objection


class Fenced(HoldingLost):
    """Another producer took the transactional id, or the transaction outlived its time limit: librdkafka cannot tell."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a call was about; the words that findings name."""

    doing: str
    """`commit a transaction`: completes "could not ..."."""
    topics: tuple[str, ...] = ()
    """The topic it was about; several where the brokers do not say which."""
    transactional_id: str = ""
    size: int = 0
    """Bytes of the message, where one message is at fault."""


@dataclass(frozen=True, slots=True)
class _Rule:
    code: str
    kind: FindingClass
    what: str
    remedy: str


_UNREACHABLE = _Rule(
    "kafka-unreachable",
    "retry",
    "Kafka does not answer",
    "Check that the brokers run, that `bootstrap_servers` can be reached from this machine, and that `security_protocol` "
    "is what they speak there",
)
_CREDENTIALS = _Rule(
    "kafka-credentials",
    "operator",
    "Kafka refuses the credential",
    "Correct the user name, password or mechanism of the Kafka cluster's credential",
)
_TLS = _Rule(
    "kafka-tls",
    "operator",
    "No TLS connection to Kafka",
    "Check that `bootstrap_servers` names a listener with TLS, and `tls` of the Kafka cluster's settings",
)
_TLS_NONE = _Rule(
    "kafka-no-tls",
    "retry",
    "A broker breaks the TLS handshake off",
    "Name the brokers' listener with TLS in `bootstrap_servers`; there is no fall-back to plain text: on a network you "
    "trust `security_protocol` can ask for it",
)
_TLS_REFUSED = _Rule(
    "kafka-tls",
    "operator",
    "A broker refuses our certificate, or asks for one",
    "Set `tls.cert` and `tls.key` of the Kafka cluster's settings to a certificate that the brokers' ssl.truststore trusts",
)
_UNTRUSTED: dict[Objection, _Rule] = {
    "time": _Rule(
        "kafka-tls-expired",
        "retry",
        "A broker's certificate is not valid at this time",
        "Give the broker a new one, it is tried again by itself; if there is one, compare this machine's clock",
    ),
    "name": _Rule(
        "kafka-tls",
        "operator",
        "A broker's certificate is made for other host names",
        "Use a name that is in it, in `bootstrap_servers` or the broker's advertised.listeners, or give the broker one "
        "that names the host",
    ),
    "issuer": _Rule(
        "kafka-tls",
        "operator",
        "A broker's certificate is not signed by an authority that is trusted",
        "Set `tls.ca` of the Kafka cluster's settings to the file of the authority that signed it",
    ),
}
_TOPIC_RIGHTS = _Rule(
    "kafka-topic-denied",
    "operator",
    "No right to use {topic}",
    "Grant it: kafka-acls --add --allow-principal User:<user> --operation Describe --operation Read "
    "--operation Write --operation Create --operation DescribeConfigs --topic <topic>",
)
_TRANSACTION_RIGHTS = _Rule(
    "kafka-transaction-denied",
    "operator",
    "No right to use transactional id {transactional_id}",
    "Grant it: kafka-acls --add --allow-principal User:<user> --operation Describe --operation Write "
    "--transactional-id '{transactional_id}'",
)
_CLUSTER_RIGHTS = _Rule(
    "kafka-cluster-denied",
    "operator",
    "No right to do that in this Kafka cluster",
    "Create the topic beforehand, or grant the right: kafka-acls --add --allow-principal User:<user> "
    "--operation Create --cluster",
)
_TOPIC_MISSING = _Rule(
    "kafka-topic-missing",
    "operator",
    "{topic}, or the partition, does not exist any more; what was published there before is gone",
    "Create it again with its old number of partitions, or restart the instance to have cdcd create it",
)
_TOPIC_NAME = _Rule(
    "kafka-topic-name",
    "operator",
    "No name for a topic: {topic}",
    "Change `sink.topic`: a topic's name has at most 249 characters of A-Z a-z 0-9 . _ -",
)
_TOO_LARGE = _Rule(
    "message-too-large",
    "operator",
    "A message of {size} bytes is over the limit of {topic}",
    "Raise `max.message.bytes` of the topic and `message_max_bytes` of the Kafka cluster's settings, or leave the table out",
)
_RECORD = _Rule(
    "kafka-record-refused",
    "operator",
    "The broker refuses a message to {topic}",
    "A compacted topic takes no message without a key (a table without primary key); a broker's policy may ask for more",
)
_REPLICATION = _Rule(
    "kafka-replication",
    "retry",  # brokers that are being restarted count as none while ZooKeeper still keeps Kafka's metadata
    "The cluster cannot keep that many replicas of {topic}",
    "It is tried again by itself, for when brokers come back; else set `sink.create.replication` to the number of brokers at most",
)
_PARTITIONS = _Rule(
    "kafka-partitions",
    "operator",
    "The cluster refuses that many partitions of {topic}",
    "Set `sink.create.partitions` to what the cluster allows",
)
_POLICY = _Rule(
    "kafka-policy",
    "operator",
    "The cluster's policy refuses {topic}",
    "Create the topic as the policy wants it, or change `sink.create`",
)
_TIMEOUT = _Rule(
    "kafka-transaction-timeout",
    "operator",
    "The brokers do not allow a transaction to last that long",
    "Lower `transaction_timeout` below the brokers' transaction.max.timeout.ms",
)
_VERSION = _Rule(
    "kafka-version",
    "operator",
    "The brokers are too old",
    "cdcd needs Kafka 3.6 or later",
)
_CONFIG = _Rule(
    "kafka-settings",
    "operator",
    "The Kafka client refuses its settings",
    "Correct the Kafka cluster's settings; files of `tls` have to be readable and in PEM form, the key that of the certificate",
)

SILENT = frozenset({KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE})
"""No broker answered; the reason, if any, is in Trouble."""
_BROKEN_OFF = "SSL handshake failed: Disconnected"
_BROKER = re.compile(r"/(?:bootstrap|\d+): .*", re.DOTALL)
"""Behind the broker's address in an error's text."""
_NAMED = 5
_FENCED = frozenset({KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED})
_RULES: dict[int, _Rule] = {
    KafkaError._AUTHENTICATION: _CREDENTIALS,
    KafkaError.SASL_AUTHENTICATION_FAILED: _CREDENTIALS,
    KafkaError.UNSUPPORTED_SASL_MECHANISM: _CREDENTIALS,
    KafkaError._SSL: _TLS,
    KafkaError.TOPIC_AUTHORIZATION_FAILED: _TOPIC_RIGHTS,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: _TRANSACTION_RIGHTS,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: _CLUSTER_RIGHTS,
    KafkaError.UNKNOWN_TOPIC_OR_PART: _TOPIC_MISSING,
    KafkaError.UNKNOWN_TOPIC_ID: _TOPIC_MISSING,
    KafkaError._UNKNOWN_TOPIC: _TOPIC_MISSING,
    KafkaError._UNKNOWN_PARTITION: _TOPIC_MISSING,
    KafkaError.TOPIC_EXCEPTION: _TOPIC_NAME,
    KafkaError.MSG_SIZE_TOO_LARGE: _TOO_LARGE,
    KafkaError.RECORD_LIST_TOO_LARGE: _TOO_LARGE,
    KafkaError.INVALID_RECORD: _RECORD,
    KafkaError.INVALID_TIMESTAMP: _RECORD,
    KafkaError.INVALID_REPLICATION_FACTOR: _REPLICATION,
    KafkaError.INVALID_PARTITIONS: _PARTITIONS,
    KafkaError.POLICY_VIOLATION: _POLICY,
    KafkaError.INVALID_CONFIG: _POLICY,
    KafkaError.INVALID_TRANSACTION_TIMEOUT: _TIMEOUT,
    KafkaError.UNSUPPORTED_VERSION: _VERSION,
    KafkaError._UNSUPPORTED_FEATURE: _VERSION,
    KafkaError._INVALID_ARG: _CONFIG,
}


def finding(error: KafkaError, subject: Subject) -> FindingError | None:
    """The operator's trouble that `error` stands for, or None: then waiting or a new take-over may mend it."""
    rule = _RULES.get(error.code())
    return None if rule is None else _made(rule, error.str(), subject)


def unreachable(reason: str, subject: Subject) -> FindingError:
    """No answer from any broker, and no reason why waiting should not mend it."""
    return _made(_TLS_NONE if _BROKEN_OFF in reason else _UNREACHABLE, reason, subject)


def explained(error: KafkaError, trouble: Trouble, subject: Subject) -> FindingError:
    """What a request that came to nothing means, given what the brokers said meanwhile."""
    told = trouble.telling()
    if told is not None:
        return _told(told, trouble, subject)
    if error.code() in SILENT:
        return unreachable(trouble.reason(error), subject)
    return refused(error, subject)


def _told(told: KafkaError, trouble: Trouble, subject: Subject) -> FindingError:
    if refuses_ours(told):
        return _made(_TLS_REFUSED, told.str(), subject)
    if told.code() != KafkaError._SSL:
        return refused(told, subject)
    try:
        objection = objection_to(told, trouble.config)
    except OSError:  # it may be starting anew, with the certificate that it lacked: the next attempt will tell
        return unreachable(told.str(), subject)
    if objection is None:
        return refused(told, subject)
    kind, reason = objection
    return _made(_UNTRUSTED[kind], f"{_BROKER.sub('', told.str())}: {reason}", subject)


def lost(error: KafkaError, subject: Subject) -> CdcdError:
    """What a failed call of an opened producer means: a finding, Fenced, or HoldingLost."""
    if error.code() in _FENCED:
        return Fenced(_sentence("The producer was fenced", error.str(), subject))
    return finding(error, subject) or HoldingLost(_sentence("The outcome is unknown", error.str(), subject))


def refused(error: KafkaError, subject: Subject) -> FindingError:
    """What a failed request means that changed nothing in the producer: a finding, `retry` where no rule knows better."""
    return finding(error, subject) or unreachable(error.str(), subject)


def is_fenced(error: KafkaError) -> bool:
    return error.code() in _FENCED


def _made(rule: _Rule, reason: str, subject: Subject) -> FindingError:
    words = {
        "topic": _topics(subject.topics),
        "transactional_id": subject.transactional_id,
        "size": f"{subject.size:,}",
    }
    what = _sentence(rule.what.format(**words), reason, subject)
    return FindingError(Finding(rule.code, rule.kind, what, rule.remedy.format(**words)))


def _topics(names: tuple[str, ...]) -> str:
    match names:
        case ():
            return "a topic"
        case (name,):
            return f"topic {name}"
        case _:
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            return f"one of the topics {', '.join(names[:_NAMED])}{more}"


def _sentence(what: str, reason: str, subject: Subject) -> str:
    return f"{what}: could not {subject.doing} ({reason})"
