"""The transaction coordinator and the topics: what becomes visible when, and which invariants that breaks."""

from collections.abc import Iterator

from tests.model.state import Kafka, Seen, State
from tests.model.steps import Invariant


def committed(state: State, *, keep_before: bool) -> tuple[State, tuple[Invariant, ...]]:
    """The open transaction becomes visible. `keep_before`: a reader may settle for the record before the newest."""
    kafka, seen, sent = state.kafka, state.seen, state.kafka.open
    assert sent is not None
    broken = tuple(dict.fromkeys(_broken(kafka, seen)))
    after = kafka._replace(open=None, rows=sent.base + sent.rows if sent.rows else kafka.rows)
    if sent.record is not None:
        after = after._replace(record=sent.record, before=kafka.record if keep_before else kafka.before)
        start = sent.record.position if seen.start is None else seen.start
        seen = seen._replace(epoch=max(seen.epoch, sent.epoch), claimed=max(seen.claimed, sent.holding), start=start)
    return state._replace(kafka=after, seen=seen), broken


def _broken(kafka: Kafka, seen: Seen) -> Iterator[Invariant]:
    sent = kafka.open
    assert sent is not None
    if sent.rows:
        if sent.base != (kafka.rows or seen.start or 0) or kafka.stray:
            yield "rows exactly once, in order"
        if sent.epoch < seen.epoch:
            yield "no older epoch after a newer one"
        if sent.holding < max(seen.claimed, seen.fenced):
            yield "no rows of an older holding after a newer one has begun"
    record = sent.record
    if sent.rows and (record is None or record.position != sent.base + sent.rows):
        yield "the position is that of the rows"
    if record and not sent.rows and record.position != (kafka.rows or seen.start or record.position):
        yield "the position is that of the rows"
    if record and record.epoch < kafka.record.epoch:
        yield "no older epoch after a newer one"
    if record and record.epoch == kafka.record.epoch and record.holding != kafka.record.holding:
        yield "one epoch, one holding"


def initialised(kafka: Kafka, worker: int, *, verified: bool) -> tuple[Kafka, ...]:
    """`init_transactions` of a worker's producer: others are fenced, what they left open is aborted.

    Brokers that do not verify transactions may also take a row of it afterwards, which then hangs until the next commit.
    """
    after = kafka._replace(current=worker, open=None, late=False)
    if verified or kafka.open is None or not kafka.open.rows:
        return (after,)
    return after, after._replace(stray=True)


def timed_out(kafka: Kafka) -> Kafka:
    """The coordinator aborts what is open too long and fences its producer."""
    return kafka._replace(current=None, open=None, late=False)
