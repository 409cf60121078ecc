"""Exit statuses of both commands."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What a script can rely on."""

    OK = 0
    ERROR = 1
    USAGE = 2
    """The command line is wrong; click's own."""
    NOT_FOUND = 3
    CONFLICT = 4
    INVALID = 5
    UNAVAILABLE = 6
    """Also: not done in time."""
