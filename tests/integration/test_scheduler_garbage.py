"""Whatever stands in the tree, the fleet goes on: definitions, orders, loads, registrations, the scheduler's own nodes."""

import json
import time
from collections.abc import Iterator

import pytest
from kazoo.security import make_digest_acl
from structlog.testing import capture_logs

from cdcd.config.zookeeper import ZooKeeper
from cdcd.fleet import paths
from cdcd.fleet.nodes import Status, encode
from tests.scheduling import ScheduledFleet, definition, put, scheduled_fleet
from tests.waiting import until


@pytest.fixture
def fleet(lasting: ZooKeeper) -> Iterator[ScheduledFleet]:
    with scheduled_fleet(lasting) as made:
        yield made


MEGABYTE = 1_000_000
BAD_DEFINITIONS = {
    "empty": (b"", ""),
    "bytes": (bytes(range(256)), "UTF-8"),
    "text": (b"hello", "mapping"),
    "list": (b"[1, 2]", "mapping"),
    "number": (b"7", "mapping"),
    "cut-off": (definition("cut-off")[:-20], "line"),
    "large-braces": (b"{" * MEGABYTE, "deeper"),
    "large-quote": (b'"' + b"a" * MEGABYTE, "line 1"),
    "large-yaml": (b"- a\n" * (MEGABYTE // 4), "mapping"),
    "large-keys": ("\n".join(f"k{number}: 1" for number in range(80_000)).encode(), "more"),
    "alias-bomb": (b"a: &a [x]\nb: [*a, *a]", "anchors"),
    "tag": (b"a: !!python/object:os.system []", "tags"),
    "twice": (b'{"name": "twice", "name": "twice"}', "given twice"),
    "nulls": (b"\x00" * 1000, ""),
    "other-name": (definition("some-other"), "name: must be `other-name`"),
    "path-name": (definition("../../etc"), "name: must be"),
    "unknown-field": (definition("unknown-field", colour="red"), "colour: unknown field"),
    "wrong-type": (
        definition("wrong-type", paused="yes", tables={"include": "shop.*"}),
        "paused: must be true or false",
    ),
    "bad-host": (definition("bad-host", source={"host": "db 1", "credential": "../x"}), "source.host: "),
    "no-version": (definition("no-version", version="2"), "version: must be 1"),
    "version-0": (definition("version-0", version=0), "version: must be 1"),
    "version-true": (definition("version-true", version=True), "version: must be 1"),
}
MISNAMED = ["..%2f..", "Upper", "größe", "a b", "-x", ".x", "x" * 64, "%2e%2e", "名", "..."]


def test_bad_definitions_get_a_verdict_and_hurt_nobody(fleet: ScheduledFleet) -> None:
    with capture_logs() as logs:
        for name in MISNAMED:
            fleet.define(name, definition("good"))
        for name, (content, _) in BAD_DEFINITIONS.items():
            fleet.define(name, content)
        fleet.define("yaml", b"# by hand\nversion: 1\nname: yaml\nsource: {host: db, credential: c}\n"
                             b"tables: {include: [shop.*]}\nsink: {topic: t}\n")  # fmt: skip
        fleet.define("good")
        scheduler = fleet.scheduler()
        fleet.server("a")
        until(lambda: fleet.where("good") == fleet.where("yaml") == "a", 120)  # megabytes are read first
        fleet.define("later")
        until(lambda: fleet.where("later") == "a", 60)
        until(lambda: all((status := fleet.status(name)) and status.state == "invalid" for name in BAD_DEFINITIONS))
        until(lambda: scheduler.figures.invalid_definitions == len(BAD_DEFINITIONS))
        assert scheduler.figures.misnamed_definitions == len(MISNAMED)
        assert scheduler.figures.unassigned_instances == 0, "the alert is that of their mistakes"
        for name, (_, said) in BAD_DEFINITIONS.items():
            status = fleet.status(name)
            assert status
            assert said in "; ".join(f"{each['path']}: {each['message']}" for each in status.problems)
            assert status.events[-1]["event"] == "definition.invalid"
        status = fleet.status("wrong-type")
        assert status
        assert [each["path"] for each in status.problems] == ["paused", "tables.include"], (
            "every mistake, not the first"
        )
        assert set(fleet.operator.get_children(paths.SCHEDULE)) == {"good", "yaml", "later"}
        assert set(fleet.operator.get_children(paths.STATE)) == set(BAD_DEFINITIONS)
    misnamed = [line for line in logs if line["event"] == "definition.misnamed"]
    assert len(misnamed) == len(MISNAMED), "each is told once"
    verdicts = [line for line in logs if line["event"] == "definition.invalid"]
    assert len(verdicts) == len(BAD_DEFINITIONS)


def test_an_instance_that_runs_goes_on_with_a_bad_definition(fleet: ScheduledFleet) -> None:
    scheduler = fleet.scheduler()
    server = fleet.server("a")
    fleet.define("orders")
    until(lambda: fleet.where("orders") == "a")
    before = fleet.schedule("orders")
    fleet.define("orders", b"oops: [")
    until(lambda: scheduler.figures.invalid_definitions == 1)
    fleet.define("stock")
    until(lambda: fleet.where("stock") == "a")
    assert fleet.schedule("orders") == before
    assert fleet.status("orders") is None, "its worker says what is wrong"
    server.die()
    fleet.server("b")
    until(lambda: fleet.where("stock") == "b")
    assert scheduler.figures.unassigned_instances == 1, "no server can start it: its rows are not published any more"
    fleet.delete("orders")
    until(lambda: fleet.schedule("orders") is None)


def test_a_mended_definition_is_run_and_the_verdict_taken_back(fleet: ScheduledFleet) -> None:
    fleet.scheduler()
    remembered = Status("running", 1.0, 1.0, "a", 7, events=({"at": "t", "event": "e", "reason": "r"},))
    fleet.operator.create(paths.status("orders"), encode(remembered), makepath=True)
    fleet.define("orders", b"[]")
    until(lambda: (status := fleet.status("orders")) is not None and status.state == "invalid")
    status = fleet.status("orders")
    assert status
    assert (status.epoch, [each["event"] for each in status.events]) == (7, ["e", "definition.invalid"])
    fleet.define("orders", b"name: other")
    until(lambda: (status := fleet.status("orders")) is not None and len(status.problems) > 2)
    fleet.define("orders")
    until(lambda: (status := fleet.status("orders")) is not None and status.state == "stopped")
    status = fleet.status("orders")
    assert status
    assert status.problems == ()
    assert status.events[-1]["event"] == "definition.valid"


def test_a_verdict_of_a_former_term_is_taken_back_too(fleet: ScheduledFleet) -> None:
    invalid = Status("invalid", 1.0, 1.0, problems=({"path": "name", "message": "is required"},))
    fleet.operator.create(paths.status("orders"), encode(invalid), makepath=True)
    fleet.define("orders", paused=True)
    fleet.scheduler()
    until(lambda: (status := fleet.status("orders")) is not None and status.state == "stopped")


def test_a_definition_of_a_later_version_is_for_servers_that_know_it(fleet: ScheduledFleet) -> None:
    scheduler = fleet.scheduler()
    fleet.server("a")
    later = {"version": 2, "name": "orders", "something": "new", "placement": {"require": {"zone": "z"}}}
    fleet.define("orders", json.dumps(later).encode())
    until(lambda: scheduler.figures.unassigned_instances == 1)
    assert scheduler.figures.invalid_definitions == 0
    fleet.server("b", labels={"zone": "z"})
    newer = fleet.client()
    put(fleet.operator, paths.load("c"), json.dumps({"at": 1.0, "capacity": 1.0, "labels": {"zone": "z"}}).encode())
    registration = {"v": 1, "host": "h", "pid": 1, "since": 1.0, "version": "9", "definitions": [1, 2]}
    newer.create(paths.server("c"), json.dumps(registration).encode(), ephemeral=True)
    until(lambda: fleet.where("orders") == "c")
    fleet.define("orders", json.dumps(later | {"paused": True}).encode())
    until(lambda: fleet.schedule("orders") is None)


def test_a_definition_that_cdcd_may_not_read(fleet: ScheduledFleet) -> None:
    """Made by somebody for himself alone."""
    stranger = fleet.client()
    stranger.add_auth("digest", "me:secret")
    own = [make_digest_acl("me", "secret", all=True)]
    stranger.create(paths.definition("private"), definition("private"), acl=own)
    fleet.define("orders")
    fleet.scheduler()
    fleet.server("a")
    until(lambda: fleet.where("orders") == "a")
    until(lambda: (status := fleet.status("private")) is not None and "access control" in status.problems[0]["message"])
    stranger.delete(paths.definition("private"))


def test_orders_that_nobody_can_serve_are_removed(fleet: ScheduledFleet) -> None:
    fleet.define("orders")
    for name, content in {"orders": b"move it!", "gone": b'{"v": 99}', "Bad Name": b""}.items():
        fleet.operator.create(f"{paths.REQUESTS}/{name}", content)
    fleet.scheduler()
    fleet.server("a")
    until(lambda: fleet.operator.get_children(paths.REQUESTS) == ["Bad Name"])
    until(lambda: fleet.where("orders") == "a")


def test_garbage_of_servers_takes_no_instances_away(fleet: ScheduledFleet) -> None:
    scheduler = fleet.scheduler()
    for name in ("a", "b"):
        fleet.server(name, labels={"zone": "z"})
    names = [f"i{number}" for number in range(4)]
    for name in names:
        fleet.define(name, placement={"require": {"zone": "z"}})
    until(lambda: all(map(fleet.where, names)))
    fleet.settled()
    before = {name: fleet.schedule(name) for name in names}
    fleet.operator.set(paths.load("a"), b"\xff\xfe")
    fleet.operator.set(paths.server("a"), b"nonsense")
    fleet.operator.set(paths.load("b"), json.dumps({"at": 0, "capacity": -3}).encode())
    for path in ("/load/ghost", "/load/No Name", "/servers/..%2f", "/drained/No Name", "/server_ids/x", "/assigned/Y"):
        fleet.operator.create(path, b"junk")
    fleet.operator.create("/load/nobody", json.dumps({"at": 1, "capacity": 1, "instances": {"../x": {}}}).encode())
    fleet.define("new", placement={"require": {"zone": "z"}})
    until(lambda: fleet.where("new"))
    fleet.operator.delete(paths.load("b"))
    fleet.define("newer", placement={"require": {"zone": "z"}})
    until(lambda: fleet.where("newer"))
    assert {name: fleet.schedule(name) for name in names} == before
    assert scheduler.figures.unassigned_instances == 0


def test_what_somebody_did_to_the_schedulers_own_nodes_is_repaired(fleet: ScheduledFleet) -> None:
    fleet.scheduler()
    fleet.server("a")
    names = ["i0", "i1", "i2"]
    for name in names:
        fleet.define(name)
    until(lambda: all(fleet.where(name) == "a" for name in names))
    fleet.settled()

    def repaired() -> bool:
        return all(fleet.where(name) == "a" for name in names) and fleet.assigned("a") == set(names)

    operator = fleet.operator
    operator.set(paths.schedule("i0"), b"{]")
    until(repaired)
    operator.set(paths.schedule("i1"), json.dumps({"server": "../..", "generation": 1, "reason": "", "at": 0}).encode())
    until(repaired)
    operator.delete(paths.schedule("i2"))
    until(repaired)
    operator.set(paths.assigned("a"), b"\x00")
    until(repaired)
    operator.delete(paths.assigned("a"))
    until(repaired)
    operator.create(paths.assigned("ghost"), b'{"v":1,"instances":["i0"]}')
    until(lambda: operator.get_children(paths.ASSIGNED) == ["a"])
    operator.create(paths.schedule("unknown"), b"junk")
    operator.create(f"{paths.SCHEDULE}/No Name", b"junk")
    until(lambda: sorted(operator.get_children(paths.SCHEDULE)) == ["No Name", *names])
    operator.create(paths.server_id(12), b"junk")
    until(lambda: 12 not in fleet.numbers())
    operator.delete(f"{paths.SCHEDULE}/No Name")
    fleet.settled()


def test_a_definition_that_changes_all_the_time_keeps_nobody_waiting(fleet: ScheduledFleet) -> None:
    """Each write that names a server checks the definition's version: of fifty changes in one multi one may be refused."""
    fleet.server("a")
    names = [f"i{number}" for number in range(20)]
    for name in [*names, "restless"]:
        fleet.define(name)
    fleet.scheduler()
    stop = time.monotonic() + 30
    while not all(map(fleet.where, names)):
        fleet.define("restless", source={"host": f"db-{time.monotonic_ns()}", "credential": "c"})
        assert time.monotonic() < stop
    until(lambda: fleet.where("restless") == "a")
    fleet.settled()
