"""The scheduler's pure parts: readings of definitions, MySQL server_ids, writes of a plan, upkeep."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cdcd.fleet import paths
from cdcd.fleet.decision import decide
from cdcd.fleet.definitions import Definitions, read_definition
from cdcd.fleet.nodes import Assigned, Request, Schedule, ServerIdOwner, decode, encode
from cdcd.fleet.plan import Change, Policy
from cdcd.fleet.server_ids import choose, first_choice, following
from cdcd.fleet.session import Check, Create, Delete, Operation, Set, Stored
from cdcd.fleet.snapshot import Snapshot
from cdcd.fleet.upkeep import refused_orders, released_numbers
from cdcd.fleet.writes import BYTES_AT_ONCE, CHANGES_AT_ONCE, Writes, index_of
from cdcd.worker.source import Identity

SERVERS = ("a", "b", "c")


def _definition(name: str, **changes: Any) -> bytes:
    fields = {
        "version": 1,
        "name": name,
        "source": {"host": "db", "credential": "c"},
        "tables": {"include": ["shop.*"]},
        "sink": {"topic": "t"},
    }
    return json.dumps(fields | changes).encode()


def _stored(data: bytes, changed: int = 5, version: int = 0) -> Stored:
    return Stored(data, version, created=1, changed=changed, owner=0, changed_at=100.0)


# ---------------------------------------------------------------- definitions


def test_what_the_plan_is_told_of_a_definition() -> None:
    placement = {"weight": 2, "require": {"zone": "a"}, "prefer": {"server": "s1"}}
    reading = read_definition("orders", _stored(_definition("orders", paused=True, placement=placement), 7, 3))
    planned = reading.planned
    assert reading.problems == ()
    assert reading.node_version == 3
    assert (planned.changed, planned.valid, planned.paused) == (7, True, True)
    assert (planned.weight, planned.require, planned.prefer) == (2.0, {"zone": "a"}, {"server": "s1"})
    assert read_definition("orders", _stored(_definition("orders"))).planned.weight is None


def test_a_later_version_is_no_mistake() -> None:
    later = {"version": 3, "name": "orders", "paused": True, "placement": {"require": {"zone": "a", "x": 1}}, "new": []}
    reading = read_definition("orders", _stored(json.dumps(later).encode()))
    assert reading.problems == ()
    planned = reading.planned
    assert (planned.version, planned.paused, planned.valid, planned.require) == (3, True, True, {"zone": "a"})
    for name in ("other", None, 7):
        assert read_definition("orders", _stored(json.dumps(later | {"name": name}).encode())).problems
    assert read_definition("orders", _stored(json.dumps(later | {"placement": "here"}).encode())).planned.require == {}


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
@settings(max_examples=150)
def test_anything_is_read(data: bytes) -> None:
    reading = read_definition("orders", _stored(data))
    assert reading.problems
    assert not reading.planned.valid


def test_each_change_is_read_once() -> None:
    definitions = Definitions()
    first = definitions.read({"orders": _stored(b"{}", 5)})["orders"]
    assert definitions.read({"orders": _stored(b"not looked at", 5)})["orders"] is first
    assert definitions.read({"orders": _stored(_definition("orders"), 6)})["orders"].problems == ()
    assert definitions.read({}) == {}


# ---------------------------------------------------------------- server_ids


def test_the_first_choice_is_that_of_a_worker_alone() -> None:
    assert first_choice("main", "orders") == Identity.of("main", "orders").server_id
    assert choose("main", "orders", set()) == first_choice("main", "orders")


def test_taken_numbers_are_passed_over_up_to_the_highest_and_on_from_the_lowest() -> None:
    first = first_choice("main", "orders")
    assert choose("main", "orders", {first, first + 1}) == first + 2
    assert following(0xFFFFFFFF) == 1 << 31


# ---------------------------------------------------------------- writes

_names = st.sampled_from([f"i{number}" for number in range(8)])
_places = st.tuples(st.sampled_from(SERVERS) | st.none(), st.sampled_from(SERVERS) | st.none())
_nodes = st.none() | _places.map(lambda place: Schedule(place[0], 1, "r", 0.0, next=place[1]))


class FakeTree:
    """Nodes with versions; a multi is done whole or not at all."""

    def __init__(self, nodes: dict[str, bytes]) -> None:
        self.nodes = {path: (data, 0) for path, data in nodes.items()}

    def multi(self, operations: tuple[Operation, ...]) -> bool:
        before = dict(self.nodes)
        if all(map(self._do, operations)):
            return True
        self.nodes = before
        return False

    def _do(self, operation: Operation) -> bool:
        found = self.nodes.get(operation.path)
        if isinstance(operation, Create):
            self.nodes[operation.path] = operation.data, 0
            return found is None
        if found is None or getattr(operation, "version", -1) not in {-1, found[1]}:
            return False
        if isinstance(operation, Set):
            self.nodes[operation.path] = operation.data, found[1] + 1
        elif isinstance(operation, Delete):
            del self.nodes[operation.path]
        return True

    def of(self, folder: str) -> dict[str, bytes]:
        return {
            path.rpartition("/")[2]: data for path, (data, _) in self.nodes.items() if path.startswith(f"{folder}/")
        }

    def schedule(self) -> dict[str, Schedule]:
        return {name: node for name, data in self.of(paths.SCHEDULE).items() if (node := decode(Schedule, data))}

    def index(self) -> dict[str, frozenset[str]]:
        decoded = {server: decode(Assigned, data) for server, data in self.of(paths.ASSIGNED).items()}
        return {server: frozenset(node.instances) for server, node in decoded.items() if node}


def _snapshot(schedule: dict[str, Schedule], names: list[str]) -> tuple[Snapshot, FakeTree]:
    index = index_of(schedule)
    nodes = {paths.schedule(name): encode(node) for name, node in schedule.items()}
    tree = FakeTree(
        nodes
        | {paths.definition(name): b"" for name in names}
        | {paths.assigned(server): encode(Assigned(tuple(each))) for server, each in index.items()}
    )
    definitions = Definitions().read({name: _stored(_definition(name)) for name in names})
    stored = {path: _stored(data) for path, data in nodes.items()}
    return Snapshot("main", definitions, schedule=schedule, assigned=dict(index), stored=stored), tree


def _numbered(node: Schedule | None, number: int) -> Schedule | None:
    return node and Schedule(node.server, 2, "new", 1.0, node.next, server_id=number)


@given(st.dictionaries(_names, _nodes), st.dictionaries(_names, _nodes), st.sets(_names))
@settings(max_examples=150)
def test_after_each_multi_the_index_says_what_the_schedule_says(
    before: dict[str, Schedule | None], after: dict[str, Schedule | None], refused: set[str]
) -> None:
    schedule = {name: node for name, node in before.items() if node}
    snapshot, tree = _snapshot(schedule, sorted({*before, *after}))
    for name in refused:  # paused, or changed by hand, while the plan was made
        for path in (paths.definition(name), paths.schedule(name)):
            if path in tree.nodes:
                tree.nodes[path] = tree.nodes[path][0], 9
    writes = Writes(snapshot)
    changes = [Change(name, _numbered(node, 100 + n), "why") for n, (name, node) in enumerate(after.items())]
    done: set[str] = set()
    for change in changes:
        portion = writes.portion((change,))
        if tree.multi(portion.operations):
            writes.done(portion)
            done.add(change.instance)
        assert tree.index() == index_of(tree.schedule())
    assert writes.index_repairs() == ()
    for change in changes:
        if change.instance in done:
            assert tree.schedule().get(change.instance) == change.node
    needless = {change.instance for change in changes if change.node is None and change.instance not in schedule}
    asking_nothing = {change.instance for change in changes if change.node and change.node.server is None}
    assert {change.instance for change in changes} - done <= refused - needless
    assert not (done & refused & set(schedule)), "somebody else's change is not written over"
    assert asking_nothing <= done | refused


def test_portions_are_small_and_complete() -> None:
    names = [f"instance-{number:04}" + "x" * 45 for number in range(2000)]
    snapshot, tree = _snapshot({}, names)
    changes = [
        Change(name, Schedule(SERVERS[n % 3], 1, "why " * 10, 0.0, server_id=n + 1), "why")
        for n, name in enumerate(names)
    ]
    writes, written = Writes(snapshot), list[str]()
    for portion in writes.portions(changes):
        assert len(portion.changes) <= CHANGES_AT_ONCE
        assert sum(len(operation.path) + len(getattr(operation, "data", b"")) for operation in portion.operations) < (
            BYTES_AT_ONCE * 1.3
        )
        assert tree.multi(portion.operations)
        writes.done(portion)
        written += [change.instance for change in portion.changes]
    assert sorted(written) == names
    assert tree.index() == index_of(tree.schedule())
    assert len(tree.of(paths.SERVER_IDS)) == len(names)


def test_an_index_that_somebody_changed_is_repaired() -> None:
    schedule = {"one": Schedule("a", 1, "", 0.0, server_id=1), "two": Schedule("b", 1, "", 0.0, server_id=2)}
    snapshot, tree = _snapshot(schedule, ["one", "two"])
    broken = {"a": None, "ghost": frozenset({"one"}), "c": None}
    tree.nodes |= {paths.assigned(server): (b"?", 4) for server in broken}
    del tree.nodes[paths.assigned("b")]
    spoilt = Snapshot(
        "main", snapshot.definitions, schedule=schedule, assigned=broken, stored=snapshot.stored, server_ids={}
    )
    repairs = Writes(spoilt).index_repairs()
    assert tree.multi(repairs)
    assert tree.index() == {"a": {"one"}, "b": {"two"}}


def test_an_order_is_removed_with_what_serves_it() -> None:
    snapshot, tree = _snapshot({"one": Schedule("a", 1, "", 0.0, server_id=1)}, ["one"])
    request = Request("r", "restart", "me", 1.0)
    stored = {**snapshot.stored, paths.request("one"): _stored(encode(request), version=3)}
    asked = Snapshot(
        "main", snapshot.definitions, schedule=snapshot.schedule, assigned=snapshot.assigned, stored=stored
    )
    change = Change("one", snapshot.schedule["one"], "refused", request)
    operations = Writes(asked).portion((change,)).operations
    assert Delete(paths.request("one"), 3) in operations
    assert not [each for each in operations if isinstance(each, Set)], "a node that stays as it is is not written"
    tree.nodes[paths.request("one")] = encode(request), 4
    assert not tree.multi(operations), "another order has come"


# ---------------------------------------------------------------- decisions and upkeep


def test_numbers_are_given_once_and_mended_where_they_contradict_the_registry() -> None:
    first = first_choice("main", "orders")
    schedule = {
        "orders": Schedule("a", 1, "", 0.0, server_id=first),
        "stock": Schedule("a", 1, "", 0.0, server_id=first),
        "none": Schedule(None, 1, "", 0.0),
    }
    definitions = Definitions().read({name: _stored(_definition(name)) for name in (*schedule, "new")})
    snapshot = Snapshot("main", definitions, schedule=schedule, server_ids={first: "stock", 12: "", 77: "stock"})
    decided = decide(snapshot, 1e9, Policy(), 0.0)
    numbers = {change.instance: change.node.server_id for change in decided.changes if change.node}
    assert numbers["orders"] not in {first, 12, 77}
    assert numbers["stock"] == 77, "of two that it owns the lower one"
    assert len(set(numbers.values())) == len(numbers)


def test_numbers_of_instances_that_are_gone_are_free_again() -> None:
    definitions = Definitions().read({"orders": _stored(_definition("orders"))})
    snapshot = Snapshot(
        "main",
        definitions,
        schedule={"stopping": Schedule("a", 1, "", 0.0)},
        running={"publishing": "a"},
        server_ids={1: "orders", 2: "stopping", 3: "publishing", 4: "gone", 5: "orders", 6: ""},
    )
    released = [duty.operations for duty in released_numbers(snapshot)]
    assert released == [(Delete(paths.server_id(number)),) for number in (4, 5, 6)]


def test_an_order_without_an_instance_has_a_minute() -> None:
    path = paths.request("gone")
    snapshot = Snapshot("main", stored={path: _stored(b"{}", version=2)})
    assert not list(refused_orders(snapshot, 100.0 + 59))
    assert [duty.operations for duty in refused_orders(snapshot, 100.0 + 61)] == [(Delete(path, 2),)]


def test_a_number_is_registered_with_the_instance_that_gets_it() -> None:
    snapshot, _ = _snapshot({}, ["orders"])
    operations = Writes(snapshot).portion((Change("orders", Schedule("a", 1, "", 0.0, server_id=9), ""),)).operations
    assert Create(paths.server_id(9), encode(ServerIdOwner("orders"))) in operations
    assert Check(paths.definition("orders"), 0) in operations
