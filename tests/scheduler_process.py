"""A scheduler as a process of its own, for tests that stop and kill it.

    python -m tests.scheduler_process <host:port> <chroot> <server id>

It logs to standard output; CDCD_FAILPOINT plants faults. Ends with its standard input.
"""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from cdcd.config.zookeeper import ZooKeeper
from cdcd.observe.failpoints import from_environment
from cdcd.observe.logging import Logs
from deploy.rig.process import json_lines
from tests.scheduling import RunningScheduler


class SchedulerProcess:
    """Its log goes to a file in `folder`."""

    def __init__(self, ensemble: ZooKeeper, server_id: str, folder: Path, failpoint: str) -> None:
        self._log = folder / f"{server_id}.log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.scheduler_process", ensemble.hosts[0], ensemble.chroot, server_id],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={**os.environ, "CDCD_TESTING": "1", "CDCD_FAILPOINT": failpoint},
            )

    def events(self) -> list[dict[str, Any]]:
        """All that is written as a whole by now."""
        return list(json_lines(self._log))

    def logged(self, event: str) -> list[dict[str, Any]]:
        return [each for each in self.events() if each.get("event") == event]

    @property
    def stopped(self) -> bool:
        """By SIGSTOP."""
        status = Path(f"/proc/{self._process.pid}/stat").read_text()
        return status.rpartition(")")[2].split()[0] == "T"

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        self._process.kill()
        self._process.wait(10)


def main(hosts: str, chroot: str, server_id: str) -> None:
    with Logs(sys.stdout):
        ensemble = ZooKeeper(hosts=(hosts,), chroot=chroot, session_timeout="3s")
        running = RunningScheduler(ensemble, server_id, from_environment(os.environ))
        threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
        running.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
