"""`cdcd run` on a real ZooKeeper: registration, sessions, signals, what it shows; the instances are in test_server_workers.py."""

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from deploy.rig.fleet import Fleet, Server
from deploy.rig.process import LAUNCH, plain_environment, until
from tests.fleets import LASTING
from tests.servers import ZookeeperFactory, ZookeeperServer

NO_BROKER = "127.0.0.1:1"
OWN = {"maxSessionTimeout": "60000"}
"""Settings of a ZooKeeper of these tests' own."""


@pytest.fixture
def fleet(zookeeper: ZookeeperServer, tmp_path: Path) -> Iterator[Fleet]:
    made = Fleet(tmp_path, zookeeper.hosts, NO_BROKER, session=LASTING)
    yield made
    made.close()


def up(fleet: Fleet, server: str = "a", **settings: Any) -> Server:
    process = fleet.start(server, **settings)
    fleet.registered(server)
    return process


# ---------------------------------------------------------------- a life


def test_it_registers_reports_and_leaves(fleet: Fleet) -> None:
    server = up(fleet, labels={"zone": "a"}, capacity=3.0, max_instances=7)
    node = fleet.tree.node("/servers/a")
    assert node is not None
    assert node.owner
    assert node.content["pid"] == server.pid
    load = until(lambda: fleet.tree.content("/load/a") or None, "it reports")
    assert (load["capacity"], load["labels"], load["max_instances"]) == (3.0, {"zone": "a"}, 7)
    assert (load["stopping"], load.get("instances")) == (False, None)
    assert fleet.tree.content("/cluster")["id"] == fleet.cluster
    assert server.stop() == 0, server.said()
    assert fleet.tree.node("/servers/a") is None
    assert fleet.tree.content("/load/a")["stopping"] is True
    assert any(line["event"] == "server.leaving" for line in server.log())


def test_what_it_shows(fleet: Fleet) -> None:
    server = up(fleet)
    until(lambda: server.get("/readyz") == "ok\n", "it is ready")
    assert server.get("/livez") == "ok\n"
    status = server.status()
    assert status is not None
    assert (status["server"]["id"], status["server"]["phase"], status["server"]["pid"]) == ("a", "running", server.pid)
    assert (status["zookeeper"]["state"], status["zookeeper"]["registered"]) == ("connected", True)
    assert [advice["code"] for advice in status["zookeeper"]["advice"]] == ["zookeeper-open"]
    assert status["instances"] == []
    metrics = server.metrics()
    assert metrics["cdcd_zookeeper_connected"] == 1
    assert metrics["cdcd_zookeeper_open"] == 1
    assert metrics["cdcd_zookeeper_session_losses_total"] == 0
    assert metrics['cdcd_server_instances{role="owner"}'] == 0


def test_a_crowd_that_asks_for_nothing_does_not_hold_it_up(fleet: Fleet) -> None:
    server = up(fleet)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", server.port), 5)
    with ExitStack() as crowd:
        for _ in range(300):
            client = crowd.enter_context(socket.create_connection(("127.0.0.1", server.port), 30))
            with suppress(ConnectionError):
                client.sendall(b"GET /sta")
        assert server.get("/livez") == "ok\n"
        assert server.metrics()["cdcd_zookeeper_connected"] == 1
        threads = re.findall(r"Threads:\t(\d+)", Path(f"/proc/{server.pid}/status").read_text())
        assert int(threads[0]) < 32 + 30, "32 connections, and what it has anyway"
        assert fleet.tree.node("/servers/a")


def test_a_second_signal_ends_it_at_once(fleet: Fleet) -> None:
    server = up(fleet)
    server.signal(signal.SIGSTOP)
    server.signal(signal.SIGTERM)
    server.signal(signal.SIGINT)
    server.signal(signal.SIGCONT)
    assert server.wait(5) in (0, 1)


# ---------------------------------------------------------------- ZooKeeper's moods


def test_a_lost_session_is_made_anew_and_registered_again(fleet: Fleet) -> None:
    fleet.session = 3.0
    server = up(fleet)
    server.signal(signal.SIGSTOP)
    until(lambda: fleet.tree.node("/servers/a") is None, "its session is over", 30)
    server.signal(signal.SIGCONT)
    until(lambda: fleet.tree.content("/servers/a").get("pid") == server.pid, "it registers again", 30)
    until(lambda: server.metric("cdcd_zookeeper_session_losses_total") == 1, "the loss is counted")
    assert server.poll() is None


