"""Exceptions that nobody catches, as log lines: Python prints them to standard error, where no reader of logs looks for them."""

import faulthandler
import sys
import threading

import structlog

_DEFECT = "a defect of cdcd: please report it with this log"


def show_native_crashes() -> None:
    """A signal such as SIGSEGV prints where each thread was, to standard error: nothing else can be done any more.

    Of a worker the server then logs that it crashed, and by which signal.
    """
    if sys.stderr is not None:
        faulthandler.enable()


class Uncaught:
    """Python's hooks, from construction until `restore`. The main thread's exceptions are told by whoever runs it."""

    def __init__(self) -> None:
        self._before = threading.excepthook, sys.unraisablehook
        threading.excepthook, sys.unraisablehook = _in_thread, _in_callback

    def restore(self) -> None:
        """As they were; nothing where somebody has set others since."""
        if threading.excepthook is _in_thread:
            threading.excepthook, sys.unraisablehook = self._before


def _in_thread(failed: threading.ExceptHookArgs) -> None:
    if failed.exc_type is SystemExit:
        return
    name = failed.thread.name if failed.thread else None
    _tell("thread.failed", failed, f"{_DEFECT}; the others go on", thread=name)


def _in_callback(failed: "sys.UnraisableHookArgs") -> None:
    """In __del__, or where a library's C code called Python: nobody is there to raise it to."""
    where = f"{failed.err_msg or 'Exception ignored in'}: {_named(failed.object)}"
    _tell("callback.failed", failed, f"{_DEFECT}: {where}")


def _tell(event: str, failed: "threading.ExceptHookArgs | sys.UnraisableHookArgs", reason: str, **more: object) -> None:
    trace = failed.exc_type, failed.exc_value, failed.exc_traceback
    structlog.get_logger().error(event, reason=reason, exc_info=trace if failed.exc_value else None, **more)


def _named(thing: object) -> str:
    """Not its repr: that may show a secret, or fail like its owner."""
    return str(getattr(thing, "__qualname__", type(thing).__qualname__))
