"""What comes first in a dump: the proof that a quick start begins where it should."""

from cdcd.binlog.core.native import END, NEED_BYTES, Decoder
from cdcd.binlog.gtid import GtidSet
from cdcd.binlog.mariadb_gtid import MariadbPosition
from cdcd.binlog.position import Gtids

_UNLIMITED = 1 << 62


class FirstTransaction:
    """Reads a dump's bytes up to the GTID of its first transaction."""

    def __init__(self) -> None:
        self._decoder = Decoder(None)
        self.ended: bytes | None = None
        """The packet with which the source refused to go on."""

    @property
    def seen(self) -> bool:
        return bool(self._decoder.transaction) or self.ended is not None

    def feed(self, data: bytes) -> None:
        """The next bytes of the dump. Raises BinlogError: what stands there is no binlog."""
        self._decoder.feed(data)
        while not self.seen:
            reason = self._decoder.decode(0, _UNLIMITED, True)
            if reason == END:
                self.ended = self._decoder.control
            if reason == NEED_BYTES:
                return

    def objection(self, offset: int, known: Gtids) -> str:
        """Why this is not a transaction of `known` that begins at `offset`; empty if it is.

        Of MariaDB it has to be the last one of its domain: there nothing else is known for certain.
        """
        decoder = self._decoder
        if not decoder.has_gtid or decoder.transaction_start != offset:
            return f"no transaction with a GTID begins there, but {decoder.transaction}"
        if decoder.mariadb is not isinstance(known, MariadbPosition):
            return "it is a server of another flavour"
        if not _knows(known, decoder.transaction):
            return f"{decoder.transaction} begins there, which is not published yet"
        if not decoder.mariadb and not decoder.transaction_length:
            return f"{decoder.transaction} does not say how long it is"  # MySQL before 8.0.2
        return ""


def _knows(known: Gtids, transaction: str) -> bool:
    if isinstance(known, MariadbPosition):
        return known.is_last(transaction)
    return known.contains(GtidSet.parse(transaction))
