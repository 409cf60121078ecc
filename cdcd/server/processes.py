"""Worker processes: started by a forkserver that has the heavy modules loaded, heard through their pipes, watched until they are gone.

server ──exec──▶ forkserver (imports, freezes) ──fork──▶ worker ◀──duplex pipe──▶ server

The forkserver can be killed: its workers run on, since only their pipes tie them to the server, and the next look starts
another one. A process is watched by a descriptor of its own (pidfd), so that a number used again is never taken for it.
"""

import multiprocessing
import os
import resource
import select
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection

import structlog

from cdcd.errors import CdcdError
from cdcd.worker.channel import Assignment, Farewell, Hello, LogLevel, Report, Stop

SPEECHLESS_GRACE = 3.0
"""Seconds a process may live on after it has closed its pipe."""

FILES = 65_536
"""Open files that this process may have, if the hard limit allows it."""

FORKSERVER_DIED = 255
"""What multiprocessing takes for the exit status where nobody is left to tell it."""


class Gone:
    """The process is no more. `code`: its exit status, negative for a signal; None: not known."""

    def __init__(self, code: int | None) -> None:
        self.code = code


Heard = Hello | Report | Farewell | Gone
Target = Callable[[Assignment, Connection], None]


class SpawnFailed(CdcdError):
    """The worker process could not be started."""


class Forkserver:
    """Makes worker processes. One a program: multiprocessing has no more."""

    def __init__(self, target: Target, preload: Sequence[str]) -> None:
        self._target = target
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([*preload, "cdcd.server.freeze"])
        _forget_main()
        _raise_file_limit()
        _start_tracker()

    def warm(self) -> None:
        """Wait until it has loaded its modules: from then on a worker starts in a moment."""
        process = self._context.Process(target=_nothing, name="cdcd warming")
        try:
            process.start()
            process.join()
        except (OSError, EOFError) as error:
            structlog.get_logger().warning("forkserver.cold", reason=f"the first worker will tell more: {error}")

    def keep_ready(self) -> None:
        """Start it if it does not run; cheap where it does. The modules are loaded while the server goes on."""
        before = self.pid
        _start_tracker()
        forkserver.ensure_running()
        if before not in (None, self.pid):
            structlog.get_logger().warning("forkserver.restarted", reason=f"process {before} was gone; workers run on")

    @property
    def pid(self) -> int | None:
        """Its process id; None before the first start."""
        pid: int | None = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]  # noqa: SLF001 - said nowhere else
        return pid

    def start(self, assignment: Assignment, hear: Callable[["WorkerProcess", Heard], None]) -> "WorkerProcess":
        """A worker; `hear` gets what it says, in a thread of the worker's own, and Gone as the last. Raises SpawnFailed."""
        ours, theirs = self._context.Pipe(duplex=True)
        process = self._context.Process(
            target=self._target, args=(assignment, theirs), name=f"cdcd {assignment.instance}"
        )
        try:
            process.start()
        except (OSError, EOFError) as error:
            # A process that was forked all the same reads end of file, and ends.
            ours.close()
            raise SpawnFailed(f"the worker process could not be started: {error or type(error).__name__}") from error
        finally:
            theirs.close()
        return WorkerProcess(assignment.instance, process, ours, hear)


class WorkerProcess:
    """One worker's process and our end of its pipe."""

    def __init__(
        self,
        instance: str,
        process: "multiprocessing.context.ForkServerProcess",
        pipe: "Connection[object, object]",
        hear: Callable[["WorkerProcess", Heard], None],
    ) -> None:
        assert process.pid is not None
        self.instance = instance
        self.pid: int = process.pid
        self._process = process
        self._pipe = pipe
        self._hear = hear
        self._handle = _handle_of(self.pid)
        self._guard = threading.Lock()
        """Of `_handle`: a descriptor that was closed may be another worker's by now."""
        threading.Thread(target=self._listen, name=f"worker {instance}", daemon=True).start()

    def stop(self) -> None:
        """Tell it to stop; nothing where it is ending already."""
        with suppress(OSError):
            self._pipe.send(Stop())

    def log_at(self, level: str) -> None:
        """Tell it to log this level and above; nothing where it is ending already."""
        with suppress(OSError):
            self._pipe.send(LogLevel(level))

    def kill(self) -> None:
        """`kill -9`; nothing where it is gone already."""
        with self._guard:
            if self._handle is not None:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    def _listen(self) -> None:
        try:
            while isinstance(message := self._pipe.recv(), Hello | Report | Farewell):
                self._hear(self, message)
        except (EOFError, OSError):
            pass  # it has closed its end, by intention or by dying
        except Exception:  # noqa: BLE001 - whatever cannot be unpickled: the worker is of no use, and is killed
            structlog.get_logger().exception("worker.unreadable", sync_instance=self.instance, reason="it is killed")
            self.kill()
        self._hear(self, Gone(self._reap()))

    def _reap(self) -> int | None:
        """Wait until the process is gone; its exit status if that is known."""
        if self._handle is not None:
            end = select.poll()
            end.register(self._handle, select.POLLIN)
            if not end.poll(SPEECHLESS_GRACE * 1000):
                self.kill()
                end.poll()
            with self._guard:
                os.close(self._handle)
                self._handle = None
        self._process.join(1.0)
        code = self._process.exitcode
        self._pipe.close()
        return None if code == FORKSERVER_DIED else code


def _nothing() -> None:
    """A process that only shows that processes can be made."""


def _handle_of(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:  # it is gone already
        return None


def _forget_main() -> None:
    """Else multiprocessing would run the command's own script again in each worker, to find what __main__ defines: nothing of ours."""
    main = sys.modules["__main__"]
    main.__spec__ = None
    vars(main).pop("__file__", None)


def _start_tracker() -> None:
    """The companion of multiprocessing. Where it has to be started that lets through the stop signals that we hold back."""
    held = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    resource_tracker.ensure_running()
    signal.pthread_sigmask(signal.SIG_SETMASK, held)


def _raise_file_limit() -> None:
    """Four descriptors a worker: the usual soft limit of 1024 would end at 250 instances."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, FILES)), hard))
