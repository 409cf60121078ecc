"""A server and its workers: starts, crashes, findings, stops, hand-overs at its end; with real sources and brokers."""

import os
import secrets
import signal
import time
from pathlib import Path
from typing import Any

from deploy.rig.fleet import Fleet, Server
from deploy.rig.pace import TABLE, Pace
from deploy.rig.process import until
from deploy.rig.worker import Instance
from tests.fleets import LASTING, MakeFleet
from tests.instances import source_of
from tests.servers import MysqlServer


def quiet(fleet: Fleet, mysql: MysqlServer, *names: str, **more: Any) -> list[Instance]:
    """Instances on an empty table each; defined."""
    source = source_of(mysql)
    made = []
    for name in names:
        database = f"{name}_{secrets.token_hex(3)}"
        Pace(source, database, 1).prepare()
        made.append(fleet.instance(name, source, database, (TABLE,), **({"start": "latest"} | more)))
    fleet.define(*made)
    return made


def one_server(make_fleet: MakeFleet) -> tuple[Fleet, Server]:
    made = make_fleet(scheduling={"settle": "0s"}, session=LASTING)
    server = made.start("a")
    made.registered()
    return made, server


def shown(server: Server, name: str) -> dict[str, Any]:
    """The instance in /status; empty where it is not."""
    status = server.status() or {"instances": []}
    return next((each for each in status["instances"] if each["name"] == name), {})


def loaded(fleet: Fleet) -> dict[str, Any]:
    """The instances in the load-balance node of the server."""
    return dict(fleet.loads()["a"].get("instances", {}))


def said(server: Server, event: str, name: str = "") -> list[str]:
    """Reasons of the log lines of an event."""
    lines = [line for line in server.log() if line["event"] == event]
    return [line.get("reason", "") for line in lines if name in ("", line.get("sync_instance"))]


def publishes(server: Server, name: str) -> bool:
    """Whether the server says so."""
    found = shown(server, name)
    return (found.get("role"), found.get("state")) == ("owner", "running")


def another_process(fleet: Fleet, name: str, before: int) -> None:
    """Wait until a process other than that one holds the lock."""
    path = f"/state/{name}/running"
    until(lambda: fleet.tree.content(path).get("pid") not in (None, before), f"another process runs {name}", 30)


def test_what_it_runs_is_shown_and_reported_until_it_leaves(make_fleet: MakeFleet, mysql: MysqlServer) -> None:
    fleet, server = one_server(make_fleet)
    quiet(fleet, mysql, "one", "two")
    fleet.running()
    # The worker tells ZooKeeper and its server each by itself.
    until(lambda: publishes(server, "one"), "the server shows it")
    until(lambda: server.metrics().get('cdcd_server_instances{role="owner"}') == 2, "both are counted")
    assert server.metrics()['cdcd_instance_owned{sync_instance="one"}'] == 1
    until(lambda: loaded(fleet).keys() == {"one", "two"}, "both are in the load-balance node")
    epoch = fleet.tree.content("/state/one/epoch")["epoch"]
    until(lambda: loaded(fleet)["one"].get("epoch") == epoch, "its epoch is told")
    fleet.tree.delete("/instances/one")
    until(lambda: loaded(fleet).keys() == {"two"}, "one has left")
    assert fleet.runner("one") is None
    until(lambda: not shown(server, "one"), "it is not shown any more")
    assert not [name for name in server.metrics() if 'sync_instance="one"' in name]
    assert fleet.runs("two")


def test_a_killed_worker_is_back_at_once(make_fleet: MakeFleet, mysql: MysqlServer) -> None:
    """Its session is closed for it: the new one does not wait for the old one's lock."""
    fleet, server = one_server(make_fleet)
    quiet(fleet, mysql, "one")
    fleet.running()
    killed, began = fleet.worker_pid("one"), time.monotonic()
    os.kill(killed, signal.SIGKILL)
    another_process(fleet, "one", killed)
    assert time.monotonic() - began < fleet.session - 0.5
    fleet.running()
    (reason,) = until(lambda: said(server, "worker.crashed", "one"), "it is told")
    assert "signal 9" in reason
    assert server.metric("cdcd_worker_crashes_total") == 1


def test_crashes_in_a_row_are_slowed_told_and_parked(make_fleet: MakeFleet, mysql: MysqlServer) -> None:
    fleet = make_fleet(fleet={"start_attempts": 3}, scheduling={"settle": "0s"}, session=LASTING)
    server = fleet.start("a", failpoint="producer.before_init=crash")
    fleet.registered()
    quiet(fleet, mysql, "one")
    parked = until(lambda: fleet.schedule("one").get("parked"), "it is parked")
    assert parked["code"] == "worker-crashed"
    assert "signal 9" in parked["reason"]
    status = until(lambda: fleet.status("one") if fleet.status("one").get("finding") else None, "the status says why")
    assert status["finding"]["code"] == "worker-crashed"
    assert status["events"][-1]["event"] == "worker.crashed"
    assert server.metric("cdcd_worker_starts_total") == 3
    until(lambda: fleet.runner("one") is None, "the last one's session is closed for it")


