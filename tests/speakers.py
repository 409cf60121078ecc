"""Stand-ins for a worker, to be run by the server's forkserver: what they do is named by the instance."""

import os
import signal
import time
from multiprocessing.connection import Connection
from typing import Any

from cdcd.observe.metrics import InstanceMetrics
from cdcd.worker.channel import Assignment, Farewell, Hello, Report, Stop


def speak(assignment: Assignment, pipe: "Connection[Any, Any]") -> None:
    """`obeys`: says hello and stops when told or at end of file. The others misbehave as their names say."""
    pipe.send(Hello(assignment.server_id, b"secret"))
    match assignment.instance:
        case "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exits":
            os._exit(7)
        case "babbles":
            pipe.send({"not": "a message"})
            time.sleep(600)
        case "lingers":
            pipe.close()
            time.sleep(600)
        case "reports":
            pipe.send(Report(InstanceMetrics(epoch=3), {"role": "owner"}))
    _obey(pipe)


def _obey(pipe: "Connection[Any, Any]") -> None:
    try:
        told = pipe.recv()
    except EOFError:
        os._exit(0)
    if isinstance(told, Stop):
        pipe.send(Farewell("stopped", "asked to stop"))
        os._exit(0)
