"""`cdcd tail` as operators run it: what it prints of a server's binlog."""

import json
import os
import subprocess
import sys
from typing import Any

from tests.servers import MysqlServer

COMMAND = (sys.executable, "-c", "from cdcd.cli.cdcd import main; main()")


def tail(server: MysqlServer, tables: str) -> list[dict[str, Any]]:
    """All messages of `tables` (a rule, `db.*`) from the beginning of the binlog to its end."""
    arguments = ("--host", server.host, "--port", str(server.port), "--user", server.user, "--password-env", "TAIL_PWD")
    done = subprocess.run(
        (*COMMAND, "tail", *arguments, "--tables", tables, "--start", "earliest", "--until-end"),
        env=os.environ | {"TAIL_PWD": server.password},
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr.decode()
    return [json.loads(line) for line in done.stdout.splitlines()]


def rows_of(messages: list[dict[str, Any]], kind: str) -> dict[str, dict[str, str | None]]:
    """The rows by their column `id`, of messages of one kind (INSERT, UPDATE, DELETE)."""
    return {row["id"]: row for message in messages if message["type"] == kind for row in message["data"]}
