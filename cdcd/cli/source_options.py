"""How the commands without a definition are told which server to ask."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from cdcd.cli.failures import Failure

_Command = TypeVar("_Command", bound=Callable[..., Any])
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def source_options(*, required: bool) -> Callable[[_Command], _Command]:
    """The options that `endpoint` takes, for a command's keyword arguments."""
    options = (
        click.option("--host", required=required, help="MySQL server."),
        click.option("--port", default=3306, show_default=True, type=click.IntRange(1, 65535), help="Its port."),
        click.option(
            "--user", required=required, help="Account with REPLICATION SLAVE, REPLICATION CLIENT and SELECT."
        ),
        click.option("--password-env", metavar="NAME", help="Environment variable that holds the password."),
        click.option(
            "--tls-mode",
            type=click.Choice(["verify-identity", "verify-ca", "disabled"]),
            help="Default: verify-identity, but plain text to a loopback address.",
        ),
        click.option("--tls-ca", type=_FILE, help="Trusted issuers (PEM)."),
        click.option("--tls-cert", type=_FILE, help="Client certificate."),
        click.option("--tls-key", type=_FILE, help="Its private key."),
    )

    def add(command: _Command) -> _Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def endpoint(
    *,
    host: str,
    port: int,
    user: str,
    password_env: str | None,
    tls_mode: Any,
    tls_ca: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
) -> Any:
    """The cdcd.mysql.connection.Endpoint that the options name."""
    from cdcd.mysql.connection import Endpoint, Tls

    files = [None if path is None else str(path) for path in (tls_ca, tls_cert, tls_key)]
    if any(files) and tls_mode is None:
        tls_mode = "verify-identity"
    if any(files) and tls_mode == "disabled":
        raise Failure(
            "--tls-mode disabled uses no certificates: remove --tls-ca, --tls-cert and --tls-key, or verify", 2
        )
    return Endpoint(host, port, user, _password(password_env), None if tls_mode is None else Tls(tls_mode, *files))


def _password(name: str | None) -> str:
    if name is None:
        return ""
    if name not in os.environ:
        raise Failure(f"--password-env: the environment variable {name} is not set. Set it: export {name}=...", 2)
    return os.environ[name]
