"""`cdcd tail` against the server's own SELECT, for every column type (tests/integration/type_corpus.py)."""

import os
import subprocess
import sys
from collections.abc import Sequence

import pytest

from cdcd.config.start import StartFile
from tests.instances import Figures
from tests.integration import type_matrix
from tests.integration.type_corpus import CORPUS, Case
from tests.servers import MysqlServer

pytestmark = pytest.mark.must_show("3.3")

COMMAND = (sys.executable, "-c", "from cdcd.cli.cdcd import main; main()")


def by_command(server: MysqlServer, database: str, start: StartFile) -> list[bytes]:
    arguments = ("--host", server.host, "--port", str(server.port), "--user", server.user, "--password-env", "TAIL_PWD")
    place = f"file:{start.file}:{start.position}"
    done = subprocess.run(
        (*COMMAND, "tail", *arguments, "--tables", f"{database}.*", "--start", place, "--until-end"),
        env=os.environ | {"TAIL_PWD": server.password},
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("metadata", "cases"),
    [
        pytest.param("FULL", CORPUS[::2], id="FULL, every other"),
        pytest.param("MINIMAL", CORPUS[1::2], id="MINIMAL, the others"),
        pytest.param("FULL", CORPUS, id="FULL", marks=pytest.mark.prove),
        pytest.param("MINIMAL", CORPUS, id="MINIMAL", marks=pytest.mark.prove),
    ],
)
def test_values_are_those_select_gives(
    request: pytest.FixtureRequest, metadata: str, cases: Sequence[Case], figures: Figures
) -> None:
    server: MysqlServer = request.getfixturevalue("mysql" if metadata == "FULL" else "minimal")
    matrix = type_matrix.run(server, cases, read=by_command)
    figures({"metadata": metadata, "types": matrix.types, "values_compared": matrix.compared})
    assert not matrix.differences[:20]
    assert not matrix.declared
