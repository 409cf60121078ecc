"""What workers, and servers for their dead workers, do: docs/coordination.md, "Epoch and take-over" and "Hand-over".

Every step is atomic and steps of different workers interleave freely, so a pause is a worker that gets no turn. Two steps
of the protocol are one here because the lease makes them so: the last look at the lock and the dump command.
"""

from collections.abc import Callable, Collection, Iterator
from typing import Any

from tests.model.kafka import committed, initialised
from tests.model.state import DOWN, At, EpochNode, Lock, Record, Standby, State, Transaction, Worker
from tests.model.steps import Bounds, Invariant, Kind, Protection, Step


class Workers:
    """The workers, one a server."""

    def __init__(self, bounds: Bounds, without: Collection[Protection]) -> None:
        self._bounds = bounds
        self._without = frozenset(without)
        self._keep_before = "the position is read up to the watermark" in without
        self._steps: dict[At, Callable[[State, int, Worker], Iterator[Step]]] = {
            "standing by": self._standing_by,
            "waiting": self._waiting,
            "peeking": self._peeking,
            "claiming the epoch": self._claiming_the_epoch,
            "confirming": self._confirming,
            "fencing": self._fencing,
            "reading": self._reading,
            "claiming": self._claiming,
            "committing the claim": self._committing,
            "confirming the dump": self._confirming_the_dump,
            "streaming": self._streaming,
            "producing": self._producing,
            "checking the lease": self._checking_the_lease,
            "committing": self._committing,
            "unsure": self._unsure,
            "fenced": self._fenced,
            "releasing": self._releasing,
        }

    def steps(self, state: State) -> Iterator[Step]:
        for number, worker in enumerate(state.workers):
            if worker.at == "down":
                yield from self._down(state, number, worker)
            elif worker.at == "reaping":
                yield from self._reaping(state, number, worker)
            else:
                yield from self._failures(state, number, worker)
                yield from self._steps[worker.at](state, number, worker)

    def has(self, protection: Protection) -> bool:
        return protection not in self._without

    # ---------------------------------------------------------------- its life

    def _down(self, state: State, number: int, worker: Worker) -> Iterator[Step]:
        """What its server does while it does not run."""
        if worker.session == "left":
            yield from self._bury(state, number, worker)
        elif state.zookeeper.schedule.names(number) or not self.has("the schedule decides who runs"):
            yield from self._start(state, number)

    def _start(self, state: State, number: int) -> Iterator[Step]:
        schedule, standby = state.zookeeper.schedule, state.zookeeper.standby
        taken_over = number == schedule.server and schedule.next is not None and standby is not None
        if taken_over and self.has("no restart while a standby is to take over"):
            return
        broken = _if(taken_over, "no start beside a standby that is to take over")
        at: At = "standing by" if number == schedule.next else "waiting"
        yield _step(state, number, "starts", broken=broken, at=at, session="alive")

    def _bury(self, state: State, number: int, worker: Worker) -> Iterator[Step]:
        """Its server closes the session that a dead worker left; or that expires."""
        after = _put(_ended(state, number, worker), number, DOWN)
        yield Step(f"{number}: the session of the dead one ends", after)
        if not self.has("a dead worker's session is closed, not its lock deleted") and _owns(state, number, worker):
            yield _step(state, number, "its server sees the dead one's lock", at="reaping")

    def _reaping(self, state: State, number: int, worker: Worker) -> Iterator[Step]:
        """Mutation: `running` is deleted by its path, some time after it was looked at."""
        if worker.session == "left":
            yield _step(_ended(state, number, worker), number, "the session of the dead one expires", session="over")
        lock = state.zookeeper.lock
        others = lock is not None and not _owns(state, number, worker)
        after = _put(_ended(_unlocked(state), number, worker), number, DOWN)
        yield Step(
            f"{number}: its server deletes `running`", after, broken=_if(others, "nobody removes another's lock")
        )

    def _failures(self, state: State, number: int, worker: Worker) -> Iterator[Step]:
        if worker.session == "over":
            yield _exit(state, number, "its session is over")
        if state.seen.locks < self._bounds.locks:
            dead = DOWN._replace(session="left", holding=worker.holding) if worker.session == "alive" else DOWN
            yield Step(f"{number}: crashes ({worker.at})", _put(state, number, dead), Kind.FAILURE)
            if worker.session == "alive":
                after = _ended(state, number, worker)
                yield _step(after, number, f"its session expires ({worker.at})", Kind.FAILURE, session="over")

    # ---------------------------------------------------------------- lock and epoch

    def _standing_by(self, state: State, number: int, worker: Worker) -> Iterator[Step]:
        zookeeper = state.zookeeper
        if zookeeper.schedule.next != number:
            yield _exit(state, number, "is not next any more")
        elif zookeeper.standby is None and worker.session == "alive":
            standby = Standby(number, zookeeper.schedule.generation)
            after = state._replace(zookeeper=zookeeper._replace(standby=standby))
            yield _step(after, number, "creates the standby node", at="waiting")

    def _waiting(self, state: State, number: int, worker: Worker) -> Iterator[Step]:
        zookeeper = state.zookeeper
        if not zookeeper.schedule.names(number) and self.has("the schedule decides who runs"):
            yield _exit(state, number, "the schedule does not name its server")
        if not self.has("a waiting successor does not init") and zookeeper.lock is not None:
            yield from self._initialise(state, number, worker, "waiting")
        if worker.session != "alive":
            return
        if self._standby_is_stale(state, number):
            standby = Standby(number, zookeeper.schedule.generation)
            yield _step(
                state._replace(zookeeper=zookeeper._replace(standby=standby)), number, "renews its standby node"
            )
        if zookeeper.lock is None and (
            zookeeper.schedule.names(number) or not self.has("the schedule decides who runs")
        ):
            yield self._lock(state, number)

    def _standby_is_stale(self, state: State, number: int) -> bool:
        schedule, standby = state.zookeeper.schedule, state.zookeeper.standby
        if schedule.next != number or not self.has("the standby node carries the present generation"):
            return False
        return standby is None or (standby.worker == number and standby.generation != schedule.generation)

    def _lock(self, state: State, number: int) -> Step:
        """Step 1: create `running` and remove its own standby node, in one multi that also checks the schedule node."""
        zookeeper, holding = state.zookeeper, state.seen.locks + 1
        own = zookeeper.standby is not None and zookeeper.standby.worker == number
        removed = own and self.has("the taker of the lock removes its standby")
        czxid = zookeeper.czxid + 1
        after = zookeeper._replace(
            lock=Lock(number, holding, czxid), czxid=czxid, standby=None if removed else zookeeper.standby
        )
        locked = state._replace(zookeeper=after, seen=state.seen._replace(locks=holding))
        return _step(locked, number, f"takes the lock, holding {holding}", at="peeking", holding=holding)

    def _peeking(self, state: State, number: int, worker: Worker) -> Iterator[Step]:
        """Step 2, first half: what the epoch has to be above. The record is whichever is committed by now."""
        lock, node = state.zookeeper.lock, state.zookeeper.epoch
        if lock is None or not _owns(state, number, worker):
            yield _exit(state, number, "the lock is not its own")
            return
        above = [0]
        above += [node.value + 1] if self.has("the epoch is above the epoch node") else []
        above += [lock.czxid] if self.has("the epoch is above the lock's czxid") else []
        above += [state.kafka.record.epoch + 1] if self.has("the epoch is above the newest record") else []
        label = f"peeks: its epoch is to be {max(above)}"
        yield _step(state, number, label, at="claiming the epoch", epoch=max(above), version=node.version)

    def _claiming_the_epoch(self, state: State, number: int, worker: Worker) -> Iterator[Step]:
        """Step 2, second half: the epoch node, by compare-and-set, only upwards, and in the session that took the lock."""
        if worker.session == "over" and self.has("the epoch is claimed in the lock's session"):
            yield _exit(state, number, "its session is over")
            return
        node = state.zookeeper.epoch
        refused = node.version != worker.version or worker.epoch <= node.value
        if refused and self.has("the epoch is written by compare-and-set"):
            yield _step(state, number, "the epoch is refused: peeks again", at="peeking", epoch=0, version=0)
            return
        written = state.zookeeper._replace(epoch=EpochNode(worker.epoch, node.version + 1))
        falls = worker.epoch < node.value
        yield _step(
            state._replace(zookeeper=written), number, f"writes epoch {worker.epoch}",
            broken=_if(falls, "the epoch node only grows"), at="confirming", version=0,
        )  # fmt: skip

    # ---------------------------------------------------------------- taking over

    def _confirming(self, state: State, number: int, worker: Worker) -> Iterator[Step]:
        """Step 3, first half: is the lock still its own?"""
        if _owns(state, number, worker) or not self.has("lock and lease are checked before init"):
            read_first = not self.has("init comes before the position is read")
            yield _step(state, number, "the lock is its own", at="reading" if read_first else "fencing")
        else:
            yield _exit(state, number, "the lock is not its own")

    def _fencing(self, state: State, number: int, worker: Worker) -> Iterator[Step]:
        """Step 3, second half."""
        read_already = not self.has("init comes before the position is read")
        yield from self._initialise(state, number, worker, "claiming" if read_already else "reading")

    def _initialise(self, state: State, number: int, worker: Worker, then: At) -> Iterator[Step]:
        late = worker.late_inits + (not _owns(state, number, worker))
        broken = _if(late > 1 or not worker.holding, "without the lock at most one init and one commit")
        seen = state.seen._replace(fenced=max(state.seen.fenced, worker.holding))
        for kafka in initialised(state.kafka, number, verified=self.has("brokers verify transactions")):
            after = state._replace(kafka=kafka, seen=seen)
            label = "init_transactions" + (", a row of the old one lands later" if kafka.stray else "")
            yield _step(after, number, label, broken=broken, at=then, rows=0, late_inits=min(late, 1))

    def _reading(self, state: State, number: int, worker: Worker) -> Iterator[Step]:
        """Step 4: the newest position, up to the high watermark."""
        undecided = state.kafka.open is not None and state.kafka.open.record is not None
        if undecided and self.has("the position is read up to the watermark"):
            if self.has("an unreached watermark leads back to init"):
                yield _step(state, number, "does not reach the watermark", at="confirming")
            return
        records = [state.kafka.record]
        if not self.has("the position is read up to the watermark"):
            records.append(state.kafka.before)
        for record in dict.fromkeys(records):
            yield from self._compare(state, number, worker, record)

    def _compare(self, state: State, number: int, worker: Worker, record: Record) -> Iterator[Step]:
        newer = record.epoch > worker.epoch and self.has("a newer epoch's record ends the older owner")
        other = record.epoch == worker.epoch and record.holding != worker.holding
        if newer or (other and self.has("an equal epoch's record of another nonce ends the older owner")):
            yield _exit(state, number, f"the newest record is of epoch {record.epoch}, its own is {worker.epoch}")
            return
        then: At = "claiming" if self.has("the claim is committed before the dump") else "confirming the dump"
        if not self.has("init comes before the position is read"):
            then = "fencing"
        for position in self._positions(record):
            yield _step(state, number, f"goes on after row {position}", at=then, position=position)

    def _positions(self, record: Record) -> tuple[int, ...]:
        """Without a record the start has to be resolved: `latest` is wherever the source happens to be."""
        if record.epoch or not self._bounds.latest:
            return (record.position,)
        return 0, 1

    def _claiming(self, state: State, number: int, worker: Worker) -> Iterator[Step]:
        """Step 5: a transaction of a position record alone."""
        record = Record(worker.epoch, worker.position, worker.holding)
        sent = Transaction(worker.position, 0, record, worker.epoch, worker.holding)
        yield from self._produce(state, number, sent, "sends its claim", at="committing the claim")

    def _confirming_the_dump(self, state: State, number: int, worker: Worker) -> Iterator[Step]:
        """Step 6."""
        own = _owns(state, number, worker)
        if own or not self.has("the lock is checked before the dump"):
            start = worker.position if state.seen.start is None else state.seen.start
            after = state._replace(seen=state.seen._replace(start=start))
            broken = _if(not own, "no dump without the lock")
            yield _step(after, number, "asks for the dump", broken=broken, at="streaming", rows=0)
        else:
            yield _exit(state, number, "the lock is not its own")

    # ---------------------------------------------------------------- publishing

    def _streaming(self, state: State, number: int, worker: Worker) -> Iterator[Step]:
        """At a boundary: order to leave, order to hand over, or the next row."""
        schedule = state.zookeeper.schedule
        if not schedule.names(number) and self.has("the schedule decides who runs"):
            yield _exit(state, number, "the schedule does not name its server")
        if schedule.server == number and schedule.next is not None:
            ready = state.zookeeper.standby == Standby(schedule.next, schedule.generation)
            if ready or not self.has("the owner waits for the standby"):
                broken = _if(not ready, "no stop without a standby")
                yield _step(state, number, "stops reading, to hand over", broken=broken, at="releasing")
        if worker.position < self._bounds.rows:
            first = Transaction(worker.position, 1, None, worker.epoch, worker.holding)
            label = f"sends row {worker.position + 1}"
            yield from self._produce(state, number, first, label, at="producing", rows=1)

    def _producing(self, state: State, number: int, worker: Worker) -> Iterator[Step]:
        """Another row, or the position record."""
        sent = state.kafka.open or Transaction(
            worker.position + worker.rows, 0, None, worker.epoch, worker.holding
        )  # it timed out: the client begins another, and is fenced when it sends
        end = worker.position + worker.rows
        if end < self._bounds.rows:
            more = sent._replace(rows=sent.rows + 1)
            yield from self._produce(state, number, more, f"sends row {end + 1}", rows=worker.rows + 1)
        whole = sent._replace(record=Record(worker.epoch, end, worker.holding))
        if not self.has("rows and position are one transaction"):
            whole = sent
        yield from self._produce(state, number, whole, f"sends position {end}", at="checking the lease")

    @staticmethod
    def _produce(state: State, number: int, sent: Transaction, label: str, **changes: Any) -> Iterator[Step]:
        if state.kafka.current != number:
            yield _step(state, number, f"{label}: _FENCED", at="fenced")
        else:
            yield _step(state._replace(kafka=state.kafka._replace(open=sent)), number, label, **changes)

    def _checking_the_lease(self, state: State, number: int, worker: Worker) -> Iterator[Step]:
        own = _owns(state, number, worker)
        if own or not self.has("lock and lease are checked before each commit"):
            yield _step(state, number, "the lease holds", at="committing")
        else:
            yield _exit(state, number, "the lock is not its own")
        if own and state.seen.locks < self._bounds.locks:
            yield _step(
                state, number, "SUSPENDED: nothing is confirmed, takes over anew", Kind.FAILURE, at="confirming", rows=0
            )

    def _committing(self, state: State, number: int, worker: Worker) -> Iterator[Step]:
        """Of a claim or of rows; its answer may be lost, or the order be late."""
        kafka, claim = state.kafka, worker.at == "committing the claim"
        done: dict[str, Any] = {"at": "confirming the dump" if claim else "streaming"}
        done |= {"position": worker.position + worker.rows, "rows": 0}
        if kafka.current != number:
            yield _step(state, number, "commit: _FENCED", at="fenced")
        elif kafka.open is None:
            yield _step(state, number, "commit: done already", **done)
        else:
            after, broken = committed(state, keep_before=self._keep_before)
            late = worker.late_commits + (not claim and not _owns(state, number, worker))
            broken += _if(late > 1, "without the lock at most one init and one commit")
            done["late_commits"] = min(late, 1)
            yield _step(after, number, "commit", broken=broken, **done)
            unsure = {"at": "unsure", "late_commits": min(late, 1)}
            yield _step(after, number, "commit, the answer is lost", Kind.FAILURE, broken, **unsure)
            sent = state._replace(kafka=kafka._replace(late=True))
            yield _step(sent, number, "commit is under way, and takes too long", Kind.FAILURE, at="unsure")

    def _unsure(self, state: State, number: int, worker: Worker) -> Iterator[Step]:
        """The result of a commit is not known: back to step 3, with nothing kept from memory."""
        if not self.has("an unknown result leads to a new producer"):
            aborted = state._replace(kafka=state.kafka._replace(open=None)) if state.kafka.current == number else state
            record = aborted.kafka.record
            yield _step(aborted, number, "aborts, reads, goes on", at="streaming", position=record.position, rows=0)
        elif not self.has("an unknown result leads to the stored position"):
            yield from self._again(state, number, worker, worker.position)
        elif not self.has("an unknown result leads to the comparison of epochs"):
            yield from self._again(state, number, worker, state.kafka.record.position)
        else:
            yield _step(state, number, "does not know: takes over anew", at="confirming", rows=0)

    def _fenced(self, state: State, number: int, worker: Worker) -> Iterator[Step]:
        """By another worker, or by the coordinator after a time-out: the same."""
        if not self.has("being fenced leads to the stored position"):
            yield from self._again(state, number, worker, worker.position)
        elif not self.has("being fenced leads to the comparison of epochs"):
            yield from self._again(state, number, worker, state.kafka.record.position)
        else:
            yield _step(state, number, "is fenced: takes over anew", at="confirming", rows=0)

    def _again(self, state: State, number: int, worker: Worker, position: int) -> Iterator[Step]:
        """Mutation: a new producer, and on from `position` without claiming again."""
        for step in self._initialise(state, number, worker, "streaming"):
            yield step._replace(state=_changed(step.state, number, position=position))

    # ---------------------------------------------------------------- handing over

    def _releasing(self, state: State, number: int, worker: Worker) -> Iterator[Step]:
        """Remove `running` in one multi that checks standby, schedule and epoch node; refused, it takes over anew."""
        lock, standby, schedule = state.zookeeper.lock, state.zookeeper.standby, state.zookeeper.schedule
        ready = schedule.server == number and schedule.next is not None
        ready = ready and standby == Standby(schedule.next or 0, schedule.generation)
        own = lock is not None and state.zookeeper.epoch.value == worker.epoch
        may = own and (ready or not self.has("the release checks the standby"))
        if not may:
            yield _step(state, number, "the release is refused: takes over anew", at="confirming")
            return
        broken = _if(not ready, "no stop without a standby")
        broken += _if(not _owns(state, number, worker), "nobody removes another's lock")
        yield _exit(_unlocked(state), number, "has handed over", broken)


