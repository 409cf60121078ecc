"""docs/findings.md is the runbook of every finding: none is missing there, and none stands there that cannot come."""

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[2]
KINDS = {"retry", "operator"}
CODE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)+")


def _entries() -> dict[str, str]:
    """Code -> what stands under its heading."""
    text = (ROOT / "docs" / "findings.md").read_text()
    return dict(re.findall(r"^### `([^`\n]+)`\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL))


def _documented() -> dict[str, str]:
    """Code -> its kinds, with a comma between."""
    return {code: entry.partition("\n")[0].removeprefix("**Kind:** ") for code, entry in _entries().items()}


def _raised() -> dict[str, set[str]]:
    """Code -> kinds (empty where the source leaves it to a variable) of every finding in the source."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "cdcd").rglob("*.py"):
        for code, kinds in _codes(ast.parse(path.read_text())):
            found.setdefault(code, set()).update(kinds)
    return found


def _codes(module: ast.Module) -> Iterator[tuple[str, set[str]]]:
    makers = dict(_makers(module))
    for node in ast.walk(module):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name == "Finding" or name in makers:
                yield from _made(node, makers.get(name, (0, set())))
            elif name == "_Rule":
                yield from _listed(node.args)
        elif isinstance(node, ast.Tuple):
            yield from _listed(node.elts)


def _makers(module: ast.Module) -> Iterator[tuple[str, tuple[int, set[str]]]]:
    """Functions that are given the code of the finding they make: name -> (which argument, kinds)."""
    for function in ast.walk(module):
        if not isinstance(function, ast.FunctionDef):
            continue
        arguments = [argument.arg for argument in function.args.args]
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Finding":
                code = _argument(node, 0, "code")
                if isinstance(code, ast.Name) and code.id in arguments:
                    yield function.name, (arguments.index(code.id), _kinds([_argument(node, 1, "kind")]))


def _made(call: ast.Call, maker: tuple[int, set[str]]) -> Iterator[tuple[str, set[str]]]:
    at, kinds = maker
    code = _argument(call, at, "code")
    if isinstance(code, ast.Constant):
        yield str(code.value), kinds | _kinds([_argument(call, 1, "kind")])


def _listed(elements: list[ast.expr]) -> Iterator[tuple[str, set[str]]]:
    """An entry of a table of causes: the code stands right before the kind."""
    for code, kind in pairwise(elements):
        if _kinds([kind]) and isinstance(code, ast.Constant) and CODE.fullmatch(str(code.value)):
            yield str(code.value), _kinds([kind])


def _argument(call: ast.Call, at: int, name: str) -> ast.expr | None:
    named = next((keyword.value for keyword in call.keywords if keyword.arg == name), None)
    return named or (call.args[at] if at < len(call.args) else None)


def _kinds(nodes: list[ast.expr | None]) -> set[str]:
    return {node.value for node in nodes if isinstance(node, ast.Constant) and node.value in KINDS}


def test_every_finding_stands_in_the_runbook_and_no_other() -> None:
    documented, raised = _documented().keys(), _raised().keys()
    assert not raised - documented, "add these to docs/findings.md"
    assert not documented - raised, "docs/findings.md describes findings that no source raises"


def test_entries_have_the_form_of_the_runbooks() -> None:
    for code, entry in _entries().items():
        assert re.findall(r"^\*\*(\w+):\*\* \S", entry, re.MULTILINE) == ["Kind", "Means", "Look", "Do"], code


def test_both_halves_of_the_runbook_name_each_other() -> None:
    runbook, findings = (ROOT / "docs" / name for name in ("runbook.md", "findings.md"))
    assert "](findings.md)" in runbook.read_text()
    assert "](runbook.md)" in findings.read_text()


def test_the_runbook_says_whether_waiting_helps() -> None:
    raised = _raised()
    for code, kinds in _documented().items():
        assert raised[code] <= set(kinds.split(", ")) <= KINDS, code


def test_the_search_finds_what_it_must() -> None:
    """One of each way in which a finding is made; a search that finds nothing would pass the tests above."""
    assert {
        "topic-grown",
        "position-purged",
        "kafka-unreachable",
        "credential-host",
        "start-in-future",
    } <= _raised().keys()
    assert _raised()["source-behind"] == {"retry"}
