"""Verbs that change something, on a real ZooKeeper: what they write, wait for, and say. The test plays the fleet."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cdcd.fleet import paths
from cdcd.fleet.nodes import Parked
from tests.play import DEFINITION, RECORD, Play
from tests.waiting import until

A = str(RECORD["server_uuid"])
PARKED = Parked("position-purged", "The source has purged what comes next", "Load the tables anew", 1.0, 1)


def _file(folder: Path, *definitions: dict[str, object]) -> str:
    path = folder / "fleet.yaml"
    path.write_text("\n---\n".join(json.dumps({**DEFINITION, **each}) for each in definitions))
    return str(path)


@pytest.fixture
def fleet(play: Play) -> Play:
    """Two servers; `orders` runs on the first."""
    play.server("cdc-1")
    play.server("cdc-2")
    play.define("orders")
    play.runs("orders", "cdc-1")
    return play


# ---------------------------------------------------------------- apply, diff


def test_apply_creates_configures_and_leaves_alone(play: Play, tmp_path: Path) -> None:
    file = _file(tmp_path, {"name": "orders"}, {"name": "crm"})
    assert play.cdcctl("apply", "-f", file, "--dry-run").stdout == "orders created (dry run)\ncrm created (dry run)\n"
    assert play.session.children(paths.INSTANCES) == frozenset()
    assert play.cdcctl("apply", "-f", file).stdout == "orders created\ncrm created\n"
    assert play.cdcctl("apply", "-f", file).stdout == "orders unchanged\ncrm unchanged\n"
    changed = play.cdcctl("apply", "-f", _file(tmp_path, {"name": "orders", "start": "earliest"}, {"name": "crm"}))
    assert changed.stdout == "orders configured\ncrm unchanged\n"
    assert play.definition("orders")["start"] == "earliest"


def test_a_definition_put_in_by_hand_in_another_form_is_unchanged(play: Play, tmp_path: Path) -> None:
    text = json.dumps({"version": 1, **DEFINITION, "paused": False, "name": "orders"}, indent=4).encode()
    play.session.create(paths.definition("orders"), text)
    assert play.cdcctl("apply", "-f", _file(tmp_path, {"name": "orders"})).stdout == "orders unchanged\n"
    assert play.cdcctl("diff", "-f", _file(tmp_path, {"name": "orders"})).stdout == ""


def test_apply_leaves_a_pause_unless_the_file_says_otherwise(play: Play, tmp_path: Path) -> None:
    play.define("orders", paused=True)
    result = play.cdcctl("apply", "-f", _file(tmp_path, {"name": "orders", "start": "earliest"}))
    assert result.stdout == "orders configured\n"
    assert "orders is paused; it runs after: cdcctl resume orders" in result.stderr
    assert play.paused("orders")
    play.cdcctl("apply", "-f", _file(tmp_path, {"name": "orders", "paused": False}))
    assert not play.paused("orders")


def test_apply_says_when_an_old_position_goes_on(fleet: Play, tmp_path: Path) -> None:
    fleet.stops("orders")
    fleet.session.delete(paths.definition("orders"))
    result = fleet.cdcctl("apply", "-f", _file(tmp_path, {"name": "orders"}))
    assert result.stdout == "orders created\n"
    assert "goes on at its stored position, `start` does not count" in result.stderr


def test_nothing_is_written_if_one_of_them_is_invalid(play: Play, tmp_path: Path) -> None:
    result = play.cdcctl("apply", "-f", _file(tmp_path, {"name": "orders"}, {"name": "crm", "sorce": 1}))
    assert (result.exit_code, result.stdout) == (5, "")
    assert "(document 2): sorce: unknown field; did you mean `source`?" in result.stderr
    assert play.session.children(paths.INSTANCES) == frozenset()
    assert play.cdcctl("apply", "-f", str(tmp_path / "none.yaml")).exit_code == 3


def test_apply_mends_what_is_broken(play: Play, tmp_path: Path) -> None:
    play.session.create(paths.definition("orders"), b"\xff\xfe")
    assert play.cdcctl("apply", "-f", _file(tmp_path, {"name": "orders"})).stdout == "orders configured\n"


def test_diff(play: Play, tmp_path: Path) -> None:
    play.define("orders", start="earliest")
    file = _file(tmp_path, {"name": "orders"}, {"name": "crm"})
    said = play.cdcctl("diff", "-f", file)
    assert said.exit_code == 0
    assert "-start: earliest" in said.stdout.splitlines()
    assert "+name: crm" in said.stdout.splitlines()
    assert play.cdcctl("diff", "-f", file, "--exit-code").exit_code == 1
    assert play.session.children(paths.INSTANCES) == {"orders"}


def test_apply_waits_until_it_runs(fleet: Play, tmp_path: Path) -> None:
    def start() -> None:
        until(lambda: "crm" in fleet.session.children(paths.INSTANCES))
        fleet.schedule("crm", "cdc-2")
        fleet.hears("crm: cdc-2 to start it")
        fleet.runs("crm", "cdc-2")

    with fleet.meanwhile(start):
        result = fleet.cdcctl("apply", "-f", _file(tmp_path, {"name": "crm"}), "--wait")
    assert (result.exit_code, result.stdout) == (0, "crm created\n")
    assert "waiting for crm: cdc-2 to start it" in result.stderr
    assert "crm runs" in result.stderr


# ---------------------------------------------------------------- pause, resume, delete


def _when_paused(fleet: Play) -> Callable[[], None]:
    def act() -> None:
        until(lambda: fleet.paused("orders"))
        fleet.hears("orders: its schedule node")
        fleet.session.delete(paths.schedule("orders"))
        fleet.hears("orders: its lock")
        fleet.stops("orders")

    return act


def test_pause_returns_when_it_has_stopped(fleet: Play) -> None:
    with fleet.meanwhile(_when_paused(fleet)):
        result = fleet.cdcctl("pause", "orders")
        left = fleet.session.get(paths.running("orders"))
    assert (result.exit_code, result.stdout, left) == (0, "orders paused\n", None)
    assert "orders: its schedule node (server cdc-1) and its lock, held by cdc-1 (pid 4712) to go" in result.stderr
    again = fleet.cdcctl("pause", "orders")
    assert (again.exit_code, again.stdout) == (0, "orders unchanged\n")


def test_pause_says_what_is_still_there(fleet: Play) -> None:
    result = fleet.cdcctl("pause", "orders", "--timeout", "300ms")
    assert (result.exit_code, result.stdout) == (6, "")
    assert "not done within 0s: still waiting for orders: its schedule node (server cdc-1)" in result.stderr
    assert fleet.paused("orders")
    assert fleet.cdcctl("pause", "orders", "--no-wait").stdout == "orders unchanged\n"
    fleet.gone("cdc-1")
    fleet.gone("cdc-2")
    assert "(no server is alive)" in fleet.cdcctl("pause", "orders", "--timeout", "300ms").stderr


def test_a_dead_servers_load_node_holds_nobody_up(fleet: Play) -> None:
    fleet.session.delete(paths.schedule("orders"))
    fleet.session.delete(paths.running("orders"))
    assert "the load node of cdc-1" in fleet.cdcctl("pause", "orders", "--timeout", "300ms").stderr
    fleet.gone("cdc-1")
    assert fleet.cdcctl("pause", "orders", "--timeout", "300ms").exit_code == 0


def test_resume_waits_until_it_runs(fleet: Play) -> None:
    fleet.stops("orders")
    fleet.define("orders", paused=True)

    def start() -> None:
        until(lambda: not fleet.paused("orders"))
        fleet.runs("orders", "cdc-2")

    with fleet.meanwhile(start):
        result = fleet.cdcctl("resume", "orders")
    assert (result.exit_code, result.stdout) == (0, "orders resumed\n")
    assert fleet.cdcctl("resume", "orders").stdout == "orders unchanged\n"
    assert fleet.request("orders") is None


def test_resume_of_a_parked_one_is_a_restart(fleet: Play) -> None:
    fleet.stops("orders")
    fleet.schedule("orders", None, parked=replace(PARKED, definition=1 << 62))

    def park_again() -> None:
        until(lambda: fleet.request("orders") is not None)
        fleet.served("orders")

    assert fleet.cdcctl("resume", "orders", "--dry-run").stdout == "orders resumed (dry run)\n"
    assert fleet.request("orders") is None
    with fleet.meanwhile(park_again):
        result = fleet.cdcctl("resume", "orders")
    assert (result.exit_code, result.stdout) == (1, "")
    assert (
        "orders is parked: The source has purged what comes next (position-purged)\nLoad the tables anew"
        in result.stderr
    )


def test_a_parked_one_gets_a_new_position_and_resumes(fleet: Play) -> None:
    fleet.stops("orders")
    stands = fleet.session.get(paths.definition("orders"))
    assert stands is not None
    fleet.schedule("orders", None, parked=replace(PARKED, definition=stands.changed))
    assert fleet.cdcctl("position", "set", "orders", "earliest", "--yes").stdout == "orders configured\n"

    def start() -> None:
        until(lambda: (fleet.session.get(paths.definition("orders")) or stands).changed > stands.changed)
        fleet.hears("orders: the scheduler to start it anew")
        fleet.runs("orders", "cdc-2", epoch=8)

    with fleet.meanwhile(start):
        result = fleet.cdcctl("resume", "orders")
    assert (result.exit_code, result.stdout) == (0, "orders resumed\n")
    after = fleet.session.get(paths.definition("orders"))
    assert after is not None
    assert after.data == stands.data


def test_what_is_not_valid_cannot_be_paused(fleet: Play) -> None:
    fleet.session.set(paths.definition("orders"), b'{"name": "orders"}')
    result = fleet.cdcctl("pause", "orders")
    assert result.exit_code == 5
    assert "source: is required" in result.stderr


def test_delete_keeps_the_position_unless_told(fleet: Play) -> None:
    fleet.stops("orders")
    result = fleet.cdcctl("delete", "orders")
    assert (result.exit_code, result.stdout) == (0, "orders deleted\n")
    assert "its position is kept" in result.stderr
    assert fleet.session.get(paths.position("orders")) is not None
    again = fleet.cdcctl("delete", "orders")
    assert again.exit_code == 3
    assert "cdcctl delete orders --forget-position" in again.stderr


def test_delete_with_its_position(fleet: Play) -> None:
    asked = fleet.cdcctl("delete", "orders", "--forget-position")
    assert asked.exit_code == 2
    assert "Nobody can be asked here\nGive --yes" in asked.stderr
    assert fleet.definition("orders")

    def stop() -> None:
        until(lambda: "orders" not in fleet.session.children(paths.INSTANCES))
        fleet.stops("orders")

    with fleet.meanwhile(stop):
        result = fleet.cdcctl("delete", "orders", "--forget-position", "--yes")
    assert (result.exit_code, result.stdout) == (0, "orders deleted\n")
    assert "topic __cdcd_positions.shop.orders of Kafka cluster `default`" in result.stderr
    assert fleet.session.children(paths.STATE) == frozenset()


def test_delete_withdraws_what_was_asked_for(fleet: Play) -> None:
    fleet.stops("orders")
    fleet.define("orders", paused=True)
    fleet.cdcctl("position", "set", "orders", "earliest", "--yes")
    assert "orders: withdrew the set_position that waited" in fleet.cdcctl("delete", "orders").stderr
    assert fleet.session.get(paths.request("orders")) is None


def test_delete_of_what_has_no_legal_name(fleet: Play) -> None:
    fleet.session.create(f"{paths.INSTANCES}/Not A Name", b"")
    assert fleet.cdcctl("delete", "Not A Name").exit_code == 0
    assert fleet.session.children(paths.INSTANCES) == {"orders"}


# ---------------------------------------------------------------- move, restart


def test_move_tells_each_step(fleet: Play) -> None:
    def hand_over() -> None:
        until(lambda: fleet.request("orders") is not None)
        order = fleet.request("orders")
        assert order is not None
        assert (order.kind, order.server) == ("move", "cdc-2")
        fleet.schedule("orders", "cdc-1", "asked for", next="cdc-2")
        fleet.served("orders")
        fleet.hears("cdc-2 to get ready")
        fleet.lets_go("orders")
        fleet.runs("orders", "cdc-2", epoch=8)

    with fleet.meanwhile(hand_over):
        result = fleet.cdcctl("move", "orders", "--to", "cdc-2")
    assert (result.exit_code, result.stdout) == (0, "orders moved to cdc-2\n")
    assert "waiting for cdc-2 to get ready" in result.stderr
    assert fleet.cdcctl("move", "orders", "--to", "cdc-2").stdout == "orders unchanged\n"


def test_a_move_that_is_refused_is_told(fleet: Play) -> None:
    def refuse() -> None:
        until(lambda: fleet.request("orders") is not None)
        fleet.schedule("orders", "cdc-1", "move to cdc-2 refused: it lacks the label zone=a")
        fleet.served("orders")

    with fleet.meanwhile(refuse):
        result = fleet.cdcctl("move", "orders", "--to", "cdc-2")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "orders was not moved: move to cdc-2 refused: it lacks the label zone=a" in result.stderr


def test_where_nothing_can_be_moved(fleet: Play) -> None:
    def exits(*arguments: str) -> tuple[int, str]:
        result = fleet.cdcctl(*arguments)
        return result.exit_code, result.stderr

    assert exits("move", "nobody", "--to", "cdc-2")[0] == 3
    assert exits("move", "orders", "--to", "nobody")[0] == 3
    fleet.session.create(paths.drained("cdc-2"), b"{}")
    assert "it is drained\nLet it take some again: cdcctl uncordon cdc-2" in exits("move", "orders", "--to", "cdc-2")[1]
    fleet.gone("cdc-2")
    assert exits("move", "orders", "--to", "cdc-2") == (4, exits("move", "orders", "--to", "cdc-2")[1])
    fleet.schedule("orders", None, parked=PARKED)
    assert exits("move", "orders", "--to", "cdc-1")[0] == 4
    fleet.define("orders", paused=True)
    assert "orders is paused" in exits("move", "orders", "--to", "cdc-1")[1]
    assert exits("restart", "orders")[0] == 4
    assert exits("move", "orders")[0] == 2
    assert fleet.request("orders") is None


def test_one_order_at_a_time(fleet: Play) -> None:
    assert fleet.cdcctl("restart", "orders", "--no-wait").stdout == "orders restarted (asked for)\n"
    result = fleet.cdcctl("move", "orders", "--to", "cdc-2")
    assert result.exit_code == 4
    assert "another order waits: restart by" in result.stderr
    same = fleet.cdcctl("restart", "orders", "--no-wait")
    assert same.exit_code == 0
    assert "asked for that already" in same.stderr
    assert "restart" in fleet.cdcctl("describe", "orders").stdout


def test_restart_waits_for_another_holding(fleet: Play) -> None:
    def start_anew() -> None:
        until(lambda: fleet.request("orders") is not None)
        fleet.schedule("orders", "cdc-1", restarts=1)
        fleet.served("orders")
        fleet.hears("orders: cdc-1 to start it")
        fleet.session.delete(paths.running("orders"))
        fleet.runs("orders", "cdc-1", epoch=8)

    with fleet.meanwhile(start_anew):
        result = fleet.cdcctl("restart", "orders")
    assert (result.exit_code, result.stdout) == (0, "orders restarted\n")


# ---------------------------------------------------------------- drain, uncordon


def test_drain_waits_until_it_is_empty(fleet: Play) -> None:
    def empty() -> None:
        until(lambda: fleet.session.get(paths.drained("cdc-1")) is not None)
        fleet.hears("cdc-1 to give away 1 instance: orders")
        fleet.stops("orders")
        fleet.runs("orders", "cdc-2", epoch=8)

    with fleet.meanwhile(empty):
        result = fleet.cdcctl("drain", "cdc-1", "--why", "new kernel")
    assert (result.exit_code, result.stdout) == (0, "cdc-1 drained\n")
    assert "waiting for cdc-1 to give away 1 instance: orders" in result.stderr
    assert "new kernel" in fleet.cdcctl("get", "servers").stdout
    assert fleet.cdcctl("drain", "cdc-1").stdout == "cdc-1 unchanged\n"
    assert fleet.cdcctl("uncordon", "cdc-1").stdout == "cdc-1 uncordoned\n"
    assert fleet.cdcctl("uncordon", "cdc-1").stdout == "cdc-1 unchanged\n"


def test_a_drain_that_gets_stuck_says_what_is_left(fleet: Play) -> None:
    assert fleet.cdcctl("drain", "cdc-1", "--dry-run").stdout == "cdc-1 drained (dry run)\n"
    assert fleet.session.get(paths.drained("cdc-1")) is None
    result = fleet.cdcctl("drain", "cdc-1", "--timeout", "300ms")
    assert result.exit_code == 6
    assert "still waiting for cdc-1 to give away 1 instance: orders" in result.stderr
    assert fleet.cdcctl("drain", "nobody").exit_code == 3
    assert fleet.cdcctl("uncordon", "nobody").exit_code == 3


def test_a_server_that_will_not_come_back(fleet: Play) -> None:
    fleet.cdcctl("drain", "cdc-1", "--no-wait")
    refused = fleet.cdcctl("retire", "cdc-1")
    assert refused.exit_code == 4
    assert "error: server cdc-1 is up\nDrain it, stop it there, and then retire it.\n" in refused.stderr
    fleet.gone("cdc-1")
    assert fleet.cdcctl("retire", "cdc-1", "--dry-run").stdout == "cdc-1 retired (dry run)\n"
    assert "cdc-1" in fleet.cdcctl("get", "servers", "-o", "name").stdout
    assert fleet.cdcctl("retire", "cdc-1").stdout == "cdc-1 retired\n"
    assert fleet.session.get(paths.drained("cdc-1")) is fleet.session.get(paths.load("cdc-1")) is None
    again = fleet.cdcctl("retire", "cdc-1")
    assert (again.exit_code, "There are: cdc-2" in again.stderr) == (3, True)


# ---------------------------------------------------------------- position set


def test_position_set_shows_what_it_does_and_asks_for_it(fleet: Play) -> None:
    running = fleet.cdcctl("position", "set", "orders", f"gtid:{A}:1-97", "--yes")
    assert running.exit_code == 4
    assert "orders is not paused" in running.stderr
    fleet.define("orders", paused=True)
    assert (
        "has not stopped yet: there is still its schedule node"
        in fleet.cdcctl("position", "set", "orders", "latest").stderr
    )
    fleet.stops("orders")
    shown = fleet.cdcctl("position", "set", "orders", f"gtid:{A}:1-97", "--dry-run")
    assert shown.stdout == "orders configured (dry run)\n"
    assert f"sent again   3 transactions: {A}:98-100" in shown.stderr
    assert "skipped      nothing" in shown.stderr
    assert fleet.cdcctl("position", "set", "orders", f"gtid:{A}:1-97").exit_code == 2
    assert fleet.request("orders") is None
    assert fleet.cdcctl("position", "set", "orders", f"gtid:{A}:1-97", "--yes").stdout == "orders configured\n"
    assert fleet.cdcctl("position", "set", "orders", f"gtid:{A}:1-97").stdout == "orders unchanged\n"
    order = fleet.request("orders")
    assert order is not None
    assert (order.kind, order.position) == ("set_position", {"gtid_set": f"{A}:1-97"})
    assert "@" in order.by


def test_a_second_position_replaces_the_first(fleet: Play) -> None:
    fleet.stops("orders")
    fleet.define("orders", paused=True)
    fleet.cdcctl("position", "set", "orders", "earliest", "--yes")
    result = fleet.cdcctl("position", "set", "orders", "time:2026-11-01T00:00:00Z", "--yes")
    assert (result.exit_code, result.stdout) == (0, "orders configured\n")
    assert "replaces the position that" in result.stderr
    order = fleet.request("orders")
    assert order is not None
    assert order.position == {"time": "2026-11-01T00:00:00Z"}
    assert "set_position" in fleet.cdcctl("describe", "orders").stdout


@pytest.mark.parametrize("where", ["yesterday", "gtid:1-5", "file:binlog.000001:3", "time:2026-11-01"])
def test_places_that_are_none(fleet: Play, where: str) -> None:
    result = fleet.cdcctl("position", "set", "orders", where)
    assert result.exit_code == 2
    assert where in result.stderr


# ---------------------------------------------------------------- two at once


def test_somebody_was_quicker(fleet: Play, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from cdcd.fleet.operators import Operators

    read = Operators.defined

    def read_and_be_late(self: Operators, name: str) -> object:
        found = read(self, name)
        fleet.define("orders", start="earliest")
        return found

    monkeypatch.setattr(Operators, "defined", read_and_be_late)
    result = fleet.cdcctl("apply", "-f", _file(tmp_path, {"name": "orders", "paused": True}))
    assert (result.exit_code, result.stdout) == (4, "")
    assert "somebody else changed the definition at the same moment" in result.stderr
    assert fleet.definition("orders")["start"] == "earliest"
