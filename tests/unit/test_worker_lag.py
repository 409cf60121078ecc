"""What watches the lag beside the pump, where looking fails."""

import pytest

from cdcd.mysql.connection import Connection, Endpoint
from cdcd.observe.metrics import InstanceMetrics
from cdcd.worker import lag
from cdcd.worker.figures import Figures
from cdcd.worker.lag import LagWatch
from tests.waiting import until


def test_a_defect_of_its_own_does_not_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def connect(endpoint: Endpoint) -> Connection:
        tried.append(endpoint)
        raise ValueError("a defect")

    monkeypatch.setattr(lag, "connect", connect)
    monkeypatch.setattr(lag, "FAILED_INTERVAL", 0.001)
    watch = LagWatch(Endpoint("127.0.0.1", 1, "", ""), lambda: None, Figures(InstanceMetrics()), lambda *_: None)
    watch.start()
    until(lambda: len(tried) > 2)
    watch.stop()
    watch._thread.join(5)
    assert not watch._thread.is_alive()
