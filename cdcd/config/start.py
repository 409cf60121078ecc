"""Where an instance without a stored position begins: `start` of a definition, `--start` of `cdcd tail`."""

import re
from datetime import UTC, datetime
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, WithJsonSchema

from cdcd.config.fields import Model

FIRST_POSITION = 4  # after the magic bytes of a binlog file

_TAG = r"[A-Za-z_][A-Za-z0-9_]{0,31}"
_RANGE = r"[0-9]{1,19}(-[0-9]{1,19})?"
_SOURCE = rf"[0-9a-fA-F]{{8}}(-[0-9a-fA-F]{{4}}){{3}}-[0-9a-fA-F]{{12}}(\s*:\s*({_TAG}|{_RANGE}))+"
_GTID_SET = re.compile(rf"\s*{_SOURCE}\s*(,\s*{_SOURCE}\s*)*", re.ASCII)
_MARIADB_GTID = r"[0-9]{1,10}-[0-9]{1,10}-[0-9]{1,19}"
_MARIADB_POSITION = re.compile(rf"\s*{_MARIADB_GTID}\s*(,\s*{_MARIADB_GTID}\s*)*", re.ASCII)
_BINLOG_FILE = re.compile(r"[^/\\\0]{1,500}\.[0-9]{1,10}", re.ASCII)
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?", re.ASCII)
_ZONE = re.compile(r"Z|[+-]\d\d:?\d\d", re.ASCII)


def parse_instant(text: str) -> datetime:
    """ISO 8601 with a zone, in UTC. ValueError otherwise: a time without a zone would be a guess."""
    day_and_time = _INSTANT.match(text)
    zone = text[day_and_time.end() :] if day_and_time else ""
    if day_and_time is None or not (zone == "" or _ZONE.fullmatch(zone)):
        raise ValueError("must be a time as ISO 8601 with a zone, such as 2026-11-01T00:00:00Z")
    if not zone:
        raise ValueError(f"has no time zone: write {text}Z for UTC, or an offset such as {text}+02:00")
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"is not a time: {error}") from None


def check_gtid_set(text: str) -> str:
    """The form of a MySQL GTID set or a MariaDB GTID position; whether the source has it is asked there."""
    # Bounded before the expression runs: nothing in it can backtrack far, but a set of a megabyte is no set.
    if len(text) > 100_000 or not (_GTID_SET.fullmatch(text) or _MARIADB_POSITION.fullmatch(text)):
        raise ValueError(
            "must be a GTID set, such as 3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5, as in @@GLOBAL.gtid_executed,"
            " or a position of MariaDB, such as 0-1-100, as in @@GLOBAL.gtid_binlog_pos"
        )
    return "".join(text.split())


def _instant(value: object) -> datetime:
    return parse_instant(value if isinstance(value, str) else "")


def _check_binlog_file(file: str) -> str:
    if not _BINLOG_FILE.fullmatch(file):
        raise ValueError("must be a binlog file as SHOW BINARY LOGS lists it, such as binlog.000003")
    return file


class StartGtidSet(Model):
    """After the transactions of a GTID set."""

    gtid_set: Annotated[str, AfterValidator(check_gtid_set)]
    """The transactions not to read, as in `@@GLOBAL.gtid_executed`; of MariaDB the last of each domain, as in `@@GLOBAL.gtid_binlog_pos`."""


class StartFile(Model):
    """At a place in one server's binlog."""

    file: Annotated[str, AfterValidator(_check_binlog_file)]
    """Binlog file, as `SHOW BINARY LOGS` lists it."""
    position: Annotated[int, Field(ge=FIRST_POSITION, le=(1 << 63) - 1)] = FIRST_POSITION
    """Offset of an event's start in it."""


class StartTime(Model):
    """At the first transaction committed at or after a time."""

    time: Annotated[
        datetime, BeforeValidator(_instant), WithJsonSchema({"type": "string", "format": "date-time", "title": "time"})
    ]
    """ISO 8601 with a zone: `2026-11-01T00:00:00Z`."""


def _kind(value: object) -> str | None:
    if isinstance(value, str):
        return "<word>"
    if isinstance(value, StartGtidSet | StartFile | StartTime):
        return f"<{type(value).__name__}>"
    fields = value if isinstance(value, dict) else {}
    by_field = {"gtid_set": StartGtidSet, "file": StartFile, "position": StartFile, "time": StartTime}
    return next((f"<{model.__name__}>" for field, model in by_field.items() if field in fields), None)


Start: TypeAlias = Annotated[
    Annotated[Literal["latest", "earliest"], Tag("<word>")]
    | Annotated[StartGtidSet, Tag("<StartGtidSet>")]
    | Annotated[StartFile, Tag("<StartFile>")]
    | Annotated[StartTime, Tag("<StartTime>")],
    Discriminator(
        _kind,
        custom_error_type="start",
        custom_error_message="must be latest, earliest, {gtid_set: ...}, {file: ..., position: ...} or {time: ...}",
    ),
]


def parse_start(text: str) -> Start:
    """`latest`, `earliest`, `gtid:SET`, `file:NAME:POS`, `time:ISO`. ValueError says what is allowed."""
    kind, _, rest = text.partition(":")
    if text == "latest":
        return "latest"
    if text == "earliest":
        return "earliest"
    if kind == "gtid":
        return StartGtidSet(gtid_set=check_gtid_set(rest))
    if kind == "time":
        parse_instant(rest)
        return StartTime.model_validate({"time": rest})
    name, _, position = rest.rpartition(":")
    if kind != "file" or not re.fullmatch(r"[0-9]{1,18}", position, re.ASCII):
        raise ValueError("must be latest, earliest, gtid:SET, file:NAME:POS or time:ISO-8601")
    if int(position) < FIRST_POSITION:
        raise ValueError(f"position must be at least {FIRST_POSITION}")
    return StartFile(file=_check_binlog_file(name), position=int(position))