def test_a_finding_for_operators_parks_it_and_stays_to_be_seen(make_fleet: MakeFleet, mysql: MysqlServer) -> None:
    fleet, server = one_server(make_fleet)
    missing = {"file": "binlog.009999", "position": 4}
    (one,) = quiet(fleet, mysql, "one", start=missing)
    parked = until(lambda: fleet.schedule("one").get("parked"), "it is parked")
    until(lambda: shown(server, "one").get("role") == "parked", "the server shows it")
    assert shown(server, "one")["failure"]["code"] == parked["code"]
    metrics = server.metrics()
    assert metrics[f'cdcd_instance_parked{{reason="{parked["code"]}",sync_instance="one"}}'] == 1
    assert metrics['cdcd_instance_state{state="parked",sync_instance="one"}'] == 1
    assert server.metric("cdcd_worker_starts_total") == 1
    one.start = "latest"
    fleet.define(one)
    fleet.running()
    until(lambda: publishes(server, "one"), "the server shows it")
    assert shown(server, "one")["failure"] is None
    until(lambda: fleet.loads()["a"].get("failures") is None, "the failure is forgotten")


def test_a_restart_that_was_asked_for(make_fleet: MakeFleet, mysql: MysqlServer) -> None:
    fleet, server = one_server(make_fleet)
    quiet(fleet, mysql, "one", "two")
    fleet.running()
    one, two = fleet.worker_pid("one"), fleet.worker_pid("two")
    fleet.tree.request("one", "restart")
    another_process(fleet, "one", one)
    fleet.running()
    assert fleet.worker_pid("two") == two
    assert said(server, "worker.crashed") == []


def test_a_killed_forkserver_disturbs_nobody(make_fleet: MakeFleet, mysql: MysqlServer) -> None:
    fleet, server = one_server(make_fleet)
    quiet(fleet, mysql, "one")
    fleet.running()
    worker = fleet.worker_pid("one")
    os.kill(_forkserver(server), signal.SIGKILL)
    until(lambda: said(server, "forkserver.restarted"), "another one is started", 30)
    quiet(fleet, mysql, "two")
    fleet.running()
    assert fleet.worker_pid("one") == worker
    os.kill(worker, signal.SIGKILL)
    another_process(fleet, "one", worker)
    fleet.running()


def _forkserver(server: Server) -> int:
    found = [pid for pid in server.group() if _parent(pid) == server.pid and b"forkserver" in _command(pid)]
    assert len(found) == 1
    return found[0]


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def test_a_server_that_stops_hands_over_first(make_fleet: MakeFleet, mysql: MysqlServer) -> None:
    fleet = make_fleet(scheduling={"settle": "2s"}, session=LASTING)
    for server_id in ("a", "b"):
        fleet.start(server_id)
    fleet.registered()
    quiet(fleet, mysql, "one", "two", "three")
    fleet.running()
    server = fleet.servers["a"]
    mine = fleet.placed()["a"]
    assert mine
    assert server.stop() == 0, server.said()
    endings = [reason.partition(":")[0] for reason in said(server, "worker.ended")]
    assert endings == ["handed_over"] * len(mine)
    fleet.running()
    assert sorted(fleet.placed()["b"]) == ["one", "three", "two"]
    assert fleet.loads()["a"].get("instances") is None


def test_the_last_server_stops_without_waiting_for_others(make_fleet: MakeFleet, mysql: MysqlServer) -> None:
    fleet, server = one_server(make_fleet)
    names = [f"i{number}" for number in range(8)]
    quiet(fleet, mysql, *names)
    fleet.running()
    began = time.monotonic()
    assert server.stop() == 0, server.said()
    assert time.monotonic() - began < 8
    assert [reason.partition(":")[0] for reason in said(server, "worker.ended")] == ["stopped"] * 8
    assert all(fleet.runner(name) is None for name in names)


def test_a_worker_that_does_not_stop_is_killed(make_fleet: MakeFleet, mysql: MysqlServer) -> None:
    fleet, server = one_server(make_fleet)
    quiet(fleet, mysql, "one", "two")
    fleet.running()
    os.kill(fleet.worker_pid("one"), signal.SIGSTOP)
    assert server.stop() == 0, server.said()
    assert said(server, "worker.killed", "one") == ["it did not stop within 10 s"]
    assert said(server, "worker.killed", "two") == []
    assert fleet.runner("one") is None


def test_after_a_second_signal_the_workers_end_too(make_fleet: MakeFleet, mysql: MysqlServer) -> None:
    fleet, server = one_server(make_fleet)
    quiet(fleet, mysql, "one")
    fleet.running()
    os.kill(fleet.worker_pid("one"), signal.SIGSTOP)
    server.signal(signal.SIGTERM)
    until(lambda: said(server, "process.stopping"), "the first one was heard")
    server.signal(signal.SIGTERM)
    assert server.wait(5) == 1, "before the time-out of the stop, which would be 0"
    assert server.group(), "the stopped worker is left"
    os.killpg(server.pid, signal.SIGCONT)
    until(lambda: not server.group(), "the worker has ended", 30)
