"""What is left to do for a worker whose process is gone: close its ZooKeeper session, and say in the status node how it ended."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

import structlog

from cdcd.config.secrets import Credentials
from cdcd.config.zookeeper import ZooKeeper
from cdcd.errors import FindingError
from cdcd.fleet import paths
from cdcd.fleet.nodes import Status, decode, encode
from cdcd.fleet.session import Session, close_session
from cdcd.server.reconcile import End
from cdcd.worker.channel import Hello
from cdcd.worker.journal import EVENTS_KEPT, iso

AT_A_TIME = 8


class Undertaker:
    """Works in threads of its own: many workers can end at one time, and ZooKeeper can be slow."""

    def __init__(self, server: str, ensemble: ZooKeeper, credentials: Credentials, session: Session) -> None:
        """`session` is the server's own."""
        self._server = server
        self._ensemble = ensemble
        self._credentials = credentials
        self._session = session
        self._pool = ThreadPoolExecutor(AT_A_TIME, "undertaker")
        self._log = structlog.get_logger()

    def bury(self, instance: str, hello: Hello | None, end: End, closed: Callable[[], None]) -> None:
        """`closed` is called, in another thread, when the session of `hello` is over or cannot be ended; not without `hello`."""
        if hello is not None or end.farewell is None:
            self._pool.submit(self._see_to, instance, hello, end, closed)

    def close(self) -> None:
        """What is not begun is left out."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _see_to(self, instance: str, hello: Hello | None, end: End, closed: Callable[[], None]) -> None:
        """In this order: while the dead worker's lock stands it looks as if somebody ran the instance."""
        if hello is not None:
            self._close(instance, hello, closed)
        if end.farewell is None:
            self._tell(instance, end)

    def _close(self, instance: str, hello: Hello, closed: Callable[[], None]) -> None:
        try:
            close_session(self._ensemble, self._credentials, hello.session_id, hello.password)
        except FindingError as error:
            reason = f"the lock falls when the session ends by itself: {error}"
            self._log.warning("worker.session_left", sync_instance=instance, reason=reason)
        except Exception:  # noqa: BLE001 - a pool would keep it to itself
            self._log.exception(
                "worker.session_left", sync_instance=instance, reason="a defect of cdcd: please report it"
            )
        finally:
            closed()

    def _tell(self, instance: str, end: End) -> None:
        """Unless somebody holds the lock, whose word it is then."""
        try:
            self._write(instance, end)
        except FindingError as error:
            self._log.warning("worker.crash_not_told", sync_instance=instance, reason=str(error))
        except Exception:  # noqa: BLE001 - a pool would keep it to itself
            self._log.exception(
                "worker.crash_not_told", sync_instance=instance, reason="a defect of cdcd: please report it"
            )

    def _write(self, instance: str, end: End) -> None:
        session, path = self._session, paths.status(instance)
        stored = session.get(path)
        holder = session.get(paths.running(instance))
        if holder is not None:
            return
        before = decode(Status, stored.data) if stored else None
        status = encode(_after(before or Status("starting", end.at, end.at), end, self._server))
        if stored is None:
            session.create(path, status)
        else:
            session.set(path, status, stored.version)


def _after(before: Status, end: End, server: str) -> Status:
    finding = {key: str(value) for key, value in asdict(end.finding).items()}
    event = {"at": iso(end.at), "event": "worker.crashed", "reason": end.finding.what}
    events: Sequence[dict[str, str]] = (*before.events, event)[-EVENTS_KEPT:]
    return replace(
        before,
        state="retrying",
        at=time.time(),
        since=end.at,
        server=server,
        epoch=None,
        finding=finding,
        lag_seconds=None,
        events=tuple(events),
    )
