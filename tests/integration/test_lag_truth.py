"""The lag truth table: what a published figure must be, reckoned from our own clock and the server's own answers, beside
what it is, in every situation that fools others.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

from deploy.rig.process import until
from deploy.rig.worker import Instance, Worker
from tests.fleets import MakeFleet, loaded_instance
from tests.instances import Figures, MakeInstance
from tests.other_clock import other_clock
from tests.servers import KafkaFactory, KafkaServer, MysqlServer

pytestmark = pytest.mark.must_show("6.1")

ROW_BYTES = 60_000
HUGE_ROWS = 400
WRITING = 5.0
"""Seconds of changes that are filtered out."""
MARGIN = 0.5
"""Seconds: how exactly clocks are compared, and a step of a waiting pump."""


@dataclass(frozen=True)
class Committed:
    """Between these two moments of our clock the server committed."""

    before: float
    after: float


@dataclass(frozen=True)
class Line:
    """One line of the table: what each figure must be at least and at most, and what was published."""

    situation: str
    seconds: tuple[float, float]
    published_seconds: float
    bytes: int | None
    published_bytes: float | None
    transactions: int | None
    published_transactions: float | None
    said: str

    def check(self) -> None:
        low, high = self.seconds
        assert low - MARGIN <= self.published_seconds <= high + MARGIN, self
        assert (self.published_bytes, self.published_transactions) == (self.bytes, self.transactions), self


class Scene:
    """An instance on a source of which nothing else is read, and what its worker publishes of itself."""

    def __init__(self, instance: Instance, kafka: KafkaServer, setting: "Setting") -> None:
        self.instance = instance
        self.setting = setting
        self.kafka = kafka
        self.source = instance.source
        self.lines: list[Line] = []
        self.worker: Worker
        self.source.run(
            f"CREATE DATABASE `{instance.database}`",
            f"CREATE TABLE `{instance.database}`.seen (id INT PRIMARY KEY AUTO_INCREMENT, v MEDIUMTEXT)",
            f"CREATE TABLE `{instance.database}`.unseen (id INT PRIMARY KEY AUTO_INCREMENT, v TEXT)",
        )

    def commit(self, table: str = "seen", rows: int = 1, size: int = 10) -> Committed:
        before = time.time()
        values = ", ".join([f"(REPEAT('x', {size}))"] * rows)
        self.source.run(f"INSERT INTO `{self.instance.database}`.`{table}` (v) VALUES {values}")
        return Committed(before, time.time())

    def figure(self, name: str) -> float | None:
        return self.worker.metric(f"cdcd_{name}")

    def status(self) -> dict[str, Any]:
        return dict((self.worker.status() or {"instances": [{}]})["instances"][0])

    def told(self) -> set[str]:
        """What the preflight, which runs beside every instance that begins, has found."""
        return {line["finding"] for line in self.worker.log() if line["event"] == "preflight.finding"}

    def behind(self) -> tuple[int, int]:
        """(bytes, transactions) between the stored position and the end, by the server's own answers."""
        position, end = self.status().get("position"), self.source.end_of_binlog()
        if position is None or position["file"] != end.file:  # not stored yet: all of this fits into one file
            return -1, -1
        left = self.source.value(f"SELECT GTID_SUBTRACT(@@GLOBAL.gtid_executed, '{position['gtid_set']}')")
        ranges = [part.split("-") for part in left.replace("\n", "").split(":")[1:]]
        return end.offset - position["offset"], sum(int(each[-1]) - int(each[0]) + 1 for each in ranges)

    def note(self, situation: str, oldest: Committed | None) -> Line:
        """`oldest`: the commit that readers have waited for longest. Bytes and transactions are asked every 5 s."""

        def as_expected() -> tuple[int, int] | None:
            expected = self.behind()
            stored = oldest is not None or expected == (0, 0)  # what nobody waits for is stored at last
            known = expected == (self.figure("lag_bytes"), self.figure("lag_transactions"))
            return expected if stored and known else None

        bytes_, transactions = until(as_expected, f"{situation}: bytes and transactions as the server says", 60, 0.2)
        asked = time.time()
        seconds = self.figure("lag_seconds")
        answered = time.time()
        assert seconds is not None
        low, high = (asked - oldest.after, answered - oldest.before) if oldest else (0.0, 0.0)
        said = str(self.status()["activity"])
        figures = (self.figure("lag_bytes"), self.figure("lag_transactions"))
        line = Line(situation, (low, high), seconds, bytes_, figures[0], transactions, figures[1], said)
        self.lines.append(line)
        line.check()
        return line

    @contextmanager
    def kafka_away(self) -> Iterator[None]:
        self.kafka.stack.signal("broker-1", signal.SIGSTOP)
        try:
            yield
        finally:
            self.kafka.stack.signal("broker-1", signal.SIGCONT)

    def caught_up(self) -> None:
        until(lambda: self.figure("lag_seconds") == 0, "it is caught up")


@dataclass(frozen=True)
class Setting:
    """What the table is drawn up for."""

    skew: int
    """Seconds by which cdcd's own clock is ahead of ours and the source's."""
    delivery: str = "exactly_once"
    whole: bool = True
    """Else the two situations that take least time."""


