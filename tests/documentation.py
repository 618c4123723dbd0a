"""What the documents tell a reader to type and to change."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from conftest import ROOT

_PROGRAMS = "snakemake|make|agc-pipeline|python|tritonserver|pip"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Command(NamedTuple):
    """A command, and the document that has it."""

    document: str
    words: tuple[str, ...]


def documents() -> Iterator[Path]:
    """README and its like, pages of docs, and configuration, whose comments have commands."""
    for pattern in ("*.md", "docs/*.md", "config/*.yaml"):
        yield from sorted(ROOT.glob(pattern))


def commands() -> list[Command]:
    """All commands of all documents, once each."""
    lines = {
        line: document.relative_to(ROOT).as_posix()
        for document in documents()
        for line in _lines(document.read_text())
    }
    words = [
        (name, tuple(shlex.split(line, comments=True))) for line, name in sorted(lines.items())
    ]
    return [Command(*pair) for pair in words if pair[1]]


def _lines(text: str) -> Iterator[str]:
    for language, block in _BLOCK.findall(text):
        if language == "console":
            yield from block.splitlines()
    yield from (
        " ".join(code.split())
        for code in re.findall(rf"`((?:{_PROGRAMS})\s[^`]+)`", _BLOCK.sub("", text))
    )
    # In comments of configuration.
    yield from re.findall(rf"^# +((?:{_PROGRAMS}) .*[^,;.])$", text, re.MULTILINE)


class Change(NamedTuple):
    """A change of code or configuration, and the rules that run again."""

    title: str
    edits: tuple[tuple[str, str, str], ...]
    options: tuple[str, ...]
    rules: tuple[str, ...]


def changes(page: Path) -> Iterator[Change]:
    """The sections of a page that say what runs again."""
    for section in re.split(r"^## ", page.read_text(), flags=re.MULTILINE)[1:]:
        rules = re.search(r"^Runs again: (.*?)\.", section, re.MULTILINE | re.DOTALL)
        if rules is None:
            continue
        blocks = _BLOCK.findall(section)
        edits = [edit for language, block in blocks if language == "diff" for edit in _edits(block)]
        console = [block for language, block in blocks if language == "console"]
        words = shlex.split(console[-1])
        assert words[:3] == ["snakemake", "--cores", "2"]
        yield Change(
            section.partition("\n")[0],
            tuple(edits),
            tuple(words[3:]),
            tuple(re.findall(r"`(\w+)`", rules[1])),
        )


def _edits(diff: str) -> Iterator[tuple[str, str, str]]:
    for part in re.split(r"^--- a/.*\n", diff, flags=re.MULTILINE)[1:]:
        head, *hunks = re.split(r"^@@\n", part, flags=re.MULTILINE)
        for hunk in hunks:
            lines = hunk.splitlines(keepends=True)
            old = "".join(line[1:] or "\n" for line in lines if line[0] != "+")
            new = "".join(line[1:] or "\n" for line in lines if line[0] != "-")
            yield head.strip().removeprefix("+++ b/"), old, new
