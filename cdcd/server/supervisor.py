"""Keeps the worker processes as the schedule nodes want them. One thread; everything that happens comes to it by its inbox.

wishes (read by membership.py) ─┐
what workers say, and their ends ├──▶ inbox ──▶ slots ──▶ reconcile ──▶ start, stop, kill, forget
sessions closed (undertaker.py) ─┘
"""

import random
import time
from collections import Counter
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, Literal

import structlog

from cdcd.config.settings import Settings
from cdcd.errors import Stopped
from cdcd.fleet.nodes import InstanceLoad, StartFailure
from cdcd.fleet.planning.weights import measured_weight
from cdcd.observe.failpoints import Failpoint
from cdcd.observe.metrics import ServerMetrics
from cdcd.observe.registry import Registry
from cdcd.server.place import Place
from cdcd.server.processes import Forkserver, Gone, Heard, SpawnFailed, WorkerProcess
from cdcd.server.reconcile import (
    Action,
    End,
    Forget,
    Kill,
    Phase,
    Slot,
    Start,
    Stop,
    Wishes,
    noted,
    reconcile,
)
from cdcd.server.undertaker import Undertaker
from cdcd.worker.channel import Assignment, Farewell, Hello, Report
from cdcd.worker.stopping import StopSignal

TICK = 1.0
"""Seconds after which it looks around even if nothing happens."""
HANGS = 15.0
"""Seconds without a turn after which `/livez` says no; a first start waits for the forkserver to load its modules."""

NOTHING = Wishes({}, {})

_News = tuple[WorkerProcess, Heard] | Wishes | Settings | str | Literal[0]
"""What a worker said; what the schedule wants; new settings; the instance whose session is closed; 0: look around."""