@pytest.fixture
def scene(
    make_instance: MakeInstance, kafka_server: KafkaFactory, tmp_path: Path, request: pytest.FixtureRequest
) -> Scene:
    setting: Setting = request.param
    kafka = kafka_server()
    instance = make_instance(
        "lag",
        bootstrap=kafka.bootstrap,
        tables=("seen",),
        settings=other_clock(tmp_path, setting.skew),
        overrides={"sink": {"delivery": setting.delivery, "commit": {"max_bytes": "4MiB"}}},
    )
    made = Scene(instance, kafka, setting)
    instance.start = {"gtid_set": made.source.executed()}
    made.commit()  # waits already when the worker begins, before it can have looked at clocks beside its work
    made.worker = instance.run(failpoint="big_txn.between_parts=sleep:1.5")
    return made


@pytest.mark.parametrize(
    "scene",
    [
        pytest.param(Setting(300, whole=False), id="short"),
        pytest.param(Setting(300), id="ahead", marks=pytest.mark.prove),
        pytest.param(Setting(-300, "at_least_once"), id="behind", marks=pytest.mark.prove),
        pytest.param(Setting(0), id="same", marks=pytest.mark.prove),
    ],
    indirect=True,
)
def test_the_table(scene: Scene, figures: Figures) -> None:
    until(lambda: scene.figure("source_clock_offset_seconds") is not None, "the clock is compared")
    assert scene.figure("source_clock_offset_seconds") == pytest.approx(-scene.setting.skew, abs=MARGIN)
    scene.commit()
    scene.caught_up()
    assert scene.note("idle source", None).said == "caught up"
    _blocked(scene)
    if scene.setting.whole:
        scene.note("Kafka is back", None)
        _filtered(scene)
        _huge(scene)
    assert 0 < (scene.figure("end_to_end_latency_seconds_sum") or 0) < 200, "latencies are free of the clock's offset"
    assert (scene.figure("source_purge_headroom_seconds") or 0) > 0
    until(lambda: scene.told() >= {"binlog-not-synced", "redo-not-synced"}, "what the preflight found is told")
    figures({**asdict(scene.setting), "table": [asdict(line) for line in scene.lines]})
    assert scene.worker.stop() == 0, scene.worker.said()


def _filtered(scene: Scene) -> None:
    """Nothing of what the source writes is published."""
    ended, highest = threading.Event(), 0.0

    def write() -> None:
        while not ended.is_set():
            scene.commit("unseen")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        until_then = time.monotonic() + WRITING
        while time.monotonic() < until_then:
            highest = max(highest, scene.figure("lag_seconds") or 0.0)
    finally:
        ended.set()
        writer.join()
    assert highest < WRITING / 2, "it does not grow with the time since something was published"
    scene.caught_up()
    scene.note("everything filtered out", None)


def _blocked(scene: Scene) -> None:
    with scene.kafka_away():
        oldest = scene.commit()
        scene.commit()
        until(lambda: scene.status()["state"] == "blocked", "it says so", 20)
        line = scene.note("Kafka stopped in its tracks", oldest)
        assert line.said.startswith("blocked on Kafka for ")
        assert (scene.figure("blocked_seconds_total") or 0) > 0
        assert (
            scene.worker.metrics()[f'cdcd_instance_state{{state="blocked",sync_instance="{scene.instance.name}"}}'] == 1
        )
    scene.caught_up()
    assert scene.status()["state"] == "running"


def _huge(scene: Scene) -> None:
    oldest = scene.commit(rows=HUGE_ROWS, size=ROW_BYTES)
    until(
        lambda: scene.status()["activity"].startswith("in a transaction of 24.0 MB, "), "it says where it is", 20, 0.2
    )
    asked = time.time()
    status = scene.status()
    answered = time.time()
    line = Line(
        "in a huge transaction",
        (asked - oldest.after, answered - oldest.before),
        status["lag_seconds"],
        None,
        None,
        None,
        None,
        status["activity"],
    )
    scene.lines.append(line)
    line.check()
    assert status["state"] == "running"
    scene.caught_up()
    scene.note("after it", None)


@pytest.mark.prove
def test_a_worker_that_is_stopped_in_its_tracks(make_fleet: MakeFleet, mysql: MysqlServer, figures: Figures) -> None:
    """Its server goes on to answer for it. The source's commits are not known to either, so the lag is the time since all
    was published.
    """
    fleet = make_fleet(fleet={"start_attempts": 1})
    instance = loaded_instance(fleet, "frozen", mysql)
    server = fleet.start("a")
    fleet.registered("a")
    fleet.define(instance)
    series = 'cdcd_lag_seconds{sync_instance="frozen"}'
    until(lambda: server.metrics().get(series) == 0, "it is caught up", 60)
    (worker,) = [each["pid"] for each in (server.status() or {})["instances"]]
    before = time.time()
    os.kill(worker, signal.SIGSTOP)
    after = time.time()
    try:
        until(lambda: server.metrics().get(series, 0) > 14, "its lag grows", 60, every=0.5)
        asked = time.time()
        published = server.metrics()[series]
        expected = (asked - after - 6, time.time() - before)  # a quiet worker's last report may be 5 s old
        assert expected[0] - MARGIN <= published <= expected[1] + 5 + MARGIN
        figures({"situation": "stopped worker", "seconds": expected, "published_seconds": published})
    finally:
        os.kill(worker, signal.SIGCONT)
