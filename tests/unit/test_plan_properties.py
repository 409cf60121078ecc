"""What holds of every plan, whatever the fleet looks like."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from cdcd.fleet.nodes import FailedServer, InstanceLoad, Parked, Request, Schedule, StartFailure
from cdcd.fleet.plan import Plan, PlannedInstance, PlannedServer, Policy, plan

NOW = 100_000.0
SERVERS = ["a", "b", "c", "d", "e"]
INSTANCES = [f"i{number}" for number in range(8)]
CODES = ["worker-crashed", "position-purged", "credential-missing", "source-unreachable"]
NAMES = st.sampled_from([*SERVERS, "gone"])
TIMES = st.floats(NOW - 2000, NOW + 2000)
LABELS = st.sampled_from([{}, {}, {}, {"zone": "y"}, {"zone": "z"}, {"server": "a"}])

LOADS = st.builds(
    InstanceLoad,
    state=st.just("running"),
    rows_per_second=st.floats(0, 1e6),
    bytes_per_second=st.floats(0, 1e8),
    measured=st.sampled_from([0.0, 5.0, 100.0]),
    lag_seconds=st.none() | st.floats(0, 1000),
)
FAILURES = st.builds(
    StartFailure,
    code=st.sampled_from(CODES),
    kind=st.sampled_from(["retry", "operator"]),
    reason=st.just("it failed"),
    remedy=st.just("mend it"),
    at=TIMES,
    attempts=st.just(5),
    generation=st.integers(1, 3),
)
FLEET_SERVERS = st.builds(
    PlannedServer,
    alive=st.sampled_from([True, True, True, False]),
    since=st.floats(0, NOW),
    capacity=st.sampled_from([0.5, 1.0, 4.0, 16.0]),
    labels=st.sampled_from([{}, {"zone": "y"}, {"zone": "z"}]),
    max_instances=st.none() | st.integers(0, 4),
    draining=st.sampled_from([False, False, False, True]),
    versions=st.sampled_from([(1,), (1, 2)]),
    instances=st.dictionaries(st.sampled_from(INSTANCES), LOADS, max_size=8),
    failures=st.dictionaries(st.sampled_from(INSTANCES), FAILURES, max_size=2),
)
REQUESTS = st.builds(
    Request,
    id=st.just("r"),
    kind=st.sampled_from(["move", "restart", "set_position"]),
    by=st.just("ann"),
    at=TIMES,
    server=st.none() | NAMES,
)
FLEET_INSTANCES = st.builds(
    PlannedInstance,
    changed=st.integers(101, 103),
    valid=st.sampled_from([True, True, True, False]),
    paused=st.sampled_from([False, False, False, True]),
    version=st.sampled_from([1, 1, 1, 2]),
    weight=st.none() | st.floats(0.01, 10),
    require=LABELS,
    prefer=LABELS,
    request=st.none() | REQUESTS,
    runner=st.none() | NAMES,
    standby=st.none() | st.tuples(NAMES, st.integers(1, 3)),
)
FAILED = st.builds(
    FailedServer,
    code=st.sampled_from(CODES),
    reason=st.just("it failed"),
    at=TIMES,
    until=TIMES,
    times=st.integers(1, 3),
    kind=st.sampled_from(["retry", "operator"]),
    generation=st.integers(0, 3),
    definition=st.integers(100, 103),
)
NODES = st.builds(
    Schedule,
    server=st.none() | NAMES,
    generation=st.integers(1, 3),
    reason=st.just("before"),
    at=st.floats(NOW - 2000, NOW),
    next=st.none() | NAMES,
    failed=st.dictionaries(NAMES, FAILED, max_size=3),
    weight=st.none() | st.floats(0.001, 10),
    moved=st.none() | st.floats(NOW - 2000, NOW),
)
PARKED = st.builds(
    Schedule,
    server=st.none(),
    generation=st.integers(1, 3),
    reason=st.just("before"),
    at=TIMES,
    parked=st.builds(
        Parked,
        code=st.just("position-purged"),
        reason=st.just("gone"),
        remedy=st.just("x"),
        at=TIMES,
        definition=st.integers(101, 103),
    ),
)


@dataclass
class Input:
    instances: Mapping[str, PlannedInstance]
    servers: Mapping[str, PlannedServer]
    schedule: Mapping[str, Schedule]
    policy: Policy
    now: float = NOW

    def plan(self) -> Plan:
        return plan(self.instances, self.servers, self.schedule, self.now, self.policy, NOW - 5)

    def after(self, made: Plan) -> "Input":
        """The changes written, the requests removed; nothing else has happened yet."""
        schedule, instances = dict(self.schedule), dict(self.instances)
        for change in made.changes:
            if change.node is None:
                schedule.pop(change.instance, None)
            else:
                schedule[change.instance] = change.node
            if change.serves is not None:
                instances[change.instance] = replace(instances[change.instance], request=None)
        return replace_input(self, schedule, instances)


def replace_input(of: Input, schedule: Mapping[str, Schedule], instances: Mapping[str, PlannedInstance]) -> Input:
    return Input(instances, of.servers, schedule, of.policy, of.now)


INPUTS = st.builds(
    Input,
    instances=st.dictionaries(st.sampled_from(INSTANCES), FLEET_INSTANCES, min_size=1),
    servers=st.dictionaries(st.sampled_from(SERVERS), FLEET_SERVERS),
    schedule=st.dictionaries(st.sampled_from([*INSTANCES, "old"]), NODES | NODES | PARKED),
    policy=st.builds(
        Policy,
        grace=st.sampled_from([0.0, 0.0, 60.0]),
        settle=st.sampled_from([0.0, 10.0]),
        max_moves=st.integers(0, 4),
        threshold=st.sampled_from([0.05, 0.1, 0.3]),
    ),
)


def _may_run(server: PlannedServer, name: str, instance: PlannedInstance) -> bool:
    labels = {**server.labels, "server": name}
    return (
        server.alive
        and not server.draining
        and instance.version in server.versions
        and all(labels.get(label) == value for label, value in instance.require.items())
    )


@settings(max_examples=200)
@given(INPUTS)
def test_nothing_new_is_put_where_it_may_not_run(given_: Input) -> None:
    made = given_.plan()
    for change in made.changes:
        before, node, instance = (
            given_.schedule.get(change.instance),
            change.node,
            given_.instances.get(change.instance),
        )
        if node is None or instance is None:
            continue
        named_before = {before.server, before.next} if before else set()
        for name in {node.server, node.next} - named_before - {None}:
            assert name is not None
            assert _may_run(given_.servers[name], name, instance)
            failed = node.failed.get(name)
            if failed and failed.until > NOW and failed.definition >= instance.changed:
                assert failed.kind == "retry"  # an outage everywhere is waited for
        assert node.server is None or node.server != node.next
        assert change.reason


@settings(max_examples=200)
@given(INPUTS)
def test_who_runs_is_not_stopped_without_a_successor(given_: Input) -> None:
    """A node leaves a live server at once only for one that has the lock, or because it failed there or was handed over."""
    for change in given_.plan().changes:
        before, node = given_.schedule.get(change.instance), change.node
        if before is None or node is None or before.server is None or node.server == before.server:
            continue
        server, instance = given_.servers.get(before.server), given_.instances[change.instance]
        failed = server is not None and change.instance in server.failures
        assert server is None or not server.alive or failed or instance.runner == before.next


@settings(max_examples=200)
@given(INPUTS)
def test_no_server_gets_more_than_it_may(given_: Input) -> None:
    after = given_.after(given_.plan()).schedule
    before_counts, counts = _counts(given_.schedule, given_.instances), _counts(after, given_.instances)
    for name, server in given_.servers.items():
        if server.alive and server.max_instances is not None:
            assert counts[name] <= max(server.max_instances, before_counts[name])


def _counts(schedule: Mapping[str, Schedule], instances: Mapping[str, PlannedInstance]) -> Counter[str]:
    kept = (node for name, node in schedule.items() if name in instances and not instances[name].paused)
    return Counter(name for node in kept for name in {node.server, node.next} if name is not None)


@settings(max_examples=200)
@given(INPUTS)
def test_a_plan_that_is_carried_out_leaves_nothing_to_change(given_: Input) -> None:
    """Where a node was inconsistent, the second plan may find what the first put right."""
    for _ in range(3):
        given_ = given_.after(given_.plan())
    assert given_.plan().changes == ()


@settings(max_examples=200)
@given(INPUTS)
def test_every_request_is_answered_and_everybody_has_a_server_or_a_reason(given_: Input) -> None:
    made = given_.plan()
    served = {change.instance for change in made.changes if change.serves is not None}
    after = given_.after(made)
    for name, instance in given_.instances.items():
        if instance.request is not None and instance.request.kind != "set_position":
            assert name in served
        node = after.schedule.get(name)
        on_live = node is not None and node.server in given_.servers and given_.servers[str(node.server)].alive
        parked = node is not None and node.parked is not None
        assert instance.paused or on_live or parked or made.waiting[name]


@settings(max_examples=200)
@given(INPUTS)
def test_the_order_of_the_input_does_not_matter(given_: Input) -> None:
    turned = Input(
        dict(reversed([*given_.instances.items()])),
        dict(reversed([*given_.servers.items()])),
        dict(reversed([*given_.schedule.items()])),
        given_.policy,
    )
    assert turned.plan() == given_.plan()


@settings(max_examples=200)
@given(INPUTS)
def test_generations_only_grow(given_: Input) -> None:
    for change in given_.plan().changes:
        before, node = given_.schedule.get(change.instance), change.node
        if before is not None and node is not None:
            moved = (before.server, before.next) != (node.server, node.next)
            assert node.generation >= before.generation + moved


WEIGHTS = st.lists(st.floats(0.001, 1.0), min_size=1, max_size=40)


@settings(max_examples=100)
@given(WEIGHTS, st.integers(1, 5))
def test_it_converges(weights: list[float], servers: int) -> None:
    """From all on one server: at rest within the threshold, or no instance fits any better."""
    given_ = _all_on_one(weights, servers)
    for _ in range(100):
        made = given_.plan()
        if not made.changes:
            break
        given_ = _carried_out(given_.after(made))
    loads = given_.plan().loads
    mean = sum(loads.values()) / len(loads)
    assert max(loads.values()) - min(loads.values()) <= 0.2 * mean + max(weights)


def _all_on_one(weights: list[float], servers: int) -> Input:
    instances = {f"i{number:02}": PlannedInstance(changed=1, weight=weight) for number, weight in enumerate(weights)}
    fleet = {name: PlannedServer(alive=True, since=0, capacity=1.0) for name in SERVERS[:servers]}
    schedule = {name: Schedule("a", 1, "before", 0) for name in instances}
    return Input(instances, fleet, schedule, Policy(cooldown=0))


def _carried_out(given_: Input) -> Input:
    instances = {
        name: replace(each, runner=given_.schedule[name].next or given_.schedule[name].server)
        for name, each in given_.instances.items()
    }
    moved = replace_input(given_, given_.schedule, instances)
    moved.now += 5
    return moved
