"""One process that fuzzes until its time is over, or until an input ends it. Started by `python -m tests.fuzz`.

What it is doing stands in a file that its parent reads when it has died: see `State`.
"""

import argparse
import ctypes
import json
import mmap
import random
import signal
import struct
import sys
import time
import traceback
from pathlib import Path
from typing import Any

INPUT_SECONDS = 10.0
"""Of the processor's time; an input that takes longer is an endless loop."""
LARGEST_INPUT = 1 << 22
SAMPLE = 400
"""Seeds that are executed as they are; the others are met as mutants."""
_HEAD = struct.Struct("<QQQI")


class State:
    """Executions, corpus, edges so far, and the input in work."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)

    def write(self, executions: int, corpus: int, edges: int, data: bytes) -> None:
        data = data[:LARGEST_INPUT]
        self._map[: _HEAD.size + len(data)] = _HEAD.pack(executions, corpus, edges, len(data)) + data

    @staticmethod
    def make(path: Path) -> None:
        path.write_bytes(bytes(_HEAD.size + LARGEST_INPUT))

    @staticmethod
    def read(path: Path) -> tuple[int, int, int, bytes]:
        data = path.read_bytes()
        executions, corpus, edges, size = _HEAD.unpack_from(data)
        return executions, corpus, edges, data[_HEAD.size : _HEAD.size + size]


def use_core(path: Path) -> Any:
    """Import the core at `path` in place of the normal one; its library, for what coverage.c adds."""
    import cdcd.binlog.core as package

    package.__path__.insert(0, str(path.parent))
    from cdcd.binlog.core import native

    assert native.__file__ == str(path), f"{native.__file__} was loaded, not {path}"
    return ctypes.CDLL(str(path))


class Run:
    """The loop. Everything that touches the core is imported after `use_core`."""

    def __init__(self, library: Any, seed: str, state: State) -> None:
        from tests.fuzz.inputs import Mutator, seeds

        self._library = library
        self._state = state
        self._rng = random.Random(seed)
        known = seeds()
        self._mutator = Mutator(self._rng, known)
        self.executions = 0
        self.edges = 0
        self.outcomes: dict[str, int] = {}
        self.failures: dict[str, tuple[str, bytes]] = {}
        """Where it was raised -> traceback and input."""
        for case in self._rng.sample(known, min(len(known), SAMPLE)):
            self._execute(case)

    def until(self, deadline: float) -> None:
        while time.monotonic() < deadline and len(self.failures) < 10:
            case = self._mutator.next()
            if self._execute(case):
                self._mutator.learn(case)

    def _execute(self, case: Any) -> int:
        """How much was new about it."""
        from tests.fuzz.inputs import stream
        from tests.fuzz.judge import judge

        data, sound = stream(self._rng, case)
        self._state.write(self.executions, len(self._mutator.corpus), self.edges, data)
        self.executions += 1
        signal.setitimer(signal.ITIMER_VIRTUAL, INPUT_SECONDS)
        try:
            outcome = judge(data, self._rng.choice((1, 1, 1, 3)), sound=sound)
            self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        except Exception as error:  # noqa: BLE001 - whatever else is raised is what is looked for
            last = traceback.extract_tb(error.__traceback__)[-1]
            self.failures.setdefault(
                f"{type(error).__name__} {last.name}:{last.lineno}", (traceback.format_exc(), data)
            )
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        news = int(self._library.coverage_news())
        if news:
            self.edges = int(self._library.coverage_edges())
        return news


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--core", type=Path, required=True)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--findings", type=Path, required=True)
    parser.add_argument("--seed", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--input", type=Path, help="execute this one only")
    given = parser.parse_args()
    library = use_core(given.core)
    if given.input:
        from tests.fuzz.judge import judge

        print(judge(given.input.read_bytes()))
        return 0
    run = Run(library, given.seed, State(given.state))
    run.until(time.monotonic() + given.seconds)
    for number, (told, data) in enumerate(run.failures.values()):
        (given.findings / f"{given.seed}-{number}.packets").write_bytes(data)
        (given.findings / f"{given.seed}-{number}.txt").write_text(told)
    json.dump({"outcomes": run.outcomes, "failures": list(run.failures)}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
