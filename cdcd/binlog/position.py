"""Where an instance stands in its source, and the record that keeps it in Kafka (formats.md section 1, rule 11)."""

import re
from dataclasses import dataclass, field
from types import NoneType
from typing import Any, NoReturn, TypeVar, cast

import orjson

from cdcd.binlog.gtid import GtidSet, GtidSetError
from cdcd.binlog.mariadb_gtid import MariadbPosition
from cdcd.binlog.prepared import Prepared
from cdcd.errors import Finding, FindingError

VERSION = 1
"""Of the record's form. A field that a reader may leave out of account is added without raising it."""

MARIADB = "mariadb"

Gtids = GtidSet | MariadbPosition
"""What is known of a source: by which of the two, its flavour can be told."""

_FILE = re.compile(r".*\.([0-9]+)", re.ASCII | re.DOTALL)
_Kind = TypeVar("_Kind")


@dataclass(frozen=True, slots=True)
class Position:
    """A point between two transactions of the source, or inside one that was published in parts."""

    server_uuid: str
    """Whose binlog `file` and the offsets mean; they are void on any other server. MariaDB has none: `server-id-<n>`."""
    gtid_set: Gtids | None
    """Everything published or filtered out; None where the source has no GTIDs."""
    file: str
    start_offset: int
    """Where the last finished transaction starts: a quick start by file and offset begins there."""
    end_offset: int
    """Where it ends, or a later point between transactions."""
    txn: str | None = None
    """The open transaction (`uuid[:tag]:n`, `domain-server-n`, or `file:offset`), only if part of it is published."""
    rows_done: int = 0
    """Row changes of `txn` that are dealt with, before filters."""
    held: tuple[Prepared, ...] = ()
    """XA transactions that are prepared and have not ended; their places are on this server."""


@dataclass(frozen=True, slots=True)
class PositionRecord:
    """A position with the holding that wrote it."""

    epoch: int
    nonce: str
    """Of the process: tells two holdings of one epoch apart."""
    position: Position
    seq: int
    """Number of the last message published."""
    partitions: dict[str, int] = field(default_factory=dict)
    """Topic -> number of partitions that keys are mapped to."""
    ts_ms: int = 0
    """When it was written, milliseconds since 1970."""
    request: str = ""
    """Id of the operator's order that this position was set by, until that order is removed; else empty."""

    def to_json(self) -> bytes:
        at = self.position
        members = {
            "v": VERSION,
            "epoch": self.epoch,
            "nonce": self.nonce,
            "server_uuid": at.server_uuid,
            "gtid_set": None if at.gtid_set is None else str(at.gtid_set),
            "file": at.file,
            "start_offset": at.start_offset,
            "end_offset": at.end_offset,
            "txn": at.txn,
            "rows_done": at.rows_done,
            "seq": self.seq,
            "held": [_prepared_members(each) for each in at.held],
            "partitions": self.partitions,
            "ts_ms": self.ts_ms,
        }
        if isinstance(at.gtid_set, MariadbPosition):
            members["flavour"] = MARIADB
        return orjson.dumps({**members, "request": self.request} if self.request else members)

    @classmethod
    def from_json(cls, data: bytes) -> "PositionRecord":
        """Read a record; nothing in it is guessed or defaulted. Raises PositionRecordError."""
        fields = _Fields.parse(data)
        if fields.integer("v") != VERSION:
            _newer(f"has version {fields.integer('v')}, this cdcd knows version {VERSION}")
        return cls(
            epoch=fields.integer("epoch"),
            nonce=fields.of("nonce", str),
            position=fields.position(),
            seq=fields.integer("seq"),
            partitions=fields.partitions(),
            ts_ms=fields.integer("ts_ms"),
            request=fields.text("request"),
        )


class PositionRecordError(FindingError):
    """A stored position that this cdcd cannot read for certain. Waiting does not mend it."""


def file_number(name: str) -> int:
    """Number of a binlog file: 1000000 for `binlog.1000000`, which follows `binlog.999999`. Raises ValueError."""
    match = _FILE.fullmatch(name)
    if match is None:
        raise ValueError(f"{name!r} is no binlog file name: it does not end in a dot and a number")
    return int(match[1])


