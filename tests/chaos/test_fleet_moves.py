"""Must-show 4.3: moves under load, and a successor that cannot start."""

import time

import pytest

from deploy.rig.fleet import Fleet
from deploy.rig.process import until
from tests.chaos.fleet_moves import BIG_FILE_MIB, Moves, figures_of, grow_binlog
from tests.fleets import MakeFleet
from tests.instances import Figures, source_of
from tests.servers import MysqlFactory, MysqlServer

MEDIAN_MS, LONGEST_MS = 300, 1000


def _started(make_fleet: MakeFleet) -> Fleet:
    fleet = make_fleet(scheduling={"max_moves": 0})  # nothing moves but what is asked for
    for server in ("s1", "s2"):
        fleet.start(server)
    fleet.registered()
    return fleet


@pytest.mark.must_show("4.3")
def test_moves_lose_and_repeat_nothing(make_fleet: MakeFleet, mysql: MysqlServer, figures: Figures) -> None:
    moves = Moves(_started(make_fleet), source_of(mysql), "moved")
    for _ in range(4):
        moves.move()
    report = moves.finish()
    figures(figures_of(moves.gaps(), report))


@pytest.mark.prove
@pytest.mark.must_show("4.3")
@pytest.mark.timeout(1800)
def test_fifty_moves(make_fleet: MakeFleet, mysql_server: MysqlFactory, figures: Figures) -> None:
    """The last ten at the end of a binlog file of 1 GiB."""
    server = mysql_server(max_binlog_size=1 << 30, max_allowed_packet=64 << 20)
    source = source_of(server)
    moves = Moves(_started(make_fleet), source, "moved")
    for _ in range(40):
        moves.move()
    grow_binlog(source, BIG_FILE_MIB)
    until(
        lambda: (moves.fleet.status("moved").get("lag_seconds") or 0.0) < 1,
        "it has passed over what fills the file",
        120,
    )
    for _ in range(10):
        moves.move()
    point, report = source.end_of_binlog(), moves.finish()
    gaps = moves.gaps()
    figures({**figures_of(gaps, report), "file_mib": point.offset >> 20, "gaps_in_big_file_ms": gaps[-10:]})
    assert point.offset >> 20 >= BIG_FILE_MIB - 10
    assert sorted(gaps)[len(gaps) // 2] <= MEDIAN_MS, gaps
    assert max(gaps) <= LONGEST_MS, gaps


@pytest.mark.must_show("4.3")
def test_an_owner_whose_successor_cannot_start_goes_on(
    make_fleet: MakeFleet, mysql: MysqlServer, figures: Figures
) -> None:
    """The credential is missing on the other server: the move is given up, the owner never stops."""
    fleet = _started(make_fleet)
    moves = Moves(fleet, source_of(mysql), "kept")
    here, pid = fleet.runner("kept"), fleet.worker_pid("kept")
    there = next(server for server in fleet.servers if server != here)
    fleet.withhold(there, "kept")
    asked = time.time() * 1000
    fleet.move("kept", there)
    until(lambda: there in fleet.schedule("kept").get("failed", {}), f"the failure is told\n{fleet.account('kept')}")
    assert fleet.schedule("kept")["server"] == here
    until(lambda: fleet.schedule("kept").get("next") is None, "the hand-over is given up")
    assert (fleet.runner("kept"), fleet.worker_pid("kept")) == (here, pid)
    failure = fleet.schedule("kept")["failed"][there]
    report = moves.finish()
    assert fleet.worker_pid("kept") == pid
    figures({"failure": failure["code"], "longest_gap_ms": moves.gap_since(asked), **report.verdicts})
