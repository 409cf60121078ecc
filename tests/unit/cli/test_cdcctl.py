"""`cdcctl validate` and `cdcctl version`: statuses, streams, and what they print."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cdcd.cli.cdcctl import main

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"
THREE_MISTAKES = """
name: orders
source: {host: mysql-a, credential: orders-db, prt: 3306}
tables: {include: [shop]}
sink: {topic: "cdc.{database}.{table}", delivery: twice}
"""


def run(*arguments: str, stdin: str | bytes = "", **environment: str) -> Result:
    return CliRunner(env=environment).invoke(main, arguments, input=stdin)


def test_a_valid_definition_is_summed_up() -> None:
    result = run("validate", "-f", str(EXAMPLES / "minimal.yaml"))
    assert result.exit_code == 0
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    assert lines[0].endswith("minimal.yaml: valid")
    assert "  source     127.0.0.1:3306 (plain text); credential orders-db" in lines
    assert "  DDL topic  cdc.orders.ddl" in lines


def test_three_mistakes_are_three_lines_with_their_paths(tmp_path: Path) -> None:
    path = tmp_path / "orders.yaml"
    path.write_text(THREE_MISTAKES)
    result = run("validate", "-f", str(path))
    assert result.exit_code == 5
    assert result.stdout == ""
    head, *lines = result.stderr.splitlines()
    assert head == f"{path}: 3 problems"
    assert [line.split(": ")[0].strip() for line in lines] == ["source.prt", "tables.include[0]", "sink.delivery"]


def test_json_has_both_the_good_and_the_bad(tmp_path: Path) -> None:
    path = tmp_path / "orders.json"
    path.write_text(json.dumps({"name": "orders"}))
    result = run("validate", "-f", str(EXAMPLES / "orders.yaml"), "--file", str(path), "-o", "json")
    assert result.exit_code == 5
    assert result.stderr == ""
    good, bad = json.loads(result.stdout)
    assert (good["valid"], good["problems"], good["definition"]["sink"]["commit"]["min_interval"]) == (True, [], "5ms")
    assert (bad["valid"], bad["definition"], bad["file"]) == (False, None, str(path))
    assert {"path": "sink", "message": "is required"} in bad["problems"]


def test_what_json_shows_is_itself_a_definition() -> None:
    shown = json.loads(run("validate", "-f", str(EXAMPLES / "orders.yaml"), "-o", "json").stdout)[0]["definition"]
    assert run("validate", "-f", "-", stdin=json.dumps(shown)).exit_code == 0


def test_stdin() -> None:
    assert run("validate", "-f", "-", stdin=(EXAMPLES / "minimal.yaml").read_text()).exit_code == 0
    result = run("validate", "-f", "-", stdin=b"\xff")
    assert (result.exit_code, result.stderr) == (5, "-: 1 problem\n  is not UTF-8 text: byte 0\n")


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["validate"], 2),
        (["validate", "-f", "x", "-o", "yaml"], 2),
        (["validade"], 2),
        (["validate", "-f", "/nowhere/orders.yaml"], 3),
        (["validate", "-f", "/nowhere/orders.yaml", "-f", "-"], 3),
        (["validate", "-f", "/"], 1),
        (["validate", "-f", "-"], 5),
        (["validate", "--help"], 0),
        (["version"], 0),
    ],
)
def test_exit_statuses(arguments: list[str], status: int) -> None:
    result = run(*arguments)
    assert result.exit_code == status
    assert bool(result.stderr) is (status != 0)


def test_help_teaches_with_an_example() -> None:
    assert "$ cdcctl validate -f orders.yaml" in run("--help").stdout
    assert "$ ./generate-definition | cdcctl validate -f -" in run("validate", "--help").stdout


def test_colour_only_where_it_is_wanted() -> None:
    arguments = ["validate", "-f", str(EXAMPLES / "minimal.yaml")]
    assert "\x1b[" in CliRunner().invoke(main, arguments, color=True).stdout
    assert "\x1b[" not in CliRunner(env={"NO_COLOR": "1"}).invoke(main, arguments, color=True).stdout
    assert "\x1b[" not in CliRunner().invoke(main, arguments).stdout


def test_a_hostile_definition_does_not_steer_the_terminal() -> None:
    hostile = (
        THREE_MISTAKES.replace("[shop]", r'["s.\e]0;x\a"]').replace(", prt: 3306", "").replace("twice", "exactly_once")
    )
    result = run("validate", "-f", "-", stdin=hostile)
    assert result.exit_code == 0
    assert r"s.\x1b]0;x\x07" in result.stdout
    assert "\x1b" not in run("validate", "-f", "-", stdin=r'{"\u001b[2J": "\u001b[2J", "name": "\u001b"}').stderr


def test_version_begins_with_our_own() -> None:
    assert run("version").stdout.startswith("cdcd ")
