"""Errors of the source become findings of the right class. Texts: errmsg of MySQL 5.7 and 9.x (ER_SOURCE_FATAL_...)."""

import socket
import ssl

import pymysql
import pytest

from cdcd.mysql.dump_error import classify_dump_error
from cdcd.mysql.findings import source_finding


def error_packet(code: int, text: str) -> bytes:
    return b"\xff" + code.to_bytes(2, "little") + b"#HY000" + text.encode()


@pytest.mark.parametrize(
    ("text", "code", "kind"),
    [
        (
            (
                "Cannot replicate because the source purged required binary logs. Replicate the missing transactions from "
                "elsewhere, or provision a new replica from backup."
            ),
            "position-purged",
            "operator",
        ),
        (
            (
                "The slave is connecting using CHANGE MASTER TO MASTER_AUTO_POSITION = 1, but the master has purged binary "
                "logs containing GTIDs that the slave requires."
            ),
            "position-purged",
            "operator",
        ),
        ("Could not find first log file name in binary log index file", "binlog-file-missing", "operator"),
        (
            "Replica has more GTIDs than the source has, using the source's SERVER_UUID. This may indicate that ...",
            "position-ahead",
            "operator",
        ),
        (
            "Client requested source to start replication from position > file size",
            "position-beyond-file",
            "operator",
        ),
        (
            "A replica with the same server_uuid/server_id as this replica has connected to the source; the first ...",
            "dump-evicted",
            "retry",
        ),
        (
            "Cannot replicate anonymous transaction when AUTO_POSITION = 1, at file ./binlog.000001, position 157.",
            "gtid-mode",
            "operator",
        ),
        (
            (
                "The replication sender thread cannot start in AUTO_POSITION mode: this server has GTID_MODE = OFF instead "
                "of ON."
            ),
            "gtid-mode",
            "operator",
        ),
        (
            "log event entry exceeded max_allowed_packet; Increase max_allowed_packet on source; the first event ...",
            "event-too-large",
            "operator",
        ),
        (
            "Slave can not handle replication events with the checksum that master is configured to log; the first ...",
            "binlog-checksum",
            "operator",
        ),
        ("Binary log is not open", "binlog-off", "operator"),
        ("a cause that nobody has seen yet", "binlog-unreadable", "operator"),
    ],
)
def test_failure_to_read_the_binlog_is_told_by_its_text(text: str, code: str, kind: str) -> None:
    finding = classify_dump_error("db:3306", "cdc", error_packet(1236, text))
    assert (finding.code, finding.kind) == (code, kind)
    assert "db:3306" in finding.what
    assert text in finding.what


def test_end_of_a_blocking_dump_is_a_lost_connection() -> None:
    finding = classify_dump_error("db:3306", "cdc", b"\xfe\0\0\2\0")
    assert (finding.code, finding.kind) == ("source-lost", "retry")


@pytest.mark.parametrize(
    ("number", "code", "kind"),
    [
        (1045, "access-denied", "operator"),
        (2059, "access-denied", "operator"),
        (1227, "privilege-missing", "operator"),
        (1142, "privilege-missing", "operator"),
        (1130, "access-denied", "operator"),
        (3159, "tls-failed", "operator"),
        (2026, "tls-failed", "operator"),
        (1040, "source-busy", "retry"),
        (1053, "source-lost", "retry"),
        (2013, "source-lost", "retry"),
        (1105, "source-error", "retry"),
    ],
)
def test_server_errors(number: int, code: str, kind: str) -> None:
    finding = source_finding("db:3306", "cdc", pymysql.err.OperationalError(number, "the text"))
    assert (finding.code, finding.kind) == (code, kind)
    assert "db:3306" in finding.what
    assert "the text" in finding.what
    assert finding == classify_dump_error("db:3306", "cdc", error_packet(number, "the text"))


def test_something_else_than_mysql() -> None:
    finding = source_finding(
        "db:22", "cdc", pymysql.err.InternalError("Packet sequence number wrong - got 45 expected 0")
    )
    assert (finding.code, finding.kind) == ("source-error", "retry")
    assert "does not speak MySQL" in finding.what


def test_missing_privilege_names_the_statement() -> None:
    finding = source_finding("db:3306", "cdc", pymysql.err.OperationalError(1227, "Access denied"))
    assert "GRANT REPLICATION SLAVE, REPLICATION CLIENT, SELECT ON *.* TO 'cdc'@" in finding.remedy


@pytest.mark.parametrize(
    ("cause", "code", "kind"),
    [
        (socket.gaierror(-2, "Name or service not known"), "source-unknown-host", "retry"),
        (ConnectionRefusedError(111, "Connection refused"), "source-unreachable", "retry"),
        (TimeoutError("timed out"), "source-unreachable", "retry"),
        (
            ssl.SSLError(1, "[SSL: SSLV3_ALERT_CERTIFICATE_UNKNOWN] sslv3 alert certificate unknown"),
            "tls-failed",
            "operator",
        ),
        (ssl.SSLError(1, "wrong version number"), "tls-failed", "operator"),
        (ssl.SSLEOFError(8, "EOF occurred"), "source-unreachable", "retry"),
    ],
)
def test_network_errors(cause: OSError, code: str, kind: str) -> None:
    error = pymysql.err.OperationalError(2003, "Can't connect to MySQL server")
    error.original_exception = cause  # type: ignore[attr-defined]
    finding = source_finding("db:3306", "cdc", error)
    assert (finding.code, finding.kind) == (code, kind)
    assert "db:3306" in finding.what
