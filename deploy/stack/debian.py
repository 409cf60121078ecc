"""Debian packages, downloaded and unpacked into a private folder; the machine's own apt is not touched.

An apt of our own (sources, lists, status, cache) reads the index of one suite from the mirror that the machine's own apt
sources name, checks its signature, and picks what the wanted packages need. A mirror may be a frozen copy whose
index is past its date: that is accepted, a wrong signature is not.
"""

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from deploy.stack.home import Home, fail, make_folder, scratch, write
from deploy.stack.service import Say

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
SOURCES = Path("/etc/apt")
NEEDED = re.compile(r"(lib|zlib1g|mysql-|mariadb-|openssl-provider|prometheus$|promtool$|docker-compose$)")
"""Of what apt would install, only what holds shared libraries or the programs themselves."""
UNNEEDED = re.compile(r"libjs-|libperl|.*-perl$|libgdbm|libdb5|libc-gconv|libsemanage|libsepol|.*-common$|.*-data$")
UNUSED = [f"usr/share/{part}" for part in ("doc", "man", "locale", "lintian", "bug", "gdb")]
CONFIGURATION = """\
Dir::State "{apt}";
Dir::State::lists "{apt}/lists";
Dir::State::status "{apt}/status";
Dir::Cache "{apt}/cache";
Dir::Etc "{apt}/etc";
Dir::Etc::main "none";
Dir::Etc::parts "none.d";
Dir::Etc::sourcelist "{apt}/etc/sources.list";
Dir::Etc::sourceparts "none.d";
Dir::Etc::preferences "none";
Dir::Etc::preferencesparts "none.d";
Dir::Log "{apt}";
APT::Install-Recommends "false";
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::PDiffs "false";
Acquire::Retries "3";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
Acquire::Check-Valid-Until "false";
"""


WRAPPER = """\
#!/bin/sh
r=$(dirname "$(dirname "$(readlink -f "$0")")")
OPENSSL_CONF=/dev/null OPENSSL_MODULES="$r/{modules}"; export OPENSSL_CONF OPENSSL_MODULES
exec "$r/{loader}" --inhibit-cache --library-path "{libraries}" "$r/{program}" "$@"
"""


def check() -> None:
    """Fail when this machine cannot read Debian packages."""
    for program in ("apt-get", "apt-config", "dpkg-deb"):
        if not shutil.which(program):
            fail(
                f"the command {program!r} is missing: MySQL and MariaDB come from Debian packages, use a machine with apt and dpkg"
            )
    if not KEYRING.exists():
        fail(f"{KEYRING} is missing: apt-get install debian-archive-keyring")
    mirror()


def mirror() -> str:
    """CDCD_STACK_MIRROR, else the Debian mirror that the machine's apt sources name."""
    if chosen := os.environ.get("CDCD_STACK_MIRROR"):
        return chosen.rstrip("/")
    found = next(_mirrors(), None)
    return found or fail("the machine's apt sources name no Debian mirror: set CDCD_STACK_MIRROR to the address of one")


def _mirrors() -> Iterator[str]:
    parts = SOURCES / "sources.list.d"
    for path in (SOURCES / "sources.list", *sorted(parts.glob("*.list")), *sorted(parts.glob("*.sources"))):
        for line in path.read_text().splitlines() if path.is_file() else ():
            found = re.search(r"(https?://\S+/debian)/?(\s|$)", line)
            if found and not line.lstrip().startswith("#"):
                yield found[1]


