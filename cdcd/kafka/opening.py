"""From a constructed producer to one that may publish, with a reason if it does not come to that."""

import time
from collections.abc import Callable

from confluent_kafka import KafkaError, KafkaException, Producer

from cdcd.kafka.client import SLICE, Trouble, serve
from cdcd.kafka.failures import SILENT, Subject, explained, is_fenced, lost, unreachable

Waiting = Callable[[], None]
"""Called several times a second while a call waits for Kafka; may raise to end the wait (Stopped, lease over)."""


class Opening:
    """Waits in slices, so that a refused credential, a stop or the end of patience is seen soon."""

    def __init__(
        self, producer: Producer, trouble: Trouble, waiting: Waiting, timeout: float, transactional_id: str = ""
    ) -> None:
        self._producer = producer
        self._trouble = trouble
        self._waiting = waiting
        self._deadline = time.monotonic() + timeout
        self._id = transactional_id

    def connect(self, topic: str) -> None:
        """Wait for an answer, and learn where `topic` is. Without a connection librdkafka's next step sleeps half a second."""
        self._until_done(lambda: self._producer.list_topics(topic, SLICE), Subject("connect", (), self._id))

    def init_transactions(self) -> None:
        """Fence every other producer of this transactional id."""
        # Called again after a timeout it goes on where it was.
        self._until_done(lambda: self._producer.init_transactions(SLICE), Subject("open the producer", (), self._id))

    def _until_done(self, step: Callable[[], object], subject: Subject) -> None:
        while True:
            try:
                step()
            except KafkaException as error:
                self._look(error.args[0], subject)
            else:
                return

    def _look(self, error: KafkaError, subject: Subject) -> None:
        """Go on, or raise because it is hopeless, too late or no longer wanted."""
        serve(self._producer)
        self._waiting()
        if is_fenced(error):
            raise lost(error, subject)
        hopeless = not error.retriable() and error.code() not in SILENT
        if hopeless or self._trouble.telling() is not None:
            raise explained(error, self._trouble, subject)
        if time.monotonic() > self._deadline:
            raise unreachable(self._trouble.reason(error), subject)
