"""Definitions out of files: one YAML or JSON document each, or several YAML documents between `---` lines."""

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from cdcd.config.definition import Definition, load_definition
from cdcd.config.document import parse_document
from cdcd.errors import InvalidConfig, Problem

STDIN = "-"
LARGEST_FILE = 64 << 20

# At a line's start these three characters end a document, whatever stands around them (YAML 1.2, 9.1.2).
_MARKER = re.compile(rb"^---(?=[ \t\r\n]|\Z)", re.MULTILINE)
_NOTHING = re.compile(rb"(?:\xef\xbb\xbf)?(?:[ \t\r\n]|#[^\n]*|%[^\n]*|^\.\.\.[ \t\r]*$)*", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Document:
    origin: str
    """File, and which of its documents if it holds several."""
    text: bytes


@dataclass(frozen=True, slots=True)
class Wanted:
    """A definition as a file asks for it."""

    origin: str
    definition: Definition
    says_paused: bool
    """Whether the file itself says `paused`; if not, an instance that was paused by command stays so."""


def documents(file: str) -> list[Document]:
    """What a file holds; `-` is standard input. OSError if it cannot be read, InvalidConfig if it is too large."""
    if file == STDIN:
        content = sys.stdin.buffer.read(LARGEST_FILE + 1)
    else:
        with Path(file).open("rb") as opened:
            content = opened.read(LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise InvalidConfig(file, (Problem("", f"is larger than {LARGEST_FILE >> 20} MiB"),))
    pieces = _pieces(content)
    if len(pieces) < 2:
        return [Document(file, content)]
    return [Document(f"{file} (document {number})", piece) for number, piece in enumerate(pieces, 1)]


def _pieces(content: bytes) -> list[bytes]:
    """Each with as many line feeds before it as lines come before it, so that messages name the file's own lines."""
    starts = [0, *(match.start() for match in _MARKER.finditer(content)), len(content)]
    pieces = []
    for start, end in pairwise(starts):
        piece = content[start:end]
        if not _NOTHING.fullmatch(piece.removeprefix(b"---") if start or piece.startswith(b"---") else piece):
            pieces.append(b"\n" * content.count(b"\n", 0, start) + piece)
    return pieces


def wanted(files: Iterable[str]) -> list[Wanted]:
    """All definitions of all files. InvalidConfig holds the mistakes of all of them, OSError names a file."""
    found: list[Wanted] = []
    mistakes: list[Problem] = []
    for document in [document for file in files for document in documents(file)]:
        try:
            definition = load_definition(document.text, document.origin)
        except InvalidConfig as error:
            mistakes += [
                Problem(f"{error.origin}: {each.path}".removesuffix(": "), each.message) for each in error.problems
            ]
            continue
        found.append(Wanted(document.origin, definition, "paused" in parse_document(document.text, document.origin)))
    mistakes += _twice(found)
    if mistakes:
        raise InvalidConfig("what was given", tuple(mistakes))
    return found


def _twice(found: Iterable[Wanted]) -> list[Problem]:
    first: dict[str, str] = {}
    again = []
    for each in found:
        if each.definition.name in first:
            message = f"`{each.definition.name}` is defined in {first[each.definition.name]} as well"
            again.append(Problem(f"{each.origin}: name", message))
        first.setdefault(each.definition.name, each.origin)
    return again
