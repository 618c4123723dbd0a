"""Warnings in the output of Python, as things to compare: without line numbers and prefixes."""

import re
from collections.abc import Iterable

_LINE = re.compile(r"^(?P<path>[^:\n]+):\d+: (?P<kind>\w*Warning): (?P<text>.+)$", re.MULTILINE)
_PREFIX = re.compile(r"^.*/(?:site-packages|lib/python\d+\.\d+|agc_pipeline(?=/))/?")
# Addresses in memory, and folders of one cell.
_VARYING = re.compile(r"0x[0-9a-f]+|(?<![\w:/.-])/\S+/")


def collect(outputs: Iterable[str]) -> tuple[str, ...]:
    """Each warning once, sorted: ``path: Category: text``."""
    found = set()
    for output in outputs:
        for match in _LINE.finditer(output):
            path = _PREFIX.sub("", match["path"])
            text = _VARYING.sub("", match["text"]).strip()
            found.add(f"{path}: {match['kind']}: {text}")
    return tuple(sorted(found))
