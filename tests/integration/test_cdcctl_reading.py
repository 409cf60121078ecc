"""Verbs that read, on a real ZooKeeper whose nodes the test writes."""

import json
import time

import pytest
import yaml

from cdcd.cli.ctl.preflight import _Examined
from cdcd.config.definition import Definition
from cdcd.fleet import paths
from cdcd.fleet.nodes import Drained, FailedServer, InstanceLoad, Load, Parked, StartFailure, encode
from cdcd.worker.source import Identity
from tests.play import Play

EVENTS = (
    {"at": "2026-11-22T20:00:00.000+00:00", "event": "instance.acquired", "reason": "epoch 7"},
    {"at": "2026-11-22T20:00:02.000+00:00", "event": "instance.warning", "reason": "a\x1b[2Jb"},
)


@pytest.fixture
def fleet(play: Play) -> Play:
    """One instance of each kind."""
    play.server("cdc-1", labels={"zone": "a"})
    play.server("cdc-2", max_instances=5)
    play.server("cdc-3")
    play.gone("cdc-3")
    for name in ("orders", "crm", "moving", "lost"):
        play.define(name)
    play.runs("orders", "cdc-1", events=EVENTS, tables=("shop.customer",))
    play.runs(
        "crm", "cdc-2", "retrying", finding={"code": "source-lost", "what": "The source is away", "remedy": "Wait."}
    )
    play.runs("moving", "cdc-1")
    play.schedule("moving", "cdc-1", "balance", next="cdc-2")
    play.schedule("lost", "cdc-3")
    play.define("asleep", paused=True)
    play.define("broken")
    play.session.set(paths.definition("broken"), b'{"name": "broken", "sorce": 1}')
    play.session.create(f"{paths.INSTANCES}/Not A Name", b"\xff")
    play.define("new")
    play.define("stuck")
    parked = Parked("position-purged", "The source has purged what comes next", "Load the tables anew", time.time(), 1)
    failed = {"cdc-2": FailedServer("worker-crashed", "it crashed", time.time(), time.time() + 100)}
    play.schedule("stuck", None, "failed everywhere", parked=parked, failed=failed)
    return play


def test_get_says_of_each_what_it_is_and_why(fleet: Play) -> None:
    result = fleet.cdcctl("get")
    assert result.exit_code == 0
    head, *lines = result.stdout.splitlines()
    assert head.split() == ["NAME", "STATE", "SERVER", "LAG", "ROWS/S", "SINCE", "REASON"]
    by_name = {line.split("  ")[0]: line for line in lines}
    assert list(by_name) == ["Not A Name", "asleep", "broken", "crm", "lost", "moving", "new", "orders", "stuck"]
    expected = {
        "Not A Name": ("invalid", "must be 1 to 63 characters"), "asleep": ("paused", ""), "crm": ("retrying", "cdc-2"),
        "broken": ("invalid", "sorce: unknown field; did you mean `source`?"), "lost": ("server-lost", "cdc-3 is gone"),
        "moving": ("running", "cdc-1 -> cdc-2"), "new": ("unassigned", ""), "orders": ("running", "0.2s"),
        "stuck": ("parked", "purged what comes next. Load the tables anew"),
    }  # fmt: skip
    for name, (state, words) in expected.items():
        assert f" {state} " in f"{by_name[name]} ", name
        assert words in by_name[name]


def test_preflight_of_the_fleet_and_of_an_instance(fleet: Play) -> None:
    """The instance's own: test_preflight_mysql.py. Here no Kafka is set up."""
    said = fleet.cdcctl("preflight", "orders", "-o", "json")
    (of_fleet, of_instance) = json.loads(said.stdout)
    assert "zookeeper-open" in {found["code"] for found in of_fleet["findings"]}
    assert [found["code"] for found in of_instance["findings"]] == ["kafka-cluster-unknown"]
    assert said.exit_code == 1
    assert fleet.cdcctl("preflight", "nobody").exit_code == 3


