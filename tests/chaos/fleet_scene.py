"""An instance of a fleet under load: what is done to the fleet meanwhile may lose, double and disorder nothing."""

from collections.abc import Iterator
from contextlib import contextmanager

from deploy.rig.checks import Report
from deploy.rig.fleet import Fleet
from deploy.rig.load import Load, Shape
from deploy.rig.topics import committed, topics_like
from deploy.rig.verify import Run, verify
from deploy.rig.worker import Instance, caught_up, until
from tests.chaos.artefacts import kept_on_failure
from tests.chaos.kill_loop import positions, run_of
from tests.fleets import loaded_instance
from tests.servers import MysqlServer

SHAPE = Shape(sessions=2, rate=25.0, huge_rows=4_000, huge_every=150, ddl_every=0)
SEED = 4


class Scene:
    """One instance, its load, and what is looked at while it runs."""

    def __init__(self, fleet: Fleet, name: str, mysql: MysqlServer, shape: Shape = SHAPE) -> None:
        self.fleet = fleet
        self.instance: Instance = loaded_instance(fleet, name, mysql)
        self.run: Run = run_of(self.instance, self.instance.source.end_of_binlog())
        self.load = Load(self.instance.source, self.instance.database, SEED, shape)

    @property
    def name(self) -> str:
        return self.instance.name

    @property
    def runner(self) -> str:
        """Server whose worker holds the lock; somebody has to."""
        return until(lambda: self.fleet.runner(self.name), f"somebody runs {self.name}")

    @property
    def epoch(self) -> int:
        return int(self.fleet.tree.content(f"/state/{self.name}/epoch")["epoch"])

    def lock_owner(self) -> int:
        """Id of the session that holds the lock; 0: none does."""
        node = self.fleet.tree.node(f"/state/{self.name}/running")
        return node.owner if node else 0

    def published(self) -> int:
        """How many messages a read_committed consumer can see."""
        topics = [topic for topic in self.run.topics() if topics_like(self.run.bootstrap, topic)]
        return committed(self.run.bootstrap, topics) if topics else 0

    def publishes_on(self, timeout: float = 40) -> None:
        """Wait until something is published that was not a moment ago."""
        before = self.published()
        try:
            until(lambda: self.published() > before, "something new is published", timeout, every=0.2)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.fleet.account(self.name)}") from None

    def close(self) -> Report:
        """Bring the load to rest, wait until all is published, and judge it."""
        history = self.load.stop()
        try:
            until(lambda: caught_up(self.instance), "all is published", 60, every=0.3)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.fleet.account(self.name)}") from None
        report = verify(self.run, history)
        assert report.passed, report.account()
        records = positions(self.instance)
        epochs = [int(record["epoch"]) for record in records]
        assert epochs == sorted(epochs), "a position of an older epoch stands after one of a newer one"
        assert len({(record["epoch"], record["nonce"]) for record in records}) == len(set(epochs))
        assert records[-1]["seq"] == report.messages, "the numbers of the messages are not those of the position"
        return report


@contextmanager
def under_load(fleet: Fleet, name: str, mysql: MysqlServer, scenario: str, shape: Shape = SHAPE) -> Iterator[Scene]:
    """The fleet's servers run; the instance is defined and publishes. Artefacts are kept when the test fails."""
    scene = Scene(fleet, name, mysql, shape)
    with kept_on_failure(scenario, SEED, scene.run, fleet.folder, scene.load):
        fleet.define(scene.instance)
        scene.load.start()
        fleet.running(name)
        yield scene
