"""Worker processes from a real forkserver: what they say arrives, how they end is known, none is left behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue

import pytest

from cdcd.config.settings import Settings
from cdcd.server.processes import SPEECHLESS_GRACE, Forkserver, Gone, Heard, WorkerProcess
from cdcd.worker.channel import Assignment, Farewell, Hello, Report
from deploy.rig.process import until
from tests.speakers import speak

SECONDS = 60.0
"""So long a word may take: the first process waits for the forkserver to load its modules."""
Start = Callable[[str], tuple[WorkerProcess, "SimpleQueue[Heard]"]]


@pytest.fixture(scope="module")
def forkserver() -> Forkserver:
    made = Forkserver(speak, ("tests.speakers",))
    made.keep_ready()
    return made


@pytest.fixture
def start(forkserver: Forkserver) -> Iterator[Start]:
    started: list[WorkerProcess] = []

    def start(name: str) -> tuple[WorkerProcess, "SimpleQueue[Heard]"]:
        heard: SimpleQueue[Heard] = SimpleQueue()
        process = forkserver.start(Assignment(name, Settings(), 42, 0), lambda _, message: heard.put(message))
        started.append(process)
        return process, heard

    yield start
    for process in started:
        process.kill()
        until(lambda p=process.pid: not lives(p), f"{process.pid} is gone", 30)  # type: ignore[misc]


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def end(heard: "SimpleQueue[Heard]", timeout: float = SECONDS) -> tuple[list[Heard], int | None]:
    """What was said up to the end, and the exit status."""
    said: list[Heard] = []
    while not isinstance(message := heard.get(timeout=timeout), Gone):
        said.append(message)
    return said, message.code


def test_what_it_says_arrives_in_order_and_a_stop_is_obeyed(start: Start) -> None:
    process, heard = start("reports")
    hello, report = heard.get(timeout=SECONDS), heard.get(timeout=SECONDS)
    assert hello == Hello(42, b"secret")
    assert isinstance(report, Report)
    assert report.metrics.epoch == 3
    process.stop()
    assert end(heard) == ([Farewell("stopped", "asked to stop")], 0)
    process.stop()
    process.kill()


@pytest.mark.parametrize(("name", "code"), [("dies", -signal.SIGKILL), ("exits", 7)])
def test_a_crash_is_told_with_its_cause(start: Start, name: str, code: int) -> None:
    _, heard = start(name)
    assert end(heard) == ([Hello(42, b"secret")], code)


@pytest.mark.parametrize("name", ["babbles", "lingers"])
def test_one_that_cannot_be_heard_any_more_is_killed(start: Start, name: str) -> None:
    _, heard = start(name)
    assert end(heard, SPEECHLESS_GRACE + SECONDS)[1] == -signal.SIGKILL


def test_a_stopped_process_can_be_killed(start: Start) -> None:
    process, heard = start("obeys")
    heard.get(timeout=SECONDS)
    os.kill(process.pid, signal.SIGSTOP)
    process.kill()
    assert end(heard)[1] == -signal.SIGKILL


def test_a_killed_forkserver_costs_no_worker_and_is_replaced(start: Start, forkserver: Forkserver) -> None:
    process, heard = start("obeys")
    heard.get(timeout=SECONDS)
    assert forkserver.pid is not None
    killed = forkserver.pid
    os.kill(killed, signal.SIGKILL)
    until(lambda: not lives(killed), "the forkserver is gone", 30)
    forkserver.keep_ready()
    assert forkserver.pid != killed
    assert lives(process.pid)
    other, heard_of_other = start("obeys")
    heard_of_other.get(timeout=SECONDS)
    process.stop()
    assert end(heard)[0] == [Farewell("stopped", "asked to stop")]
    other.kill()
    assert end(heard_of_other)[1] == -signal.SIGKILL


_SERVER = """
import sys, time
from cdcd.config.settings import Settings
from cdcd.server.processes import Forkserver
from cdcd.worker.channel import Assignment
from tests.speakers import speak
forkserver = Forkserver(speak, ("tests.speakers",))
workers = [forkserver.start(Assignment("obeys", Settings(), 1, 0), lambda *_: None) for _ in range(3)]
print(forkserver.pid, *(worker.pid for worker in workers), flush=True)
time.sleep(600)
"""


def test_workers_and_forkserver_end_with_a_killed_server() -> None:
    with subprocess.Popen([sys.executable, "-c", _SERVER], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        pids = [int(pid) for pid in server.stdout.readline().split()]
        assert len(pids) == 4
        assert all(map(lives, pids))
        server.kill()
    until(lambda: not any(map(lives, pids)), "all are gone", 30)
