"""Several definitions in one file."""

from pathlib import Path

import pytest

from cdcd.cli.ctl.documents import documents, wanted
from cdcd.errors import InvalidConfig

ONE = """\
name: {name}
source: {{host: mysql-a, credential: db}}
tables: {{include: ["shop.*"]}}
sink: {{topic: "cdc.{{table}}"}}
"""


def _file(folder: Path, text: str) -> str:
    path = folder / "fleet.yaml"
    path.write_text(text)
    return str(path)


def test_documents_between_markers(tmp_path: Path) -> None:
    text = "# the shop\n---\n" + ONE.format(name="a") + "--- # and\n" + ONE.format(name="b") + "---\n# nothing\n"
    file = _file(tmp_path, text)
    assert [each.definition.name for each in wanted([file])] == ["a", "b"]
    assert [each.origin for each in documents(file)] == [f"{file} (document 1)", f"{file} (document 2)"]


def test_one_document_keeps_the_file_as_its_origin(tmp_path: Path) -> None:
    file = _file(tmp_path, "%YAML 1.2\n---\n" + ONE.format(name="a"))
    assert [each.origin for each in documents(file)] == [file]


def test_dashes_inside_text_are_no_marker(tmp_path: Path) -> None:
    assert len(documents(_file(tmp_path, "a: |\n  ---\n  x\nb: '----'\n"))) == 1


def test_mistakes_of_all_documents_at_once_with_the_files_own_lines(tmp_path: Path) -> None:
    file = _file(
        tmp_path, ONE.format(name="a") + "---\nname: [\n---\n" + ONE.format(name="B") + "---\n" + ONE.format(name="a")
    )
    with pytest.raises(InvalidConfig) as caught:
        wanted([file])
    said = [str(problem) for problem in caught.value.problems]
    assert len(said) == 3
    assert "(document 2): is not YAML or JSON: line 7" in said[0]
    assert "(document 3): name: must be 1 to 63" in said[1]
    assert said[2] == f"{file} (document 4): name: `a` is defined in {file} (document 1) as well"


@pytest.mark.parametrize(("text", "says"), [("paused: false\n", True), ("", False)])
def test_whether_the_file_itself_says_paused(tmp_path: Path, text: str, says: bool) -> None:
    assert [each.says_paused for each in wanted([_file(tmp_path, ONE.format(name="a") + text)])] == [says]


def test_an_empty_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="is empty"):
        wanted([_file(tmp_path, "# nothing\n")])
