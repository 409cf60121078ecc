"""Java servers: the runtime, and their jars from Maven."""

import hashlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from deploy.stack.home import Home, fail, make_folder, scratch, write
from deploy.stack.service import Say

OLDEST = 17
POM = """\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>stack</groupId><artifactId>{name}</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>{dependencies}</dependencies>
</project>
"""
DEPENDENCY = "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency>"
# Maven checks what it downloads; --strict-checksums turns a mismatch from a warning into a failure.
MAVEN = (
    "mvn",
    "-q",
    "-B",
    "--strict-checksums",
    "dependency:copy-dependencies",
    "-DoutputDirectory=.",
    "-DincludeScope=runtime",
)
MARKER = "-Dcdcd.stack={}"
"""An argument only one server has: its folder."""


@cache
def java() -> str:
    """The java to use: JAVA_HOME's, else the one on PATH; 17 or newer."""
    home = os.environ.get("JAVA_HOME")
    program = shutil.which(str(Path(home, "bin/java")) if home else "java")
    remedy = "apt-get install openjdk-17-jre-headless"
    if not program:
        fail(f"the command 'java' is missing: {remedy}")
    said = subprocess.run([program, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', said)
    if not version or int(version[1]) < OLDEST:
        fail(f"{program} is {said.splitlines()[0] if said else 'broken'}, needed is Java {OLDEST} or newer: {remedy}")
    return program


@dataclass(frozen=True)
class Jars:
    """`coordinates` (group:artifact:version) and all they need, in a cache folder that is named after them."""

    name: str
    coordinates: tuple[str, ...]

    def folder(self, home: Home) -> Path:
        digest = hashlib.sha256(" ".join(self.coordinates).encode()).hexdigest()[:8]
        return home.cache / f"{self.name}-{digest}"

    def class_path(self, home: Home) -> str:
        return f"{self.folder(home)}/*"

    def check(self, home: Home) -> None:
        """Fail when this machine has no Java, or no Maven while it is needed."""
        java()
        if not self.folder(home).exists() and not shutil.which("mvn"):
            fail("the command 'mvn' is missing: apt-get install maven")

    def fetch(self, home: Home, say: Say) -> None:
        """Download with Maven what is not in the cache yet."""
        folder = self.folder(home)
        with home.lock(folder.name):
            if not folder.exists():
                say(f"downloading {self.name} with Maven")
                self._download(folder)

    def _download(self, folder: Path) -> None:
        new = make_folder(scratch(folder))
        dependencies = "".join(DEPENDENCY.format(*item.split(":")) for item in self.coordinates)
        write(new / "pom.xml", POM.format(name=self.name, dependencies=dependencies))
        done = subprocess.run(MAVEN, cwd=new, capture_output=True, text=True, umask=0o022, check=False)
        if done.returncode:
            errors = [line for line in done.stdout.splitlines() if line.startswith("[ERROR]")]
            fail(f"Maven could not fetch {self.name}: {errors[0] if errors else done.stdout[-500:]}")
        new.rename(folder)
