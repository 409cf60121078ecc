"""The reference of `cdcctl`: `python -m cdcd.cli.reference docs` writes what stands between the two marks of docs/cdcctl.md."""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from cdcd.cli.cdcctl import GROUPS, main

BEGIN = "<!-- generated from --help: python -m cdcd.cli.reference docs -->"
END = "<!-- end of what is generated -->"
WIDTH = 118


def page(text: str) -> str:
    """The page's text with its generated part anew."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{reference()}\n{END}{after}"


def reference() -> str:
    """What `--help` says of each verb, Markdown."""
    return "\n".join(part for verbs in GROUPS.values() for verb in verbs for part in _verb(verb, ()))


def _verb(verb: click.Command, above: tuple[str, ...]) -> Iterator[str]:
    path = (*above, verb.name or "")
    if isinstance(verb, click.Group):
        for each in verb.commands.values():
            yield from _verb(each, path)
        return
    yield f"### {' '.join(path)}\n"
    yield f"```text\n{_help(verb, path)}\n```\n"


def _help(verb: click.Command, path: tuple[str, ...]) -> str:
    context = click.Context(main, info_name="cdcctl", terminal_width=WIDTH, max_content_width=WIDTH)
    for name in path[:-1]:
        context = click.Context(main, parent=context, info_name=name)
    help_names = main.context_settings["help_option_names"]
    made = click.Context(verb, parent=context, info_name=path[-1], help_option_names=help_names)
    return "\n".join(line.rstrip() for line in verb.get_help(made).splitlines())


def write(docs: Path) -> None:
    """Bring the page up to date."""
    path = docs / "cdcctl.md"
    path.write_text(page(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
