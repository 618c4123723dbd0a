"""Figures of what the expected uncertainty depends on."""

from dataclasses import dataclass

import numpy as np
from matplotlib.colors import SymLogNorm
from matplotlib.figure import Figure

from agc_pipeline.inference.template_gradients import (
    Quantity,
    TemplateGradient,
    TemplateGradients,
)
from agc_pipeline.report.parameter_titles import Titles, title_of
from agc_pipeline.report.style import SOFT, canvas
from agc_pipeline.report.yields import Floats

# Of the templates: more contents, in per cent.
CHANGE = 0.01
# Colours are linear up to so much of the largest effect.
_LINEAR = 0.02


@dataclass(frozen=True)
class GradientRow:
    """A template in all channels.

    Attributes:
        title: of the sample, and of the systematic with its direction.
        effects: relative change of the quantity by 1 % more in each bin of each channel, by name of
            the channel.
    """

    title: str
    effects: dict[str, Floats]

    @property
    def size(self) -> float:
        """The largest effect."""
        return max(float(np.max(np.abs(values), initial=0.0)) for values in self.effects.values())


def gradient_rows(
    record: TemplateGradients,
    number: int,
    titles: Titles | None = None,
    quantity: Quantity = "uncertainty",
) -> list[GradientRow]:
    """The templates with the largest effects, the largest first.

    Args:
        record: the derivatives.
        number: of rows.
        titles: of parameters, by name; those without one have their name.
        quantity: that changes.
    """
    value = record.values.get(quantity)
    rows: dict[str, dict[str, Floats]] = {}
    for entry in record.templates:
        if not value or entry.kind == "normsys" or quantity not in entry.derivatives:
            continue
        effects = entry.effects(quantity, CHANGE) / value
        rows.setdefault(_title(entry, titles), {})[entry.channel] = effects
    shown = [GradientRow(title, effects) for title, effects in rows.items()]
    return sorted(shown, key=lambda row: -row.size)[:number]


def _title(entry: TemplateGradient, titles: Titles | None) -> str:
    if entry.parameter is None:
        return f"{entry.sample}, nominal"
    name = title_of(entry.parameter, titles)
    return f"{entry.sample}, {name} {entry.direction}"


def gradients(rows: list[GradientRow], channels: dict[str, int]) -> Figure:
    """Map of the effects: templates against bins.

    Args:
        rows: templates, the first on top.
        channels: number of bins of each, by name.
    """
    values = np.full((len(rows), sum(channels.values())), np.nan)
    starts = np.concatenate([[0], np.cumsum(list(channels.values()))])
    for height, row in enumerate(rows):
        for (name, n), start in zip(channels.items(), starts[:-1], strict=True):
            if name in row.effects:
                values[height, start : start + n] = 100 * row.effects[name]
    reach = float(np.nanmax(np.abs(values), initial=0.0)) or 1.0
    with canvas(7.2, 1.5 + 0.22 * len(rows)) as figure:
        axes = figure.subplots()
        norm = SymLogNorm(_LINEAR * reach, vmin=-reach, vmax=reach)
        image = axes.pcolormesh(values, cmap="RdBu_r", norm=norm, rasterized=True)
        axes.invert_yaxis()
        axes.set_yticks(np.arange(len(rows)) + 0.5, [row.title for row in rows], fontsize=7)
        axes.set_xticks((starts[:-1] + starts[1:]) / 2, list(channels))
        axes.tick_params(which="both", length=0)
        for edge in starts[1:-1]:
            axes.axvline(edge, color=SOFT, linewidth=0.9)
        bar = figure.colorbar(image, ax=axes, pad=0.02)
        bar.set_label("change of the uncertainty in %", fontsize=8)
    return figure
