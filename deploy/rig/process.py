"""A cdcd process under test: started, killed, stopped in its tracks, looked at from outside."""

import http.client
import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable, Iterator, Sized
from pathlib import Path
from typing import Any, TypeVar

Answer = TypeVar("Answer")

LAUNCH = "import sys; from cdcd.cli.cdcd import main; sys.argv[0] = 'cdcd'; sys.exit(main())"
"""Runs the command `cdcd` of this tree, installed or not."""


_HELD: deque[socket.socket] = deque()
_MOST_HELD = 64


def free_port() -> int:
    """A port of the loopback address that nobody else is given before the process that it is for listens.

    It stays bound here, until many more were asked for: the kernel then takes it neither for port 0 nor for a connection, and
    lets a server that sets SO_REUSEADDR, as all do, listen there all the same (socket(7)).
    """
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    _HELD.append(held)
    if len(_HELD) > _MOST_HELD:
        _HELD.popleft().close()
    return int(held.getsockname()[1])


def until(question: Callable[[], Answer | None], what: str, timeout: float = 60, every: float = 0.05) -> Answer:
    """Ask until the answer is neither None, False nor empty; raises TimeoutError naming `what`."""
    deadline = time.monotonic() + timeout
    while True:
        answer = question()
        if answer is not None and answer is not False and not (isinstance(answer, Sized) and not len(answer)):
            return answer
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout:g} s: {what}")
        time.sleep(every)


def plain_environment() -> dict[str, str]:
    """Ours, without what would set anything of cdcd."""
    cleared = ("CDCD_", "CREDENTIALS_DIRECTORY")
    return {name: value for name, value in os.environ.items() if not name.startswith(cleared)}


class Process:
    """One process. `log`.out holds its log lines, `log`.err its standard error."""

    def __init__(
        self, command: list[str], environment: dict[str, str], port: int, log: Path, *, piped: bool = False
    ) -> None:
        """`piped`: its log lines go into `output`, for the test to read, or not to."""
        self.port = port
        self.out, self.err = log.with_suffix(".out"), log.with_suffix(".err")
        self.code: int | None = None
        """Exit code once it has ended; negative for a signal."""
        self.cpu_seconds = 0.0
        """User and system time of all its threads, once it has ended."""
        self.peak_rss_mb = 0.0
        """Largest resident set (VmHWM) at the last `poll` while it ran. Not wait4's figure: that one includes our own
        memory, which the child shared before it became another program."""
        self.started = time.monotonic()
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self._process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if piped else out,
                stderr=err,
                start_new_session=True,
            )
        self.output = self._process.stdout
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """Exit code, or None while it runs."""
        if self.code is None:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                self.code = self._process.returncode = os.waitstatus_to_exitcode(status)
                self.cpu_seconds = usage.ru_utime + usage.ru_stime
            else:
                self.peak_rss_mb = max(self.peak_rss_mb, self._high_water_mb())
        return self.code

    def wait(self, timeout: float = 60) -> int:
        """Exit code. Raises TimeoutError with the end of its log."""
        try:
            return until(self.poll, f"process {self.pid} ends", timeout, every=0.02)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.said()}") from None

    def signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """`kill -9`, and gone when this returns."""
        self.signal(signal.SIGKILL)
        self.wait(30)

    def stop(self, timeout: float = 60) -> int:
        """SIGTERM; exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(timeout)

    def get(self, path: str) -> str | None:
        """Body of its HTTP answer of any status; None while nobody listens."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            return error.read().decode()
        except (OSError, http.client.HTTPException):  # the latter when it ends amid its answer
            return None

    def status(self) -> dict[str, Any] | None:
        body = self.get("/status")
        return None if body is None else dict(json.loads(body))

    def metrics(self) -> dict[str, float]:
        """`name{labels}` -> value; empty while nobody listens."""
        lines = (self.get("/metrics") or "").splitlines()
        pairs = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in pairs}

    def metric(self, name: str) -> float | None:
        """Sum over all label sets; None if it is not there (yet)."""
        found = [value for key, value in self.metrics().items() if key.partition("{")[0] == name]
        return sum(found) if found else None

    def log(self) -> list[dict[str, Any]]:
        """Its log lines as JSON objects."""
        return list(json_lines(self.out))

    def said(self) -> str:
        """The end of what it wrote, for a failed test's account."""
        tails = (path.read_text(errors="replace")[-3000:] for path in (self.out, self.err))
        return "\n".join(tails)

    def _high_water_mb(self) -> float:
        text = Path(f"/proc/{self.pid}/status").read_text()
        found = [line.split()[1] for line in text.splitlines() if line.startswith("VmHWM")]
        return int(found[0]) / 1024 if found else 0.0


def json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Those of a log that are JSON, without the last one while it is being written."""
    for line in path.read_text(errors="replace").split("\n")[:-1]:
        if line.startswith("{"):
            yield json.loads(line)
