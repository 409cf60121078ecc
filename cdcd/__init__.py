"""MySQL change data capture into Kafka, exactly once.

A byte's way from the socket to the broker: mysql/tap.py, binlog/core, worker/pump.py, kafka/exactly_once.py.
docs/architecture.md has the map.
"""
