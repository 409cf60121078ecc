"""What a dump asks a source for, and as whom. Pure."""

import struct
from dataclasses import dataclass, replace
from typing import Final, Self
from uuid import UUID

from cdcd.binlog.gtid import GtidSet
from cdcd.binlog.mariadb_gtid import MariadbPosition
from cdcd.binlog.position import Gtids, Position
from cdcd.mysql.server import ServerStatus

COM_BINLOG_DUMP: Final = 0x12
COM_BINLOG_DUMP_GTID: Final = 0x1E
DUMP_NON_BLOCK: Final = 0x01
DUMP_HEARTBEAT_V2: Final = 0x02
DUMP_ANNOTATE_ROWS: Final = 0x02
"""What MariaDB means by that bit. Without these events there would be gaps between a transaction's others."""
DUMP_THROUGH_GTID: Final = 0x04
FIRST_EVENT: Final = 4
"""Offset of a binlog file's first event: the magic number stands before it."""
LAST_OFFSET: Final = 0xFFFFFFFF
"""COM_BINLOG_DUMP has 32 bits for it."""
NET_WRITE_TIMEOUT: Final = 600
"""Seconds that the source waits for a reader that pauses (a broker that is away), instead of 60."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads, as the source sees it."""

    server_id: int
    """Not 0, unique among the source's replicas and readers."""
    server_uuid: UUID
    """A dump with this UUID evicts an older one that has it: an instance's own zombie, never another reader's. MariaDB
    knows no UUIDs: there the `server_id` does."""
    heartbeat: float = 10.0
    """Seconds. The source sends one when it has nothing else; three missed ones are a lost connection."""

    def variables(self) -> str:
        """Session variables in both spellings: "master" until MySQL 8.0.25, "source" from 8.0.26 on.

        A MariaDB source turns GTID events into dummies for a reader that does not say it knows them (capability 4).
        """
        nanoseconds = int(self.heartbeat * 1_000_000_000)
        return (
            "SET @master_binlog_checksum = 'CRC32', @source_binlog_checksum = 'CRC32',"
            f" @master_heartbeat_period = {nanoseconds}, @source_heartbeat_period = {nanoseconds},"
            f" @slave_uuid = '{self.server_uuid}', @replica_uuid = '{self.server_uuid}',"
            " @mariadb_slave_capability = 4,"
            f" SESSION net_write_timeout = {NET_WRITE_TIMEOUT}"
        )


@dataclass(frozen=True, slots=True)
class DumpRequest:
    """From where: a GTID set, or a place, or both, which is the quick start (docs/architecture.md, "Quick start")."""

    gtid_set: Gtids | None = None
    """Everything already handled: the source sends the rest. None: by file and offset."""
    file: str = ""
    offset: int = FIRST_EVENT
    """With a GTID set: where one of its transactions begins, before which this source's binlog has no other."""
    server_uuid: str = ""
    """The server on which the place means that."""
    non_blocking: bool = False
    """End with an EOF packet at the present end of the binlog."""

    @classmethod
    def after(cls, position: Position, status: ServerStatus) -> Self:
        """For all that follows `position` on the server that `status` is of."""
        if not status.by_gtid or position.gtid_set is None:
            return cls(file=position.file, offset=position.end_offset)
        if (
            position.server_uuid == status.server_uuid
            and status.tells_lengths
            and _marks_a_transaction(position)
            and _in_step(position.gtid_set)
        ):
            return cls(position.gtid_set, position.file, position.start_offset, status.server_uuid)
        return cls(position.gtid_set)

    @property
    def quick(self) -> bool:
        return self.gtid_set is not None and bool(self.file)

    @property
    def by_place(self) -> Self:
        """Of a quick start: what is tried first."""
        return replace(self, gtid_set=None)

    @property
    def by_gtid(self) -> Self:
        """Of a quick start: what always leads there."""
        return replace(self, file="", offset=FIRST_EVENT, server_uuid="")

    def variables(self) -> str:
        """What is to be set on the connection just before the dump command; mostly nothing.

        MariaDB takes the position from there (MariaDB documentation, "Replication Protocol", "Slave Registration").
        """
        if not isinstance(self.gtid_set, MariadbPosition):
            return ""
        return (
            f"SET @slave_connect_state = '{self.gtid_set}',"
            " @slave_gtid_strict_mode = 1, @slave_gtid_ignore_duplicates = 0"
        )

    def payload(self, server_id: int) -> bytes:
        """The dump command (MySQL internals manual, COM_BINLOG_DUMP and COM_BINLOG_DUMP_GTID)."""
        flags = DUMP_HEARTBEAT_V2 | DUMP_ANNOTATE_ROWS | (DUMP_NON_BLOCK if self.non_blocking else 0)
        if not isinstance(self.gtid_set, GtidSet):
            return struct.pack("<BIHI", COM_BINLOG_DUMP, self.offset, flags, server_id) + self.file.encode()
        known = self.gtid_set.encode()
        head = struct.pack("<BHI", COM_BINLOG_DUMP_GTID, flags | DUMP_THROUGH_GTID, server_id)
        return head + struct.pack("<IQI", 0, FIRST_EVENT, len(known)) + known


def _in_step(known: Gtids) -> bool:
    """Whether what follows the last finished transaction cannot be known.

    Of several domains of MariaDB another server may have had one further than another, and the numbers do not tell
    which transactions are known.
    """
    return not isinstance(known, MariadbPosition) or len(known.last) == 1


def _marks_a_transaction(position: Position) -> bool:
    """Whether `start_offset` is where a finished transaction begins, and one to which the source need not read up.

    Where nothing has ended yet (the start of a file, a resolved start) both offsets are the same. From a file's first
    event on a dump by GTID is as quick.
    """
    return bool(position.file) and FIRST_EVENT < position.start_offset < min(position.end_offset, LAST_OFFSET + 1)
