"""What setting a position would do: which transactions are published again, which never. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime

from cdcd.binlog.gtid import GtidSet
from cdcd.binlog.mariadb_gtid import MariadbPosition
from cdcd.binlog.position import Gtids, Position, PositionRecord, coordinate
from cdcd.config.start import Start, StartFile, StartGtidSet, StartTime

LONGEST_SET = 400
"""Characters of a GTID set that are shown to people."""


@dataclass(frozen=True, slots=True)
class Preview:
    """In words; `again` and `skipped` are empty where nothing is."""

    goes_on: str
    """Where reading begins."""
    again: str = ""
    """What is published once more."""
    skipped: str = ""
    """What is never published."""
    remark: str = ""
    """What could not be worked out, and why."""

    @property
    def nothing(self) -> bool:
        """The position stays what it is."""
        return not (self.again or self.skipped or self.remark)


def preview(record: PositionRecord | None, start: Start) -> Preview:
    """From the stored position to `start`. What the source still has, and how far it is by now, is not known here."""
    goes_on = _goes_on(start)
    if record is None:
        return Preview(goes_on, remark="no position is known, so there is nothing to compare it with")
    here = record.position
    if isinstance(start, StartGtidSet):
        return _to_gtids(goes_on, here, _parse(start.gtid_set))
    if isinstance(start, StartFile):
        return _to_file(goes_on, here, start)
    if isinstance(start, StartTime):
        return _to_time(goes_on, start.time, record.ts_ms)
    if start == "earliest":
        return Preview(goes_on, again="everything up to the stored position that the source still has")
    return Preview(goes_on, skipped="everything after the stored position that the source has by then" + _rest(here))


def _goes_on(start: Start) -> str:
    if isinstance(start, StartGtidSet):
        return f"after the transactions {_short(_parse(start.gtid_set))}"
    if isinstance(start, StartFile):
        return f"at {start.file}:{start.position}"
    if isinstance(start, StartTime):
        return f"at the first transaction committed at {_time(start.time)} or later"
    return (
        "at the oldest binlog that the source has" if start == "earliest" else "at the source's end at the next start"
    )


def _parse(text: str) -> Gtids:
    """Only a set of MySQL has colons."""
    return GtidSet.parse(text) if ":" in text else MariadbPosition.parse(text)


def _to_gtids(goes_on: str, here: Position, there: Gtids) -> Preview:
    if isinstance(here.gtid_set, MariadbPosition) and isinstance(there, MariadbPosition):
        return _to_mariadb_position(goes_on, here, here.gtid_set, there)
    if isinstance(here.gtid_set, GtidSet) and isinstance(there, GtidSet):
        return _to_gtid_set(goes_on, here, here.gtid_set, there)
    why = "its source has no GTIDs" if here.gtid_set is None else f"it is at {_short(here.gtid_set)}"
    return Preview(goes_on, remark=f"the stored position has no GTID set to compare with: {why}")


def _to_mariadb_position(goes_on: str, here: Position, known: MariadbPosition, there: MariadbPosition) -> Preview:
    """By numbers, one stream after the other."""
    remark = (
        "" if here.txn is None else f"transaction {here.txn} is published in part, {here.rows_done} row changes of it"
    )
    return Preview(goes_on, again=_between(there, known), skipped=_between(known, there), remark=remark)


def _between(first: MariadbPosition, last: MariadbPosition) -> str:
    """What lies after `first` and up to `last`; empty for nothing."""
    spans = []
    for domain, (server, number) in sorted(last.last.items()):
        since = first.last.get(domain)
        if since is None:
            spans.append(f"all of domain {domain} up to {domain}-{server}-{number}")
        elif since[1] < number:
            spans.append(f"what follows {domain}-{since[0]}-{since[1]}, up to {domain}-{server}-{number}")
    return "; ".join(spans)


def _to_gtid_set(goes_on: str, here: Position, known: GtidSet, there: GtidSet) -> Preview:
    again, skipped = known.subtract(there), there.subtract(known)
    inside = "" if here.txn is None else _inside(here, there)
    return Preview(goes_on, again=_counted(again), skipped=_counted(skipped), remark=inside)


def _inside(here: Position, there: GtidSet) -> str:
    """Of a transaction that is published in part."""
    try:
        done = there.contains(GtidSet.parse(here.txn or ""))
    except ValueError:
        return f"transaction {here.txn} is published in part"
    if done:
        return (
            f"transaction {here.txn} is published in part, {here.rows_done} row changes of it; the others are skipped"
        )
    return f"transaction {here.txn} is published in part; its first {here.rows_done} row changes are published again"


def _to_file(goes_on: str, here: Position, there: StartFile) -> Preview:
    on = f"if the source is still server {here.server_uuid}"
    stands = f"{here.file}:{here.end_offset}"
    try:
        before, after = coordinate(here.file, here.end_offset), coordinate(there.file, there.position)
    except ValueError:
        return Preview(goes_on, remark=f"{stands} and {there.file}:{there.position} cannot be compared")
    (_, first), (_, last) = sorted([(before, stands), (after, f"{there.file}:{there.position}")])
    size = f" ({abs(after[1] - before[1])} bytes)" if after[0] == before[0] else ""
    if after == before:
        return Preview(goes_on)
    what = f"what lies between {first} and {last}{size}, {on}"
    return Preview(goes_on, again=what) if after < before else Preview(goes_on, skipped=what + _rest(here))


def _to_time(goes_on: str, there: datetime, ts_ms: int) -> Preview:
    stored = datetime.fromtimestamp(ts_ms / 1000, UTC)
    if there < stored:
        return Preview(
            goes_on,
            again=f"what was committed from {_time(there)} on, up to the stored position (of {_time(stored)})",
            remark="if the instance was behind by more than that, transactions are skipped instead",
        )
    return Preview(
        goes_on, skipped=f"what was committed after the stored position (of {_time(stored)}) and before {_time(there)}"
    )


def _rest(here: Position) -> str:
    return f", and the rest of transaction {here.txn}" if here.txn else ""


def _counted(gtids: GtidSet) -> str:
    count = gtids.count()
    return "" if not count else f"{'1 transaction' if count == 1 else f'{count} transactions'}: {_short(gtids)}"


def _short(gtids: Gtids) -> str:
    text = str(gtids) or "(none)"
    return text if len(text) <= LONGEST_SET else f"{text[:LONGEST_SET]}..."


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
