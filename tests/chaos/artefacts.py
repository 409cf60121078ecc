"""What a failed run leaves behind, and the line that runs it again (faults.md section 4)."""

import json
import platform
import shutil
import subprocess
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import confluent_kafka

from deploy.rig.load import History
from deploy.rig.topics import read_committed
from deploy.rig.verify import Run

_KEPT = Path("build/chaos")


def keep(scenario: str, seed: int, run: Run, folder: Path, *, history: History, verdict: dict[str, Any]) -> Path:
    """Copy logs, history, the committed records and the verdict to build/chaos/<scenario>-<seed>."""
    kept = _KEPT / f"{scenario}-{seed}"
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(folder, kept, ignore=shutil.ignore_patterns("credentials"))
    (kept / "run.json").write_text(json.dumps(_header(scenario, seed, run) | verdict, indent=2, default=_plain))
    with (kept / "history.jsonl").open("w") as file:
        file.writelines(json.dumps(entry) + "\n" for entry in history.entries)
    with (kept / "records.jsonl").open("w") as file:
        for record in read_committed(run.bootstrap, run.topics()):
            place = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
            file.write(json.dumps(place | {"value": record.value.decode()}) + "\n")
    return kept


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
