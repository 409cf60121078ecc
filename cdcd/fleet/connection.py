"""The life of one ZooKeeper session: made, kept, broken, made again, closed; what session.py reads and writes through."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Literal

import structlog
from kazoo.client import KazooClient
from kazoo.protocol.states import KazooState, KeeperState

from cdcd.config.secrets import Credentials
from cdcd.config.zookeeper import ZooKeeper
from cdcd.errors import Finding, FindingError
from cdcd.fleet.client import LONGEST_PAUSE, ClientLog, make_client
from cdcd.fleet.trouble import auth_failed, session_timeout, suspended, unreachable

State = Literal["connected", "suspended", "lost"]
"""`lost`: no session (yet, or any more); after an expiry a new one is made by itself, with another id and without ephemerals."""

START_SECONDS = 10.0

_STATES: Mapping[str, State] = {
    KazooState.CONNECTED: "connected",
    KazooState.SUSPENDED: "suspended",
    KazooState.LOST: "lost",
}


def boottime() -> float:
    """Seconds on the clock that also counts while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Connection:
    """`name` is for logs. `on_state` is called in kazoo's thread and must not call back."""

    def __init__(
        self,
        ensemble: ZooKeeper,
        credentials: Credentials,
        name: str,
        on_state: Callable[[State], None] = lambda _: None,
    ) -> None:
        self.timeout = ensemble.session_timeout
        """Seconds, as negotiated with the ensemble."""
        self.state: State = "lost"
        self.losses = 0
        """Sessions that ended by themselves."""
        self.breaks = 0
        """Connections that broke: what was read before may have changed unnoticed."""
        self.advice: Finding | None = None
        """What should be mended, though it works: a session timeout that the ensemble does not allow."""
        self._ensemble, self._credentials = ensemble, credentials
        self._on_state = on_state
        self._log = structlog.get_logger().bind(session=name)
        self._client_log, self._probe_log = ClientLog(name, self._negotiated, self._mend), ClientLog(f"probe of {name}")
        self._client = make_client(ensemble, credentials, self._client_log)
        self._client.add_listener(self._listen)
        self._connected = threading.Event()
        self._broken_at = 0.0
        self._identity = (0, b"")
        self._open = False
        self._mending = threading.Lock()
        """Held by whoever starts the client."""

    def start(self, timeout: float = START_SECONDS) -> None:
        """Connect. FindingError says why that did not happen in `timeout` seconds: connecting goes on, call it again."""
        if not self._open:
            self._open = True
            self._client.start_async()
        deadline = time.monotonic() + timeout
        while not self._connected.wait(0.05):
            if self._client.client_state == KeeperState.AUTH_FAILED:
                raise auth_failed(self._client_log.last_failure)
            if time.monotonic() > deadline or self._client_log.untrusted >= len(self._ensemble.hosts):
                raise unreachable(self._ensemble, self._client_log.last_failure, self._client_log.refusal)
            self._mend()

    def close(self, timeout: float = 2.0) -> None:
        """End the session, which removes its ephemeral nodes; waits at most `timeout` seconds for that."""
        self._open = False
        _close(self._client, timeout)

    @property
    def id(self) -> int:
        """Session id, the `owner` of its ephemeral nodes; 0 while there is no session."""
        return self._identity[0]

    @property
    def password(self) -> bytes:
        """With the id the right to close this session (`close_session`)."""
        return self._identity[1]

    def _usable(self) -> KazooClient:
        """Only while connected: kazoo would queue what it is asked, and do it when nobody expects it any more."""
        if not self._connected.is_set():
            self._mend()
            raise suspended(self._client_log.last_failure)
        return self._client

    # ---------------------------------------------------------------- what kazoo does not do

    def _mend(self) -> None:
        """Two things from which kazoo does not recover by itself. In a thread: nobody who comes by here may be held up."""
        # It gives up for good when a login fails or an answer makes no sense, as both do when a server stops amid them.
        gave_up = self._client.client_state in {KeeperState.AUTH_FAILED, KeeperState.CLOSED}
        refused = self.state == "suspended" and boottime() - self._broken_at > self.timeout
        if (gave_up or refused) and self._open and self._mending.acquire(blocking=False):
            mend = self._start_again if gave_up else self._start_anew
            threading.Thread(target=mend, name="zookeeper-mend", daemon=True).start()

    def _start_again(self) -> None:
        try:
            time.sleep(LONGEST_PAUSE)
            thread = self._client._connection._connection_routine  # noqa: SLF001 - nothing public tells whether it has ended
            if self._open and thread is not None and not thread.is_alive():
                self._client.start_async()
        finally:
            self._mending.release()

    def _start_anew(self) -> None:
        """Give the session up where a new one is granted but ours is refused.

        An ensemble that was built anew, or restored from an older backup, does not answer that the session is over: it
        closes the connection of each client that has seen a later transaction than its own last one, for ever.
        """
        breaks = self.breaks
        try:
            if (
                not self._granted()
                or self._connected.wait(3 * LONGEST_PAUSE)
                or breaks != self.breaks
                or not self._open
            ):
                return
            self._log.warning(
                "zookeeper.refused", reason="ZooKeeper grants new sessions but not ours: it was built anew"
            )
            self._client.stop()
            if self._open:
                self._client.start_async()
        finally:
            self._broken_at = boottime()  # not again before another session timeout
            self._mending.release()

    def _granted(self) -> bool:
        try:
            client = make_client(self._ensemble, self._credentials, self._probe_log)
        except FindingError:
            return False
        granted = client.start_async().wait(self.timeout)
        _close(client, self.timeout)
        return granted

    # ---------------------------------------------------------------- what kazoo tells

    def _negotiated(self, seconds: float) -> None:
        self.timeout = seconds
        asked = self._ensemble.session_timeout
        advice = session_timeout(asked, seconds) if abs(seconds - asked) > 0.001 else None
        if advice and advice != self.advice:
            self._log.warning("zookeeper.advice", reason=str(advice), finding=advice.code)
        self.advice = advice

    def _listen(self, told: str) -> None:
        before, state = self.state, _STATES[told]
        if state == "connected":
            self._identity = self._client.client_id or (0, b"")
            self._connected.set()
            self.state = state  # last: who sees it may ask at once
            self._log.info("zookeeper.connected", reason=f"session {self.id:#x} of {self.timeout:g} s")
        else:
            self.state = state
            self._connected.clear()
            self.breaks += 1
            self._broken_at = boottime()
            self._disconnected(before)
        self._on_state(self.state)
        if self.state == "lost":
            self._mend()

    def _disconnected(self, before: State) -> None:
        if self.state == "lost":
            self._identity = (0, b"")
            self.losses += self._open
        if self._open:
            self._log.warning(f"zookeeper.{self.state}", reason=self._client_log.last_failure or f"was {before}")


def close_session(
    ensemble: ZooKeeper, credentials: Credentials, session_id: int, password: bytes, timeout: float = 5.0
) -> bool:
    """End a session whose process is gone, which removes its ephemeral nodes at once. False: it had ended already.

    FindingError if ZooKeeper was not reached: then it ends by its timeout.
    """
    log = ClientLog(f"closing {session_id:#x}")
    client = make_client(ensemble, credentials, log, (session_id, password))
    try:
        if not client.start_async().wait(timeout):
            raise unreachable(ensemble, log.last_failure, log.refusal)
        taken = client.client_id
    finally:
        _close(client, timeout)
    return taken is not None and taken[0] == session_id


def _close(client: KazooClient, timeout: float) -> None:
    """Kazoo waits for a server that does not answer until it notices that; nobody has to wait with it."""

    def close() -> None:
        client.stop()
        client.close()

    closing = threading.Thread(target=close, name="zookeeper-close", daemon=True)
    closing.start()
    closing.join(timeout)
