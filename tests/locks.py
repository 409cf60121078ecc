"""What requirements/*.lock hold, read without the tools that write and install them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCKS = ("runtime", "dev", "docs", "audit")
_ENTRY = re.compile(r"^([a-z0-9-]+)==(\S+) \\\n((?:    --hash=\S+(?: \\)?\n)+)", re.MULTILINE)


def locked(lock: str) -> dict[str, tuple[str, set[str]]]:
    """Package -> its version and the hashes of its files."""
    text = (ROOT / "requirements" / f"{lock}.lock").read_text()
    entries = _ENTRY.findall(text)
    plain = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert len(entries) == len(plain), f"{lock}.lock has lines without version or hash"
    return {
        name: (version, set(re.findall(r"--hash=sha256:([0-9a-f]{64})", hashes))) for name, version, hashes in entries
    }
