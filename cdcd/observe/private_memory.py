"""Nobody else's eyes on this process's memory, which holds passwords and rows."""

import ctypes
import os

_PR_SET_DUMPABLE = 4
"""<linux/prctl.h>"""


def keep_memory_private() -> None:
    """From now on this process leaves no core file, whatever limits, `core_pattern` and signal say, and only root may
    trace it or read its `/proc/<pid>/mem` and `environ` (prctl(2), PR_SET_DUMPABLE; core(5)).

    A limit of 0 on core files would not do: the kernel ignores it where `core_pattern` pipes to a program. A process that
    is forked off inherits this, another program that is executed does not. Raises OSError.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"prctl(PR_SET_DUMPABLE): {os.strerror(code)}")
