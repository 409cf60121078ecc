"""Credentials by name: what a definition or the settings call `orders-db` is a file of that name.

It is looked for in `$CREDENTIALS_DIRECTORY` (systemd's LoadCredential; trusted as it is; also as `cdcd_orders-db`, which
is what `LoadCredential=cdcd:FOLDER` makes of FOLDER/orders-db), then in the settings' `credentials_dir`, where it must be a regular file with mode 0600 or 0400 that belongs to us or to root.

    user: cdcd
    password: "..."
    hosts: [mysql-a:3306, "*.db.example.net"]

`hosts` are those that user and password may be sent to: a definition cannot carry a password elsewhere. `*` and `?`
stand for characters other than a dot; a lone `*` is any host.
"""

import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, NamedTuple, Self

from pydantic import AfterValidator, Field, SecretStr, ValidationError

from cdcd.config.document import parse_document
from cdcd.config.fields import NOT_EMPTY, Model, check_name, passes
from cdcd.config.network import Endpoint, check_host, split_endpoint
from cdcd.config.problems import problems_of
from cdcd.errors import Finding, FindingError, InvalidConfig, Problem

MAX_BYTES = 64 << 10
FOLDER_PREFIX = "cdcd_"
"""Of credentials that systemd read from a folder: the id that the unit gives the folder."""
_HOST_PATTERN = re.compile(r"[A-Za-z0-9_.:*?-]{1,253}", re.ASCII)


class Login(NamedTuple):
    """User and password for one host that may have them."""

    user: str
    password: str

    def __repr__(self) -> str:
        return f"Login(user={self.user!r}, password=***)"


def _check_host_rule(rule: str) -> str:
    host, port = split_endpoint(rule)
    if not _HOST_PATTERN.fullmatch(host) or (port is not None and not re.fullmatch(r"[0-9]{1,5}", port, re.ASCII)):
        raise ValueError("must be a host or host:port, in which `*` and `?` may stand for characters of the host")
    return rule


class _Content(Model):
    user: Annotated[str, Field(min_length=1, max_length=256)]
    password: SecretStr
    hosts: Annotated[
        tuple[Annotated[str, AfterValidator(_check_host_rule)], ...], Field(strict=False, max_length=1000), NOT_EMPTY
    ]


class Credential:
    """One credential file's content. The password comes out only together with a host that may have it."""

    def __init__(self, name: str, content: _Content) -> None:
        self.name = name
        self.user = content.user
        self.hosts = content.hosts
        self._password = content.password

    def __repr__(self) -> str:
        return f"Credential({self.name!r})"

    def login_for(self, host: str, port: int) -> Login:
        """User and password for `host`. FindingError (operator) if the file does not list it."""
        asked = Endpoint(host, port)
        # What is no host name or address matches no rule, whatever its wildcards say.
        if not passes(check_host, host) or not any(_host_matches(rule, host, port) for rule in self.hosts):
            raise _finding(
                "credential-host",
                f"Credential `{self.name}` may not be sent to {asked}: its file lists {', '.join(self.hosts)}",
                f"Check the host in the definition or settings; if it is right, add `{asked}` to `hosts` there.",
            )
        return Login(self.user, self._password.get_secret_value())


def _nobody(password: str) -> None:
    """There is no log."""


