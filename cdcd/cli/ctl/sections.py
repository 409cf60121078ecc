"""A page of sections, each a heading with labelled lines."""

from collections.abc import Iterable

import click

from cdcd.cli.ctl.output import printable, say, state_word

Section = tuple[str, list[tuple[str, str]]]
"""Heading and its lines, each a label and a text."""


def print_sections(sections: Iterable[Section]) -> None:
    """On standard output."""
    for heading, lines in sections:
        say(click.style(printable(heading), bold=True))
        width = max((len(label) for label, _ in lines), default=0)
        for label, text in lines:
            said = state_word(text) if label == "state" else printable(text)
            say(f"  {printable(label):<{width}}  {said}".rstrip())