def test_it_waits_for_a_zookeeper_that_is_away_and_says_so(zookeeper_server: ZookeeperFactory, tmp_path: Path) -> None:
    zookeeper = zookeeper_server(OWN)
    fleet = Fleet(tmp_path, zookeeper.hosts, NO_BROKER)
    try:
        zookeeper.stop(kill=True)
        server = fleet.start("a")
        until(lambda: any(line["event"] == "server.troubled" for line in server.log()), "it says what it waits for")
        server.port = _port(server)
        status = server.status()
        assert status is not None
        assert status["zookeeper"]["trouble"]["code"] in ("zookeeper-unreachable", "zookeeper-lost")
        assert server.get("/readyz") != "ok\n"
        assert server.get("/livez") == "ok\n"
        zookeeper.start()
        fleet.registered("a")
        until(lambda: server.get("/readyz") == "ok\n", "it is ready")
        zookeeper.restart(kill=True)
        until(lambda: server.get("/readyz") == "ok\n", "it is ready again")
        assert server.stop() == 0
    finally:
        fleet.close()


def _port(server: Server) -> int:
    """Where it answers, from its log: the tree cannot say it yet."""
    reasons = [line["reason"] for line in server.log() if line["event"] == "process.started"]
    return int(reasons[0].rpartition(":")[2])


def test_a_stop_is_heard_while_zookeeper_is_away(fleet: Fleet) -> None:
    fleet.zookeeper = "127.0.0.1:1"
    server = fleet.start("a")
    until(lambda: any(line["event"] == "server.troubled" for line in server.log()), "it waits")
    assert server.stop() == 0, server.said()


# ---------------------------------------------------------------- what keeps it out


def run(settings: Path, *flags: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", LAUNCH, "run", "--config", str(settings), *flags]
    return subprocess.run(command, check=False, env=plain_environment(), capture_output=True, text=True, timeout=60)


def test_no_zookeeper_in_the_settings(tmp_path: Path) -> None:
    settings = tmp_path / "cdcd.toml"
    settings.write_text(f'credentials_dir = "{tmp_path}"\n')
    done = run(settings)
    assert done.returncode == 1
    assert "The settings name no ZooKeeper ensemble" in done.stderr
    assert "cdcd run --standalone" in done.stderr


def test_settings_that_are_not_valid(tmp_path: Path) -> None:
    settings = tmp_path / "cdcd.toml"
    settings.write_text('[zookeeper]\nhosts = ["127.0.0.1:2181"]\nsession_timeout = "1h"\n[fleet]\ncapacity = 0\n')
    done = run(settings)
    assert done.returncode == 5
    assert "zookeeper.session_timeout" in done.stderr
    assert "fleet.capacity" in done.stderr


def test_a_server_id_in_use(fleet: Fleet) -> None:
    fleet.session = 3.0  # it is waited for
    up(fleet)
    done = run(fleet.write_settings("a"))
    assert done.returncode == 1
    assert "server-id-taken" in done.stdout
    assert "The server id `a` is in use: process" in done.stderr
    assert fleet.servers["a"].poll() is None


def test_another_fleets_tree(fleet: Fleet) -> None:
    up(fleet)
    settings = fleet.write_settings("b")
    settings.write_text(settings.read_text().replace(f'cluster = "{fleet.cluster}"', 'cluster = "other"'))
    done = run(settings)
    assert done.returncode == 1
    assert f"belongs to the fleet `{fleet.cluster}`" in done.stderr


def test_until_end_is_of_standalone(fleet: Fleet) -> None:
    done = run(fleet.write_settings("a"), "--until-end")
    assert done.returncode == 2
    assert "--until-end goes with --standalone" in done.stderr


def test_an_http_address_in_use(fleet: Fleet) -> None:
    server = up(fleet)
    done = run(fleet.write_settings("b"), "--http-port", str(server.port))
    assert done.returncode == 1
    assert "cannot be had" in done.stderr
    assert json.dumps(fleet.tree.children("/servers")) == '["a"]'


def test_a_restart_after_a_kill_takes_the_dead_processs_place(fleet: Fleet, zookeeper_server: ZookeeperFactory) -> None:
    """Nobody sees the server gone, and nothing is waited for: not the dead one's session, which outlasts any start."""
    fleet.zookeeper, fleet.session = zookeeper_server(OWN).hosts, 60.0
    killed = up(fleet)
    before = fleet.tree.node("/servers/a")
    killed.kill()
    server = up(fleet)
    now = fleet.tree.node("/servers/a")
    assert before is not None
    assert now is not None
    assert now.owner != before.owner
    # Said after it is done, and written by a thread of its own.
    until(lambda: [line for line in server.log() if line["event"] == "server.succeeded"], "it says so")
    assert not [line for line in server.log() if line["event"] == "server.waiting"]
