"""What cdcd is installed with: pinned, hashed, needed; and what is made of an advisory service's answer."""

import json
import re
import tomllib
from collections.abc import Mapping

import pytest

from deploy.audit import CLEAN, UNKNOWN, VULNERABLE, judged
from tests.locks import LOCKS, ROOT, locked

IMPORTED_AS = {
    "mysql-replication": "pymysqlreplication",
    "PyYAML": "yaml",
    "google-re2": "re2",
    "PyMySQL": "pymysql",
}
BY_OTHERS = {"cryptography"}
"""PyMySQL imports it, for caching_sha2_password without TLS."""


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_has_one_version_and_its_hashes(lock: str) -> None:
    packages = locked(lock)
    assert packages
    assert all(hashes for _, hashes in packages.values())


def test_tests_run_with_what_is_installed() -> None:
    dev = locked("dev")
    assert {name: dev[name] for name in locked("runtime")} == locked("runtime")


def test_every_dependency_is_used() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {re.split(r"[<>=]", each)[0] for each in settings["dependencies"]}
    sources = "\n".join(path.read_text() for path in (ROOT / "cdcd").glob("**/*.py"))
    for name in declared - BY_OTHERS:
        module = IMPORTED_AS.get(name, name.replace("-", "_"))
        assert re.search(rf"^\s*(import|from) {module}\b", sources, re.MULTILINE), f"nothing imports {name}"


def said(*packages: Mapping[str, object]) -> str:
    return json.dumps({"dependencies": packages, "fixes": []})


SOUND = {"name": "click", "version": "8", "vulns": []}
PASSED_OVER = {"name": "rich", "skip_reason": "not found"}
WEAK = {"name": "pyyaml", "version": "5.3", "vulns": [{"id": "PYSEC-2021-142", "fix_versions": ["5.4"]}]}


@pytest.mark.parametrize(
    ("out", "status", "words"),
    [
        (said(SOUND), CLEAN, "1 packages, no known"),
        (said(SOUND, PASSED_OVER), UNKNOWN, "does not answer for 1 of 2 packages: rich"),
        (said(), UNKNOWN, "does not answer for 0 of 0"),
        (said(PASSED_OVER, WEAK), VULNERABLE, "pyyaml 5.3: PYSEC-2021-142, mended in 5.4"),
        ("", UNKNOWN, "could not be asked: ERROR: no route"),
    ],
)
def test_only_what_was_answered_for_is_clean(out: str, status: int, words: str) -> None:
    verdict = judged("x.lock", out, "Traceback\nERROR: no route\n")
    assert verdict.status == status
    assert words in "\n".join(verdict.lines)
