"""What a failed run leaves behind, and the line that runs it again (faults.md section 4)."""

import json
import platform
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import confluent_kafka

from deploy.rig.load import History, Load
from deploy.rig.topics import read_records
from deploy.rig.verify import Run

_KEPT = Path("build/chaos")


@contextmanager
def kept_on_failure(scenario: str, seed: int, run: Run, folder: Path, load: Load) -> Iterator[dict[str, Any]]:
    """Around a run: when it fails, keep its artefacts and print how to repeat it. Fill the dictionary with verdicts."""
    verdict: dict[str, Any] = {}
    try:
        yield verdict
    except BaseException as error:
        verdict["error"] = str(error)
        load.stop()
        print(
            f"kept in {keep(scenario, seed, run, folder, history=load.history, verdict=verdict)}; again: {again(scenario, seed)}"
        )
        raise


def keep(scenario: str, seed: int, run: Run, folder: Path, *, history: History, verdict: dict[str, Any]) -> Path:
    """Copy logs, history, topics and the verdict to build/chaos/<scenario>-<seed>."""
    kept = _KEPT / f"{scenario}-{seed}"
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(folder, kept, ignore=shutil.ignore_patterns("credentials"))
    (kept / "run.json").write_text(json.dumps(_header(scenario, seed, run) | verdict, indent=2, default=_plain))
    with (kept / "history.jsonl").open("w") as file:
        file.writelines(json.dumps(entry) + "\n" for entry in history.entries)
    for isolation in ("read_committed", "read_uncommitted"):
        _keep_records(kept / f"{isolation}.jsonl", run, isolation)
    return kept


def _keep_records(path: Path, run: Run, isolation: str) -> None:
    with path.open("w") as file:
        for record in read_records(run.bootstrap, run.topics(), isolation):
            place = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
            file.write(json.dumps(place | {"at": record.timestamp_ms, "value": record.value.decode()}) + "\n")


def again(scenario: str, seed: int) -> str:
    """The one line that repeats a run."""
    return f"CHAOS_SEED={seed} python -m pytest -m 'prove or not prove' tests/chaos -k {scenario}"


def _header(scenario: str, seed: int, run: Run) -> dict[str, Any]:
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    return {
        "commit": commit,
        "scenario": scenario,
        "seed": seed,
        "mysql": run.source.value("SELECT VERSION()"),
        "librdkafka": confluent_kafka.libversion()[0],
        "machine": platform.platform(),
        "again": again(scenario, seed),
    }


def _plain(value: object) -> object:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else str(value)
