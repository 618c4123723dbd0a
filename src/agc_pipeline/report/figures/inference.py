"""Figures of the statistical inference: ranking, scan, pseudo-experiments, limit."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from agc_pipeline.errors import InputError
from agc_pipeline.inference.derived_records import LimitRecord, RankingRecord, ScanRecord, ToyRecord
from agc_pipeline.inference.profile import Plane
from agc_pipeline.inference.ranking import Rank
from agc_pipeline.report import spots
from agc_pipeline.report.parameter_titles import Titles, title_of
from agc_pipeline.report.style import COLOURS, INK, SOFT, canvas
from agc_pipeline.report.yields import Floats

# Bins of the pulls of pseudo-experiments.
PULL_EDGES = np.linspace(-4, 4, 17)

_UP, _DOWN = COLOURS[4], COLOURS[3]


def largest(record: RankingRecord, number: int) -> list[Rank]:
    """The rows with the largest impacts, the largest first."""
    return sorted(record.rows, key=lambda row: -row.size)[:number]


def ranking(record: RankingRecord, number: int = 20, titles: Titles | None = None) -> Figure:
    """Impacts on the parameter of interest, and pulls, of the parameters with the largest impacts.

    Args:
        record: the ranking.
        number: of parameters.
        titles: of parameters, by name; those without one have their name.
    """
    rows = largest(record, number)
    heights = np.arange(len(rows), dtype=np.float64)[::-1]
    with canvas(7.2, 1.6 + 0.27 * len(rows)) as figure:
        impacts = figure.subplots()
        for label, colour, keys in (
            ("up", _UP, ("prefit_up", "postfit_up")),
            ("down", _DOWN, ("prefit_down", "postfit_down")),
        ):
            before, after = ([getattr(row, key) or 0.0 for row in rows] for key in keys)
            impacts.barh(
                heights, before, 0.78, facecolor="none", edgecolor=colour, label=f"pre-fit {label}"
            )
            impacts.barh(heights, after, 0.78, color=colour, alpha=0.75, label=f"post-fit {label}")
        sizes = [abs(getattr(row, key) or 0.0) for row in rows for key in _IMPACTS]
        reach = 1.08 * max(sizes, default=0.0) or 1.0
        impacts.set_xlim(-reach, reach)
        impacts.set_ylim(-0.7, len(rows) - 0.3)
        spots.rows(impacts, heights, [_impact_text(row, titles) for row in rows])
        impacts.set_yticks(heights, [title_of(row.parameter, titles) for row in rows])
        impacts.tick_params(axis="y", which="both", left=False, right=False)
        impacts.set_xlabel(f"change of {record.poi}")
        _pulls(impacts.twiny(), rows, heights)
        impacts.xaxis.set_label_position("top")
        impacts.tick_params(axis="x", labeltop=True, labelbottom=False, top=True, bottom=False)
        figure.legend(
            *impacts.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8
        )
    return figure


_IMPACTS = ("prefit_up", "prefit_down", "postfit_up", "postfit_down")


def _impact_text(row: Rank, titles: Titles | None) -> str:
    """Impacts and pull of a parameter, in lines."""
    lines = [title_of(row.parameter, titles)]
    for moment in ("prefit", "postfit"):
        sides = [getattr(row, f"{moment}_{side}") for side in ("up", "down")]
        told = ["unknown" if side is None else f"{side:+.3g}" for side in sides]
        lines.append(f"{moment.replace('fit', '-fit')} impact: {told[0]} up, {told[1]} down")
    if row.pull is not None:
        lines.append(f"best fit: {row.pull[0]:+.3f} \u00b1 {row.pull[1]:.3f}")
    return "\n".join(lines)


def _pulls(axes: Axes, rows: Sequence[Rank], heights: np.ndarray) -> None:
    shown = [
        (height, *row.pull)
        for height, row in zip(heights, rows, strict=True)
        if row.pull is not None
    ]
    reach = max(2.0, *(1.1 * (abs(value) + width) for _, value, width in shown), 0.0)
    axes.set_xlim(-reach, reach)
    for edge in (-1, 1):
        axes.axvline(edge, color=SOFT, linewidth=0.7, linestyle=":")
    for height, value, width in shown:
        axes.errorbar(value, height, xerr=width, fmt="o", color=INK, markersize=3.6, linewidth=1.1)
    axes.xaxis.set_label_position("bottom")
    axes.tick_params(axis="x", labeltop=False, labelbottom=True, top=False, bottom=True)
    axes.set_xlabel(r"$(\hat{\theta} - \theta_0)\;/\;\Delta\theta$")


def scan(record: ScanRecord) -> Figure:
    """Profile likelihood of the parameter of interest, with the parabola of the Hessian.

    Args:
        record: the scan of a parameter.

    Raises:
        InputError: if there is no scan.
    """
    poi, interval = record.poi, record.of_interest
    if poi is None or record.reason is not None:
        raise InputError(
            f"no scan: {record.reason}",
            place="record of the scan",
            remedy="draw it only where `reason` is None",
        )
    values = np.array(record.values)
    heights = np.array(record.heights, dtype=np.float64)
    with canvas(6.4, 3.9) as figure:
        axes = figure.subplots()
        axes.plot(values, heights, color=COLOURS[4], linewidth=1.6, label="profile likelihood")
        if poi.uncertainty > 0:
            parabola = ((values - poi.bestfit) / poi.uncertainty) ** 2
            axes.plot(values, parabola, color=SOFT, linestyle="--", linewidth=1.1, label="Hessian")
        for height in (1, 4):
            axes.axhline(height, color=INK, linewidth=0.6, linestyle=":")
        sides = () if interval is None else ((interval.down, -1), (interval.up, 1))
        for side, sign in sides:
            if side is not None:
                axes.plot([poi.bestfit + sign * side] * 2, [0, 1], color=COLOURS[4], linewidth=0.9)
        axes.set_xlim(values[0], values[-1])
        axes.set_ylim(0, max(1.05 * float(np.nanmax(heights, initial=0)), 1.2))
        axes.set_xlabel(poi.name)
        axes.set_ylabel(r"$-2\,\Delta\ln L$")
        axes.legend(loc="upper center")
    return figure


# Rise of -2 ln L of two parameters together for 68.3 % and 95.4 %: quantiles of chi-squared.
_CONTOURS = {2.2957: "68.3 %", 6.1801: "95.4 %"}


def plane(record: Plane) -> Figure:
    """Contours of two parameters, with their best fit."""
    heights = np.array(record.heights, dtype=np.float64)
    with canvas(5.2, 4.4) as figure:
        axes = figure.subplots()
        values = np.ma.masked_invalid(heights)
        lines = axes.contour(
            record.first,
            record.second,
            values,
            levels=list(_CONTOURS),
            colors=[COLOURS[4], SOFT],
            linewidths=1.4,
        )
        axes.clabel(lines, fmt=dict(zip(lines.levels, _CONTOURS.values(), strict=True)), fontsize=8)
        axes.plot(*record.bestfit, marker="+", markersize=9, color=INK, linestyle="none")
        axes.set_xlabel(record.parameters[0])
        axes.set_ylabel(record.parameters[1])
    return figure


def toy_pulls(record: ToyRecord) -> Floats:
    """Pulls of the parameter of interest in the pseudo-experiments where it has an uncertainty.

    None without a parameter of interest.
    """
    if record.poi is None:
        return np.zeros(0)
    widths = np.array(record.uncertainty)
    free = widths > 0
    return np.asarray((np.array(record.bestfit) - record.poi.bestfit)[free] / widths[free])


def toys(record: ToyRecord) -> Figure:
    """Pulls of the parameter of interest, and the goodness-of-fit statistic.

    Args:
        record: the pseudo-experiments, two or more of which converged.
    """
    pulls = toy_pulls(record)
    with canvas(9.8, 3.6) as figure:
        left, right = figure.subplots(1, 2)
        counts, _ = np.histogram(pulls, PULL_EDGES)
        left.stairs(counts, PULL_EDGES, fill=True, color=COLOURS[4], alpha=0.5, label="pulls")
        at = np.linspace(-4, 4, 200)
        gaussian = np.exp(-(at**2) / 2) / np.sqrt(2 * np.pi)
        left.plot(at, len(pulls) * 0.5 * gaussian, color=INK, linewidth=1.1, label="unit Gaussian")
        if record.poi is not None:
            left.set_xlabel(f"pull of {record.poi.name}")
        left.set_ylabel("pseudo-experiments")
        # Below the legend.
        left.set_ylim(0, 1.3 * max(counts.max(initial=0), 0.2 * len(pulls), 1))
        left.legend(loc="upper right")
        heights, _, _ = right.hist(record.statistic, bins=20, color=COLOURS[0], alpha=0.6)
        right.set_ylim(0, 1.2 * max(float(np.max(heights)), 1.0))
        right.axvline(record.observed, color=COLOURS[2], linewidth=1.4, label="data")
        right.set_xlabel(r"$-2\ln L$ relative to a perfect fit")
        right.legend(loc="upper right")
    return figure


def limit(record: LimitRecord) -> Figure:
    """CLs against the signal strength.

    Args:
        record: the limit.

    Raises:
        InputError: if the record has no limit.
    """
    if record.limit is None:
        raise InputError(
            f"no upper limit on {record.poi}: {'; '.join(record.failures)}",
            place="record of the limit",
            remedy="draw it only where `limit` is not None",
        )
    strengths = np.array(record.strengths)
    observed = np.array([entry.observed for entry in record.cls], dtype=np.float64)
    bands = np.array([entry.expected for entry in record.cls], dtype=np.float64).T
    with canvas(6.4, 3.9) as figure:
        axes = figure.subplots()
        axes.fill_between(strengths, bands[0], bands[4], color="#f5bb54", label=r"$\pm 2\sigma$")
        axes.fill_between(strengths, bands[1], bands[3], color="#607641", label=r"$\pm 1\sigma$")
        axes.plot(strengths, bands[2], "--", color=INK, linewidth=1.1, label="expected")
        axes.plot(strengths, observed, color=INK, linewidth=1.5, label="observed")
        if record.toys is not None and record.toys.scan:
            ratios = [entry.cls for entry in record.toys.scan]
            axes.errorbar(
                [entry.strength for entry in record.toys.scan],
                [ratio.value for ratio in ratios],
                yerr=[ratio.error for ratio in ratios],
                fmt="o",
                color=COLOURS[4],
                markersize=3,
                linewidth=0.9,
                label="pseudo-experiments",
            )
        axes.axhline(1 - record.confidence, color=COLOURS[2], linewidth=0.9)
        axes.set_xlim(0, strengths[-1])
        axes.set_ylim(0, 1)
        axes.set_xlabel(record.poi or "")
        axes.set_ylabel("CLs")
        axes.legend(loc="upper right")
    return figure
