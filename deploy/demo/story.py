"""The demo's script: a fleet of three servers carries a shop; a move, a kill in the middle of a huge transaction, a join."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import yaml
from rich.console import Console

from deploy.demo.overview import Overview
from deploy.demo.screen import Screen
from deploy.demo.shop import DATABASE, INSTANCES, Traffic, add_column, huge_transaction, open_shop
from deploy.rig.checks import Report
from deploy.rig.fleet import Fleet
from deploy.rig.gaps import longest_gap, published_at
from deploy.rig.process import plain_environment, until
from deploy.rig.source import BinlogPoint, Source
from deploy.rig.verify import Run, verify
from deploy.rig.worker import Instance, caught_up
from deploy.stack import Endpoints

HUGE = 60_000
SEED = 2026
SERVERS = ("ada", "bea", "cid")
LATER = "dan"
MOVED, KILLED = "orders", "prices"
"""The instance that is moved by hand, and the one whose server dies."""

_CDCCTL = "from cdcd.cli.cdcctl import run; run()"
# Parts of 1 MiB, so that the huge transaction is published in several and the kill falls between them. All read the same
# binlog, so they are said to weigh the same: what they would be measured to differ by for a moment is no reason to move.
_OVERRIDES = {"sink": {"commit": {"max_bytes": "1MiB"}}, "placement": {"weight": 1}}

_STEADY = {"cooldown": "60s", "max_moves": 1}


class Demo:
    """A fleet and a shop."""

    def __init__(self, stack: Endpoints, folder: Path, console: Console) -> None:
        mysql, kafka, zookeeper = stack.mysql, stack.kafka, stack.zookeeper
        assert mysql is not None
        assert kafka is not None
        assert zookeeper is not None
        self.source = Source(mysql.host, mysql.port, mysql.user, mysql.password, mysql.bin_dir / "mysqlbinlog")
        self.folder, self._console = folder, console
        self.fleet = Fleet(folder, zookeeper.hosts, kafka.bootstrap, scheduling=_STEADY, cluster="demo")
        self.start = BinlogPoint("", 0)
        self._spans: dict[str, tuple[str, float, float]] = {}
        """What was done -> the instance that it was done to, since and until when (Unix seconds)."""

    @property
    def settings(self) -> Path:
        """A settings file for cdcctl."""
        return self.folder / SERVERS[0] / "cdcd.toml"

    # ---------------------------------------------------------------- the story

    def play(self) -> None:
        """Everything that happens, up to all instances having published all of it."""
        open_shop(self.source)
        self.start = self.source.end_of_binlog()
        made = [self._instance(name, tables) for name, tables in INSTANCES.items()]
        for server in SERVERS:
            self.fleet.start(server)
        self.fleet.registered()
        traffic = Traffic(self.source, SEED)
        with Screen(self._console, self.fleet.bootstrap, Overview(self.fleet, list(INSTANCES))) as screen:
            self._balance(screen, made)
            traffic.start()
            screen.say("the shop opens")
            time.sleep(3)
            add_column(self.source)
            screen.say("DDL: customer_order has a new column, coupon")
            self._move(screen)
            self._kill(screen)
            self._join(screen)
            time.sleep(1)
            traffic.stop()
            screen.say(f"the shop closes after {traffic.transactions:,} transactions; waiting for the last messages")
            until(lambda: all(caught_up(instance) for instance in made), "all is published", every=0.3)

    def _instance(self, name: str, tables: tuple[str, ...]) -> Instance:
        start = {"gtid_set": self.source.executed()}
        return self.fleet.instance(name, self.source, DATABASE, tables, start=start, overrides=_OVERRIDES)

    def _balance(self, screen: Screen, made: list[Instance]) -> None:
        screen.say(f"three servers run: {', '.join(SERVERS)}; they elected {self.fleet.scheduler()} as the scheduler")
        definitions = self.folder / "shop.yaml"
        definitions.write_text(yaml.safe_dump_all((each.definition() for each in made), sort_keys=False))
        self._cdcctl(screen, "apply", "-f", str(definitions), "--wait")
        screen.say(f"balance: {self._placed()}")

    def _move(self, screen: Screen) -> None:
        here = self.fleet.runner(MOVED)
        there = next(server for server in SERVERS if server != here)
        began = time.time()
        self._cdcctl(screen, "move", MOVED, "--to", there)
        self._spans[f"move of {MOVED} from {here} to {there}"] = MOVED, began, time.time()

    def _kill(self, screen: Screen) -> None:
        """`kill -9` of a server with its workers, when part of a transaction is published."""
        huge_transaction(self.source, HUGE)
        screen.say(f"one transaction of {HUGE:,} rows is committed")
        victim = until(self._publishes_the_huge_one, "part of it is published", every=0.01)
        lost = self.fleet.placed()[victim]
        began = time.time()
        self.fleet.servers[victim].kill_all()
        screen.say(f"kill -9 of {victim} with its workers in the middle of it; it ran {', '.join(lost)}")
        until(lambda: all(self.fleet.runner(name) not in (None, victim) for name in lost), "they run elsewhere")
        self.fleet.running()
        self._spans[f"kill of {victim}, {lost[0]}"] = lost[0], began, time.time()
        screen.say(f"all run again after {time.time() - began:.1f} s: {self._placed()}")

    def _publishes_the_huge_one(self) -> str | None:
        """The server that is in the middle of it; asked each time, as the instance may just be moved for balance."""
        runner = self.fleet.runner(KILLED)
        published = f'cdcd_published_records_total{{sync_instance="{KILLED}"}}'
        return runner if runner and _published(self.fleet.servers[runner].metrics(), published) > HUGE / 20 else None

    def _join(self, screen: Screen) -> None:
        self.fleet.start(LATER)
        self.fleet.registered(LATER)
        began = time.time()
        screen.say(f"a new server joins: {LATER}")
        until(lambda: self._share() <= 1, "it has its share", 60, every=0.3)
        self.fleet.running()
        screen.say(f"it has its share after {time.time() - began:.1f} s: {self._placed()}")

    def _share(self) -> int:
        """How many instances more the fullest server has than the emptiest."""
        alive = self.fleet.tree.children("/servers")
        counts = [len(self.fleet.placed()[server]) for server in alive]
        return max(counts) - min(counts)

    def _placed(self) -> str:
        alive = self.fleet.tree.children("/servers")
        return "; ".join(f"{server}: {', '.join(self.fleet.placed()[server]) or 'nothing'}" for server in alive)

    def _cdcctl(self, screen: Screen, *arguments: str) -> None:
        """As an operator would, shown with what it prints."""
        command = [sys.executable, "-c", _CDCCTL, *arguments, "--config", str(self.settings)]
        shown = " ".join(Path(each).name if each.startswith("/") else each for each in arguments)
        screen.say(f"$ cdcctl {shown}")
        done = subprocess.run(command, env=plain_environment(), capture_output=True, text=True, check=False)
        for line in done.stdout.splitlines():
            screen.say(f"  {line}")
        if done.returncode:
            raise RuntimeError(f"cdcctl {shown} ended with {done.returncode}\n{done.stderr}{self.fleet.account()}")

    # ---------------------------------------------------------------- afterwards

    def gaps(self) -> list[str]:
        """How long nothing was published around each event, a line each."""
        lines = []
        for what, (name, began, ended) in self._spans.items():
            instance = self.fleet.instances[name]
            topics = [topic for topic in _run(instance, self.start).topics() if topic != instance.ddl_topic]
            gap = longest_gap(published_at(self.fleet.bootstrap, topics), began * 1000, ended * 1000)
            lines.append(f"{what}: nothing of it was published for {gap / 1000:.2f} s")
        return lines

    def verify(self) -> Iterator[tuple[str, Report]]:
        """Read all topics back and compare with the binlog and the tables."""
        runs = [_run(instance, self.start) for instance in self.fleet.instances.values()]
        with ProcessPoolExecutor(mp_context=get_context("forkserver")) as pool:
            yield from zip(self.fleet.instances, pool.map(_verified, runs), strict=True)

    def stop(self) -> None:
        """SIGTERM to all servers."""
        running = [server for server in self.fleet.servers.values() if server.poll() is None]
        for server in running:
            server.signal(signal.SIGTERM)
        for server in running:
            code = server.wait(60)
            if code:
                self._console.print(f"{server.id} ended with {code}\n{server.said()}")


def _published(series: dict[str, float], name: str) -> float:
    return sum(value for key, value in series.items() if key.startswith(name))


def _verified(run: Run) -> Report:
    return verify(run, statements=False)


def _run(instance: Instance, start: BinlogPoint) -> Run:
    return Run(
        instance.source, instance.bootstrap, DATABASE, instance.tables, instance.topic, instance.ddl_topic, start
    )  # fmt: skip
