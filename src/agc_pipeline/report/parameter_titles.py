"""Names of the parameters of a fit as people read them."""

import re
from collections.abc import Mapping

from agc_pipeline.declaration.analysis import statistical_factor
from agc_pipeline.inference.fit_records import FitRecord

Titles = Mapping[str, str]

# The factor of one bin, in cabinetry's names and in those of pyhf's parameters.
_FACTOR = re.compile(r"^(?P<name>.*)\[(?P<bin>\d+)\]$")


def titles(fit: FitRecord) -> dict[str, str]:
    """Titles of the statistical factors of bins: "4j1b CR, 350-390 GeV MC stat".

    A factor belongs to a channel if it is named after it, and there is one for each of its bins, as
    in every workspace of cabinetry. Others keep their names.

    Args:
        fit: with its channels and parameters.
    """
    channels = {statistical_factor(title): title for title in fit.channels}
    factors: dict[str, list[str]] = {}
    for label in fit.labels:
        match = _FACTOR.match(label)
        if match and match["name"] in channels:
            factors.setdefault(match["name"], []).append(label)
    return {
        label: f"{channels[name]}, {bin_title(fit, channels[name], number)} MC stat"
        for name, labels in factors.items()
        if len(labels) == len(fit.channels[channels[name]].observed)
        for number, label in enumerate(labels)
    }


def title_of(name: str, names: Titles | None) -> str:
    """The title of a parameter; its name if it has none."""
    return name if names is None else names.get(name, name)


def bin_title(fit: FitRecord, channel: str, number: int) -> str:
    """The range of a bin with its unit, ``350-390 GeV`` with an en dash; its number without axis.

    Args:
        fit: with the channel.
        channel: its title.
        number: of the bin, from zero.
    """
    entry = fit.channels[channel]
    # Bins of a workspace from elsewhere are numbered, at half numbers of their edges.
    if entry.label == "bin":
        low, high = entry.bins[number]
        return f"bin {(low + high) / 2:g}"
    return entry.bin_name(number, "\u2013")


def titled(text: str, names: Titles) -> str:
    """A text with the titles of the parameters that it names.

    Args:
        text: a message about a fit.
        names: titles by name.
    """
    if not names or "[" not in text:
        return text
    pattern = "|".join(re.escape(name) for name in names)
    return re.sub(pattern, lambda match: names[match.group()], text)