class Suite:
    """Packages of one Debian suite, cached in `home.cache`."""

    def __init__(self, home: Home, suite: str, say: Say) -> None:
        self._home = home
        self._suite = suite
        self._say = say

    def fetch(self, name: str, packages: Sequence[str]) -> Path:
        """The folder that holds `packages` and what they need as .deb files, with SHA256SUMS beside them."""
        folder = self._home.cache / f"{name}-{self._suite}"
        with self._home.lock(f"{name}-{self._suite}"):
            if not _intact(folder):
                self._download(folder, packages)
        return folder

    def _download(self, folder: Path, packages: Sequence[str]) -> None:
        new = make_folder(scratch(folder))
        apt = scratch(folder.with_name(f"{folder.name}-apt"))
        try:
            environment = self._private_apt(apt)
            self._say(f"reading the index of Debian {self._suite}")
            self._apt(environment, apt, "update", "-qq", "-o", "APT::Update::Error-Mode=any")
            wanted = self._plan(environment, apt, packages)
            self._say(f"downloading {len(wanted)} packages")
            self._apt(environment, new, "download", "-qq", *wanted)
            _seal(new)
            shutil.rmtree(folder, ignore_errors=True)
            new.rename(folder)
        finally:
            shutil.rmtree(new, ignore_errors=True)
            shutil.rmtree(apt, ignore_errors=True)  # the index is large and of no use afterwards

    def _private_apt(self, apt: Path) -> dict[str, str]:
        for part in ("lists/partial", "cache/archives/partial", "etc"):
            make_folder(apt / part)
        write(apt / "status", "")
        write(apt / "etc/sources.list", f"deb [signed-by={KEYRING}] {mirror()} {self._suite} main\n")
        dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
        own = [
            line
            for line in dump.splitlines()
            if re.match(r"Acquire::https?(::\S*)?::(Proxy|Proxy-Auto-Detect|CAInfo)", line, re.IGNORECASE)
        ]
        write(apt / "apt.conf", "\n".join([*own, CONFIGURATION.format(apt=apt)]))
        return os.environ | {"APT_CONFIG": str(apt / "apt.conf"), "LC_ALL": "C"}

    def _apt(self, environment: dict[str, str], folder: Path, *arguments: str) -> str:
        done = subprocess.run(
            ["apt-get", *arguments],
            env=environment,
            cwd=folder,
            capture_output=True,
            text=True,
            umask=0o022,
            check=False,
        )
        if done.returncode:
            fail(
                f"apt-get {arguments[0]} for Debian {self._suite} failed: {done.stderr.strip() or done.stdout.strip()}"
            )
        return done.stdout

    def _plan(self, environment: dict[str, str], apt: Path, packages: Sequence[str]) -> list[str]:
        output = self._apt(environment, apt, "install", "--simulate", "-qq", *packages)
        plan = re.findall(r"^Inst (\S+) \((\S+)", output, re.MULTILINE)
        wanted = [f"{name}={version}" for name, version in plan if NEEDED.match(name) and not UNNEEDED.match(name)]
        return wanted or fail(f"apt gave no plan for {' '.join(packages)} of Debian {self._suite}: {output.strip()}")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _seal(folder: Path) -> None:
    sums = [f"{_digest(path)}  {path.name}" for path in sorted(folder.glob("*.deb"))]
    write(folder / "SHA256SUMS", "\n".join(sums) + "\n")


def _intact(folder: Path) -> bool:
    """Whether each downloaded package is there and unchanged."""
    try:
        lines = (folder / "SHA256SUMS").read_text().splitlines()
        return all(_digest(folder / name) == digest for digest, name in (line.split("  ", 1) for line in lines))
    except FileNotFoundError:
        return False


def install(debs: Path, root: Path, programs: Mapping[str, str]) -> None:
    """Unpack all packages of `debs` into `root` and make bin/NAME run the program whose path stands beside NAME.

    What is not run here is deleted.
    """
    _unpack(debs, root)
    for part in UNUSED:
        shutil.rmtree(root / part, ignore_errors=True)
    for program in (root / "usr/bin").iterdir():
        if str(program.relative_to(root)) not in programs.values():
            program.unlink()
    _wrap(root, programs)


def _unpack(debs: Path, target: Path) -> None:
    for deb in sorted(debs.glob("*.deb")):
        done = subprocess.run(["dpkg-deb", "-x", deb, target], capture_output=True, text=True, umask=0o022, check=False)
        if done.returncode:
            fail(f"unpacking {deb} failed: {done.stderr.strip()}")


def _wrap(root: Path, programs: Mapping[str, str]) -> None:
    """The wrappers start a program with the loader and the libraries of its own suite."""
    # Debian 11 still has part of its libraries in /lib, later ones all in /usr/lib.
    loader = next((path for lib in ("usr/lib", "lib") for path in root.glob(f"{lib}/*/ld-linux-*.so.*")), None)
    if loader is None:
        fail("the unpacked packages hold no dynamic loader")
    libraries = [f"{lib}/{loader.parent.name}" for lib in ("usr/lib", "lib")]
    make_folder(root / "bin")
    for name, program in programs.items():
        wrapper = root / "bin" / name
        text = WRAPPER.format(
            modules=f"{libraries[0]}/ossl-modules",
            loader=loader.relative_to(root),
            libraries=":".join(f"$r/{folder}" for folder in libraries if (root / folder).is_dir()),
            program=program,
        )
        write(wrapper, text)
        wrapper.chmod(0o755)
