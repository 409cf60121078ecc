"""Every verb of `cdcctl` against a real fleet: two servers with their scheduler, MySQL, Kafka, ZooKeeper."""

import json
import logging
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from click.testing import CliRunner, Result

from cdcd.cli.cdcctl import main
from cdcd.cli.ctl.reach import hush
from deploy.rig.fleet import Fleet
from deploy.rig.process import until
from deploy.rig.topics import read_committed, topics_like
from deploy.rig.tree import expire
from deploy.rig.worker import Instance
from tests.fleets import LASTING, MakeFleet
from tests.instances import source_of
from tests.servers import MysqlServer

TIMEOUT = "60s"


class Desk:
    """An operator with a fleet, some instances and a shell."""

    def __init__(self, fleet: Fleet, mysql: MysqlServer, folder: Path) -> None:
        self.fleet = fleet
        self._mysql = mysql
        self._folder = folder

    def instance(self, name: str) -> Instance:
        """On a database with the one table `t` of numbers; not defined yet."""
        source, database = source_of(self._mysql), f"{name}_{secrets.token_hex(3)}"
        source.run(f"CREATE DATABASE {database}", f"CREATE TABLE {database}.t (id INT PRIMARY KEY)")
        return self.fleet.instance(name, source, database, ("t",), start={"gtid_set": source.executed()})

    def insert(self, instance: Instance, *numbers: int) -> None:
        """One transaction each."""
        for number in numbers:
            instance.source.run(f"INSERT INTO {instance.database}.t VALUES ({number})")

    def published(self, instance: Instance) -> list[int]:
        """The numbers, as readers see them."""
        topic = f"cdc.{instance.name}.{instance.database}.t"
        if topic not in topics_like(self.fleet.bootstrap, topic):
            return []
        bodies = [json.loads(record.value) for record in read_committed(self.fleet.bootstrap, [topic])]
        return [int(body["data"][0]["id"]) for body in sorted(bodies, key=lambda body: int(body["id"]))]

    def arrives(self, instance: Instance, *numbers: int) -> None:
        until(lambda: self.published(instance) == list(numbers), f"{numbers} arrive", every=0.3)

    def file(self, *instances: Instance, **more: Any) -> str:
        path = self._folder / "definitions.yaml"
        path.write_text("\n---\n".join(json.dumps({**each.definition(), **more}) for each in instances))
        return str(path)

    def __call__(self, *arguments: str, exits: int = 0) -> Result:
        settings = next(iter(self.fleet.servers))
        config = (
            []
            if arguments[0] in {"validate", "version", "completion"}
            else ["--config", str(self.fleet.folder / settings / "cdcd.toml")]
        )
        result = CliRunner().invoke(main, [*arguments, *config], catch_exceptions=False)
        assert result.exit_code == exits, f"{arguments}: {result.output}\n{self.fleet.account(*self.fleet.instances)}"
        return result

    def read(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "-o", "json").stdout)


@pytest.fixture
def desk(make_fleet: MakeFleet, mysql: MysqlServer, tmp_path: Path) -> Iterator[Desk]:
    before = structlog.get_config()
    hush()
    scheduling = {"settle": "0s", "cooldown": "60s", "handover_timeout": "15s", "avoid": "20s"}
    fleet = make_fleet(scheduling=scheduling, session=LASTING)  # nothing is taken over but what is told to be
    fleet.start("a")
    fleet.start("b")
    fleet.registered()
    yield Desk(fleet, mysql, tmp_path)
    structlog.configure(**before)
    logging.disable(logging.NOTSET)


@pytest.mark.must_show("4.7")
def test_a_life_of_an_instance(desk: Desk) -> None:
    orders = desk.instance("orders")
    assert "orders.yaml" not in desk("validate", "-f", desk.file(orders)).stdout
    assert "+name: orders" in desk("diff", "-f", desk.file(orders)).stdout
    assert desk("apply", "-f", desk.file(orders), "--wait", "--timeout", TIMEOUT).stdout == "orders created\n"
    assert desk("apply", "-f", desk.file(orders)).stdout == "orders unchanged\n"
    desk.insert(orders, 1, 2)
    desk.arrives(orders, 1, 2)
    _looks(desk)
    _moves(desk)
    desk.insert(orders, 3)
    _stops_and_goes_on(desk, orders)
    _is_changed(desk, orders)
    _is_deleted(desk, orders)


