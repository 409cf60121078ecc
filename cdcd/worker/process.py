"""A worker process: one instance, its own ZooKeeper session, and a pipe to the server that started it."""

from multiprocessing.connection import Connection

from cdcd.worker.channel import Assignment

PRELOAD = ("cdcd.worker.process",)
"""Modules for `multiprocessing`'s forkserver to load before it forks, so that workers share their memory."""


def work(assignment: Assignment, pipe: Connection) -> None:
    """Target of a worker process (forkserver). Ends the process itself, never returns."""
    raise NotImplementedError
