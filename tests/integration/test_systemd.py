"""What systemd is told, heard on a real datagram socket; and the unit that is shipped, judged by systemd's own tools."""

import configparser
import json
import re
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from cdcd.config.fleet import Fleet as FleetSettings
from cdcd.observe.notify import Notifier
from cdcd.server.control import Control
from cdcd.server.daemon import FAREWELL
from cdcd.server.reconcile import STOP_GRACE
from cdcd.worker.stopping import StopSignal
from deploy.rig.fleet import Fleet, Server
from deploy.rig.load import Load
from deploy.rig.process import until
from deploy.rig.topics import read_committed
from deploy.rig.worker import caught_up
from tests.fleets import LASTING, MakeFleet, loaded_instance
from tests.instances import MakeInstance, source_of
from tests.monitoring import ROOT
from tests.servers import MysqlServer, ZookeeperServer
from tests.waiting import until as until_true

UNIT = ROOT / "deploy" / "systemd" / "cdcd.service"
WATCHDOG_SECONDS = 1.5
EXPOSURE = 2.0
"""Most that `systemd-analyze security` may give."""

pytestmark = pytest.mark.must_show("6.3")


class Systemd:
    """Its end of the socket, read all the time: the kernel keeps some ten messages for a reader that does not."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.heard: list[str] = []
        self._socket = bound(address)
        self._socket.settimeout(0.05)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def environment(self) -> dict[str, str]:
        return {"NOTIFY_SOCKET": self.address, "WATCHDOG_USEC": str(int(WATCHDOG_SECONDS * 1e6))}

    def _read(self) -> None:
        while not self._over.is_set():
            with suppress(TimeoutError):
                self.heard += self._socket.recv(4096).decode().splitlines()

    def hears(self, pattern: str, timeout: float = 30) -> str:
        """The first line that matches from now on, or before."""
        return until(
            lambda: next((line for line in tuple(self.heard) if re.fullmatch(pattern, line)), None), pattern, timeout
        )

    def count(self, line: str) -> int:
        return self.heard.count(line)

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        self._socket.close()


def bound(address: str) -> socket.socket:
    """A datagram socket at the address."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    made.bind(address.replace("@", "\0", 1))
    return made


@pytest.fixture(params=["path", "abstract"])
def systemd(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Systemd]:
    made = Systemd(str(tmp_path / "notify") if request.param == "path" else f"@cdcd-test-{tmp_path}")
    yield made
    made.close()


@pytest.fixture
def by_path(tmp_path: Path) -> Iterator[Systemd]:
    made = Systemd(str(tmp_path / "notify"))
    yield made
    made.close()


# ---------------------------------------------------------------- the messages


def test_messages(systemd: Systemd) -> None:
    notifier = Notifier(systemd.address)
    notifier.ready()
    notifier.status("two\nlines")
    notifier.status("two  lines")
    notifier.alive()
    notifier.reloading()
    notifier.stopping()
    systemd.hears("STOPPING=1")
    *said, stopping = systemd.heard
    assert said[:4] == ["READY=1", "STATUS=two lines", "WATCHDOG=1", "RELOADING=1"]
    assert re.fullmatch(r"MONOTONIC_USEC=\d{7,}", said[4])
    assert (len(said), stopping) == (5, "STOPPING=1")


def test_nobody_is_spoken_for(by_path: Systemd) -> None:
    environ = {**by_path.environment(), "WATCHDOG_PID": "1", "OTHER": "x"}
    assert Notifier.from_environment(environ).watchdog is None, "systemd means another process"
    assert environ == {"OTHER": "x"}
    assert Notifier.from_environment(by_path.environment()).watchdog == WATCHDOG_SECONDS
    for usec in ("", "0", "-1", "soon"):
        assert Notifier.from_environment({"WATCHDOG_USEC": usec}).watchdog is None


