"""A process that holds secrets leaves no core file, whatever ends it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cdcd.fleet import registry

END = """
import os, resource, signal, sys
resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
{guard}
if os.fork() == 0:
    signal.signal(signal.{signal}, signal.SIG_DFL)  # what a shell begins in the background ignores SIGQUIT
    os.kill(os.getpid(), signal.{signal})
_, status = os.wait()
print(os.WTERMSIG(status), os.WCOREDUMP(status))
"""
GUARD = "from cdcd.observe.private_memory import keep_memory_private; keep_memory_private()"


def ended(by: str, guard: str, folder: Path) -> str:
    """How a process ended that was forked off, as workers are; its core file would lie in `folder`."""
    command = [sys.executable, "-c", END.format(guard=guard, signal=by)]
    environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_no_core_file(tmp_path: Path) -> None:
    try:
        without = ended("SIGSEGV", "", tmp_path)
    except subprocess.CalledProcessError:
        pytest.skip("this machine allows nobody a core file")
    left = list(tmp_path.iterdir())
    for each in ("SIGSEGV", "SIGABRT", "SIGQUIT"):
        assert ended(each, GUARD, tmp_path) == f"{getattr(signal, each).value} False"
    assert list(tmp_path.iterdir()) == left
    if without != f"{signal.SIGSEGV.value} True":
        pytest.skip("this machine writes no core files anyway")


def test_a_server_is_known_to_live_where_proc_does_not_show_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """As systemd's ProtectProc=invisible hides whose memory is private."""
    monkeypatch.setattr(Path, "exists", lambda _: False)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        assert registry._lives(other.pid)
    assert not registry._lives(other.pid)
