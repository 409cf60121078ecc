"""The core with AddressSanitizer, UndefinedBehaviorSanitizer and coverage counters, apart from the normal one."""

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[2]
CORE = ROOT / "cdcd" / "binlog" / "core"
FOLDER = ROOT / "build" / "fuzz"
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-g1")
# As setup.py; -O0 compiles in a third of the time of -O1 and costs a tenth of the executions.
COMPILE = (
    *("gcc", "-c", "-fPIC", "-w", "-O0", "-fno-strict-aliasing"),
    *("-DPy_LIMITED_API=0x030B0000", "-DCYTHON_LIMITED_API=1"),
)


class NoSanitizersError(Exception):
    """This machine cannot build or run such a core; says why."""


def runtime() -> str:
    """What has to be loaded before Python, which is no sanitized program itself. Raises NoSanitizersError."""
    try:
        path = _output("gcc", "-print-file-name=libasan.so")
    except FileNotFoundError:
        raise NoSanitizersError("there is no gcc") from None
    if not Path(path).is_absolute():  # gcc gives the bare name back where it has no such file
        raise NoSanitizersError("gcc has no AddressSanitizer runtime (libasan)")
    return path


def sanitized_core() -> Path:
    """Path of the built extension; the one of before if nothing has changed. Raises NoSanitizersError."""
    runtime()
    sources = [*sorted(CORE.glob("*.pyx")), Path(__file__).with_name("coverage.c"), Path(__file__)]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    folder = FOLDER / digest
    built = folder / "native.abi3.so"
    if not built.exists():
        for other in FOLDER.glob("*/native.abi3.so"):  # of sources that are no more
            shutil.rmtree(other.parent, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        _build(folder, built)
    return built


def _build(folder: Path, built: Path) -> None:
    source, include = folder / "native.c", f"-I{sysconfig.get_path('include')}"
    module = ("--module-name", "cdcd.binlog.core.native", str(CORE / "native.pyx"))
    _run(sys.executable, "-m", "cython", "-3", *module, "-o", str(source))
    native, coverage = folder / "native.o", folder / "coverage.o"
    _run(*COMPILE, *SANITIZERS, "-fsanitize-coverage=trace-pc", include, str(source), "-o", str(native))
    _run("gcc", "-c", "-fPIC", "-O2", str(Path(__file__).with_name("coverage.c")), "-o", str(coverage))
    partial = built.with_suffix(f".{os.getpid()}")
    _run("gcc", "-shared", *SANITIZERS, str(native), str(coverage), "-o", str(partial))
    partial.rename(built)  # another run may build at the same time


def environment() -> dict[str, str]:
    """Of a process that loads the sanitized core. Raises NoSanitizersError."""
    asan = {
        "abort_on_error": 1,
        "detect_leaks": 0,  # Python keeps things on purpose
        "allocator_may_return_null": 1,
        "max_allocation_size_mb": 600,
        "hard_rss_limit_mb": 1500,
    }
    return os.environ | {
        "LD_PRELOAD": runtime(),
        "ASAN_OPTIONS": ":".join(f"{name}={value}" for name, value in asan.items()),
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONMALLOC": "malloc",  # so that reading outside a bytes object is seen
        "PYTHONPATH": str(ROOT),
    }


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoSanitizersError(f"{' '.join(command[:3])} ...: {done.stderr.strip()[-500:]}")
