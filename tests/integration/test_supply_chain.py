"""cdcd as it is installed: from the runtime lock alone; its bill of materials; known vulnerabilities."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.instances import Figures
from tests.locks import ROOT, locked

pytestmark = [pytest.mark.prove, pytest.mark.must_show("6.5")]

IMPORT_ALL = """
import importlib, pkgutil, cdcd
names = [each.name for each in pkgutil.walk_packages(cdcd.__path__, "cdcd.")]
for name in names:
    importlib.import_module(name)
print(len(names))
"""


def run(*command: str, cwd: Path = ROOT) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_runtime_lock_is_all_it_needs(tmp_path: Path, figures: Figures) -> None:
    python = str(tmp_path / "venv/bin/python")
    pip = (python, "-m", "pip", "--quiet", "--disable-pip-version-check", "install")
    build = (sys.executable, "-m", "pip", "--quiet", "wheel", "--no-deps", "--no-build-isolation", "--no-index")
    run(*build, "--wheel-dir", str(tmp_path), str(ROOT))
    run(sys.executable, "-m", "venv", str(tmp_path / "venv"))
    run(*pip, "--require-hashes", "-r", str(ROOT / "requirements/runtime.lock"))
    (wheel,) = tmp_path.glob("cdcd-*.whl")
    run(*pip, "--no-deps", "--no-index", str(wheel))
    # Not from here: the tree would be imported in place of what was installed.
    run(python, "-m", "pip", "check", cwd=tmp_path)
    modules = int(run(python, "-c", IMPORT_ALL, cwd=tmp_path))
    assert "cdcd" in run(str(tmp_path / "venv/bin/cdcd"), "version", cwd=tmp_path)
    assert "preflight" in run(str(tmp_path / "venv/bin/cdcctl"), "--help", cwd=tmp_path)
    figures({"packages": len(locked("runtime")), "modules_imported": modules})


def test_the_bill_of_materials_names_what_is_locked(figures: Figures) -> None:
    run("make", "-s", "sbom")
    bill = json.loads((ROOT / "build/sbom.json").read_text())
    assert (bill["bomFormat"], bill["metadata"]["component"]["name"]) == ("CycloneDX", "cdcd")
    found = {
        each["name"]: (
            each["version"],
            {one["content"] for reference in each["externalReferences"] for one in reference["hashes"]},
        )
        for each in bill["components"]
    }
    assert found == locked("runtime")
    figures({"components": len(found)})


def test_no_known_vulnerabilities(figures: Figures) -> None:
    done = subprocess.run(["make", "-s", "audit"], cwd=ROOT, capture_output=True, text=True, check=False)
    if "Error 6" in done.stderr:
        pytest.skip(f"the advisory service does not answer here: {done.stderr.splitlines()[0]}")
    assert done.returncode == 0, done.stderr
    figures({"audit": done.stdout.splitlines()})
