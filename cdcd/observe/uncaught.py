"""Exceptions that nobody catches, as log lines: Python prints them to standard error, where no reader of logs looks for them."""

import faulthandler
import sys
import threading
from types import TracebackType

import structlog

_DEFECT = "a defect of cdcd: please report it with this log"


def show_native_crashes() -> None:
    """A signal such as SIGSEGV prints where each thread was, to standard error: nothing else can be done any more.

    Of a worker the server then logs that it crashed, and by which signal.
    """
    if sys.stderr is not None:
        faulthandler.enable()


class Uncaught:
    """Python's three hooks, from construction until `restore`."""

    def __init__(self) -> None:
        self._before = sys.excepthook, threading.excepthook, sys.unraisablehook
        sys.excepthook, threading.excepthook, sys.unraisablehook = _in_main, _in_thread, _in_callback

    def restore(self) -> None:
        """As they were; nothing where somebody has set others since."""
        if sys.excepthook is _in_main:
            sys.excepthook, threading.excepthook, sys.unraisablehook = self._before


def _in_main(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    structlog.get_logger().error("process.failed", reason=_DEFECT, exc_info=(kind, error, trace))


def _in_thread(failed: threading.ExceptHookArgs) -> None:
    if failed.exc_type is SystemExit:
        return
    name = failed.thread.name if failed.thread else None
    error = failed.exc_value or failed.exc_type()
    told = failed.exc_type, error, failed.exc_traceback
    structlog.get_logger().error("thread.failed", reason=f"{_DEFECT}; the others go on", thread=name, exc_info=told)


def _in_callback(failed: "sys.UnraisableHookArgs") -> None:
    """In __del__, or where a library's C code called Python: nobody is there to raise it to."""
    error = failed.exc_value or failed.exc_type()
    told = failed.exc_type, error, failed.exc_traceback
    where = f"{failed.err_msg or 'Exception ignored in'}: {_named(failed.object)}"
    structlog.get_logger().error("callback.failed", reason=f"{_DEFECT}: {where}", exc_info=told)


def _named(thing: object) -> str:
    """Not its repr: that may show a secret, or fail like its owner."""
    return str(getattr(thing, "__qualname__", type(thing).__qualname__))
