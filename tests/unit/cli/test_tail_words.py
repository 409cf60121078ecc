"""`cdcd tail` has no definition: what findings say in its fields, it says in flags."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from cdcd.cli.failures import Failure, failures
from cdcd.cli.tail import in_flags
from cdcd.errors import Finding, FindingError

SOURCES = Path(__file__).parents[3] / "cdcd" / "mysql"
FIELD = re.compile(r"\b(?:source|tls|tables|start)\.[a-z_]+|\bstart: ")


def _texts() -> Iterator[str]:
    """String constants of the source side that name a field of a definition; not docstrings."""
    for path in SOURCES.glob("*.py"):
        module = ast.parse(path.read_text())
        prose = {id(node.value) for node in ast.walk(module) if isinstance(node, ast.Expr)}
        for node in ast.walk(module):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
                yield node.value


NAMING = sorted({text for text in _texts() if FIELD.search(text)})


@pytest.mark.parametrize("text", NAMING)
def test_no_field_of_a_definition_is_left(text: str) -> None:
    assert not FIELD.search(in_flags(text))


def test_there_are_such_texts() -> None:
    assert any("source.host" in text for text in NAMING)


def test_a_finding_is_told_with_its_remedyin_flags() -> None:
    finding = Finding("source-unreachable", "retry", "MySQL cannot be reached", "Check source.host and source.port")
    with pytest.raises(Failure) as caught, failures(in_flags):
        raise FindingError(finding)
    assert caught.value.message == "MySQL cannot be reached\nCheck --host and --port"
    assert caught.value.exit_code == 1


def test_a_folder_in_place_of_a_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="cannot be read: Is a directory"), failures():
        tmp_path.read_text()