class Credentials:
    """The credential files of this server."""

    def __init__(
        self, private: Path | None, trusted: Path | None = None, hide: Callable[[str], None] = _nobody
    ) -> None:
        """`hide` is told each password that is read: the log blots it out."""
        self._private = private
        self._trusted = trusted
        self._hide = hide

    @classmethod
    def of(
        cls,
        credentials_dir: Path | None,
        environ: Mapping[str, str] = os.environ,
        *,
        hide: Callable[[str], None] = _nobody,
    ) -> Self:
        """As the settings and systemd say."""
        trusted = environ.get("CREDENTIALS_DIRECTORY")
        return cls(credentials_dir, Path(trusted) if trusted else None, hide)

    def load(self, name: str) -> Credential:
        """The credential of that name, read anew each time. FindingError (operator) if there is none or it is unsafe."""
        path, raw = self._read(name, secret=True)
        try:
            content = _Content.model_validate(parse_document(raw, str(path)))
            self._hide(content.password.get_secret_value())
            return Credential(name, content)
        except ValidationError as error:
            reasons = "; ".join(map(_said, problems_of(error, _Content)))
        except InvalidConfig as error:
            reasons = "; ".join(map(_said, error.problems))
        raise _finding(
            "credential-invalid",
            f"The file of credential `{name}` ({path}) is not right: {reasons}",
            "It holds `user`, `password` and `hosts` as YAML.",
        )

    def path(self, name: str, *, secret: bool = True) -> Path:
        """The file of that name, for libraries that read certificates and keys themselves; the same checks.

        `secret` false: a certificate, which others may read.
        """
        return self._read(name, secret=secret)[0]

    def _read(self, name: str, *, secret: bool) -> tuple[Path, bytes]:
        try:
            check_name(name)
        except ValueError as error:
            raise _finding("credential-missing", f"`{name[:80]!r}` is not a credential: it {error}", _NAMED) from None
        for path, trusted in self._places(name):
            raw = _content(path, secret and not trusted, not trusted)
            if raw is not None:
                return path, raw
        places = " nor ".join(str(place / name) for place in (self._trusted, self._private) if place)
        raise _finding(
            "credential-missing",
            f"Credential `{name}` does not exist: no file {places or 'can be looked for, as no directory is set'}",
            _NAMED,
        )

    def _places(self, name: str) -> Iterator[tuple[Path, bool]]:
        """(path, trusted) of each file that may be meant."""
        if self._trusted:
            yield self._trusted / name, True
            yield self._trusted / (FOLDER_PREFIX + name), True
        if self._private:
            yield self._private / name, False


_NAMED = (
    "Put a file of that name, mode 0600, into the settings' `credentials_dir`, or pass it by systemd's LoadCredential."
)


def _content(path: Path, secret: bool, checked: bool) -> bytes | None:
    """What is in the file; None if there is none. Checked on the open file, so that it cannot be swapped."""
    try:
        # Not a FIFO that blocks, nor a link to a file of somebody else's choice.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (os.O_NOFOLLOW if checked else 0))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unsafe(path, f"cannot be opened: {error.strerror}") from None
    try:
        _check_file(path, os.fstat(descriptor), secret, checked)
        raw = os.read(descriptor, MAX_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(raw) > MAX_BYTES:
        raise _unsafe(path, f"is larger than {MAX_BYTES >> 10} KiB")
    return raw


def _check_file(path: Path, status: os.stat_result, secret: bool, checked: bool) -> None:
    mode = stat.S_IMODE(status.st_mode)
    if not stat.S_ISREG(status.st_mode):
        raise _unsafe(path, "is not a regular file")
    if checked and status.st_uid not in {0, os.geteuid()}:
        raise _unsafe(path, f"belongs to user id {status.st_uid}, neither to us ({os.geteuid()}) nor to root")
    if secret and mode not in {0o600, 0o400}:
        raise _unsafe(path, f"has mode {mode:04o}: others could read or change it")
    if checked and mode & 0o022:
        raise _unsafe(path, f"has mode {mode:04o}: others could change it")


def _said(problem: Problem) -> str:
    """In words that hold none of the file's: where something is wrong with it, a password may stand as a field's name."""
    if problem.path.partition("[")[0] in _Content.model_fields:
        return str(problem)
    place, twice, _ = problem.message.partition("field `")
    return f"{place}a field is given twice" if twice and not problem.path else problem.message


def _host_matches(rule: str, host: str, port: int) -> bool:
    wanted, wanted_port = split_endpoint(rule)
    if wanted_port is not None and int(wanted_port) != port:
        return False
    pattern = "".join({"*": "[^.:]*", "?": "[^.:]"}.get(character, re.escape(character)) for character in wanted)
    return wanted == "*" or re.fullmatch(pattern, host.rstrip("."), re.IGNORECASE) is not None


def _unsafe(path: Path, what: str) -> FindingError:
    return _finding(
        "credential-unsafe",
        f"Credential file {path} {what}",
        f"Make it a regular file of cdcd's own user: chown to that user and chmod 0600 {path}.",
    )


def _finding(code: str, what: str, remedy: str) -> FindingError:
    return FindingError(Finding(code, "operator", what, remedy))
