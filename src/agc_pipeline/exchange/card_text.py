"""The text of Combine's datacards: what tells one, and its lines."""

import re
from collections.abc import Iterator

_COMMENT = re.compile(r"#.*|-{3,}.*")


def is_card(text: str) -> bool:
    """Whether a text is a datacard."""
    return bool(re.search(r"^\s*imax\s", text, re.MULTILINE)) and not text.lstrip().startswith("{")


def shape_files(text: str) -> list[str]:
    """Names of the ROOT files of a card, in the order in which they appear."""
    files = [
        line[3]
        for _, line in lines(text)
        if line[0] == "shapes" and len(line) > 3 and line[1] != "FAKE"
    ]
    return list(dict.fromkeys(files))


def lines(text: str) -> Iterator[tuple[int, list[str]]]:
    """Numbers of the lines that say something, and their words."""
    for number, line in enumerate(text.splitlines(), start=1):
        if not _COMMENT.fullmatch(line.strip()):
            words = line.split("#")[0].split()
            if words:
                yield number, words