# ---------------------------------------------------------------- changes of a state


def _owns(state: State, number: int, worker: Worker) -> bool:
    """Whether ephemeralOwner of `running` is this worker's session."""
    lock = state.zookeeper.lock
    return lock is not None and (lock.worker, lock.holding) == (number, worker.holding)


def _unlocked(state: State) -> State:
    return state._replace(zookeeper=state.zookeeper._replace(lock=None))


def _ended(state: State, number: int, worker: Worker) -> State:
    """The worker's session is over: its ephemeral nodes are gone."""
    zookeeper = state.zookeeper
    if worker.session == "over":
        return state
    if _owns(state, number, worker):
        zookeeper = zookeeper._replace(lock=None)
    if zookeeper.standby is not None and zookeeper.standby.worker == number:
        zookeeper = zookeeper._replace(standby=None)
    return state._replace(zookeeper=zookeeper)


def _put(state: State, number: int, worker: Worker) -> State:
    workers = state.workers
    return state._replace(workers=(*workers[:number], worker, *workers[number + 1 :]))


def _changed(state: State, number: int, **changes: Any) -> State:
    return _put(state, number, state.workers[number]._replace(**changes))


def _step(
    state: State,
    number: int,
    label: str,
    kind: Kind = Kind.NORMAL,
    broken: tuple[Invariant, ...] = (),
    **changes: Any,
) -> Step:
    """One worker's step: `state` with these changes to the worker."""
    return Step(f"{number}: {label}", _changed(state, number, **changes), kind, broken)


def _exit(state: State, number: int, why: str, broken: tuple[Invariant, ...] = ()) -> Step:
    """The process ends and closes its session."""
    after = _put(_ended(state, number, state.workers[number]), number, DOWN)
    return Step(f"{number}: exits, {why}", after, broken=broken)


def _if(condition: bool, invariant: Invariant) -> tuple[Invariant, ...]:
    return (invariant,) if condition else ()
