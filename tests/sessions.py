"""Sessions with ZooKeeper of a test's own."""

from collections.abc import Iterator
from contextlib import contextmanager

from cdcd.config.secrets import Credentials
from cdcd.config.zookeeper import ZooKeeper
from cdcd.fleet.session import Session

NO_CREDENTIALS = Credentials(None)


@contextmanager
def opened(ensemble: ZooKeeper, credentials: Credentials = NO_CREDENTIALS, timeout: float = 10.0) -> Iterator[Session]:
    """Raises what keeps it from starting within `timeout` seconds."""
    session = Session(ensemble, credentials, "test")
    try:
        session.start(timeout)
        yield session
    finally:
        session.close()
