"""Which tables are published, and under which names."""

from dataclasses import replace

import pytest

from cdcd.binlog.core.native import Plan, Route, Statement
from cdcd.binlog.schema import UNSAID, Column, TableSchema
from cdcd.binlog.spans import Place
from cdcd.config.tables import TableFilter
from cdcd.errors import Finding, FindingError
from cdcd.formats.canal import CANAL_JSON
from cdcd.formats.plan import Keying
from cdcd.worker.catalog import Catalog
from tests.decoding import hear
from tests.events import Dump, query, updated


def schema(table: str = "orders", *, database: str = "shop", named: bool = True) -> TableSchema:
    column = Column("id" if named else "", 3, 0, nullable=False)
    return TableSchema(database, table, (column,), (0,) if named else (), named, b"f")


class Names:
    """Knows every column as `id`."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, int]] = []

    def names_for(self, of: TableSchema, place: Place) -> TableSchema:
        self.asked.append((of.name, place.file, place.offset))
        if of.table == "gone":
            raise FindingError(Finding("schema-unknown", "operator", of.name, "-"))
        return replace(of, columns=(replace(of.columns[0], name="id"),), key=(0,), named=True)


def a_catalog(names: Names, *include: str, exclude: tuple[str, ...] = ()) -> Catalog:
    catalog = Catalog(
        TableFilter(include or ("shop.*",), exclude),
        CANAL_JSON,
        Keying(shared=False),
        lambda of: Route(of.name, 3),
        names,
    )
    catalog.place = lambda: Place("binlog.000002", 77, 1)
    return catalog


def statement(sql: str, database: str = "shop", status: bytes = b"") -> Statement:
    [told] = hear(Dump().add(query(sql, database, status=status))).statements
    return told


def test_included_tables_get_a_plan() -> None:
    names = Names()
    plan = a_catalog(names)(schema())
    assert isinstance(plan, Plan)
    assert (plan.route.topic, plan.schema.columns[0].name) == ("shop.orders", "id")
    assert names.asked == []


@pytest.mark.parametrize(
    "left_out", [schema("tmp_1"), schema(database="other"), schema(database="mysql", table="user")]
)
def test_others_get_none(left_out: TableSchema) -> None:
    names = Names()
    assert a_catalog(names, "shop.*", exclude=("*.tmp_*",))(replace(left_out, named=False)) is None
    assert names.asked == []


def test_names_are_looked_up_for_the_place_of_the_event() -> None:
    names = Names()
    plan = a_catalog(names)(schema(named=False))
    assert isinstance(plan, Plan)
    assert plan.schema.columns[0].name == "id"
    assert names.asked == [("shop.orders", "binlog.000002", 77)]


def test_names_that_cannot_be_known() -> None:
    with pytest.raises(FindingError, match=r"shop\.gone"):
        a_catalog(Names())(schema("gone", named=False))


def test_ddl_makes_looked_up_names_doubtful() -> None:
    catalog = a_catalog(Names())
    catalog(schema(named=False))
    catalog(schema("people", named=False))
    assert catalog.doubtful(statement("ALTER TABLE nothing ADD x INT")) == set()
    assert catalog.doubtful(statement("ALTER TABLE `Orders` RENAME COLUMN a TO b")) == {("shop", "orders")}
    # Asked for again only after it was looked up again.
    assert catalog.doubtful(statement("ALTER TABLE orders ADD x INT")) == set()
    catalog(schema(named=False))
    assert catalog.doubtful(statement("RENAME TABLE shop.people TO x, shop.orders TO y", "")) == {
        ("shop", "people"),
        ("shop", "orders"),
    }


def test_ddl_of_another_database_does_not() -> None:
    catalog = a_catalog(Names())
    catalog(schema(named=False))
    assert catalog.doubtful(statement("ALTER TABLE orders ADD x INT", "crm", updated("crm"))) == set()
    assert catalog.doubtful(statement("ALTER TABLE orders ADD x INT", "crm", bytes([12, 254]))) == {("shop", "orders")}


def test_names_from_the_binlog_are_never_doubtful() -> None:
    catalog = a_catalog(Names())
    catalog(schema())
    assert catalog.doubtful(statement("ALTER TABLE orders RENAME COLUMN a TO b")) == set()


def test_a_table_whose_values_cannot_be_measured_is_looked_up_even_if_it_is_left_out() -> None:
    class Digits(Names):
        def names_for(self, of: TableSchema, place: Place) -> TableSchema:
            found = super().names_for(of, place)
            return replace(found, columns=(replace(found.columns[0], meta=3),))

    names = Digits()
    unmeasured = replace(schema(), columns=(Column("id", 11, UNSAID, nullable=True),))
    plan = a_catalog(names)(unmeasured)
    assert isinstance(plan, Plan)
    assert plan.schema.columns[0].meta == 3
    catalog = a_catalog(names, "shop.*", exclude=("*.orders",))
    left_out = catalog(unmeasured)
    assert isinstance(left_out, TableSchema)
    assert left_out.measured
    assert len(names.asked) == 2
    assert catalog.seen == set()
    assert catalog.doubtful(statement("ALTER TABLE orders FORCE")) == {("shop", "orders")}
