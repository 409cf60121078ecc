"""What MySQL, ZooKeeper and Kafka have in common: install, configure, start until ready, stop, remember."""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from deploy.stack import ports
from deploy.stack.daemon import POLL, Daemon, stop_all
from deploy.stack.endpoints import Endpoint
from deploy.stack.home import Home, StackError, fail, make_folder, remove

Say = Callable[[str], None]
"""Takes one line of progress."""

START_ATTEMPTS = 5
LOG_TAIL = 15
"""Lines of a failed server's log that go into the error."""


class PortTakenError(StackError):
    """Somebody else listens on a port that was free a moment ago."""


class Service(ABC):
    """One service of one stack. Not safe for two threads or processes at once: the stack holds a lock."""

    kind: ClassVar[str]
    """Its name on the command line and of its folder."""
    start_seconds: ClassVar[float]
    """How long a start may take until the probe succeeds."""
    stop_seconds: ClassVar[float]
    """How long a clean stop may take before SIGKILL."""
    bind_failures: ClassVar[Sequence[str]]
    """What the log says when a port is taken."""

    def __init__(self, home: Home, folder: Path, say: Say) -> None:
        self.home = home
        self.folder = folder
        self.say = say
        self._daemons: list[Daemon] = []

    @abstractmethod
    def check(self) -> None:
        """Fail when a program that `install` or a start needs is missing on this machine."""

    @abstractmethod
    def install(self) -> None:
        """Download and unpack what is not in the cache."""

    @abstractmethod
    def configure(self) -> list[Daemon]:
        """Make data, ports and configuration as the settings say; what is there is kept."""

    @abstractmethod
    def describe(self) -> list[Daemon]:
        """The processes of a service that was configured before, touching nothing."""

    @abstractmethod
    def probe(self, daemon: Daemon) -> bool:
        """Whether the server answers; takes at most half a second."""

    @abstractmethod
    def endpoint(self) -> Endpoint:
        """Where it answers; it must have been configured."""

    @abstractmethod
    def settings_changed(self) -> bool:
        """Whether the running processes were started with other settings than those wanted now."""

    def exists(self) -> bool:
        return (self.folder / ports.FILE).exists()

    def daemons(self) -> list[Daemon]:
        """The processes of this service, running or not; none before the first `up`."""
        if not self._daemons and self.exists():
            self._daemons = self.describe()
        return self._daemons

    def up(self) -> None:
        """Installed, configured, running and answering, whatever the state before."""
        running = [daemon for daemon in self.daemons() if daemon.pid() is not None]
        if running and len(running) == len(self.daemons()) and not self.settings_changed():
            self._await(self.daemons())
            return
        if running and self.settings_changed():
            self.say("stopping, to start with other settings")
            stop_all(running, self.stop_seconds)
            running = []
        self.check()
        self.install()
        make_folder(self.folder, owned=True)
        self._start(ports_fixed=bool(running))

    def _start(self, *, ports_fixed: bool) -> None:
        started = time.monotonic()
        for attempt in range(START_ATTEMPTS):
            before = {daemon.name: daemon for daemon in self._daemons}
            self._daemons = self.configure()
            try:
                for daemon in self._daemons:
                    daemon.spawn_unless_running(before.get(daemon.name))
                self._await(self._daemons)
            except PortTakenError:
                stop_all(self._daemons, 0)
                if ports_fixed or attempt + 1 == START_ATTEMPTS:
                    raise
                self.say("a port was taken meanwhile: trying others")
                self.forget_ports()
            except BaseException:
                stop_all(self._daemons, 0)
                raise
            else:
                self.say(f"ready after {time.monotonic() - started:.1f} s")
                return

    def _await(self, daemons: Sequence[Daemon]) -> None:
        deadline = time.monotonic() + self.start_seconds
        for daemon in daemons:
            while not self.probe(daemon):
                if daemon.exited():
                    self._explain(daemon)
                if time.monotonic() > deadline:
                    fail(f"{daemon.name} did not answer within {self.start_seconds:.0f} s; its log: {daemon.log}")
                time.sleep(POLL)

    def _explain(self, daemon: Daemon) -> None:
        output = daemon.output()
        if any(sign in output for sign in self.bind_failures):
            raise PortTakenError(f"{daemon.name} found its port taken; its log: {daemon.log}")
        tail = "\n".join(output.splitlines()[-LOG_TAIL:])
        fail(f"{daemon.name} ended while starting; its log, {daemon.log}, ends:\n{tail}")

    def forget_ports(self) -> None:
        """Make the next `configure` choose other ports."""
        ports.forget(self.folder)

    def stop(self, *, kill: bool = False) -> None:
        """Stop cleanly within `stop_seconds`, or with SIGKILL; a service that does not run is fine."""
        stop_all(self.daemons(), 0 if kill else self.stop_seconds)

    def destroy(self) -> None:
        """Kill and delete everything but the downloads."""
        self.stop(kill=True)
        remove(self.folder)
        self._daemons = []


def in_parallel(actions: Sequence[Callable[[], None]]) -> None:
    """Run all, each in a thread; when all have ended raise the first failure (with the others as notes)."""
    failures: list[BaseException] = []

    def run(action: Callable[[], None]) -> None:
        try:
            action()
        except BaseException as error:  # noqa: BLE001 - carried to the caller's thread, raised below
            failures.append(error)

    threads = [threading.Thread(target=run, args=(action,), daemon=True) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        for other in {str(error) for error in failures} - {str(failures[0])}:
            failures[0].add_note(f"also: {other}")
        raise failures[0]
