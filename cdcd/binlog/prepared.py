"""XA transactions between XA PREPARE and XA COMMIT: stretches of the binlog that are published later, or never."""

from dataclasses import dataclass

Place = tuple[str, int]
"""(binlog file, offset)."""
MOST_HELD = 1000
"""Prepared ones that are remembered. Older ones are found again by reading backwards from their XA COMMIT."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A prepared XA transaction. Its rows stay in the source's binlog until its XA COMMIT is read."""

    xid: str
    """As statements have it: `X'6f7264',X'',1` (XA Transaction SQL Statements, MySQL manual)."""
    gtid: str | None
    """Of the transaction that prepared it; None where the source has no GTIDs."""
    file: str
    """Where that transaction starts, on the server of the position; empty where that is not known."""
    offset: int
    created: int
    """When that file was created, as `cdcd.binlog.spans.Place` has it; 0 where that is not known."""
    since_ms: int
    """When it was prepared, milliseconds since 1970."""
