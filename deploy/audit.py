"""`make audit`: are there known vulnerabilities in what requirements/*.lock pin? Asked of an advisory service by pip-audit.

Clean is only what the service has answered for: pip-audit by itself passes packages over that the service does not know,
and ends with 0. Here every package has to be answered for.

Exit status: 0 clean; 1 known vulnerabilities, listed; 2 options that pip-audit does not take; 6 the service does not answer
for all of them, so nothing is known.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
LOCKS = ("runtime", "dev", "docs", "audit")
CLEAN, VULNERABLE, USAGE, UNKNOWN = 0, 1, 2, 6
NAMED = 5
"""Packages that a message names; the others are counted."""


class Verdict(NamedTuple):
    """On one lock file."""

    status: int
    lines: tuple[str, ...]


def judged(lock: str, out: str, err: str) -> Verdict:
    """What pip-audit's JSON says of a lock file; without one its messages say why."""
    try:
        packages: list[dict[str, Any]] = json.loads(out)["dependencies"]
    except (ValueError, KeyError, TypeError):
        last = next((line for line in reversed(err.splitlines()) if line.strip()), "no answer")
        return Verdict(UNKNOWN, (f"{lock}: the advisory service could not be asked: {last.strip()}",))
    found = [_vulnerability(package, each) for package in packages for each in package.get("vulns", ())]
    if found:
        return Verdict(VULNERABLE, (f"{lock}: {len(found)} known vulnerabilities", *found))
    passed_over = [package["name"] for package in packages if "skip_reason" in package]
    if passed_over or not packages:
        some = ", ".join(passed_over[:NAMED]) + (", ..." if len(passed_over) > NAMED else "")
        what = f"{len(passed_over)} of {len(packages)} packages: {some}"
        return Verdict(UNKNOWN, (f"{lock}: the advisory service does not answer for {what}",))
    return Verdict(CLEAN, (f"{lock}: {len(packages)} packages, no known vulnerabilities",))


def _vulnerability(package: dict[str, Any], each: dict[str, Any]) -> str:
    mended = ", ".join(each.get("fix_versions", ())) or "no version yet"
    return f"  {package['name']} {package['version']}: {each['id']}, mended in {mended}"


def audit(lock: str, options: list[str]) -> Verdict:
    """Ask for one lock file. `options`: pip-audit's, such as another service. Ends the program where it does not know one."""
    file = ROOT / "requirements" / f"{lock}.lock"
    fixed = ["--require-hashes", "--disable-pip", "--progress-spinner", "off", "--format", "json", "-r", str(file)]
    command = [sys.executable, "-m", "pip_audit", *fixed, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode == USAGE:
        sys.stderr.write(done.stderr)
        sys.exit(USAGE)
    return judged(file.name, done.stdout, done.stderr)


def main() -> int:
    verdicts = [audit(lock, sys.argv[1:]) for lock in LOCKS]
    for verdict in verdicts:
        print("\n".join(verdict.lines), file=sys.stderr if verdict.status else sys.stdout)
    statuses = {verdict.status for verdict in verdicts}
    if UNKNOWN in statuses:
        print(
            "Nothing is known of these: try again later, or another service: make audit ARGS='-s osv'", file=sys.stderr
        )
    return VULNERABLE if VULNERABLE in statuses else max(statuses)


if __name__ == "__main__":
    sys.exit(main())
