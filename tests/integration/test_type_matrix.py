"""Each type, value, row image and operation, on each server: published as the server's own SELECT shows it."""

from collections.abc import Iterator, Sequence

import pytest

from tests.instances import Figures
from tests.integration import type_matrix
from tests.integration.type_corpus import CORPUS, Case, as_canal
from tests.integration.type_matrix import strict_tail, tail
from tests.servers import MariadbFactory, MysqlServer, Stacks

pytestmark = pytest.mark.must_show("5.1")
SOME = 9
"""One of so many types goes through each older server in `make test`; all do in `make prove`. 9.7: test_tail_types."""

MARIADB = ("10.5", "10.11", "11.8")
METADATA = (
    *(("mysql-9.7", metadata) for metadata in ("FULL", "MINIMAL")),
    ("mysql-5.6", ""),
    *((f"mariadb-{version}", metadata) for version in MARIADB for metadata in ("FULL", "MINIMAL", "NO_LOG")),
)


@pytest.fixture(params=METADATA, ids=["-".join(filter(None, each)) for each in METADATA])
def each_metadata(stacks: Stacks, request: pytest.FixtureRequest) -> Iterator[MysqlServer]:
    """A server of each flavour with each `binlog_row_metadata` it knows, one after the other."""
    del stacks  # asked for its sweep
    flavour, metadata = request.param
    made = Stacks()
    try:
        yield made.mysql(flavour, **({"binlog_row_metadata": metadata} if metadata else {}))
    finally:
        made.destroy()


def shown(server: MysqlServer, cases: Sequence[Case], figures: Figures, *, strict: bool = False) -> int:
    """Run them, say how many were compared."""
    here = map(as_canal, cases) if strict else cases
    matrix = type_matrix.run(server, here, read=strict_tail if strict else tail)
    compat = "strict" if strict else "fixed"
    found = {"server": server.flavour, "compat": compat, "types": matrix.types, "compared": matrix.compared}
    figures({**found, "differences": len(matrix.differences)})
    print(f"{matrix.server} {compat}: {matrix.compared} combinations, {len(matrix.differences)} differences")
    assert not matrix.differences[:20]
    assert not matrix.declared
    return matrix.compared


@pytest.mark.prove
def test_every_server_and_metadata(each_metadata: MysqlServer, figures: Figures) -> None:
    assert shown(each_metadata, CORPUS, figures) >= 5000


@pytest.mark.prove
def test_every_server_as_canal_shows_it(each_mysql: MysqlServer, figures: Figures) -> None:
    assert shown(each_mysql, CORPUS, figures, strict=True) >= 5000


def test_some_types_as_canal_shows_them(mysql: MysqlServer, figures: Figures) -> None:
    shown(mysql, CORPUS[::SOME], figures, strict=True)


def test_some_types_of_mysql_56(mysql56: MysqlServer, figures: Figures) -> None:
    shown(mysql56, CORPUS[::SOME], figures)


@pytest.mark.parametrize("version", MARIADB)
def test_some_types_of_mariadb(mariadb: MariadbFactory, version: str, figures: Figures) -> None:
    shown(mariadb(version), CORPUS[::SOME], figures)