def _looks(desk: Desk) -> None:
    until(lambda: desk.read("get")[0]["state"] == "running", "its server reports it", 30)
    (seen,) = desk.read("get")
    runner = desk.fleet.runner("orders")
    assert (seen["name"], seen["state"], seen["server"]) == ("orders", "running", runner)
    assert {server["id"]: server["state"] for server in desk.read("get", "servers")} == {"a": "ready", "b": "ready"}
    page = desk("describe", "orders").stdout
    assert f"{runner} (" in page
    assert "GTID set" in page
    assert "instance.acquired" in page
    until(lambda: "orders" in desk("describe", "server", str(runner)).stdout, "its server reports it", 30)
    assert "instance.acquired" in desk("events", "orders").stdout
    assert {each["id"] for each in desk.read("top")["servers"]} == {"a", "b"}
    until(lambda: "binlog." in desk("position", "get", "orders").stdout, "the mirror follows", 30)
    until(lambda: "Nothing to do." in desk("plan").stdout, "the fleet settles", 30)
    assert desk.read("plan")["waiting"] == {}


def _moves(desk: Desk) -> None:
    here, there = ("a", "b") if desk.fleet.runner("orders") == "a" else ("b", "a")
    assert desk("move", "orders", "--to", there, "--timeout", TIMEOUT).stdout == f"orders moved to {there}\n"
    assert desk.fleet.runner("orders") == there
    assert desk("move", "orders", "--to", there).stdout == "orders unchanged\n"
    desk("move", "orders", "--to", "nowhere", exits=3)
    desk("move", "nothing", "--to", there, exits=3)
    epoch = desk.fleet.status("orders")["epoch"]
    assert desk("restart", "orders", "--timeout", TIMEOUT).stdout == "orders restarted\n"
    assert desk.fleet.status("orders")["epoch"] > epoch
    assert desk("drain", there, "--why", "test", "--timeout", TIMEOUT).stdout == f"{there} drained\n"
    assert desk.fleet.runner("orders") == here
    until(lambda: "drained by" in desk("get", "servers", there).stdout, "it is seen to be drained", 30)
    assert "it is drained" in desk("move", "orders", "--to", there, exits=4).stderr
    # Nowhere else to go: both are drained.
    stuck = desk("drain", here, "--timeout", "2s", exits=6)
    assert f"still waiting for {here} to give away 1 instance: orders" in stuck.stderr
    assert desk("uncordon", here).stdout == f"{here} uncordoned\n"
    assert desk("uncordon", there).stdout == f"{there} uncordoned\n"


def _stops_and_goes_on(desk: Desk, orders: Instance) -> None:
    desk.arrives(orders, 1, 2, 3)
    done = orders.source.executed()
    desk("position", "set", "orders", "earliest", "--yes", exits=4)
    assert desk("pause", "orders", "--timeout", TIMEOUT).stdout == "orders paused\n"
    assert desk.fleet.runner("orders") is None
    assert desk.fleet.schedule("orders") == {}
    assert all("orders" not in load.get("instances", {}) for load in desk.fleet.loads().values())
    assert desk("pause", "orders").stdout == "orders unchanged\n"
    desk("move", "orders", "--to", "a", exits=4)
    desk("restart", "orders", exits=4)
    desk.insert(orders, 4)
    assert desk.read("get", "orders")[0]["state"] == "paused"
    assert desk("resume", "orders", "--timeout", TIMEOUT).stdout == "orders resumed\n"
    desk.arrives(orders, 1, 2, 3, 4)
    # Back before 4: it comes a second time.
    desk("pause", "orders", "--timeout", TIMEOUT)
    preview = desk("position", "set", "orders", f"gtid:{done}", "--yes")
    assert preview.stdout == "orders configured\n"
    assert "sent again   " in preview.stderr
    assert "skipped      nothing" in preview.stderr
    assert desk.fleet.tree.content("/requests/orders")["kind"] == "set_position"
    desk("resume", "orders", "--timeout", TIMEOUT)
    desk.arrives(orders, 1, 2, 3, 4, 4)
    assert desk.fleet.tree.node("/requests/orders") is None


def _is_changed(desk: Desk, orders: Instance) -> None:
    other = {"include": [f"{orders.database}.*"]}
    assert "+  - " in desk("diff", "-f", desk.file(orders, tables=other)).stdout
    assert desk("apply", "-f", desk.file(orders, tables=other)).stdout == "orders configured\n"
    orders.source.run(f"CREATE TABLE {orders.database}.u (id INT AUTO_INCREMENT PRIMARY KEY)")
    topic = f"cdc.orders.{orders.database}.u"

    def published() -> bool:
        """Rows that were read before the new definition was in force are not."""
        orders.source.run(f"INSERT INTO {orders.database}.u VALUES ()")
        return topic in topics_like(desk.fleet.bootstrap, topic)

    until(published, "the other table is published", every=0.3)
    # A definition with mistakes: it runs on with the one before, and says so.
    desk.fleet.tree.put("/instances/orders", b'{"name": "orders", "tables": {}}')
    until(lambda: "runs on as it was defined before" in desk("get", "orders").stdout, "the mistake is shown", 30)
    assert desk.fleet.runner("orders") is not None
    desk("pause", "orders", exits=5)
    assert desk("apply", "-f", desk.file(orders)).stdout == "orders configured\n"


