"""What real processes write where their log goes: a pipe that nobody reads, a terminal, the last words of one that is killed."""

import fcntl
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest
from kazoo.client import KazooClient

from cdcd.observe.log_writer import QUEUE_LINES
from deploy.rig.fleet import Fleet, Server
from deploy.rig.load import Load
from deploy.rig.process import LAUNCH, plain_environment, until
from deploy.rig.worker import caught_up
from tests.fleets import LASTING, MakeFleet, loaded_instance
from tests.instances import MakeInstance, source_of
from tests.servers import MysqlServer

DROPPED = "cdcd_log_lines_dropped_total"
PUBLISHED = "cdcd_published_records_total"


def flood(fleet: Fleet) -> None:
    """More to say than the queue of its log holds: nodes in /instances with names that are not allowed."""
    client = KazooClient(f"{fleet.zookeeper}{fleet.chroot}")
    client.start()
    made = [client.create_async(f"/instances/No-{number}") for number in range(QUEUE_LINES + 500)]
    for each in made:
        each.get()
    client.stop()
    client.close()


def lines(pipe: IO[bytes]) -> Iterator[dict[str, Any]]:
    """As they are written; each is a whole one."""
    while True:
        yield json.loads(pipe.readline())


def test_an_output_that_nobody_reads_holds_nobody_up(make_fleet: MakeFleet, mysql: MysqlServer) -> None:
    fleet = make_fleet(session=LASTING)
    server = fleet.start("a", piped=True)
    assert server.output
    fcntl.fcntl(server.output, fcntl.F_SETPIPE_SZ, select.PIPE_BUF)
    fleet.registered("a")
    orders = loaded_instance(fleet, "orders", mysql)
    fleet.define(orders)
    fleet.running("orders")
    flood(fleet)
    until(lambda: server.metric(DROPPED), "its lines are dropped")

    load = Load(source_of(mysql), orders.database, seed=1)
    load.start()
    before = server.metric(PUBLISHED) or 0
    until(lambda: (server.metric(PUBLISHED) or 0) > before + 200, "rows are published all the same")
    load.stop()
    until(lambda: caught_up(orders), "all of them")
    assert server.get("/livez") == "ok\n"

    dropped = server.metric(DROPPED)
    assert dropped
    told, events = 0, Counter[str]()
    for line in lines(server.output):
        events[line["event"]] += 1
        told += line.get("lines", 0)
        if told >= dropped:
            break
    assert events["log.dropped"] >= 1
    assert {"process.started", "worker.started", "instance.acquired", "definition.misnamed"} <= set(events)
    last_words(fleet, server)


def last_words(fleet: Fleet, server: Server) -> None:
    """A worker that dies of a signal: where it was on standard error, what became of it in the log of its server."""
    assert server.output
    os.kill(fleet.worker_pid("orders"), signal.SIGSEGV)
    crashed = next(line for line in lines(server.output) if line["event"] == "worker.crashed")
    assert (crashed["level"], crashed["sync_instance"]) == ("error", "orders")
    assert "killed by signal 11" in crashed["reason"]
    assert "Fatal Python error: Segmentation fault" in server.err.read_text()


def test_readable_on_a_terminal(make_instance: MakeInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    definition = make_instance("screen").write()
    environment = plain_environment() | {
        "CDCD_KAFKA__DEFAULT__BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "CREDENTIALS_DIRECTORY": str(Path(definition).parent / "credentials"),
        "CDCD_HTTP__PORT": "0",
    }
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", LAUNCH, "run", "--standalone", str(definition)]
    with subprocess.Popen(command, env=environment, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        seen = b""
        deadline = time.monotonic() + 60
        # Lines come in pieces.
        while not (b"kafka.client" in seen and b"Connection refused" in seen) and time.monotonic() < deadline:
            seen += os.read(ours, 4096)
        process.kill()
    os.close(ours)
    text = seen.decode(errors="replace")
    assert "[info     ] process.started" in text
    assert "[warning  ] kafka.client" in text
    assert "Connection refused" in text
    assert '{"' not in text
