"""The text of Combine's datacards: what tells one, and its lines."""

import re
from collections.abc import Iterator, Mapping

# The histograms of a process in a channel: the file, the nominal one, and those of systematics, by
# channel and process, of which either may be ``*``.
Shapes = Mapping[tuple[str, str], list[str]]

DATA = "data_obs"
FAKE = "FAKE"
_COMMENT = re.compile(r"#.*|-{2,}.*")


def is_card(text: str) -> bool:
    """Whether a text is a datacard."""
    return bool(re.search(r"^\s*imax\s", text, re.MULTILINE)) and not text.lstrip().startswith("{")


def shape_files(text: str) -> list[str]:
    """Names of the ROOT files of a card, in the order in which its processes need them."""
    shapes: dict[tuple[str, str], list[str]] = {}
    channels: list[str] = []
    processes: list[str] = []
    for _, line in lines(text):
        match line:
            case ["shapes", process, channel, *names] if names:
                shapes[channel, process] = names
            case ["bin", *names]:
                channels = [channel_name(name) for name in names]
            case ["process", *names] if not all(is_whole(name) for name in names):
                processes = names
    pairs = [(channel, DATA) for channel in dict.fromkeys(channels)]
    found = [names_of(shapes, *pair) for pair in (*pairs, *zip(channels, processes, strict=False))]
    return list(dict.fromkeys(names[0] for names in found if names and names[0] != FAKE))


def names_of(shapes: Shapes, channel: str, process: str, shift: str = "") -> list[str] | None:
    """The histograms of a process as its line ``shapes`` has them, with the words filled in.

    Those of its channel come before those of all channels, and those of its name before others.

    Args:
        shapes: of the card.
        channel: name.
        process: name.
        shift: name of a systematic with its direction.
    """
    places = ((channel, process), (channel, "*"), ("*", process), ("*", "*"))
    words = {"$CHANNEL": channel, "$PROCESS": process, "$SYSTEMATIC": shift}
    for place in places:
        if place in shapes:
            return [_filled(name, words) for name in shapes[place]]
    return None


def channel_name(word: str) -> str:
    """The name that Combine gives a channel: one that is a number is ``bin1``."""
    return f"bin{word}" if word[0].isdigit() else word


def is_whole(word: str) -> bool:
    """Whether a word is a whole number."""
    return re.fullmatch(r"[+-]?\d+", word) is not None


def _filled(text: str, words: Mapping[str, str]) -> str:
    for word, value in words.items():
        text = text.replace(word, value)
    return text


def lines(text: str) -> Iterator[tuple[int, list[str]]]:
    """Numbers of the lines that say something, and their words."""
    for number, line in enumerate(text.splitlines(), start=1):
        if not _COMMENT.fullmatch(line.strip()):
            words = line.split("#")[0].split()
            if words:
                yield number, words
