"""What no change reader can beat here, measured beside it: the source's bytes, and the broker's intake; and a peer."""

import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from itertools import islice

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from cdcd.kafka.producer import ProducerSettings, bulk_config
from deploy.rig.source import Source
from deploy.rig.topics import Record
from tests.bench.cases import Prepared

PARTITIONS = 4
_COM_BINLOG_DUMP = 0x12
_NON_BLOCK = 1
_BATCH_BYTES = 1_000_000
_TRANSACTION_BYTES = 16 << 20
_EOF = b"\x05\x00\x00", 0xFE
_CHUNK = 1000


def raw_bytes(source: Source, prepared: Prepared) -> float:
    """Seconds to receive the case's binlog from the source and look at nothing."""
    with source.connect() as connection:
        with connection.cursor() as cursor:
            cursor.execute("SET @source_binlog_checksum = 'CRC32'")
        body = prepared.start.offset.to_bytes(4, "little") + _NON_BLOCK.to_bytes(2, "little")
        body += (0x7FFFFFF1).to_bytes(4, "little") + prepared.start.file.encode()
        began = time.perf_counter()
        connection._execute_command(_COM_BINLOG_DUMP, body)  # type: ignore[attr-defined]
        stream = connection._sock  # type: ignore[attr-defined]
        buffer, received, tail = bytearray(1 << 20), 0, b""
        while not (tail[:3] == _EOF[0] and tail[4:5] == bytes([_EOF[1]])):
            count = stream.recv_into(buffer)
            assert count, "the source closed the connection"
            received += count
            tail = (tail + bytes(buffer[max(0, count - 9) : count]))[-9:]
        elapsed = time.perf_counter() - began
    assert received >= prepared.binlog_bytes, f"{received} of {prepared.binlog_bytes} bytes came"
    return elapsed


@dataclass(frozen=True, slots=True)
class Encoded:
    """Messages as a drain published them, in runs of one partition, as cdcd hands them over too."""

    runs: list[tuple[int, list[bytes | None], list[bytes]]]
    count: int
    mean_bytes: float


def encoded(records: Iterator[Record], most: int) -> Encoded:
    """Up to `most` messages, cut into runs."""
    taken = list(islice(records, most))
    by_partition: dict[int, list[Record]] = {}
    for record in taken:
        by_partition.setdefault(record.partition, []).append(record)
    runs = [
        (partition, [record.key for record in part], [record.value for record in part])
        for partition, found in by_partition.items()
        for part in (found[begin : begin + _CHUNK] for begin in range(0, len(found), _CHUNK))
    ]
    runs.sort(key=lambda run: run[2][0])
    size = sum(len(record.value) + len(record.key or b"") for record in taken)
    return Encoded(runs, len(taken), size / max(len(taken), 1))


def produce(bootstrap: str, messages: Encoded, total: int) -> float:
    """Seconds to publish `total` of these messages by transactions of 16 MiB, cdcd's producer settings, nothing else."""
    topic = f"bench.floor.{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 2})
    admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(30)
    config = bulk_config({"bootstrap.servers": bootstrap, "log_level": 2}, ProducerSettings(), _BATCH_BYTES)
    producer = Producer({**config, "transactional.id": topic})
    producer.init_transactions(30)
    began = time.perf_counter()
    _transactions(producer, topic, messages, total)
    elapsed = time.perf_counter() - began
    admin.delete_topics([topic])[topic].result(30)
    return elapsed


def _transactions(producer: Producer, topic: str, messages: Encoded, total: int) -> None:
    done, waiting = 0, 0
    producer.begin_transaction()
    while done < total:
        for partition, keys, values in messages.runs:
            _run(producer, topic, partition, keys, values)
            done, waiting = done + len(values), waiting + int(len(values) * messages.mean_bytes)
            if waiting >= _TRANSACTION_BYTES:
                producer.commit_transaction(30)
                producer.begin_transaction()
                waiting = 0
            if done >= total:
                break
    producer.commit_transaction(30)


def _run(producer: Producer, topic: str, partition: int, keys: list[bytes | None], values: list[bytes]) -> None:
    produce = producer.produce
    for key, value in zip(keys, values, strict=True):
        while True:
            try:
                produce(topic, value, key, partition)
            except BufferError:
                producer.poll(0.01)
            else:
                break
    producer.poll(0)


def peer(source: Source, prepared: Prepared, sample: int) -> float:
    """Rows a second of mysql-replication's own decoder over the case's first rows: decoded, published nowhere."""
    library, rows_events = import_module("pymysqlreplication"), import_module("pymysqlreplication.row_event")
    reader = library.BinLogStreamReader(
        connection_settings={
            "host": source.host,
            "port": source.port,
            "user": source.user,
            "passwd": source.password,
        },
        server_id=0x7FFFFFF2,
        log_file=prepared.start.file,
        log_pos=prepared.start.offset,
        resume_stream=True,
        only_events=[rows_events.WriteRowsEvent],
    )
    rows, began = 0, time.perf_counter()
    try:
        for event in reader:
            rows += len(event.rows)
            if rows >= sample:
                break
        return rows / (time.perf_counter() - began)
    finally:
        reader.close()
