"""GTID positions of MariaDB (MariaDB documentation, "Global Transaction ID").

A GTID is `domain-server-sequence`. A domain is one stream of transactions in one order, whichever server wrote them, so a
place in all streams is one GTID for each domain: the last one before it. Unlike MySQL's sets a position has no gaps, and
cannot say that a transaction after its number is known already.
"""

import re
import struct
from collections.abc import Iterable, Mapping
from typing import Final

from cdcd.binlog.gtid import Interval
from cdcd.binlog.gtid_wire import GtidSetError

LARGEST_ID: Final = 2**32 - 1
"""Of domains and servers."""
LARGEST_SEQUENCE: Final = 2**63 - 2
"""MariaDB has 64 bits for it; more than 63 the core does not read."""

_GTID = re.compile(r"([0-9]{1,10})-([0-9]{1,10})-([0-9]{1,20})", re.ASCII)
_COUNT_MASK = (1 << 28) - 1

Stream = tuple[int, int]
"""(domain, server)."""


def stream_of(source: bytes) -> Stream:
    """(domain, server) of an Interval's first member, which has 8 bytes for a transaction of MariaDB."""
    if len(source) != 8:
        raise GtidSetError(f"GTID position: a domain and a server have 8 bytes, not {len(source)}")
    domain, server = struct.unpack(">II", source)
    return domain, server


class MariadbPosition:
    """An immutable GTID position: the last transaction of each domain."""

    __slots__ = ("last",)
    last: Mapping[int, tuple[int, int]]
    """Domain -> (server, sequence number). Never changed."""

    def __init__(self, gtids: Iterable[tuple[int, int, int]] = ()) -> None:
        """Of (domain, server, sequence) in the order of the binlog: the last of a domain counts. Raises GtidSetError."""
        last: dict[int, tuple[int, int]] = {}
        for domain, server, sequence in gtids:
            _check(domain, server, sequence)
            last[domain] = server, sequence
        self.last = last

    @classmethod
    def parse(cls, text: str) -> "MariadbPosition":
        """Read `0-1-100,1-2-7` as in `@@gtid_binlog_pos`. Raises GtidSetError, also for a domain that is named twice."""
        gtids = [_parse(piece.strip()) for piece in text.split(",") if piece.strip()]
        made = cls(gtids)
        if len(made.last) != len(gtids):
            raise GtidSetError(f"GTID position: a domain is named twice in {_clip(text)}")
        return made

    @classmethod
    def decode(cls, data: bytes) -> "MariadbPosition":
        """Read the body of a GTID_LIST event (without checksum). Raises GtidSetError where it is malformed.

        It lists the last GTID of each server in each domain, of a domain the newest at the end (MariaDB source,
        sql/rpl_gtid.cc, rpl_binlog_state::get_gtid_list).
        """
        count = int.from_bytes(data[:4], "little") & _COUNT_MASK
        # An empty list is filled up to the six bytes that its header has in the format description.
        if len(data) != (4 + 16 * count if count else 6):
            raise GtidSetError(f"GTID position: a list of {count} GTIDs in {len(data)} bytes")
        return cls(struct.iter_unpack("<IIQ", data[4 : 4 + 16 * count]))

    def __str__(self) -> str:
        """As MariaDB prints and accepts it, by domain."""
        return ",".join(f"{domain}-{server}-{number}" for domain, (server, number) in sorted(self.last.items()))

    def __repr__(self) -> str:
        return f"MariadbPosition({str(self)!r})"

    def __bool__(self) -> bool:
        return bool(self.last)

    def __eq__(self, other: object) -> bool:
        return self.last == other.last if isinstance(other, MariadbPosition) else NotImplemented

    def __hash__(self) -> int:
        return hash(frozenset(self.last.items()))

    def add_all(self, intervals: Iterable[Interval]) -> "MariadbPosition":
        """After these transactions, which are in the order of the binlog; self if there are none."""
        last = dict(self.last)
        for source, _, _, number in intervals:
            domain, server = stream_of(source)
            _check(domain, server, number)
            last[domain] = server, number
        return self if last == self.last else _of(last)

    def gap(self, source: bytes, _tag: str, number: int) -> tuple[int, int] | None:
        """As GtidSet.gap: None for the last transaction of its domain, and for no other.

        Whether any other one is known cannot be told by numbers: without `gtid_strict_mode` a lower one may follow.
        """
        domain, server = stream_of(source)
        last = self.last.get(domain)
        if last is None or last[0] != server:
            return 0, LARGEST_SEQUENCE + 1
        if number == last[1]:
            return None
        return (0, last[1]) if number < last[1] else (last[1] + 1, LARGEST_SEQUENCE + 1)

    def is_last(self, transaction: str) -> bool:
        """Whether `domain-server-sequence` is the last transaction of its domain."""
        domain, server, number = _parse(transaction)
        return self.last.get(domain) == (server, number)

    def behind(self, later: "MariadbPosition") -> int:
        """How many transactions `later` is ahead, by their numbers: mostly, but not by any rule, they have no gaps."""
        return sum(max(0, number - self.last.get(domain, (0, 0))[1]) for domain, (_, number) in later.last.items())


class BinlogState:
    """What a server's binlog has: the last number of each server in each domain (`@@gtid_binlog_state`)."""

    __slots__ = ("numbers", "position")

    def __init__(self, text: str) -> None:
        """Raises GtidSetError. Of a domain the newest GTID stands last."""
        gtids = [_parse(piece.strip()) for piece in text.split(",") if piece.strip()]
        self.position = MariadbPosition(gtids)
        self.numbers: Mapping[Stream, int] = {(domain, server): number for domain, server, number in gtids}

    def __str__(self) -> str:
        return ",".join(f"{domain}-{server}-{number}" for (domain, server), number in self.numbers.items())

    def __eq__(self, other: object) -> bool:
        same = isinstance(other, BinlogState) and (self.numbers, self.position) == (other.numbers, other.position)
        return same if isinstance(other, BinlogState) else NotImplemented

    def __hash__(self) -> int:
        return hash(frozenset(self.numbers.items()))

    def lacks(self, known: MariadbPosition) -> MariadbPosition:
        """Of the last transactions of `known` those that this binlog has not, or not yet."""
        return _of(
            {
                domain: (server, number)
                for domain, (server, number) in known.last.items()
                if self.numbers.get((domain, server), 0) < number
            }
        )

    def has_passed(self, gtids: MariadbPosition) -> MariadbPosition:
        """Of `gtids`, which it lacks, those whose domain went on to the same number or beyond: it will never get them."""
        return _of(
            {
                domain: (server, number)
                for domain, (server, number) in gtids.last.items()
                if self.position.last.get(domain, (0, 0))[1] >= number
            }
        )


def _of(last: Mapping[int, tuple[int, int]]) -> MariadbPosition:
    made = MariadbPosition()
    made.last = last
    return made


def _parse(piece: str) -> tuple[int, int, int]:
    if not (match := _GTID.fullmatch(piece)):
        raise GtidSetError(f"GTID position: {_clip(piece)} is no GTID of MariaDB, such as 0-1-100")
    domain, server, sequence = map(int, match.groups())
    _check(domain, server, sequence)
    return domain, server, sequence


def _check(domain: int, server: int, sequence: int) -> None:
    if not (0 <= domain <= LARGEST_ID and 0 <= server <= LARGEST_ID and 0 < sequence <= LARGEST_SEQUENCE):
        raise GtidSetError(f"GTID position: {domain}-{server}-{sequence} is out of range")


def _clip(piece: str) -> str:
    return repr(piece if len(piece) <= 120 else piece[:120] + "...")
