"""Print what requirements/dev.lock is made from: the package's dependencies and the group `dev` of pyproject.toml."""

import tomllib
from pathlib import Path

settings = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
print("\n".join(settings["project"]["dependencies"] + settings["dependency-groups"]["dev"]))
