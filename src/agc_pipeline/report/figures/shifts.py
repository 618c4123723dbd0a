"""Figures of single templates: a systematic of a sample, its statistics, and what the model has."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from agc_pipeline.inference.fit_records import FitRecord
from agc_pipeline.inference.template_noise import (
    Contents,
    SampleContents,
    ShiftContents,
    alone,
    shares,
)
from agc_pipeline.inference.treatment import treated
from agc_pipeline.report import spots
from agc_pipeline.report.figures import panels
from agc_pipeline.report.style import COLOURS, INK, SOFT, canvas
from agc_pipeline.report.yields import Floats

_COLUMNS = 4
_UP, _DOWN = COLOURS[2], COLOURS[4]
# Inches: of a panel, and around all of them.
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 2.3, 1.55, 0.55, 0.75, 0.1


@dataclass(frozen=True)
class Side:
    """One shift of a systematic of a sample, relative to the nominal template, ``bins`` each.

    Attributes:
        change: of the template as it was filled, NaN where the nominal one is empty.
        error: its statistical uncertainty: of samples of their own, with that of the nominal one;
            of varied selections a lower bound where it is not known which events have moved.
        model: the change that the model has, after smoothing and symmetrising.
    """

    change: Floats
    error: Floats
    model: Floats


@dataclass(frozen=True)
class Shift:
    """The templates of a systematic of a sample in a channel.

    Attributes:
        channel: its title.
        sample: its title.
        parameter: name of the nuisance parameter.
        smoothing: of the configuration.
        up: the shift up.
        down: the shift down; None of one that is mirrored.
        size: largest change of the expectation of the channel in any bin, relative to it.
    """

    channel: str
    sample: str
    parameter: str
    smoothing: str
    up: Side
    down: Side | None
    size: float


def shifts(fit: FitRecord, channel: str) -> list[Shift]:
    """All templates of systematics in a channel, those with the largest effect first.

    Args:
        fit: has the templates as they were before any treatment.
        channel: its title.
    """
    samples = [entry for entry in fit.contents if entry.channel == channel]
    total = np.sum([entry.nominal.values for entry in samples], axis=0)
    entries = [_shift(entry, shift, total) for entry in samples for shift in entry.shifts]
    return sorted(entries, key=lambda entry: -entry.size)


def _shift(entry: SampleContents, shift: ShiftContents, total: Floats) -> Shift:
    nominal = np.array(entry.nominal.values)
    up = np.array(shift.up.values)
    down = None if shift.down is None else np.array(shift.down.values)
    model_up, model_down = treated(nominal, up, down, shift.treatment, nominal)
    sides = [_side(entry, shift, shift.up, model_up)]
    if shift.down is not None and model_down is not None:
        sides.append(_side(entry, shift, shift.down, model_down))
    filled = total > 0
    effects = np.abs([side.model * nominal for side in sides])[:, filled] / total[filled]
    return Shift(
        channel=entry.channel,
        sample=entry.sample,
        parameter=shift.parameter,
        smoothing=shift.treatment.smoothing,
        up=sides[0],
        down=sides[1] if len(sides) > 1 else None,
        size=float(np.nanmax(effects, initial=0.0)),
    )


def _side(entry: SampleContents, shift: ShiftContents, template: Contents, model: Floats) -> Side:
    nominal, variance = np.array(entry.nominal.values), np.array(entry.nominal.variances)
    share = shares(shift.kind, entry.nominal, template)
    scale = np.where(nominal > 0, nominal, np.nan)
    ratio = np.array(template.values) / scale
    # What fluctuates in the template alone, and in the nominal one beyond what both share.
    own = np.maximum(np.diag(alone(share, entry.nominal, template)), 0.0)
    rest = share - np.diag(np.nan_to_num(ratio))
    error = np.sqrt(own + variance @ rest**2) / scale
    return Side(change=ratio - 1, error=error, model=model / scale - 1)


def single_templates(entries: Sequence[Shift], edges: Sequence[float], label: str) -> Figure:
    """Changes of single samples by single systematics: filled, and as the model has them.

    Args:
        entries: one or more of ``shifts``, in the order of the panels.
        edges: of the bins.
        label: of the axis of the observable.
    """
    columns = min(len(entries), _COLUMNS)
    rows = -(-len(entries) // columns)
    width = _LEFT + columns * _WIDTH
    height = _BOTTOM + rows * _HEIGHT + _TOP
    with canvas(width, height) as figure:
        grid = figure.subplots(
            rows,
            columns,
            sharex=True,
            squeeze=False,
            gridspec_kw={"wspace": 0.28, "hspace": 0.42}
            | panels.margins(figure, left=_LEFT, bottom=_BOTTOM, top=_TOP + 0.3),
        )
        for axes, entry in zip(grid.flat, entries, strict=False):
            _panel(axes, entry, np.array(edges))
        for axes in grid.flat[len(entries) :]:
            axes.set_visible(False)
        for column in grid.T:
            lowest = [axes for axes in column if axes.get_visible()][-1]
            lowest.set_xlabel(label)
            lowest.tick_params(labelbottom=True)
        for axes in grid[:, 0]:
            axes.set_ylabel("change [%]")
        grid[0, 0].set_xlim(edges[0], edges[-1])
        named = {
            label: handle
            for axes in grid.flat
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        figure.legend(list(named.values()), list(named), loc="lower center", ncols=len(named))
    return figure


def _panel(axes: Axes, entry: Shift, edges: Floats) -> None:
    centres = (edges[:-1] + edges[1:]) / 2
    sides = [("up", entry.up, _UP, -0.12), ("down", entry.down, _DOWN, 0.12)]
    reach = 0.0
    for name, side, colour, offset in sides:
        if side is None:
            # The mirror image is what the model has.
            axes.stairs(-100 * entry.up.model, edges, color=colour, linewidth=1.0, linestyle=":")
            continue
        axes.stairs(
            100 * side.model,
            edges,
            baseline=None,
            color=colour,
            linewidth=1.2,
            label=f"{name}, model",
        )
        axes.errorbar(
            centres + offset * np.diff(edges),
            100 * side.change,
            yerr=100 * side.error,
            fmt="o",
            color=colour,
            markersize=2.2,
            linewidth=0.8,
            label=f"{name}, filled",
        )
        reach = max(reach, _reach(side))
    limits = (-100 * reach, 100 * reach)
    for _, side, colour, offset in sides:
        if side is not None:
            places = centres + offset * np.diff(edges)
            panels.mark_outside(axes, places, 100 * side.change, limits, colour=colour, size=3)
    spots.columns(axes, edges, _bin_texts(entry, edges))
    axes.axhline(0, color=INK, linewidth=0.6)
    axes.set_ylim(*limits)
    axes.set_title(f"{entry.parameter}, {entry.sample}", size=7.8, loc="left", pad=3)
    axes.tick_params(labelsize=7.5)
    if entry.smoothing != "none":
        axes.text(
            0.97, 0.05, entry.smoothing, transform=axes.transAxes, ha="right", size=7, color=SOFT
        )


def _bin_texts(entry: Shift, edges: Floats) -> list[str]:
    """What each bin has: changes as they were filled, and as the model has them, in lines."""
    sides = {"up": entry.up} if entry.down is None else {"up": entry.up, "down": entry.down}
    return [
        "\n".join(
            [
                f"{entry.parameter}, {entry.sample}, {low:g} to {high:g}",
                *(_change_text(name, side, place) for name, side in sides.items()),
                *([] if entry.down is not None else ["down: mirrored"]),
            ]
        )
        for place, (low, high) in enumerate(pairwise(edges))
    ]


def _change_text(name: str, side: Side, place: int) -> str:
    change, error, model = (100 * float(of[place]) for of in (side.change, side.error, side.model))
    if np.isnan(change):
        return f"{name}: no events in the nominal template"
    return f"{name}: {change:+.2f} \u00b1 {error:.2f} % filled, {model:+.2f} % in the model"


def _reach(side: Side) -> float:
    """So far that most points are seen with their errors: bins with few events set no scale."""
    sizes = np.abs(side.change) + side.error
    weights = np.where(np.isfinite(side.error) & (side.error > 0), side.error, np.nan)
    typical = np.nanmedian(weights) if np.isfinite(weights).any() else np.inf
    precise = sizes[np.nan_to_num(side.error, nan=np.inf) <= 3 * typical]
    largest = np.nanmax(precise, initial=0.0) if precise.size else np.nanmax(sizes, initial=0.0)
    return max(1.25 * float(largest), 0.005)
