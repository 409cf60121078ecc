"""The test equipment itself: stacks side by side, recovery after kills, leftovers of killed runs."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.stack import Home, MysqlSettings, Stack, StackError, sweep
from deploy.stack import daemon as daemons
from deploy.stack.home import write_json
from deploy.stack.stack import OWNER
from tests.servers import KafkaFactory, MysqlFactory, MysqlServer, Stacks

ROOT = Path(__file__).resolve().parents[2]


def command(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, ROOT / "deploy/stack", *arguments], capture_output=True, text=True, cwd="/", check=False
    )


@pytest.fixture
def stack(stacks: Stacks) -> Iterator[Stack]:
    del stacks
    made = Stack(f"test-{os.getpid()}-own", owned=True)
    yield made
    made.destroy()


def test_zookeeper_stacks_side_by_side_by_the_command_line(stack: Stack) -> None:
    other = Stack(f"{stack.name}-2", owned=True)
    try:
        hosts = set()
        for name in (stack.name, other.name):
            assert command("up", "zookeeper", "--name", name).returncode == 0
            hosts.add(json.loads(command("env", "--name", name, "-o", "json").stdout)["ZOOKEEPER_HOSTS"])
        assert len(hosts) == 2
        assert command("status", "--name", other.name).returncode == 0
        assert command("down", "--name", stack.name).returncode == 0
        assert command("status", "--name", stack.name).returncode == 1
        assert command("status", "--name", other.name).returncode == 0
        assert "zookeeper" in command("logs", "--name", other.name).stdout
    finally:
        other.destroy()
    assert command("env", "--name", other.name).returncode == 1


def test_up_after_kills_of_the_tool_itself(stack: Stack) -> None:
    for seconds in (0.3, 0.8, 1.3, 1.8, 2.3):
        tool = subprocess.Popen(
            [sys.executable, ROOT / "deploy/stack", "up", "--name", stack.name], stdout=subprocess.DEVNULL
        )
        try:
            tool.wait(seconds)
        except subprocess.TimeoutExpired:
            tool.kill()
            tool.wait()
    found = stack.up()
    assert found.mysql
    assert found.zookeeper
    assert found.kafka
    assert MysqlServer(stack).query("SELECT 1") == [(1,)]
    assert all(daemon.pid() for daemon in stack.daemons())


def test_killed_mysql_comes_back_on_its_port_with_its_rows(mysql_server: MysqlFactory) -> None:
    server = mysql_server(binlog_row_metadata="MINIMAL")
    port = server.port
    server.run("CREATE DATABASE d", "CREATE TABLE d.t (a INT PRIMARY KEY)", "INSERT INTO d.t VALUES (1), (2)")
    server.restart(kill=True)
    assert server.port == port
    assert server.query("SELECT a, @@binlog_row_metadata FROM d.t ORDER BY a") == [(1, "MINIMAL"), (2, "MINIMAL")]


def test_other_options_restart_the_server_with_its_data(stack: Stack) -> None:
    stack.up("mysql")
    first = stack.daemons("mysql")[0].pid()
    assert stack.up("mysql").mysql is not None
    assert stack.daemons("mysql")[0].pid() == first
    stack.up("mysql", mysql=MysqlSettings(("--max-connections=7",)))
    assert stack.daemons("mysql")[0].pid() != first
    with pytest.raises(StackError, match="unknown variable 'no-such-option=1'"):
        stack.up("mysql", mysql=MysqlSettings(("--no-such-option=1",)))


def test_a_taken_port_makes_way_for_another(stack: Stack) -> None:
    before = stack.up("zookeeper").zookeeper
    assert before is not None
    stack.down()
    with socket.create_server(("127.0.0.1", int(before.hosts.rpartition(":")[2]))):
        after = stack.up("zookeeper").zookeeper
        assert after is not None
        assert after != before


def test_only_the_killed_broker_is_started_again(kafka_server: KafkaFactory) -> None:
    server = kafka_server(brokers=2, sasl=True)
    kept, killed = (daemon.pid() for daemon in server.stack.daemons("kafka"))
    server.stack.signal("broker-2", signal.SIGKILL)
    assert killed is not None
    daemons_now = server.stack.daemons("kafka")
    assert daemons_now[1].ended(killed, deadline=float("inf"))
    server.start()
    assert daemons_now[0].pid() == kept
    assert daemons_now[1].pid() not in {None, killed}
    assert len(server.sasl.bootstrap.split(",")) == 2


def test_what_a_killed_run_left_is_swept(stack: Stack) -> None:
    stack.up("zookeeper")
    pid = stack.daemons()[0].pid()
    assert pid is not None
    assert stack.name not in sweep()
    write_json(stack.folder / OWNER, {"pid": os.getpid(), "started": "0"})  # an earlier process with our pid
    assert stack.name in sweep()
    assert not daemons.is_alive(pid)
    assert not stack.folder.exists()


def test_names_cannot_leave_the_folder() -> None:
    with pytest.raises(StackError, match="stack name"):
        Stack("../x", home=Home())


def test_each_flavour_is_what_it_says_and_writes_rows_with_gtids(each_mysql: MysqlServer) -> None:
    product, version = each_mysql.flavour.split("-")
    said, log_bin, binlog_format = each_mysql.query("SELECT VERSION(), @@log_bin, @@binlog_format")[0]
    assert said.startswith(f"{version}.")
    assert ("MariaDB" in said) == (product == "mariadb")
    assert (log_bin, binlog_format) == (1, "ROW")
    with each_mysql.database() as name:
        each_mysql.run(f"CREATE TABLE {name}.t (a INT PRIMARY KEY)", f"INSERT INTO {name}.t VALUES (1)")
        gtids = "@@gtid_current_pos" if product == "mariadb" else "@@global.gtid_executed"
        assert each_mysql.query(f"SELECT {gtids}")[0][0]


def test_a_server_keeps_its_flavour(stack: Stack) -> None:
    stack.up("mysql", mysql=MysqlSettings(flavour="mysql-5.6"))
    stack.restart("mysql", kill=True)
    assert MysqlServer(stack).query("SELECT VERSION()")[0][0].startswith("5.6.")
    with pytest.raises(StackError, match=r"this server is mysql-5\.6, which is fixed"):
        stack.up("mysql", mysql=MysqlSettings(flavour="mariadb-11.8"))
    with pytest.raises(StackError, match="unknown flavour 'oracle'"):
        stack.up("mysql", mysql=MysqlSettings(flavour="oracle"))
