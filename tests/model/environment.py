"""What happens without the workers' doing: the scheduler's decisions, time-outs, late messages, a ZooKeeper built anew."""

from collections.abc import Collection, Iterator

from tests.model.kafka import committed, timed_out
from tests.model.state import DOWN, Schedule, State, Worker, ZooKeeper
from tests.model.steps import Bounds, Kind, Protection, Step


class Environment:
    """Everything but the workers."""

    def __init__(self, bounds: Bounds, without: Collection[Protection]) -> None:
        self._bounds = bounds
        self._keep_before = "the position is read up to the watermark" in without

    def steps(self, state: State) -> Iterator[Step]:
        yield from self._coordinator(state)
        yield from self._rebuild(state)
        yield from self._scheduler(state)

    def _coordinator(self, state: State) -> Iterator[Step]:
        kafka = state.kafka
        if kafka.late:
            arrived = state._replace(kafka=kafka._replace(late=False))
            if kafka.open is None:
                yield Step("a late EndTxn finds nothing", arrived, Kind.FAILURE)
            else:
                after, broken = committed(arrived, keep_before=self._keep_before)
                yield Step("a late EndTxn commits", after, Kind.FAILURE, broken)
        if kafka.open is not None:
            yield Step("the transaction times out", state._replace(kafka=timed_out(kafka)), Kind.TIMEOUT)

    def _rebuild(self, state: State) -> Iterator[Step]:
        """All is gone, and transaction ids begin anew; what operators and the scheduler write is put there again."""
        zookeeper = state.zookeeper
        if zookeeper.rebuilds and state.seen.locks:
            empty = ZooKeeper(zookeeper.schedule, rebuilds=zookeeper.rebuilds - 1)
            workers = tuple(_without_session(worker) for worker in state.workers)
            yield Step("ZooKeeper is built anew", state._replace(zookeeper=empty, workers=workers), Kind.FAILURE)

    def _scheduler(self, state: State) -> Iterator[Step]:
        schedule, lock = state.zookeeper.schedule, state.zookeeper.lock
        for label, after, kind in self._decisions(schedule, lock.worker if lock else None, state.workers):
            yield Step(label, state._replace(zookeeper=state.zookeeper._replace(schedule=after)), kind)

    def _decisions(
        self, schedule: Schedule, runner: int | None, workers: tuple[Worker, ...]
    ) -> Iterator[tuple[str, Schedule, Kind]]:
        server, following, generation = schedule
        others = [each for each in range(len(workers)) if each != server]
        if following is None and generation < self._bounds.handovers:
            for each in others:
                yield f"scheduler: next = {each}", Schedule(server, each, generation + 1), Kind.NORMAL
        if following is not None:
            if runner == following:
                yield f"scheduler: server = {following}", Schedule(following, None, generation), Kind.NORMAL
            yield "scheduler: gives the hand-over up", Schedule(server, None, generation), Kind.GIVEN_UP
        if workers[server].session == "over":  # taken for the server's own as well
            for each in others:
                yield f"scheduler: {server} is dead, server = {each}", Schedule(each, None, generation), Kind.GIVEN_UP


def _without_session(worker: Worker) -> Worker:
    if worker.at == "down":
        return DOWN
    return worker._replace(session="over")
