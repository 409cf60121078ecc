"""`python -m deploy.demo.look BOOTSTRAP PREFIX`: committed messages of all topics with that prefix, as they come."""

import sys
import uuid

from confluent_kafka import Consumer


def main() -> None:
    """Until interrupted."""
    bootstrap, prefix = sys.argv[1:3]
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"look-{uuid.uuid4()}",
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([f"^{prefix.replace('.', '[.]')}.*"])
    try:
        while True:
            for message in consumer.consume(1000, 1.0):
                value = message.value()
                if message.error() is None and isinstance(value, bytes):
                    print(f"{message.topic()}[{message.partition()}]@{message.offset()} {value.decode()}", flush=True)
    except KeyboardInterrupt:
        pass
    finally:
        consumer.close()


if __name__ == "__main__":
    main()
