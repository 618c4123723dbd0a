"""SVG of matplotlib, made small enough for a page that has everything in it."""

import re

_NOT_DRAWN = re.compile(r"<metadata>.*?</metadata>|<!DOCTYPE.*?>", re.DOTALL)
_PLACES = re.compile(r'(?<= d=")[^"]*|(?<=translate\()[^)]*')
_LONG_NUMBERS = re.compile(r"-?\d+\.\d{3,}")
_EMPTY = re.compile(r"<g [^>]*/>")
_NAMES = re.compile(r'(?<= id=")[^"]*')
_REFERENCES = re.compile(r'(?<=href="#)[^"]*|(?<=url\(#)[^)]*')
_BLANKS = re.compile(r"\s+")
# What must not stand in a URI within double quotes; the rest is left as it is, as base64 is larger.
_RESERVED = {
    ord(character): f"%{ord(character):02X}" for character in ("%", "#", '"', "<", ">", "&")
}


def compact(text: str) -> str:
    """The same drawing without metadata and line breaks, to hundredths of a point.

    Args:
        text: SVG of matplotlib, with text as paths, and in comments.
    """
    drawn = _PLACES.sub(_rounded, _NOT_DRAWN.sub("", text))
    # Every letter refers to its shape, by a name that has that of the font in it.
    references = dict.fromkeys(_REFERENCES.findall(drawn))
    names = {name: f"g{number:x}" for number, name in enumerate(references)}
    for pattern in (_NAMES, _REFERENCES):
        drawn = pattern.sub(lambda name: names.get(name[0], name[0]), drawn)
    return _EMPTY.sub("", _BLANKS.sub(" ", drawn).replace("> <", "><")).strip()


def data_uri(text: str) -> str:
    """An SVG as the source of an image in the page."""
    return "data:image/svg+xml," + text.translate(_RESERVED)


def _rounded(path: re.Match[str]) -> str:
    return _LONG_NUMBERS.sub(
        lambda number: f"{float(number[0]):.2f}".rstrip("0").rstrip("."), path[0]
    )