class Supervisor:
    """The workers of this server. `run` returns when a stop was asked for and all of them are gone."""

    def __init__(
        self,
        *,
        settings: Settings,
        forkserver: Forkserver,
        undertaker: Undertaker,
        registry: Registry,
        stop: StopSignal,
        failpoint: Failpoint,
        successors: Callable[[], bool],
        changed: Callable[[], None],
    ) -> None:
        """`successors`: whether other servers live that can take over. `changed`: the load-balance node is out of date."""
        self.ticked = time.monotonic()
        self._settings = settings
        self._forkserver = forkserver
        self._undertaker = undertaker
        self._registry = registry
        self._stop = stop
        self._failpoint = failpoint
        self._successors = successors
        self._changed = changed
        self._inbox: SimpleQueue[_News] = SimpleQueue()
        self._wishes = NOTHING
        self._places: dict[str, Place] = {}
        self._phase: Phase = "running"
        self._leave_at = self._look_at = 0.0
        self._starts = self._crashes = self._lines_dropped = 0
        self._log = structlog.get_logger()

    # ---------------------------------------------------------------- asked by other threads

    def want(self, wishes: Wishes) -> None:
        """What the schedule nodes say now."""
        self._inbox.put(wishes)

    def use(self, settings: Settings) -> None:
        """For workers that are started from now on; all are told the log level."""
        self._inbox.put(settings)

    def wake(self) -> None:
        """Another look is due: at what `successors` says."""
        self._inbox.put(0)

    @property
    def names(self) -> frozenset[str]:
        """Instances whose schedule nodes it has to know, wherever they are scheduled."""
        return frozenset(list(self._places))

    def alive(self) -> bool:
        return time.monotonic() - self.ticked < HANGS

    @property
    def phase(self) -> Phase:
        return self._phase

    def load(self) -> tuple[dict[str, InstanceLoad], dict[str, StartFailure]]:
        """For the load-balance node: the instances on this server, and those that it gave up on."""
        places = list(self._places.values())
        failures = {place.instance: place.slot.failure for place in places}
        return (
            {place.instance: place.load() for place in places if place.here(stopping=self._phase != "running")},
            {name: failure for name, failure in failures.items() if failure is not None},
        )

    def status(self) -> list[dict[str, Any]]:
        return [place.status() for place in sorted(self._places.values(), key=lambda place: place.instance)]

    def roles(self) -> Counter[str]:
        """How many instances of each of cdcd.observe.metrics.ROLES."""
        return Counter(place.role for place in list(self._places.values()))

    def count(self, metrics: ServerMetrics) -> None:
        """Fill in what it knows."""
        metrics.server_instances.update(self.roles())
        weights = [measured_weight(place.load()) for place in list(self._places.values()) if place.role == "owner"]
        metrics.server_load = sum(weights) / self._settings.fleet.capacity
        metrics.server_stopping = int(self._phase != "running")
        metrics.worker_starts, metrics.worker_crashes = self._starts, self._crashes
        metrics.log_lines_dropped += self._lines_dropped

    # ---------------------------------------------------------------- the loop

    def run(self) -> None:
        try:
            self._stop.wakes(self.wake)
        except Stopped:
            self._log.info("server.stopping", reason="asked to stop before anything ran")
        while self._phase != "leaving" or any(
            place.slot.alive or place.slot.burying for place in self._places.values()
        ):
            self._turn()

    def _turn(self) -> None:
        self.ticked = time.monotonic()
        if self._listen() or time.monotonic() >= self._look_at:
            self._look(time.monotonic())

    def _listen(self) -> bool:
        """Take in what has come, waiting for it if nothing has. False: nothing that could call for an action."""
        try:
            news = self._take(self._inbox.get(timeout=max(0.0, self._look_at - time.monotonic())))
        except Empty:
            return True
        while not self._inbox.empty():
            news |= self._take(self._inbox.get())
        return news

    def _look(self, now: float) -> None:
        self._forkserver.keep_ready()
        self._phase = self._next_phase(now)
        self._reconcile(now)
        waits = [place.slot.retry_at for place in self._places.values() if not place.slot.alive]
        self._look_at = min([now + TICK, *(at for at in waits if at > now)])

    def _next_phase(self, now: float) -> Phase:
        if not self._stop.asked or self._phase == "leaving":
            return self._phase
        if self._phase == "running":
            self._leave_at = now + self._settings.fleet.stop_timeout
            self._changed()
        running = [place.instance for place in self._places.values() if place.slot.alive]
        if running and now < self._leave_at and self._successors():
            return "handing_over"
        self._log.info("server.leaving", reason=f"workers to stop: {len(running)}", left=sorted(running)[:20])
        return "leaving"

    def _take(self, news: _News) -> bool:
        match news:
            case Wishes():
                self._wishes = news
            case Settings():
                self._settings = news
                for process in (place.process for place in self._places.values() if place.process):
                    process.log_at(news.log_level)
            case str():
                self._places[news].slot = self._places[news].slot.buried()
            case (WorkerProcess() as process, heard):
                place = self._places.get(process.instance)
                return place is not None and place.process is process and self._heard(place, heard)
        return True

    def _heard(self, place: Place, heard: Heard) -> bool:
        match heard:
            case Hello():
                place.hello = heard
            case Farewell():
                place.farewell = heard
            case Report():
                self._lines_dropped += place.dropped(heard)
                if place.reported(heard, time.monotonic()):
                    self._changed()
                if place.publishing:
                    place.slot = place.slot.published(time.monotonic())
            case Gone():
                self._gone(place, heard.code)
                return True
        return False

    def _gone(self, place: Place, code: int | None) -> None:
        dirty = place.hello is not None and (place.farewell is None or code != 0)
        end = End(place.farewell, code, time.time(), bury=dirty)
        jitter = random.uniform(0.75, 1.25)  # noqa: S311 - spreads restarts, no secret
        asked = place.slot.stop_asked is not None
        place.ended(place.slot.ended(end, time.monotonic(), jitter, self._settings.fleet.start_attempts))
        if end.farewell is None and not asked:
            self._crashes += 1
            self._note("error", "worker.crashed", place.instance, str(end.finding), attempts=place.slot.attempts)
        else:
            reason = end.farewell.reason if end.farewell else "it was killed"
            self._note("info", "worker.ended", place.instance, f"{end.ending}: {reason}")
        if place.slot.failure is not None:
            self._note("error", "worker.given_up", place.instance, place.slot.failure.reason)
        self._undertaker.bury(
            place.instance, place.hello if dirty else None, end, lambda: self._inbox.put(place.instance)
        )
        self._changed()

    # ---------------------------------------------------------------- actions

    def _reconcile(self, now: float) -> None:
        slots = {name: place.slot for name, place in self._places.items()}
        for name, slot in noted(slots, self._wishes):
            self._places[name].slot = slots[name] = slot
        for action in reconcile(self._settings.server_id, self._wishes, slots, now, phase=self._phase):
            self._act(action)

    def _act(self, action: Action) -> None:
        name = action.instance
        match action:
            case Start():
                self._start(action)
            case Stop():
                place = self._places[name]
                place.slot = place.slot.told_to_stop(time.monotonic())
                self._note("info", "worker.stopping", name, action.reason)
                if place.process:
                    place.process.stop()
            case Kill():
                self._note("warning", "worker.killed", name, action.reason)
                if process := self._places[name].process:
                    process.kill()
            case Forget():
                self._note("info", "instance.left", name, action.reason)
                self._registry.remove(name)
                del self._places[name]
                self._changed()

    def _start(self, action: Start) -> None:
        name, node = action.instance, action.node
        place = self._places.get(name)
        if place is None:
            place = self._places[name] = Place(name, Slot(node.generation), self._settings.fleet.rate_window)
            self._registry.add(name, lambda: place.shown(time.monotonic()))
        assignment = Assignment(name, self._settings, node.server_id, node.restarts)
        place.slot = place.slot.started(node)
        try:
            place.started(self._forkserver.start(assignment, lambda process, heard: self._inbox.put((process, heard))))
        except SpawnFailed as error:
            self._note("error", "worker.not_started", name, str(error))
            self._gone(place, None)
            return
        self._starts += 1
        self._failpoint("supervisor.after_spawn")
        self._note("info", "worker.started", name, action.reason, pid=place.process.pid if place.process else None)
        self._changed()

    def _note(self, level: str, event: str, instance: str, reason: str, **more: object) -> None:
        getattr(self._log, level)(event, sync_instance=instance, reason=reason, **more)
