"""What a scrape of a server with very many instances costs."""

import time
from functools import partial

import pytest

from cdcd.observe.metrics import InstanceMetrics, ServerMetrics
from cdcd.observe.registry import Registry
from tests.instances import Figures

INSTANCES = 200
LIMIT = 0.100
"""Seconds of processor time."""


def _full(epoch: int) -> InstanceMetrics:
    """With a series for everything that an ordinary instance has."""
    made = InstanceMetrics(epoch=epoch, lag_seconds=0.1, lag_bytes=3, lag_transactions=4, checkpoint=1.8e9)
    made.purge_headroom, made.clock_offset, made.state = 1e5, 0.001, "running"
    made.latency.observe(0.02, 100)
    return made


@pytest.mark.prove
@pytest.mark.must_show("6.2")
def test_a_scrape_of_two_hundred_instances(figures: Figures) -> None:
    registry = Registry({"version": "1"}, ServerMetrics)
    instances = {f"instance-{number:03}": _full(number) for number in range(INSTANCES)}
    for name in instances:
        registry.add(name, partial(instances.__getitem__, name))
    costs = []
    for _ in range(5):
        began = time.process_time()
        text = registry.render()
        costs.append(time.process_time() - began)
    figures(
        {
            "instances": INSTANCES,
            "series": sum(not line.startswith(b"#") for line in text.splitlines()),
            "bytes": len(text),
            "milliseconds": [round(1000 * cost, 1) for cost in costs],
            "limit_milliseconds": 1000 * LIMIT,
        }
    )
    assert min(costs) <= LIMIT
