"""`make fuzz`: mutated real events against the core built with AddressSanitizer and UndefinedBehaviorSanitizer.

Coverage-guided: an input that reaches what none has reached before is gone on from. Prints one JSON line:

    {"seconds": 600.0, "seed": 1, "executions": 412345, "corpus": 9876, "edges": 23456, "outcomes": {...}, "findings": []}

A finding is a crash, a read outside, undefined behaviour, a loop without end, memory without bounds, or an exception that is no
typed error with the event's place; its input lies in build/fuzz/findings and is executed again by `ARGS="--input FILE"`. Exit
status 1 if there are any, 2 if this machine cannot build such a core.
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fuzz.build import FOLDER, ROOT, NoSanitizersError, environment, sanitized_core
from tests.fuzz.child import State

MOST_FINDINGS = 20


@dataclass
class Total:
    """Over all children: one more is started when an input has ended one."""

    seed: int
    executions: int = 0
    corpus: int = 0
    edges: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)

    def add(self, state: Path, told: dict[str, Any]) -> None:
        executions, corpus, edges, _ = State.read(state)
        self.executions += executions
        self.corpus, self.edges = max(self.corpus, corpus), max(self.edges, edges)
        for outcome, count in told.get("outcomes", {}).items():
            self.outcomes[outcome] = self.outcomes.get(outcome, 0) + count
        self.findings += told.get("failures", [])


def fuzz(seconds: float, seed: int) -> dict[str, Any]:
    """Raises NoSanitizersError."""
    core, began, total = sanitized_core(), time.monotonic(), Total(seed)
    (FOLDER / "findings").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "state"
        number = 0
        until = time.monotonic() + seconds
        while number == 0 or (time.monotonic() < until and len(total.findings) < MOST_FINDINGS):
            State.make(state)
            done = _child(core, state, f"{seed}.{number}", max(0.1, until - time.monotonic()))
            if done.returncode:
                _note_death(total, state, f"{seed}.{number}", done)
            total.add(state, json.loads(done.stdout) if done.returncode == 0 else {})
            number += 1
    return {"seconds": round(time.monotonic() - began, 1), **vars(total)}


def _child(core: Path, state: Path, seed: str, seconds: float, *more: str) -> subprocess.CompletedProcess[str]:
    command = (
        sys.executable,
        "-m",
        "tests.fuzz.child",
        "--core",
        str(core),
        "--state",
        str(state),
        "--seed",
        seed,
        *more,
    )
    limits = ("--seconds", str(seconds), "--findings", str(FOLDER / "findings"))
    return subprocess.run((*command, *limits), cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)


def _note_death(total: Total, state: Path, seed: str, done: subprocess.CompletedProcess[str]) -> None:
    executions, _, _, data = State.read(state)
    if executions == 0 and not data:
        raise NoSanitizersError(f"the sanitized core does not run here: {done.stderr.strip()[-800:]}")
    path = FOLDER / "findings" / f"{seed}.packets"
    path.write_bytes(data)
    path.with_suffix(".txt").write_text(done.stderr)
    total.findings.append(f"{_cause(done)}: {path.relative_to(ROOT)}")


def _cause(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode == -signal.SIGVTALRM:
        return "an endless loop"
    lines = [line for line in done.stderr.splitlines() if "ERROR: AddressSanitizer" in line or "runtime error" in line]
    return lines[0][-200:] if lines else f"the process ended with {done.returncode}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="make fuzz", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--input", type=Path, help="execute one input of build/fuzz/findings again")
    given = parser.parse_args()
    try:
        if given.input:
            done = _child(sanitized_core(), Path("/dev/null"), "0", 0, "--input", str(given.input))
            print(done.stdout, done.stderr, sep="", end="")
            return abs(done.returncode)
        told = fuzz(given.seconds, given.seed)
    except NoSanitizersError as error:
        print(f"cannot fuzz: {error}", file=sys.stderr)
        return 2
    print(json.dumps(told))
    return 1 if told["findings"] else 0


if __name__ == "__main__":
    sys.exit(main())
