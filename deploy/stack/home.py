"""The folder outside the repository that holds downloads and instances, and the locks that make it safe to share.

HOME/cache/...             downloads and what is unpacked from them; shared by all stacks
HOME/stacks/NAME/SERVICE   one server's configuration, data and log
HOME/locks/...             flock files; the kernel frees them when their process ends, however it ends
"""

import fcntl
import json
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
UNPRIVILEGED = 65534
"""The uid and gid (nobody) that servers run as when the caller is root: mysqld refuses root."""


class StackError(Exception):
    """What went wrong, why, and what to do, in one line."""


def fail(message: str) -> NoReturn:
    raise StackError(message)


def drops_privileges() -> bool:
    """Whether servers run as another uid than the caller."""
    return os.getuid() == 0


def default_root() -> Path:
    """CDCD_STACK_HOME, else the user's cache folder; root's own is closed to the uid that servers run as."""
    if chosen := os.environ.get("CDCD_STACK_HOME"):
        return Path(chosen).resolve()
    if drops_privileges():
        return Path("/var/cache/cdcd-stack")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cdcd-stack"


class Home:
    """The shared folder. Every file in it is replaced atomically, so a kill leaves the old or the new one."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root.resolve() if root else default_root()
        self.cache = self.root / "cache"
        self.stacks = self.root / "stacks"
        self._locks = self.root / "locks"

    def prepare(self) -> None:
        """Make the folders; refuse a place that the servers' uid cannot reach."""
        try:
            for folder in (self.root, self.cache, self.stacks, self._locks):
                make_folder(folder)
        except OSError as error:
            fail(f"cannot write to {self.root} ({error.strerror}): set CDCD_STACK_HOME to a folder you own")
        if not drops_privileges():
            return
        for folder in (self.root, *self.root.parents):
            if not folder.stat().st_mode & stat.S_IXOTH:
                fail(f"uid {UNPRIVILEGED} cannot pass {folder}: set CDCD_STACK_HOME to a folder outside it")

    def stack_folder(self, name: str) -> Path:
        if not NAME.fullmatch(name):
            fail(f"stack name {name!r}: use 1 to 63 of a-z, 0-9, dot, dash, underscore, a letter or digit first")
        return self.stacks / name

    def stack_names(self) -> list[str]:
        return sorted(path.name for path in self.stacks.glob("*") if NAME.fullmatch(path.name))

    @contextmanager
    def lock(self, name: str, *, remove: bool = False) -> Iterator[None]:
        """Hold `name` exclusively among all processes and threads; `remove` takes its file away at the end."""
        make_folder(self._locks)
        path = self._locks / name
        descriptor = _open_locked(path)
        try:
            yield
        finally:
            if remove:
                path.unlink(missing_ok=True)
            os.close(descriptor)


def _open_locked(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        # The last holder may have removed the file while we waited: then our lock is on nothing.
        if path.exists() and os.fstat(descriptor).st_ino == path.stat().st_ino:
            return descriptor
        os.close(descriptor)


def make_folder(path: Path, *, owned: bool = False) -> Path:
    """Make `path`, open to readers whatever the umask; `owned` gives it to the uid that servers run as."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        folder.chmod(0o755)
    if owned and drops_privileges():
        os.chown(path, UNPRIVILEGED, UNPRIVILEGED)
    return path


def write(path: Path, text: str) -> None:
    """Replace `path` atomically, readable by everyone."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    new.write_text(text)
    new.chmod(0o644)
    new.replace(path)


def write_json(path: Path, value: Any) -> None:
    write(path, json.dumps(value, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """The stored value, or None when there is none."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None


def scratch(path: Path) -> Path:
    """Where to make what is then renamed to `path`; what an interrupted run left is deleted.

    The name holds our pid: a program that a killed run had started may still be writing to the last one.
    """
    for left in path.parent.glob(f"{path.name}.[0-9]*"):
        if left.is_file():
            left.unlink()
        else:
            shutil.rmtree(left, ignore_errors=True)
    return path.with_name(f"{path.name}.{os.getpid()}")


def remove(path: Path) -> None:
    """Delete a folder at once from its readers' view, even if deleting is interrupted; absent is fine."""
    trash = path.with_name(f"{path.name}.trash")
    shutil.rmtree(trash, ignore_errors=True)
    with suppress(FileNotFoundError):  # it is not there, or somebody else deletes what a killed run left
        path.rename(trash)
        shutil.rmtree(trash, ignore_errors=True)
