"""What an instance weighs: 1 is about what one core carries."""

from cdcd.fleet.nodes import InstanceLoad

ROWS_A_CORE = 250_000
"""Row changes a second that a worker decodes and publishes on one core, as measured (README)."""
BYTES_A_CORE = 100e6
"""Bytes of binlog a second beside the cost of each row, where rows are large."""
FLOOR = 0.001
"""Of an idle instance: its connections, heartbeats and memory."""
UNKNOWN = 0.05
"""Of a new instance while nothing in the fleet is measured; afterwards it is taken for the mean."""
MOST = 1e6


def measured_weight(load: InstanceLoad) -> float:
    """Weight of the rates in a server's report, whatever stands there."""
    rates = load.rows_per_second / ROWS_A_CORE + load.bytes_per_second / BYTES_A_CORE
    return min(MOST, max(FLOOR, rates))
