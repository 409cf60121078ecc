"""Table rules. Globs are compared with Python's own on names without dots, where both mean the same."""

import fnmatch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cdcd.config.tables import TableFilter, check_rule, named_databases, named_tables


@pytest.mark.parametrize(
    ("rule", "database", "table", "matches"),
    [
        ("shop.*", "shop", "orders", True),
        ("shop.*", "Shop", "orders", False),
        ("shop.*", "shop.old", "x", False),
        ("shop.*", "shop", "a.b", True),
        ("shop.orders", "shop", "orders", True),
        ("shop.orders", "shop", "orders2", False),
        ("crm.customer_?", "crm", "customer_1", True),
        ("crm.customer_?", "crm", "customer_12", False),
        ("crm.customer_?", "crm", "customer_ü", True),
        ("*.log", "anything", "log", True),
        ("a.b.c", "a.b", "c", True),
        ("a.b.c", "a", "b.c", True),
        ("a[.]b.c", "a", "b.c", False),
        ("a[.]b.c", "a.b", "c", True),
        ("s.t[0-9]", "s", "t5", True),
        ("s.t[!0-9]", "s", "t5", False),
        ("s.t[^0-9]", "s", "t^", True),
        ("s.t[]]", "s", "t]", True),
        ("s.t[", "s", "t[", True),
        ("s.t[*]", "s", "t*", True),
        ("s.t[*]", "s", "tx", False),
        ("s.t(+|$)", "s", "t(+|$)", True),
        ("s.a\\b", "s", "a\\b", True),
        ("s.*", "s", "line\nbreak", True),
        ("s.", "s", "", False),
        ("regex:shop\\.t_[0-9]+", "shop", "t_12", True),
        ("regex:shop\\.t_[0-9]+", "shop", "t_12x", False),
        ("regex:(?i)SHOP\\..*", "shop", "t", True),
    ],
)
def test_one_rule(rule: str, database: str, table: str, matches: bool) -> None:
    assert (TableFilter([rule]).matches(database, table) if rule != "s." else False) is matches


_names = st.text("ab_[]!-^\\*?", min_size=1, max_size=6)
_plain_globs = st.text("ab_*?", min_size=1, max_size=6)


@given(_plain_globs, _plain_globs, _names, _names)
@example("*", "a*b", "a", "a*b")
def test_globs_match_as_pythons_do(left: str, right: str, database: str, table: str) -> None:
    expected = fnmatch.fnmatchcase(database, left) and fnmatch.fnmatchcase(table, right)
    assert TableFilter([f"{left}.{right}"]).matches(database, table) is expected


def test_exclude_wins() -> None:
    tables = TableFilter(["shop.*", "crm.*"], ["shop.tmp_*", "crm.a"])
    assert tables.matches("shop", "orders")
    assert not tables.matches("shop", "tmp_1")
    assert not tables.matches("crm", "a")
    assert tables.matches("crm", "b")
    assert not tables.matches("other", "orders")


@pytest.mark.parametrize("rule", ["*.*", "m*.user", "mysq?.user", "regex:.*", "regex:mysql\\.user"])
def test_the_servers_own_schemas_need_to_be_named(rule: str) -> None:
    assert not TableFilter([rule]).matches("mysql", "user")
    assert not TableFilter([rule]).may_match_database("mysql")


@pytest.mark.parametrize("rule", ["mysql.*", "mysql.user"])
def test_named_they_are_read(rule: str) -> None:
    assert TableFilter([rule]).matches("mysql", "user")
    assert TableFilter([rule]).may_match_database("mysql")


@pytest.mark.parametrize(
    ("database", "may"),
    [
        ("shop", True),
        ("a", True),
        ("a.b", True),
        ("old_7", True),
        ("dead", False),
        ("other", False),
        ("zold_7", False),
        ("", True),
    ],
)
def test_a_database_is_ruled_out_only_for_certain(database: str, may: bool) -> None:
    tables = TableFilter(["shop.*", "a.b.c", "regex:old_[0-9]\\..*", "dead.*"], ["dead.*"])
    assert tables.may_match_database(database) is may


_rules = st.lists(
    st.one_of(
        st.builds("{}.{}".format, _plain_globs, _plain_globs),
        st.sampled_from(["regex:a.*", "regex:(?i)A\\..*", "regex:.*b", "regex:(a|b)_\\.a+", "regex:\\C*", "regex:a|b\\.b"]),
    ),
    min_size=1,
    max_size=4,
)  # fmt: skip


@given(_rules, _rules, st.text("abA_.", min_size=1, max_size=4), st.text("ab_.", min_size=1, max_size=4))
def test_a_table_that_matches_is_in_a_database_that_may(
    include: list[str], exclude: list[str], database: str, table: str
) -> None:
    tables = TableFilter(include, exclude)
    assert not tables.matches(database, table) or tables.may_match_database(database)


def test_a_long_list_of_names_is_looked_up() -> None:
    tables = TableFilter([f"shop.table_{number}" for number in range(10_000)])
    assert sum(tables.matches("shop", f"table_{number}") for number in range(20_000)) == 10_000
    assert tables.may_match_database("shop")
    assert not tables.may_match_database("shop2")


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("shop", "glob on database.table"),
        ("*", "glob on database.table"),
        ("", "glob on database.table"),
        ("shop.", "glob on database.table"),
        (".orders", "glob on database.table"),
        ("a[.]b", "glob on database.table"),
        ("shop\\..*", "looks like a regular expression"),
        ("crm.(a|b)", "looks like a regular expression"),
        ("shop.*,crm.a", "several rules in one"),
        ("s.t[z-a]", "not an RE2 expression"),
        ("regex:(?=x)", "not an RE2 expression"),
        ("regex:(a", "not an RE2 expression"),
        ("regex:((a{100}){100}){100}", "not an RE2 expression"),
        ("regex:\\pL{1000}", "too large"),
        ("s." + "x" * 1000, "at most 1000 characters"),
    ],
)
def test_a_rule_that_cannot_work_is_refused(rule: str, message: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match=message):
        check_rule(rule)
    assert capfd.readouterr().err == "", "RE2 must not write to stderr by itself"


def test_characters_of_expressions_may_stand_in_brackets() -> None:
    assert TableFilter([check_rule("s.a[,]b[(]")]).matches("s", "a,b(")


def test_an_expression_that_explodes_elsewhere_is_linear_here() -> None:
    tables = TableFilter(["regex:s\\.(a+)+$"])
    assert not tables.matches("s", "a" * 60 + "!")


def test_what_rules_name() -> None:
    assert named_databases(["shop.a", "shop.b*"]) == frozenset({"shop"})
    assert named_databases(["shop.a", "crm.b"]) == frozenset({"shop", "crm"})
    assert named_databases(["shop.a", "*.b"]) is None
    assert named_databases(["a.b.c"]) is None
    assert named_databases(["regex:a\\.b"]) is None
    assert named_tables(["shop.a"]) == frozenset({"shop.a"})
    assert named_tables(["shop.a*"]) is None
