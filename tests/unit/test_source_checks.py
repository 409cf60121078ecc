"""Settings and positions against a server's status."""

from dataclasses import replace

import pytest

from cdcd.binlog.gtid import GtidSet
from cdcd.binlog.position import Position
from cdcd.mysql.connection import Endpoint, Tls, quote_identifier
from cdcd.mysql.server import BinlogFile, ServerStatus, check_position, check_server
from cdcd.mysql.version import Version

HERE = "11111111-1111-1111-1111-111111111111"
ELSEWHERE = "22222222-2222-2222-2222-222222222222"
GOOD = ServerStatus(
    source="db:3306",
    server_uuid=HERE,
    server_id=1,
    version_text="9.7.4",
    version=(9, 7, 4),
    flavour="mysql",
    log_bin=True,
    binlog_format="ROW",
    row_image="FULL",
    row_metadata="FULL",
    row_value_options="",
    expire_seconds=2_592_000,
    gtid_mode="ON",
    gtid_executed=GtidSet.parse(f"{HERE}:1-100,{ELSEWHERE}:1-50"),
    gtid_purged=GtidSet.parse(f"{HERE}:1-10"),
    file="binlog.000003",
    offset=900,
)
FILES = [BinlogFile("binlog.000002", 500), BinlogFile("binlog.000003", 900)]


def at(gtids: str | None, file: str = "binlog.000003", offset: int = 900, server: str = HERE) -> Position:
    return Position(server, None if gtids is None else GtidSet.parse(gtids), file, 4, offset)


def test_good_server() -> None:
    assert check_server(GOOD) == []
    assert check_server(replace(GOOD, row_value_options="PARTIAL_JSON")) == []
    assert check_server(replace(GOOD, row_value_options="PARTIAL_JSON", row_image="NOBLOB")) == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"log_bin": False}, "binlog-off"),
        ({"binlog_format": "STATEMENT"}, "binlog-format"),
        ({"binlog_format": "MIXED"}, "binlog-format"),
        ({"row_value_options": "PARTIAL_JSON", "row_image": "MINIMAL"}, "partial-json"),
        ({"flavour": "mariadb", "version": (10, 4, 34)}, "source-unsupported"),
    ],
)
def test_unreadable_server(change: dict[str, object], code: str) -> None:
    (finding,) = check_server(replace(GOOD, **change))  # type: ignore[arg-type]
    assert (finding.code, finding.kind) == (code, "operator")
    assert "db:3306" in finding.what


@pytest.mark.parametrize(
    ("position", "code", "kind"),
    [
        (f"{HERE}:1-100,{ELSEWHERE}:1-50", None, None),
        (f"{HERE}:1-10", None, None),
        (f"{HERE}:1-9", "position-purged", "operator"),
        (f"{HERE}:2-100", "position-purged", "operator"),
        ("", "position-purged", "operator"),
        (f"{HERE}:1-101", "position-ahead", "operator"),
        (f"{HERE}:1-100,{ELSEWHERE}:1-51", "source-behind", "retry"),
        (f"{HERE}:1-101,{ELSEWHERE}:1-51", "position-ahead", "operator"),
    ],
)
def test_gtid_position(position: str, code: str | None, kind: str | None) -> None:
    finding = check_position(at(position, file="gone.000001", server=ELSEWHERE), GOOD)
    assert (finding and finding.code, finding and finding.kind) == (code, kind)


@pytest.mark.parametrize("gtid_mode", ["OFF", "OFF_PERMISSIVE", "ON_PERMISSIVE", ""])
@pytest.mark.parametrize(
    ("position", "code"),
    [
        (at(None), None),
        (at(f"{HERE}:1-9"), None),
        (at(None, "binlog.000002", 500), None),
        (at(None, server=ELSEWHERE), "other-server"),
        (at(None, "binlog.000001", 4), "position-purged"),
        (at(None, "binlog.000002", 501), "position-beyond-file"),
    ],
)
def test_file_position_wherever_gtid_mode_is_not_on(gtid_mode: str, position: Position, code: str | None) -> None:
    finding = check_position(position, replace(GOOD, gtid_mode=gtid_mode), FILES)
    assert (finding and finding.code) == code


def test_position_of_a_server_without_gtids_on_one_with_them_goes_by_file() -> None:
    finding = check_position(at(None, server=ELSEWHERE), GOOD)
    assert finding is not None
    assert finding.code == "other-server"


@pytest.mark.parametrize(
    ("text", "version"),
    [("9.7.4-2", (9, 7, 4)), ("8.0.36-0ubuntu1-log", (8, 0, 36)), ("10.11.6-MariaDB", (10, 11, 6)), ("x", (0, 0, 0))],
)
def test_version(text: str, version: tuple[int, ...]) -> None:
    assert Version(text).numbers == version


def test_identifiers_are_quoted() -> None:
    assert quote_identifier("a`b; --") == "`a``b; --`"
    for bad in ("", "a\0b"):
        with pytest.raises(ValueError, match="identifier"):
            quote_identifier(bad)


def test_endpoint_never_shows_its_password() -> None:
    endpoint = Endpoint("db", 3306, "cdc", "geheim")
    assert "geheim" not in repr(endpoint) + str(endpoint)
    assert str(Endpoint("::1", 3306, "cdc", "")) == "[::1]:3306"


@pytest.mark.parametrize(
    ("host", "mode"),
    [("127.0.0.1", "disabled"), ("::1", "disabled"), ("localhost", "disabled"), ("db.example.com", "verify-identity")],
)
def test_plain_text_only_to_loopback_unless_said(host: str, mode: str) -> None:
    assert Endpoint(host, 3306, "cdc", "").protection.mode == mode
    assert Endpoint(host, 3306, "cdc", "", Tls("verify-ca")).protection.mode == "verify-ca"
