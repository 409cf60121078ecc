"""The MySQL side of a holding: which server, whether it can be read from, and the dump that reads it."""

import time
import uuid
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace

from cdcd.binlog.position import Position
from cdcd.config.definition import Definition
from cdcd.errors import Finding, FindingError
from cdcd.mysql.connection import Connection, Endpoint, connect
from cdcd.mysql.dump import BinlogDump
from cdcd.mysql.dump_request import Reader
from cdcd.mysql.server import (
    ServerStatus,
    binlog_files,
    check_grants,
    check_position,
    check_server,
    read_status,
)
from cdcd.mysql.tap import KEPT_SECONDS

BEHIND_LIMIT = 300.0
"""Seconds that a source may lack transactions of the position (a new primary still applying) before the instance parks."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a dump is to the source: fixed for an instance, so that a new dump evicts its own zombie."""

    server_id: int
    server_uuid: uuid.UUID

    @classmethod
    def of(cls, cluster: str, instance: str, server_id: int = 0) -> "Identity":
        """Without a `server_id` one in the upper half of the range, where no replica configured by hand is likely to be."""
        name = f"{cluster}/{instance}"
        return cls(server_id or zlib.crc32(name.encode()) | 1 << 31, uuid.uuid5(uuid.NAMESPACE_URL, f"cdcd:{name}"))


class Source:
    """Reads of one instance's servers; the first that answers and can go on from the position is taken."""

    def __init__(
        self,
        definition: Definition,
        endpoints: Callable[[], list[Endpoint]],
        identity: Identity,
    ) -> None:
        self._definition = definition
        self._endpoints = endpoints
        self._identity = identity
        self._behind_since: float | None = None
        self._control: Connection | None = None
        """Of the server examined last, which was found to grant us all we need; asked once more, if that is soon."""
        self._control_at = 0.0
        self._dump: BinlogDump | None = None

    def prepare(self) -> None:
        """All that can be done before it is known where to begin, and that disturbs nobody who reads as this instance.

        FindingError as `choose`. What it opens is for the next `choose` and `dump`, or for `close`.
        """
        endpoint, _ = self.choose(None)
        self._dump = self.dump(endpoint)
        self._dump.prepare()

    def close(self) -> None:
        """Drop what was prepared and not used."""
        control, self._control = self._control, None
        dump, self._dump = self._dump, None
        if control is not None:
            control.close()
        if dump is not None:
            dump.close()

    def choose(self, position: Position | None) -> tuple[Endpoint, ServerStatus]:
        """FindingError where no server will do: of the first one, or `retry` where waiting may mend any of them."""
        findings = []
        for endpoint in self._endpoints():
            try:
                return endpoint, self._examine(endpoint, position)
            except FindingError as error:
                findings.append(error.finding)
        raise FindingError(_of_all(findings))

    def dump(self, endpoint: Endpoint) -> BinlogDump:
        """A dump as this instance: the prepared one, or one that has to connect yet. The caller closes it."""
        prepared, self._dump = self._dump, None
        if prepared is not None and prepared.endpoint == endpoint:
            return prepared
        if prepared is not None:
            prepared.close()
        heartbeat = self._definition.source.heartbeat
        return BinlogDump(endpoint, Reader(self._identity.server_id, self._identity.server_uuid, heartbeat))

    def _examine(self, endpoint: Endpoint, position: Position | None) -> ServerStatus:
        if (status := self._asked_again(endpoint, position)) is not None:
            return status
        control = connect(endpoint)
        try:
            _refuse(check_grants(control))
            status = self._judged(control, position)
        except BaseException:
            control.close()
            raise
        self.close()
        self._control, self._control_at = control, time.monotonic()
        return status

    def _asked_again(self, endpoint: Endpoint, position: Position | None) -> ServerStatus | None:
        """By the connection that there is; None where that is not to be trusted any more."""
        control, self._control = self._control, None
        if control is None:
            return None
        with control:
            if control.endpoint != endpoint or time.monotonic() - self._control_at > KEPT_SECONDS:
                return None
            try:
                return self._judged(control, position)
            except FindingError as error:
                if error.finding.code == "source-lost":
                    return None
                raise

    def _judged(self, control: Connection, position: Position | None) -> ServerStatus:
        status = read_status(control)
        _refuse([finding for finding in check_server(status) if not self._accepted(finding)])
        if position is not None:
            finding = check_position(position, status, None if status.by_gtid else binlog_files(control))
            _refuse([] if finding is None else [self._patient(finding)])
            self._behind_since = None
        return status

    def _accepted(self, finding: Finding) -> bool:
        """Whoever has statements published as they are can read a server that logs them."""
        return finding.code == "binlog-format" and self._definition.sink.statements == "ddl-topic"

    def _patient(self, finding: Finding) -> Finding:
        """A source that stays behind for long will hardly catch up: somebody has to look."""
        if finding.code != "source-behind":
            return finding
        self._behind_since = self._behind_since or time.monotonic()
        if time.monotonic() - self._behind_since < BEHIND_LIMIT:
            return finding
        return Finding(finding.code, "operator", f"{finding.what} (for {BEHIND_LIMIT:.0f} s)", finding.remedy)


def _refuse(findings: list[Finding]) -> None:
    if findings:
        raise FindingError(findings[0])


def _of_all(findings: list[Finding]) -> Finding:
    """What is wrong with each of the servers, as one: `retry` where waiting may mend any of them."""
    chosen = next((finding for finding in findings if finding.kind == "retry"), findings[0])
    others = [finding.what for finding in findings if finding is not chosen]
    return replace(chosen, what="; and ".join([chosen.what, *others]))
