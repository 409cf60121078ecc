"""When the preflight runs beside an instance that has begun."""

import threading
from types import SimpleNamespace
from typing import NoReturn

import pytest

from cdcd.errors import Finding, FindingError
from cdcd.mysql.connection import Endpoint
from cdcd.worker import preflight
from cdcd.worker.preflight import ATTEMPTS, SPREAD, StartCheck
from tests.waiting import until

SOURCE = Endpoint("127.0.0.1", 1, "", "")
AWAY = FindingError(Finding("source-unreachable", "retry", "It is away", "Wait"))


class Asked:
    """A source of which each question ends with `trouble`."""

    def __init__(self, trouble: Exception) -> None:
        self.times = 0
        self._trouble = trouble

    def __call__(self, _: Endpoint) -> NoReturn:
        self.times += 1
        raise self._trouble


def calls(check: StartCheck, times: int) -> None:
    for _ in range(times):
        check(SOURCE)
        until(lambda: not any(thread.name == "preflight" for thread in threading.enumerate()))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Its only member is the time; waits are the longest ones."""
    now = [1000.0]
    monkeypatch.setattr(preflight, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(preflight, "random", SimpleNamespace(uniform=lambda _, longest: longest))
    return now


def a_check(monkeypatch: pytest.MonkeyPatch, asked: Asked) -> StartCheck:
    def make() -> NoReturn:
        raise AssertionError("nobody answered")

    monkeypatch.setattr(preflight, "connect", asked)
    return StartCheck(make, lambda _: None)


def test_what_starts_together_does_not_ask_together(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    asked = Asked(AWAY)
    check = a_check(monkeypatch, asked)
    calls(check, 3)
    assert asked.times == 0
    clock[0] += SPREAD
    calls(check, 10)
    assert asked.times == ATTEMPTS, "what does not answer is not asked for ever"


def test_a_defect_in_a_check_ends_nothing_and_is_not_tried_again(
    monkeypatch: pytest.MonkeyPatch, clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = Asked(ValueError("a defect"))
    check = a_check(monkeypatch, asked)
    calls(check, 1)
    clock[0] += SPREAD
    calls(check, 3)
    assert asked.times == 1
    assert "preflight.failed" in capsys.readouterr().out
