"""What all Kafka clients of cdcd share: their log, their connection trouble, and an end that cannot hang."""

import logging
import re
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException, Producer, libversion

from cdcd.observe.repeats import Repeats, told_again

ClientConfig = dict[str, Any]
"""librdkafka settings, ready to use: bootstrap servers, TLS, SASL."""

SLICE = 0.5
"""Seconds of one wait inside a blocking call, between two looks at what the brokers say."""

_TELLING = frozenset({KafkaError._AUTHENTICATION, KafkaError._SSL, KafkaError.UNSUPPORTED_SASL_MECHANISM})
_ALERT = re.compile(r"SSL alert number (?:4[2-689]|51|116)\b")
"""The broker refuses our certificate, or misses one (RFC 8446, section 6.2); librdkafka calls that a broken connection."""


def librdkafka_version() -> str:
    """Of the library that is loaded."""
    return str(libversion()[0])


class Trouble:
    """librdkafka's error callback: remembers why the brokers cannot be reached.

    librdkafka goes on trying for ever, and a call that waits for it ends as a bare timeout; the reason is only here.
    Filled while the client is polled.
    """

    _CONVINCING = 3
    """A broker that is starting may refuse a credential that it accepts a moment later."""

    def __init__(self) -> None:
        self.config: ClientConfig = {}
        """Of the client that is troubled."""
        self._reasons: dict[int, KafkaError] = {}
        self._times: Counter[int] = Counter()

    def __call__(self, error: KafkaError) -> None:
        self._reasons[error.code()] = error
        self._times[error.code()] += 1

    def telling(self) -> KafkaError | None:
        """An error that waiting does not mend, if it came again and again: a refused credential, no TLS."""
        told = (error for code, error in self._reasons.items() if self._times[code] >= self._CONVINCING)
        return next((error for error in told if error.code() in _TELLING or refuses_ours(error)), None)

    def reason(self, error: KafkaError | None = None) -> str:
        """All that was heard, in words; without a word, what `error` says."""
        heard = "; ".join(error.str() for error in self._reasons.values())
        return heard or (error.str() if error is not None else "no answer")

    def clear(self) -> None:
        """Forget what was heard before."""
        self._reasons.clear()
        self._times.clear()


def refuses_ours(error: KafkaError) -> bool:
    """Whether a broker broke the connection because of our certificate."""
    return _ALERT.search(error.str()) is not None


_RETRIED = ": retrying"
"""Ends the warnings of every take-over: the coordinator is still busy aborting what the old owner left open."""


class ClientLog:
    """librdkafka's lines as `kafka.client`. What they mean for an instance its own lines say: here nothing short of a fatal is an error."""

    def __init__(self) -> None:
        self._repeats = Repeats()

    def log(self, level: int, message: str, *args: object) -> None:
        """Called by confluent-kafka inside poll()."""
        text = message % args if args else message
        untold = self._repeats.new(text)
        log = structlog.get_logger()
        if untold is None or text.endswith(_RETRIED):
            log.debug("kafka.client", reason=text)
        else:
            named = "error" if level >= logging.CRITICAL else "warning" if level >= logging.WARNING else "info"
            getattr(log, named)("kafka.client", reason=text, **told_again(untold))


_CLIENT_LOG = ClientLog()
"""One for all clients of a process: each attempt to connect makes a new one."""


def with_callbacks(config: ClientConfig, trouble: Trouble) -> ClientConfig:
    """`config` for one client whose trouble goes to `trouble` and whose log goes to the log."""
    trouble.config = config
    return {"client.id": "cdcd", **config, "error_cb": trouble, "logger": _CLIENT_LOG}


def serve(producer: Producer) -> None:
    """Run the callbacks that wait, of a producer that is given up: it raises its own fatal error first of all."""
    with suppress(KafkaException):
        producer.poll(0)


IN_FLIGHT_SECONDS = 2.0


def let_go(producer: Producer) -> None:
    """Before a producer is destroyed: drop what waits, and let the brokers answer what is on its way.

    librdkafka 2.16 damages its memory when a fenced producer is destroyed with requests in flight: without the wait 200
    fences in a row ended in an abort of the process in 8 of 8 runs, with it in none.
    """
    producer.purge(in_queue=True, in_flight=False)
    producer.flush(IN_FLIGHT_SECONDS)


def within(seconds: float, action: Callable[[], object]) -> bool:
    """Run `action` on a thread of its own; False if it had not ended after `seconds`, or failed.

    Closing a client can hang while Kafka is away. The thread is then left behind: the process ends soon.
    """
    ended = threading.Event()

    def run() -> None:
        try:
            action()
        except Exception:  # noqa: BLE001 - the client is given up, whatever it raises
            structlog.get_logger().info("kafka.close_failed", exc_info=True)
        else:
            ended.set()

    thread = threading.Thread(target=run, name="kafka-close", daemon=True)
    thread.start()
    thread.join(seconds)
    return ended.is_set()