def coordinate(file: str, offset: int) -> tuple[int, int]:
    """(file number, offset): orders the places of one server's binlog, which file names as text do not."""
    return file_number(file), offset


def _prepared_members(prepared: Prepared) -> dict[str, Any]:
    return {
        "xid": prepared.xid,
        "gtid": prepared.gtid,
        "file": prepared.file,
        "offset": prepared.offset,
        "created": prepared.created,
        "since_ms": prepared.since_ms,
    }


def _newer(what: str) -> NoReturn:
    raise PositionRecordError(
        Finding(
            code="position-record-newer",
            kind="operator",
            what=f"The stored position {what}",
            remedy="It was written by a newer cdcd: run this instance with that version or a later one",
        )
    )


def _damaged(what: str) -> NoReturn:
    raise PositionRecordError(
        Finding(
            code="position-record-damaged",
            kind="operator",
            what=f"The stored position cannot be read: {what}",
            remedy="Something other than cdcd wrote to the position topic. Find out what, then set the position anew",
        )
    )


class _Fields:
    """The members of a JSON object, each asked for by name and type."""

    def __init__(self, members: object, what: str = "it") -> None:
        if not isinstance(members, dict):
            _damaged(f"{what} is no JSON object")
        self._members: dict[str, Any] = members

    @classmethod
    def parse(cls, data: bytes) -> "_Fields":
        try:
            return cls(orjson.loads(data))
        except orjson.JSONDecodeError as error:
            _damaged(f"it is no JSON ({error})")

    def of(self, name: str, *kinds: type[_Kind]) -> _Kind:
        if name not in self._members:
            _damaged(f"{name} is missing")
        value = self._members[name]
        # Not isinstance: true is no number here.
        if type(value) not in kinds:
            _damaged(f"{name} is {_clip(value)}, expected {' or '.join(kind.__name__ for kind in kinds)}")
        return cast(_Kind, value)

    def text(self, name: str) -> str:
        """Of a member that may be absent."""
        return self.of(name, str) if name in self._members else ""

    def integer(self, name: str) -> int:
        if (value := self.of(name, int)) < 0:
            _damaged(f"{name} is {value}")
        return value

    def position(self) -> Position:
        txn, rows_done = self.of("txn", str, NoneType), self.integer("rows_done")
        if txn == "" or (txn is None and rows_done):
            _damaged(f"rows_done is {rows_done} and txn is {txn!r}: one without the other")
        return Position(
            server_uuid=self.of("server_uuid", str),
            gtid_set=self._gtid_set(),
            file=self.of("file", str),
            start_offset=self.integer("start_offset"),
            end_offset=self.integer("end_offset"),
            txn=txn,
            rows_done=rows_done,
            held=self._held(),
        )

    def _held(self) -> tuple[Prepared, ...]:
        each = [_Fields(members, "one of held") for members in self.of("held", list)]
        return tuple(
            Prepared(
                xid=fields.of("xid", str),
                gtid=fields.of("gtid", str, NoneType),
                file=fields.of("file", str),
                offset=fields.integer("offset"),
                created=fields.integer("created"),
                since_ms=fields.integer("since_ms"),
            )
            for fields in each
        )

    def _gtid_set(self) -> Gtids | None:
        text = self.of("gtid_set", str, NoneType)
        flavour = self.text("flavour")
        if flavour not in {"", MARIADB}:
            _newer(f"is of a server of flavour {_clip(flavour)}")
        try:
            if flavour == MARIADB:
                return MariadbPosition.parse(self.of("gtid_set", str))
            return None if text is None else GtidSet.parse(text)
        except GtidSetError as error:
            _damaged(f"gtid_set: {error}")

    def partitions(self) -> dict[str, int]:
        counts: dict[str, Any] = self.of("partitions", dict)
        for topic, count in counts.items():
            if type(count) is not int or count < 1:
                _damaged(f"partitions.{topic} is {_clip(count)}, expected a number of partitions")
        return counts


def _clip(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:80] + "..."
