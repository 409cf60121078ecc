"""One server process: started detached, found again by its command line, stopped with a deadline.

No pid file: a pid file can be stale, be missing after a kill of this tool, or name a stranger. The process is the one whose
argument list holds `marker`, an argument that only this server has.
"""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.stack.home import UNPRIVILEGED, drops_privileges, fail

POLL = 0.03
"""Seconds between two looks at a starting or stopping server."""


def find(marker: str) -> int | None:
    """The pid of the living process that has `marker` among its arguments."""
    wanted = marker.encode()
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            arguments = Path(entry.path, "cmdline").read_bytes()
        except OSError:  # ended meanwhile
            continue
        if wanted in arguments.split(b"\0"):
            return int(entry.name)
    return None


def is_alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not, once the last of its threads has let go of files and ports."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state not in {"Z", "X"} or len(list(Path(f"/proc/{pid}/task").iterdir())) > 1
    except OSError:
        return False


def _launch(command: Sequence[str], log: Path, input_file: Path | None = None) -> "subprocess.Popen[bytes]":
    """Start as the uid of the servers, output into `log`, without settings of the caller that would redirect a server.

    In a session of its own, so that a Ctrl-C at this terminal does not reach it.
    """
    uid = UNPRIVILEGED if drops_privileges() else None
    environment = {
        k: v for k, v in os.environ.items() if not k.startswith(("MYSQL_", "LD_", "KAFKA_", "JAVA_TOOL", "CLASSPATH"))
    }
    with log.open("ab") as output, (input_file or Path(os.devnull)).open("rb") as input_:
        return subprocess.Popen(
            command,
            env=environment,
            stdin=input_,
            stdout=output,
            stderr=output,
            user=uid,
            group=uid,
            extra_groups=[] if uid else None,
            cwd="/",
            umask=0o022,
            start_new_session=True,
        )


def run_as_server(command: Sequence[str], log: Path, input_file: Path | None = None) -> int:
    """Run to the end as the uid of the servers, output into `log`; the exit status."""
    return _launch(command, log, input_file).wait()


@dataclass
class Daemon:
    """A server process, running or not."""

    name: str
    marker: str
    command: Sequence[str]
    log: Path
    child: "subprocess.Popen[bytes] | None" = None
    _log_start: int = 0

    def pid(self) -> int | None:
        """The pid of the running server, whoever started it."""
        if self.child is not None:
            if self.child.poll() is None:
                return self.child.pid
            self.child = None
        return find(self.marker)

    def spawn_unless_running(self, before: "Daemon | None") -> None:
        """Start it, unless it runs; `before` is the object that may have started it."""
        self.child = before.child if before else None
        if self.pid() is None:
            self._log_start = self.log.stat().st_size if self.log.exists() else 0
            self.child = _launch(self.command, self.log)

    def exited(self) -> bool:
        """Whether the process that was started here has ended."""
        return self.child is not None and self.child.poll() is not None

    def output(self) -> str:
        """What the server has logged since this process started it."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def signal(self, number: int) -> int | None:
        """Send a signal; the pid it went to, None when the server does not run."""
        pid = self.pid()
        if pid is not None:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                return None
        return pid

    def ended(self, pid: int, deadline: float) -> bool:
        """Wait until `pid` is gone, at most until `deadline` (monotonic seconds)."""
        while True:
            own = self.child is not None and self.child.pid == pid
            if self.exited() if own else not is_alive(pid):
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL)


def stop_all(daemons: Sequence[Daemon], seconds: float) -> None:
    """Ask all at once to stop, insist with SIGKILL on those that still run after `seconds` (0: at once).

    All at once: a broker that lost its controllers waits minutes for a clean shutdown.
    """
    first = signal.SIGTERM if seconds else signal.SIGKILL
    waiting = [(daemon, pid) for daemon in daemons if (pid := daemon.signal(first)) is not None]
    deadline = time.monotonic() + seconds
    for daemon, pid in waiting:
        if daemon.ended(pid, deadline if seconds else deadline + 60):
            continue
        daemon.signal(signal.SIGKILL)
        if not daemon.ended(pid, time.monotonic() + 60):
            fail(f"{daemon.name} (pid {pid}) does not end after SIGKILL: is it stuck in the kernel?")
