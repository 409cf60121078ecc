"""`--help` teaches: every verb has examples and its exit statuses, and docs/cdcctl.md says the same."""

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cdcd.cli.cdcctl import GROUPS, main
from cdcd.cli.reference import page

PAGE = Path(__file__).parents[3] / "docs" / "cdcctl.md"


def _verbs(group: click.Group, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, verb in group.commands.items():
        if isinstance(verb, click.Group):
            yield from _verbs(verb, (*above, name))
        else:
            yield (*above, name), verb


VERBS = dict(_verbs(main))


def test_the_page_is_up_to_date() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == page(text), "run: python -m cdcd.cli.reference docs"


def test_every_verb_is_listed_under_what_it_is_for() -> None:
    assert {verb.name for verbs in GROUPS.values() for verb in verbs} == set(main.commands)
    shown = CliRunner().invoke(main, ["--help"]).stdout
    for name in main.commands:
        assert f"\n  {name} " in shown


@pytest.mark.parametrize("path", [path for path in VERBS if path != ("version",)], ids=" ".join)
def test_help_has_examples_and_exit_statuses(path: tuple[str, ...]) -> None:
    result = CliRunner().invoke(main, [*path, "--help"])
    assert result.exit_code == 0
    assert f"$ cdcctl {' '.join(path)}" in result.stdout or f"cdcctl {' '.join(path)} " in result.stdout
    assert "Exit status: 0 " in result.stdout
    assert "2 usage" in result.stdout
    for parameter in VERBS[path].params:
        if isinstance(parameter, click.Option):
            assert parameter.help or parameter.name == "output", parameter.name


@pytest.mark.parametrize(
    "path", [path for path in VERBS if {"config"} & {each.name for each in VERBS[path].params}], ids=" ".join
)
def test_every_verb_that_needs_zookeeper_names_its_statuses(path: tuple[str, ...]) -> None:
    said = " ".join((VERBS[path].help or "").split())
    statuses = said.partition("Exit status: ")[2]
    for status in ("0 ", "1 ", "2 ", "5 ", "6 "):
        assert f" {status}" in f" {statuses}", status
