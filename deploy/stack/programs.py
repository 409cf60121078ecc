"""Programs that tests call, from Debian packages: nothing of them runs longer than its test."""

from dataclasses import dataclass
from pathlib import Path

from deploy.stack import debian
from deploy.stack.home import Home, make_folder, scratch
from deploy.stack.service import Say

SUITE = "trixie"


@dataclass(frozen=True, slots=True)
class Package:
    """A Debian package and what of it is called, as the name of a command and the path below the root."""

    name: str
    programs: tuple[tuple[str, str], ...]

    def install(self, home: Home, say: Say) -> Path:
        """The folder of its commands, downloaded and unpacked if they are not in the cache yet."""
        root = home.cache / f"{self.name}-{SUITE}-root-1"
        home.prepare()
        with home.lock(f"install-{self.name}"):
            if not root.exists():
                debian.check()
                debs = debian.Suite(home, SUITE, say).fetch(self.name, (self.name,))
                new = make_folder(scratch(root))
                debian.install(debs, new, dict(self.programs))
                new.rename(root)
        return root / "bin"


PROMETHEUS = Package("prometheus", (("prometheus", "usr/bin/prometheus"), ("promtool", "usr/bin/promtool")))
COMPOSE = Package("docker-compose", (("docker-compose", "usr/bin/docker-compose"),))