def test_preflight_looks_as_whom_the_fleet_reads(fleet: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another reader of its server_id is to be found: of that which the registry gave it."""
    fleet.schedule("orders", "cdc-1", "balance", server_id=4711)
    asked: list[int] = []

    def examine(definition: Definition, _: object, identity: Identity, *__: object) -> _Examined:
        asked.append(identity.server_id)
        return _Examined(definition.name, [])

    monkeypatch.setattr("cdcd.cli.ctl.preflight._examine", examine)
    fleet.cdcctl("preflight", "orders")
    assert asked == [4711]


def test_every_form_of_output(fleet: Play) -> None:
    read = json.loads(fleet.cdcctl("get", "orders", "stuck", "-o", "json").stdout)
    assert yaml.safe_load(fleet.cdcctl("get", "orders", "stuck", "-o", "yaml").stdout) == read
    assert [(each["name"], each["state"], each["server"]) for each in read] == [
        ("orders", "running", "cdc-1"), ("stuck", "parked", None),
    ]  # fmt: skip
    assert read[1]["failed"] == ["cdc-2"]
    assert fleet.cdcctl("validate", "-f", "-", stdin=json.dumps(read[0]["definition"])).exit_code == 0
    assert fleet.cdcctl("get", "-o", "name").stdout.splitlines()[-1] == "stuck"
    assert "mysql-a:3306" in fleet.cdcctl("get", "orders", "-o", "wide").stdout
    assert "mysql-a:3306" not in fleet.cdcctl("get", "orders").stdout


def test_servers(fleet: Play) -> None:
    fleet.session.create(paths.drained("cdc-2"), encode(Drained("ada@desk", time.time(), "new kernel")))
    head, *lines = fleet.cdcctl("get", "servers").stdout.splitlines()
    assert head.split()[:2] == ["SERVER", "STATE"]
    one, two, three = lines
    assert "ready" in one
    assert "draining" in two
    assert "drained by ada@desk: new kernel" in two
    assert "down" in three
    read = json.loads(fleet.cdcctl("get", "servers", "cdc-1", "-o", "json").stdout)
    assert (read[0]["running"], read[0]["capacity"], read[0]["labels"]) == (2, 2.0, {"zone": "a"})
    assert (read[0]["rows_per_second"], read[0]["lag_seconds"]) == (100.0, 0.2)


def test_a_drained_server_whatever_stands_in_the_node(fleet: Play) -> None:
    fleet.session.create(paths.drained("cdc-9"), b"")
    assert "drained by somebody" in fleet.cdcctl("get", "servers", "cdc-9").stdout


def test_describe_an_instance(fleet: Play) -> None:
    said = fleet.cdcctl("describe", "orders").stdout
    for words in (
        "cdc-1 (host-cdc-1, pid 4712)", "mysql-a:3306 (TLS verify-identity); credential orders-db", "least load",
        "GTID set  3e11fa47-71ca-11e1-9e33-c80aa9429562:1-100", "binlog.000009:500", "0.2s", "shop.customer",
        "instance.acquired  epoch 7", r"a\x1b[2Jb",
    ):  # fmt: skip
        assert words in said
    assert "\x1b" not in said
    stuck = fleet.cdcctl("describe", "stuck").stdout
    assert "position-purged" in stuck
    assert "to do       Load the tables anew" in stuck
    assert "cdc-2: it crashed (worker-crashed" in stuck
    assert "finding  The source is away (source-lost)" in fleet.cdcctl("describe", "crm").stdout
    assert "mistake  sorce: unknown field" in fleet.cdcctl("describe", "broken").stdout
    assert "the node's name must be 1 to 63" in fleet.cdcctl("describe", "Not A Name").stdout
    read = json.loads(fleet.cdcctl("describe", "orders", "-o", "json").stdout)
    assert read["position"]["record"]["seq"] == 12
    assert read["status"]["events"][0]["event"] == "instance.acquired"
    assert fleet.cdcctl("describe", "orders", "-o", "name").stdout == "orders\n"


def test_describe_a_server(fleet: Play) -> None:
    load = fleet.loads["cdc-2"]
    failure = StartFailure("credential-missing", "operator", "no credential", "Add it.", time.time(), 3, 1)
    reported = {"crm": InstanceLoad("running", rows_per_second=10.0)}
    fleet.reports("cdc-2", Load(load.at, 2.0, max_instances=5, instances=reported, failures={"stuck": failure}))
    said = fleet.cdcctl("describe", "server", "cdc-2").stdout
    for words in ("pid 4711 on host-cdc-2", "at most 5", "crm  running", "moving  balance", "no credential"):
        assert words in said
    read = json.loads(fleet.cdcctl("describe", "server", "cdc-2", "-o", "json").stdout)
    assert read["report"]["failures"]["stuck"]["attempts"] == 3


def test_events_of_all_in_one_sequence(fleet: Play) -> None:
    said = fleet.cdcctl("events").stdout.splitlines()
    assert [line.split()[2] for line in said[1:]] == ["instance.acquired", "instance.warning"]
    assert json.loads(fleet.cdcctl("events", "orders", "-o", "json").stdout)[0]["reason"] == "epoch 7"
    assert fleet.cdcctl("events", "crm").stdout == ""


def test_top_without_a_terminal_is_one_table(fleet: Play) -> None:
    said = fleet.cdcctl("top", "--sort", "lag", "-n", "2").stdout.split("\n\n")
    assert [len(part.splitlines()) for part in said] == [4, 3]
    read = json.loads(fleet.cdcctl("top", "-o", "json").stdout)
    assert {each["name"] for each in read["instances"]} == {"orders", "crm", "moving", "lost"}
    assert len(read["servers"]) == 3


def test_positions(fleet: Play) -> None:
    assert "binlog.000009:500" in fleet.cdcctl("position", "get", "orders").stdout
    assert json.loads(fleet.cdcctl("position", "get", "orders", "-o", "json").stdout)[0]["record"]["seq"] == 12
    assert fleet.cdcctl("position", "get", "new").exit_code == 3
    assert "has no position yet" in fleet.cdcctl("position", "get", "new").stderr


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["get", "nobody"], 3, "instance nobody not found\nThere are: Not A Name, asleep"),
        (["get", "servers", "nobody"], 3, "server nobody not found\nThere are: cdc-1, cdc-2, cdc-3."),
        (["describe", "nobody"], 3, "instance nobody not found"),
        (["describe", "server", "nobody"], 3, "server nobody not found"),
        (["describe", "orders", "crm"], 2, "Give one name"),
        (["describe"], 2, "Missing argument"),
        (["events", "nobody"], 3, "instance nobody not found"),
        (["position", "get", "nobody"], 3, "instance nobody not found"),
        (["get", "-o", "xml"], 2, "'xml' is not one of"),
        (["top", "--interval", "soon"], 2, "must be a whole number with a unit"),
    ],
)
def test_errors(fleet: Play, arguments: list[str], status: int, words: str) -> None:
    result = fleet.cdcctl(*arguments)
    assert result.exit_code == status
    assert result.stdout == ""
    assert words in result.stderr


def test_an_open_tree_is_warned_of_in_one_line(fleet: Play) -> None:
    warning, *rest = fleet.cdcctl("get").stderr.splitlines()
    assert warning.startswith(f"warning: everybody who reaches ZooKeeper may change {fleet.ensemble.chroot}")
    assert rest == []


def test_a_place_where_no_fleet_is(fleet: Play) -> None:
    elsewhere = Play(fleet.ensemble.model_copy(update={"chroot": "/elsewhere"}), fleet.session)
    result = elsewhere.cdcctl("get")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no cdcd server has ever run at /elsewhere" in result.stderr
    assert "No instance is defined" in result.stderr