def test_a_listener_that_is_gone_or_does_not_read_holds_nobody_up(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    notifier = Notifier(address)
    with bound(address):
        for number in range(10_000):  # more than the socket holds
            notifier.alive()
            notifier.status(str(number))
    notifier.alive()
    Notifier(str(tmp_path / "never")).ready()
    Notifier().ready()


def test_what_is_said_but_once_waits_for_room(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    notifier = Notifier(address)
    with bound(address) as listener:
        for _ in range(10_000):
            notifier.alive()
        ready = threading.Thread(target=notifier.ready)
        ready.start()
        while (said := listener.recv(4096)) == b"WATCHDOG=1":
            pass
        ready.join()
    assert said == b"READY=1"


# ---------------------------------------------------------------- the watchdog


def test_the_watchdog_hears_progress_alone(by_path: Systemd) -> None:
    makes_progress, ticks = True, 0

    def sentence() -> str:
        nonlocal ticks
        ticks += 1
        return f"tick {ticks}"

    control = Control(StopSignal(), Notifier.from_environment(by_path.environment()), lambda: None)
    control.start(lambda: makes_progress, sentence)
    until_true(lambda: by_path.count("WATCHDOG=1") >= 3)
    assert "READY=1" in by_path.heard
    assert control.alive()
    makes_progress = False
    assert not control.alive()
    by_path.hears(f"STATUS=tick {ticks + 2}")  # the tick that had begun may still have said so
    silent_from = by_path.count("WATCHDOG=1")
    by_path.hears(f"STATUS=tick {ticks + 3}")
    assert by_path.count("WATCHDOG=1") == silent_from


def test_whoever_hears_signals_outlives_a_defect_in_the_status_line(by_path: Systemd) -> None:
    defects = [ZeroDivisionError(), KeyError()]

    def sentence() -> str:
        if defects:
            raise defects.pop()
        return "all is well"

    control = Control(StopSignal(), Notifier.from_environment(by_path.environment()), lambda: None)
    control.start(lambda: True, sentence)
    by_path.hears("STATUS=how it is cannot be told: see the log")
    by_path.hears("STATUS=all is well")


@pytest.fixture
def told(by_path: Systemd, monkeypatch: pytest.MonkeyPatch) -> Systemd:
    """Processes that are started speak to it."""
    for name, value in by_path.environment().items():
        monkeypatch.setenv(name, value)
    return by_path


def started(fleet: Fleet, server: str = "a", failpoint: str | None = None) -> Server:
    process = fleet.start(server, failpoint=failpoint)
    fleet.registered(server)
    return process


def test_a_server_from_its_start_to_its_end(zookeeper: ZookeeperServer, tmp_path: Path, told: Systemd) -> None:
    fleet = Fleet(tmp_path, zookeeper.hosts, "127.0.0.1:1", session=LASTING)
    try:
        server = started(fleet)
        told.hears("READY=1")
        told.hears(f"STATUS=fleet {fleet.cluster}: in it, and its scheduler; instances: none")
        before = told.count("WATCHDOG=1")
        until_true(lambda: told.count("WATCHDOG=1") >= before + 3)

        settings = fleet.write_settings("a", capacity=3.0)
        settings.write_text('log_level = "debug"\n' + settings.read_text())
        server.signal(signal.SIGHUP)
        until(lambda: told.count("READY=1") == 2, "it has read its settings")
        assert told.count("RELOADING=1") == 1
        until(lambda: fleet.tree.content("/load/a").get("capacity") == 3.0, "the new capacity is reported")
        (read,) = until(lambda: [line for line in server.log() if line["event"] == "settings.read"], "it says so")
        assert read["reason"] == "changed: fleet, log_level"

        settings.write_text("log_level = 7")
        server.signal(signal.SIGHUP)
        until(lambda: [line for line in server.log() if line["event"] == "settings.refused"], "mistakes are refused")

        assert server.stop() == 0
        told.hears("STOPPING=1")
    finally:
        fleet.close()


def test_a_worker_logs_at_the_new_level(make_fleet: MakeFleet, mysql: MysqlServer) -> None:
    fleet = make_fleet(session=LASTING)
    server = started(fleet)
    fleet.define(loaded_instance(fleet, "orders", mysql))
    fleet.running("orders")
    settings = fleet.write_settings("a")
    settings.write_text('log_level = "error"\n' + settings.read_text())
    server.signal(signal.SIGHUP)
    until(lambda: _said(server, "settings.read"), "the server has read them")
    before = _said(server, "instance.holding_lost") + _said(server, "worker.stopping")
    server.stop()
    assert _said(server, "instance.stopped") == 0, "the worker, too, is silent"
    assert _said(server, "worker.stopping") == before


def test_a_stop_stores_positions_in_time(make_fleet: MakeFleet, mysql: MysqlServer, told: Systemd) -> None:
    """Nobody is there to hand over to, and the source goes on writing."""
    fleet = make_fleet(session=LASTING)
    server = started(fleet)
    orders = loaded_instance(fleet, "orders", mysql)
    fleet.define(orders)
    fleet.running("orders")
    load = Load(source_of(mysql), orders.database, seed=1)
    load.start()
    until(lambda: (server.metric("cdcd_published_records_total") or 0) > 100, "it publishes")
    try:
        assert server.stop(float(unit()["TimeoutStopSec"])) == 0, server.said()
    finally:
        load.stop()
    told.hears("STOPPING=1")
    until(lambda: not server.group(), "no process is left", 30)
    # OpenTransaction where one had been left behind.
    *_, newest = read_committed(fleet.bootstrap, [orders.position_topic])
    assert json.loads(newest.value)["epoch"] >= 1
    started(fleet)
    until(lambda: caught_up(orders), "the next one goes on from there")


def test_an_instance_alone_speaks_too(make_instance: MakeInstance, told: Systemd) -> None:
    instance = make_instance("alone")
    worker = instance.run()
    told.hears("READY=1")
    told.hears(rf"STATUS={instance.name}: running")
    assert worker.stop() == 0
    told.hears("STOPPING=1")


def _said(server: Server, event: str) -> int:
    return sum(line["event"] == event for line in server.log())


@pytest.mark.prove
def test_a_hanging_loop_is_not_fed_for(make_fleet: MakeFleet, mysql: MysqlServer, told: Systemd) -> None:
    """A fault in the supervisor's thread; the control thread lives, and must not say that all is well."""
    fleet = make_fleet(session=LASTING)
    server = started(fleet, failpoint="supervisor.after_spawn=hang")
    fleet.define(loaded_instance(fleet, "orders", mysql))
    until(lambda: server.get("/livez") != "ok\n", "it counts as hanging", 60)
    silent = told.count("WATCHDOG=1")
    for answers in (1, 2, 3):
        server.signal(signal.SIGHUP)
        until(lambda n=answers: told.count("RELOADING=1") == n, "the thread that hears signals goes on")  # type: ignore[misc]
    assert told.count("WATCHDOG=1") == silent


# ---------------------------------------------------------------- the unit


def unit() -> dict[str, str]:
    """Its [Service] section; of a name that stands twice the last."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT)
    return dict(parser["Service"])


needs_systemd = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="systemd-analyze: apt-get install systemd"
)


@needs_systemd
def test_exposure() -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(UNIT)]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    found = re.search(r"Overall exposure level for cdcd.service: ([\d.]+)", said)
    assert found, said
    assert float(found[1]) <= EXPOSURE


@needs_systemd
def test_systemd_understands_it(tmp_path: Path) -> None:
    installed = tmp_path / "cdcd.service"
    installed.write_text(UNIT.read_text().replace("/opt/cdcd/current/bin/cdcd", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", str(installed)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_a_stop_has_the_time_that_it_takes() -> None:
    fleet = FleetSettings()
    # Handing over, workers that have to be killed, the last words, Kafka's clients.
    assert float(unit()["TimeoutStopSec"]) >= fleet.stop_timeout + STOP_GRACE + 2 * FAREWELL + 10


def test_what_would_break_it_is_not_there() -> None:
    service = unit()
    assert "ProcSubset" not in service, "process_* metrics are read from /proc"
    assert service["KillMode"] == "mixed", "else workers are stopped before they are handed over"
    assert service["OOMPolicy"] == "continue"
    assert service["Type"] == "notify"
