"""A `cdcd run --standalone` process under test: started, killed, stopped in its tracks, looked at from outside."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from deploy.rig.source import Source
from deploy.rig.topics import OpenTransaction, read_committed, topics_like

Answer = TypeVar("Answer")

_LAUNCH = "import sys; from cdcd.cli.cdcd import main; sys.argv[0] = 'cdcd'; sys.exit(main())"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(question: Callable[[], Answer | None], what: str, timeout: float = 60, every: float = 0.05) -> Answer:
    """Ask until the answer is neither None nor False; raises TimeoutError naming `what`."""
    deadline = time.monotonic() + timeout
    while True:
        answer = question()
        if answer is not None and answer is not False:
            return answer
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout:g} s: {what}")
        time.sleep(every)


@dataclass(slots=True)
class Instance:
    """One instance's definition, credential and settings on disk, and the processes that ran it."""

    name: str
    folder: Path
    source: Source
    bootstrap: str
    database: str
    tables: tuple[str, ...]
    start: object = "latest"
    overrides: dict[str, Any] = field(default_factory=dict)
    """Merged over the definition, section by section."""
    settings: dict[str, str] = field(default_factory=dict)
    """Environment over the usual one."""
    hosts: tuple[str, ...] = ()
    """`host:port` of several servers to read from; without them that of `source`."""
    login: tuple[str, str] | None = None
    """User and password for the credential; without it those of `source`."""
    workers: "list[Worker]" = field(default_factory=list)
    """Every process started for it, oldest first."""

    @property
    def topic(self) -> str:
        return f"cdc.{self.name}.{{database}}.{{table}}"

    @property
    def ddl_topic(self) -> str:
        return f"cdc.{self.name}.ddl"

    @property
    def position_topic(self) -> str:
        return f"__cdcd_positions.default.{self.name}"

    @property
    def transactional_id(self) -> str:
        return f"cdcd.default.{self.name}"

    def definition(self) -> dict[str, Any]:
        """design.md section 3a."""
        base: dict[str, Any] = {
            "version": 1,
            "name": self.name,
            "source": {"host": self.source.host, "port": self.source.port, "credential": "source"},
            "tables": {"include": [f"{self.database}.{table}" for table in self.tables]},
            "start": self.start,
            "sink": {
                "topic": self.topic,
                "ddl_topic": self.ddl_topic,
                "create": {"partitions": 4, "replication": 1},
            },
        }
        if self.hosts:
            base["source"] = {"hosts": list(self.hosts), "credential": "source"}
        for section, value in self.overrides.items():
            old = base.get(section)
            base[section] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
        return base

    def write(self) -> Path:
        """Definition and credential as files; returns the definition's path."""
        definition = self.definition()
        hosts = self.hosts or (f"{definition['source']['host']}:{definition['source']['port']}",)
        self.write_credential("source", self.login or (self.source.user, self.source.password), *hosts)
        path = self.folder / f"{self.name}.yaml"
        path.write_text(yaml.safe_dump(definition, sort_keys=False))
        return path

    def write_credential(self, name: str, login: tuple[str, str], *hosts: str) -> None:
        """A credential file that may be sent to `hosts` (`host:port` each)."""
        secret = self.folder / "credentials" / name
        secret.parent.mkdir(parents=True, exist_ok=True)
        secret.write_text(yaml.safe_dump({"user": login[0], "password": login[1], "hosts": list(hosts)}))
        secret.chmod(0o600)

    def run(self, *, until_end: bool = False, failpoint: str | None = None) -> "Worker":
        """Start a worker process for it."""
        port = free_port()
        command = [sys.executable, "-c", _LAUNCH, "run", "--standalone", str(self.write())]
        if until_end:
            command.append("--until-end")
        log = self.folder / f"{self.name}-{len(self.workers) + 1:03}"
        self.workers.append(Worker(command, self._environment(port, failpoint), port, log))
        return self.workers[-1]

    def kill_all(self) -> None:
        """Kill whatever of it still runs, also a stopped one."""
        for worker in self.workers:
            worker.kill()

    def _environment(self, port: int, failpoint: str | None) -> dict[str, str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CDCD_")}
        environment |= {
            "CDCD_KAFKA__DEFAULT__BOOTSTRAP_SERVERS": self.bootstrap,
            "CREDENTIALS_DIRECTORY": str(self.folder / "credentials"),
            "CDCD_HTTP__PORT": str(port),
        }
        if failpoint is not None:
            environment |= {"CDCD_TESTING": "1", "CDCD_FAILPOINT": failpoint}
        return environment | self.settings


def caught_up(instance: Instance) -> bool:
    """Whether its newest committed position holds everything that the source has executed by now."""
    if not topics_like(instance.bootstrap, instance.position_topic):
        return False
    try:
        newest = [json.loads(record.value) for record in read_committed(instance.bootstrap, [instance.position_topic])][
            -1:
        ]
    except OpenTransaction:
        return False
    sets = [f"GTID_SUBSET(@@GLOBAL.gtid_executed, '{record['gtid_set']}')" for record in newest]
    return bool(sets) and newest[0]["rows_done"] == 0 and instance.source.value(f"SELECT {sets[0]}") == "1"


class Worker:
    """One process. `log`.out holds its log lines, `log`.err its standard error."""

    def __init__(self, command: list[str], environment: dict[str, str], port: int, log: Path) -> None:
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
                command, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True
            )
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
        self.wait(10)

    def stop(self, timeout: float = 30) -> int:
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
        except OSError:
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
        return list(_json_lines(self.out))

    def said(self) -> str:
        """The end of what it wrote, for a failed test's account."""
        tails = (path.read_text(errors="replace")[-3000:] for path in (self.out, self.err))
        return "\n".join(tails)

    def _high_water_mb(self) -> float:
        text = Path(f"/proc/{self.pid}/status").read_text()
        found = [line.split()[1] for line in text.splitlines() if line.startswith("VmHWM")]
        return int(found[0]) / 1024 if found else 0.0


def _json_lines(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text(errors="replace").splitlines():
        if line.startswith("{"):
            yield json.loads(line)
