"""The simulated day (tests/bench/simulation.py), small here and whole under `prove`."""

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.bench.simulation import Simulation
from tests.instances import Figures


def _shows_what_it_must(line: dict[str, Any]) -> None:
    assert line["violations"] == 0, line["first_violations"]
    assert line["outside_10_percent_or_largest_instance"] == 0
    assert line["plan_cpu_seconds"]["max"] <= 5  # of one core; what else the machine does is in plan_seconds


@pytest.mark.must_show("4.2")
def test_a_small_fleet_for_some_hours(figures: Figures) -> None:
    line = Simulation(servers=20, instances=1000, seed=20261122).run(hours=4)
    figures(line)
    _shows_what_it_must(line)


@pytest.mark.prove
@pytest.mark.must_show("4.2")
@pytest.mark.timeout(1800)
def test_a_thousand_servers_for_a_day(figures: Figures) -> None:
    """In a process of its own, whose memory is measured."""
    done = subprocess.run([sys.executable, "-m", "tests.bench.simulation"], stdout=subprocess.PIPE, check=False)
    line = json.loads(done.stdout)
    figures(line)
    _shows_what_it_must(line)
    assert line["peak_rss_mb"] <= 2048
    assert line["moves_for_balance_an_hour"]["max"] <= 0.01 * line["instances"]
