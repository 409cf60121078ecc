"""How a command ends: exit codes and one message, the same for both commands (conventions.md section 3)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from cdcd.cli.exit_code import ExitCode
from cdcd.errors import CdcdError, InvalidConfig


class Failure(click.ClickException):
    """A message on standard error and an exit code."""

    exit_code: int = ExitCode.ERROR  # type: ignore[misc] # click declares it for the class, one for each instance is meant

    def __init__(self, message: str, exit_code: int = ExitCode.ERROR) -> None:
        super().__init__(message)
        self.exit_code = exit_code

    def show(self, file: object = None) -> None:  # noqa: ARG002 - click's signature
        """What happened, why, what to do. It may hold words of others, none of which may steer the terminal."""
        from cdcd.cli.ctl.output import printable

        click.echo("error: " + "\n".join(map(printable, self.format_message().splitlines())), err=True)


def _verbatim(text: str) -> str:
    return text


@contextmanager
def failures(worded: Callable[[str], str] = _verbatim) -> Iterator[None]:
    """Turn cdcd's errors into messages for the operator; any other exception is a defect and shows its traceback.

    `worded` puts a finding into the words of a command that has no definition.
    """
    try:
        yield
    except InvalidConfig as error:
        lines = "".join(f"\n  {problem}" for problem in error.problems)
        raise Failure(f"{error.origin} is not valid:{lines}", ExitCode.INVALID) from None
    except FileNotFoundError as error:
        raise Failure(f"{error.filename} does not exist", ExitCode.NOT_FOUND) from None
    except (PermissionError, IsADirectoryError) as error:
        raise Failure(f"{error.filename} cannot be read: {error.strerror}") from None
    except CdcdError as error:
        raise Failure(worded(f"{error}\n{error.hint}" if error.hint else str(error))) from None
