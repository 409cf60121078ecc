"""Print what a lock file is made from, by groups of pyproject.toml: `dev`, which needs the package's dependencies, `docs` or `audit`."""

import sys
import tomllib
from pathlib import Path

settings = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
(group,) = sys.argv[1:]
needed = settings["project"]["dependencies"] if group == "dev" else []
print("\n".join(needed + settings["dependency-groups"][group]))
