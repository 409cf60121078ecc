"""Must-show 3.5 on MariaDB: kill -9 loses and repeats nothing where positions are `domain-server-sequence`."""

import os

import pytest

from deploy.rig.load import Shape
from tests.chaos.kill_loop import FAILPOINTS, Faults, KillLoop, judged
from tests.chaos.test_kill import SMALL_PARTS
from tests.instances import Figures, MakeInstance, source_of
from tests.servers import MariadbFactory

SEED = int(os.environ.get("CHAOS_SEED", "20261123"))
FEW = ("source.mid_event", "txn.after_gtid", "kafka.before_commit", "big_txn.between_parts")


@pytest.mark.timeout(300)
def test_kills_lose_and_repeat_nothing(make_instance: MakeInstance, mariadb: MariadbFactory) -> None:
    instance = make_instance("maria", source=source_of(mariadb("10.11")), overrides={"sink": SMALL_PARTS})
    judged(
        KillLoop(instance, SEED, Faults(2, FEW, ()), Shape(huge_rows=8_000, huge_every=40)), "test_mariadb", instance
    )


@pytest.mark.prove
@pytest.mark.must_show("3.5")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("version", ["10.5", "10.11", "11.8"])
def test_kills_and_failpoints(
    make_instance: MakeInstance, mariadb: MariadbFactory, figures: Figures, version: str
) -> None:
    instance = make_instance("maria30", source=source_of(mariadb(version)), overrides={"sink": SMALL_PARTS})
    loop = KillLoop(instance, SEED, Faults(10, FAILPOINTS), Shape(huge_rows=20_000, huge_every=60))
    figures(judged(loop, f"test_mariadb_{version}", instance).figures | {"server": f"MariaDB {version}"})
