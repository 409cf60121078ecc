"""Definitions that mean harm, put into ZooKeeper by hand under a real fleet: each gets a verdict that names the field, no
password goes anywhere, nobody else is disturbed.

That the scheduler survives nodes that hold anything else is in test_scheduler_garbage.py; what the parser refuses, in
tests/unit/config.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.rig.fleet import Fleet, Server
from deploy.rig.pace import Pace
from deploy.rig.process import plain_environment, until
from deploy.rig.topics import topics_like
from tests.fleets import LASTING, MakeFleet
from tests.instances import source_of
from tests.integration.test_server_workers import quiet, shown
from tests.listeners import Listener
from tests.servers import KafkaServer, MysqlServer

pytestmark = pytest.mark.must_show("6.5")

CTL = "import sys; from cdcd.cli.cdcctl import run; sys.argv[0] = 'cdcctl'; run()"
ESCAPE, TURNED, NUL = "\x1b[2J\x1b]0;x\x07", "\u202egnp.exe\u2066", "\0"


def hostile(name: str, **sections: Any) -> bytes:
    base: dict[str, Any] = {
        "version": 1,
        "name": name,
        "source": {"host": "db", "credential": "a"},
        "tables": {"include": ["shop.*"]},
        "sink": {"topic": "cdc.{database}.{table}"},
    }
    return json.dumps({**base, **sections}).encode()


HUGE = b'{"version": 1, "name": "huge-number", "source": {"host": "db", "credential": "a", "port": 1%s}}' % (
    b"0" * 5000
)
INVALID: dict[str, tuple[bytes, str, str]] = {
    "escape-in-host": (
        hostile("escape-in-host", source={"host": ESCAPE, "credential": "a"}),
        "source.host",
        "host name",
    ),
    "turned-topic": (hostile("turned-topic", sink={"topic": f"cdc.{TURNED}"}), "sink.topic", "not allowed in a topic"),
    "nul-in-table": (
        hostile("nul-in-table", tables={"include": [f"regex:(a{NUL}{ESCAPE}"]}),
        "tables.include[0]",
        "RE2",
    ),
    "field-names": (hostile("field-names", **{ESCAPE + TURNED: 1}), "", "unknown field"),
    "other-path": (hostile("../../servers/a"), "name", "must be 1 to 63 characters"),
    "credential-path": (
        hostile("credential-path", source={"host": "db", "credential": "../../etc/shadow"}),
        "source.credential",
        "must be 1 to 63 characters",
    ),
    "position-topic": (
        hostile("position-topic", sink={"topic": "__cdcd_positions.default.orders"}),
        "sink.topic",
        "belong to Kafka and cdcd",
    ),
    "ddl-position-topic": (
        hostile("ddl-position-topic", sink={"topic": "t", "ddl_topic": "__cdcd_positions.default.{instance}"}),
        "sink.ddl_topic",
        "belong to Kafka and cdcd",
    ),
    "attribute": (hostile("attribute", sink={"topic": "{table.__class__}"}), "sink.topic", "not known"),
    "plugin": (
        hostile("plugin", sink={"topic": "t", "options": {"plugin.library.paths": "/tmp/x.so"}}),
        "sink.options",
        "unknown field",
    ),
    "brokers": (
        hostile("brokers", sink={"topic": "t", "bootstrap_servers": "evil:9092"}),
        "sink.bootstrap_servers",
        "unknown field",
    ),
    "huge-number": (HUGE, "source.port", "whole number"),
    "not-a-number": (hostile("not-a-number", placement={"weight": float("nan")}), "", "NaN is not a JSON number"),
    "endless": (hostile("endless", placement={"weight": 1e308}), "placement.weight", "less than or equal"),
    "far-future": (hostile("far-future", start={"time": "9" * 400}), "start", "time"),
    "bomb": (b"a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]", "", "anchors"),
    "code": (b"version: 1\nname: !!python/object/apply:os.system [touch /tmp/cdcd-was-here]", "", "tags"),
    "deep": (b'{"version": 1, "name": ' + b"[" * 100_000, "", "deeper than"),
    "zone-path": (
        hostile("zone-path", format={"compat": "strict", "strict_timezone": "../../../etc/passwd"}),
        "format.strict_timezone",
        "time zone",
    ),
    "expressions": (
        hostile("expressions", tables={"include": [f"regex:{'(a{1,900}|b)' * 70}"] * 101}),
        "tables.include",
        "at most 100 regex",
    ),
}
"""Name -> what stands in its node, the field that the verdict names, and words of the reason."""


@pytest.fixture
def watched(make_fleet: MakeFleet, mysql: MysqlServer) -> Iterator[tuple[Fleet, Server, Pace]]:
    """A fleet with an instance that publishes all the time."""
    fleet = make_fleet(scheduling={"settle": "0s"}, session=LASTING)  # that it has not begun anew is by no luck
    server = fleet.start("a")
    fleet.registered()
    (good,) = quiet(fleet, mysql, "good")
    fleet.running()
    pace = Pace(source_of(mysql), good.database, 20)
    pace.start()
    yield fleet, server, pace
    pace.stop()


def goes_on(fleet: Fleet, server: Server, before: dict[str, Any]) -> None:
    """The good instance has neither moved nor begun anew, and publishes."""

    def published() -> float:
        return server.metrics().get('cdcd_published_records_total{sync_instance="good"}', 0.0)

    count = published()
    until(lambda: published() > count, "it publishes on")
    assert fleet.tree.content("/state/good/running") == before


def cdcctl(fleet: Fleet, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, "-c", CTL, *arguments, "--config", str(fleet.folder / "a" / "cdcd.toml")]
    return subprocess.run(command, env=plain_environment(), capture_output=True, timeout=60, check=False)


def test_each_gets_a_verdict_and_hurts_nobody(watched: tuple[Fleet, Server, Pace], kafka: KafkaServer) -> None:
    fleet, server, _ = watched
    before = fleet.tree.content("/state/good/running")
    topics = set(topics_like(kafka.bootstrap, ""))
    for name, (content, _, _) in INVALID.items():
        fleet.tree.put(f"/instances/{name}", content)
    until(lambda: all(fleet.status(name).get("state") == "invalid" for name in INVALID), "all get a verdict")
    for name, (_, path, words) in INVALID.items():
        problems = fleet.status(name)["problems"]
        assert any(path in each["path"] and words in each["message"] for each in problems), (name, problems)
        assert all(each["path"].isprintable() and each["message"].isprintable() for each in problems), problems
        assert not fleet.schedule(name)
    for arguments in (("get",), ("describe", "escape-in-host"), ("describe", "field-names", "-o", "yaml"), ("events",)):
        done = cdcctl(fleet, *arguments)
        assert done.returncode == 0, done.stderr
        assert not {"\x1b", "\u202e", "\0"} & set((done.stdout + done.stderr).decode())
    goes_on(fleet, server, before)
    assert fleet.tree.children("/servers") == ["a"]
    made = set(topics_like(kafka.bootstrap, "")) - topics
    assert all(topic.startswith("cdc.good.") for topic in made), made
    assert not Path("/tmp/cdcd-was-here").exists()


def test_a_password_does_not_travel_to_another_host(watched: tuple[Fleet, Server, Pace]) -> None:
    """The credential of the good instance, named by definitions that would carry it elsewhere."""
    fleet, server, _ = watched
    before = fleet.tree.content("/state/good/running")
    good = fleet.instances["good"]
    with Listener() as thief:
        there = {"host": "127.0.0.1", "port": thief.port, "credential": good.credential}
        both = {"hosts": [f"127.0.0.1:{good.source.port}", f"localhost:{thief.port}"], "credential": good.credential}
        named = {"host": "localhost", "port": good.source.port, "credential": good.credential}
        thefts = {"there": there, "both": both, "named": named}
        for name, source in thefts.items():
            file = fleet.folder / f"{name}.json"
            file.write_bytes(hostile(name, source=source, sink={"topic": f"stolen.{name}"}))
            preflight = cdcctl(fleet, "preflight", "-f", str(file), "-o", "json")
            assert b"may not be sent to" in preflight.stdout + preflight.stderr
            fleet.tree.put(f"/instances/{name}", file.read_bytes())
        for name in thefts:
            parked = until(lambda n=name: fleet.schedule(n).get("parked"), f"{name} is parked")  # type: ignore[misc]
            assert parked["code"] == "credential-host"
            assert good.credential in parked["reason"]
            until(lambda n=name: shown(server, n).get("failure"), "the server shows it")  # type: ignore[misc]
        assert (thief.connections, thief.received) == (0, b"")
    goes_on(fleet, server, before)
