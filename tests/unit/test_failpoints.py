"""Failpoints: what is refused, when they are due, and what each action does to a real process."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cdcd.observe.failpoints import NAMES, FailpointError, Failpoints, from_environment, off


def hits(failpoint: Failpoints, passes: int) -> list[int]:
    found = []
    for n in range(1, passes + 1):
        try:
            failpoint("kafka.mid_rows")
        except FailpointError:
            found.append(n)
    return found


def test_off_unless_set() -> None:
    assert from_environment({}) is off
    assert from_environment({"CDCD_FAILPOINT": "", "CDCD_TESTING": "1"}) is off
    for name in NAMES:
        off(name)


@pytest.mark.parametrize("testing", [{}, {"CDCD_TESTING": "0"}, {"CDCD_TESTING": ""}])
def test_refused_outside_tests(testing: dict[str, str]) -> None:
    with pytest.raises(FailpointError, match="CDCD_TESTING=1"):
        from_environment({"CDCD_FAILPOINT": "kafka.mid_rows=error", **testing})


@pytest.mark.parametrize(
    "spec",
    ["kafka.mid_rows", "kafka.mid_rows=explode", "kafka.mid_rows@0=error", "kafka.mid_rows@p=error", "=error", "a;b"],
)
def test_malformed_is_refused_by_name(spec: str) -> None:
    with pytest.raises(FailpointError, match="is not <name>"):
        Failpoints(spec)


def test_unknown_name_is_refused_with_the_list() -> None:
    with pytest.raises(FailpointError, match=r"kafka\.mid_rwos.*there are lock\.acquired, "):
        Failpoints("kafka.mid_rwos=error")


def test_every_pass_or_the_nth() -> None:
    assert hits(Failpoints("kafka.mid_rows=error"), 3) == [1, 2, 3]
    assert hits(Failpoints("kafka.mid_rows@2=error"), 5) == [2]
    assert hits(Failpoints("kafka.mid_rows@2=error; kafka.mid_rows@4=error;"), 5) == [2, 4]
    assert hits(Failpoints("kafka.before_commit=error"), 3) == []


def test_odds_repeat_with_the_seed() -> None:
    spec = "kafka.mid_rows@p0.05=error"
    first = hits(Failpoints(spec, "8134"), 2000)
    assert first == hits(Failpoints(spec, "8134"), 2000)
    assert first != hits(Failpoints(spec, "8135"), 2000)
    assert 50 < len(first) < 170
    assert hits(Failpoints("kafka.mid_rows@p0=error"), 200) == []
    assert hits(Failpoints("kafka.mid_rows@p1=error"), 3) == [1, 2, 3]


def test_sleep_sleeps() -> None:
    begun = time.monotonic()
    Failpoints("kafka.mid_rows=sleep:0.05")("kafka.mid_rows")
    assert time.monotonic() - begun >= 0.05


def test_a_hit_is_recorded_before_it_acts(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    history = tmp_path / "history.jsonl"
    assert hits(Failpoints("kafka.mid_rows@2=error", history=str(history)), 3) == [2]
    hit = json.loads(history.read_text())
    assert (hit["failpoint"], hit["pass"], hit["action"], hit["pid"]) == ("kafka.mid_rows", 2, "error", os.getpid())
    assert capfd.readouterr().err == history.read_text()


def run_with(action: str) -> "subprocess.Popen[bytes]":
    code = (
        "import os; from cdcd.observe.failpoints import from_environment\n"
        "from_environment(os.environ)('kafka.after_commit'); print('went on')"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "CDCD_TESTING": "1", "CDCD_FAILPOINT": f"kafka.after_commit={action}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_crash_is_a_sigkill() -> None:
    process = run_with("crash")
    out, err = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert (out, json.loads(err)["action"]) == (b"", "crash")


def test_pause_is_a_sigstop_and_goes_on_after_sigcont() -> None:
    process = run_with("pause")
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    process.send_signal(signal.SIGCONT)
    out, _ = process.communicate(timeout=60)
    assert out == b"went on\n"


def test_hang_stays_until_killed() -> None:
    process = run_with("hang")
    assert process.stderr is not None
    assert json.loads(process.stderr.readline())["action"] == "hang"
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.3)
    process.kill()
    process.communicate(timeout=60)