def _is_deleted(desk: Desk, orders: Instance) -> None:
    assert "its position is kept" in desk("delete", "orders", "--timeout", TIMEOUT).stderr
    assert desk.fleet.runner("orders") is None
    desk("delete", "orders", exits=3)
    desk("describe", "orders", exits=3)
    again = desk("apply", "-f", desk.file(orders), "--wait", "--timeout", TIMEOUT)
    assert "goes on at its stored position" in again.stderr
    desk.insert(orders, 5)
    desk.arrives(orders, 1, 2, 3, 4, 4, 5)
    gone = desk("delete", "orders", "--forget-position", "--yes", "--timeout", TIMEOUT)
    assert f"topic {orders.position_topic} of Kafka cluster `default`" in gone.stderr
    assert desk.fleet.tree.node("/state/orders") is None


@pytest.mark.must_show("4.7")
def test_what_goes_wrong_is_told(desk: Desk) -> None:
    orders = desk.instance("orders")
    for server in ("a", "b"):
        desk.fleet.withhold(server, "orders")
    parked = desk("apply", "-f", desk.file(orders), "--wait", "--timeout", TIMEOUT, exits=1)
    assert "orders is parked: " in parked.stderr
    assert "credential-missing" in parked.stderr
    assert desk.read("get")[0]["state"] == "parked"
    assert "to do" in desk("describe", "orders").stdout
    desk("move", "orders", "--to", "a", exits=4)
    for server in ("a", "b"):
        desk.fleet.give_back(server, "orders")
    assert desk("resume", "orders", "--timeout", TIMEOUT).stdout == "orders resumed\n"
    desk("apply", "-f", desk.file(orders, sorce=1), exits=5)
    nowhere = desk(
        "apply",
        "-f",
        desk.file(orders, name="far", placement={"require": {"zone": "x"}}),
        "--wait",
        "--timeout",
        "2s",
        exits=6,
    )
    assert "not done within 2s" in nowhere.stderr
    assert "far" in desk.read("plan")["waiting"]
    (far,) = desk.read("get", "far")
    assert (far["state"], far["reason"]) == ("unassigned", desk.read("plan")["waiting"]["far"])
    desk("delete", "far", "--timeout", TIMEOUT)
    tree = desk.fleet.tree
    nodes = [tree.node(path) for path in ("/servers/a", "/servers/b", "/state/orders/running")]
    for process in desk.fleet.servers.values():
        process.kill_all()
    for session in {node.owner for node in nodes if node}:
        expire(desk.fleet.zookeeper, session)
    until(lambda: desk.fleet.tree.children("/servers") == [], "their sessions end", 30)
    assert "(no server is alive)" in desk("pause", "orders", "--timeout", "1s", exits=6).stderr
    assert desk.read("get")[0]["state"] == "stopping"
    desk.fleet.start("a")
    assert desk("pause", "orders", "--timeout", TIMEOUT).stdout == "orders unchanged\n"


def test_a_plain_client_does_the_same(desk: Desk) -> None:
    """Put in, changed, paused and deleted without `cdcctl`, as by `zkCli.sh`."""
    orders, tree = desk.instance("orders"), desk.fleet.tree
    desk.fleet.define(orders)
    desk.fleet.running("orders")
    desk.insert(orders, 1)
    desk.arrives(orders, 1)
    assert desk("apply", "-f", desk.file(orders)).stdout == "orders unchanged\n"
    text = json.dumps({**orders.definition(), "paused": True}, indent=2).encode()
    tree.put("/instances/orders", text)
    desk("pause", "orders", "--timeout", TIMEOUT)
    assert desk("apply", "-f", desk.file(orders)).stdout == "orders unchanged\n"
    tree.put("/instances/orders", json.dumps(orders.definition()).encode())
    desk.fleet.running("orders")
    desk.insert(orders, 2)
    desk.arrives(orders, 1, 2)
    tree.delete("/instances/orders")
    until(lambda: desk.fleet.runner("orders") is None and desk.fleet.schedule("orders") == {}, "it stops", 30)
    until(lambda: desk("get").stdout == "", "its server lists it no more", 30)
