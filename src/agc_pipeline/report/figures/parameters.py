"""Figures of the fitted parameters: pulls and correlations."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from agc_pipeline.inference.derived_records import RankingRecord
from agc_pipeline.inference.fit_records import FitRecord
from agc_pipeline.report import spots
from agc_pipeline.report.parameter_titles import Titles, title_of
from agc_pipeline.report.style import INK, canvas
from agc_pipeline.report.yields import Floats

# Smaller correlations are drawn, but their values are not printed.
PRINTED = 0.1

# Statistical factors are added up to so many parameters in a matrix; more than the other number
# cannot be read.
_MOST = 20
_LEGIBLE = 40


def nuisances(fit: FitRecord) -> list[str]:
    """Nuisance parameters of a fit that are systematics, in the order of the analysis."""
    return [name for name in fit.groups if name in fit.labels]


def pull_values(fit: FitRecord, record: RankingRecord) -> dict[str, tuple[float, float]]:
    """Pull of each systematic and its uncertainty, in units of the uncertainty before the fit.

    Args:
        fit: names the systematics.
        record: the ranking, which has the values before the fit.
    """
    rows = {row.parameter: row.pull for row in record.rows}
    return {name: pull for name in nuisances(fit) if (pull := rows.get(name)) is not None}


def pulls(fit: FitRecord, record: RankingRecord) -> Figure:
    """Best fit and uncertainty of nuisance parameters, in units of their pre-fit uncertainty.

    Args:
        fit: names the systematics.
        record: the ranking, which has the values before the fit.
    """
    values = pull_values(fit, record)
    names = list(values)
    centres, widths = np.array(list(values.values())).reshape(-1, 2).T
    rows = np.arange(len(names))[::-1]
    with canvas(6.4, 1.1 + 0.3 * len(names)) as figure:
        axes = figure.subplots()
        reach = max(2.1, float(np.max(np.abs(centres) + widths, initial=0)) + 0.2)
        axes.axvspan(-2, 2, color="#fdf3d0", linewidth=0, zorder=0)
        axes.axvspan(-1, 1, color="#d9efe0", linewidth=0, zorder=0)
        axes.axvline(0, color=INK, linewidth=0.8, linestyle=":")
        axes.errorbar(centres, rows, xerr=widths, fmt="o", color=INK, markersize=4, linewidth=1.3)
        for row, value, width in zip(rows, centres, widths, strict=True):
            axes.annotate(
                f"{value:+.2f} \u00b1 {width:.2f}".replace("-", "\u2212"),
                (1.02, row),
                xycoords=("axes fraction", "data"),
                va="center",
                size=8.5,
                annotation_clip=False,
            )
        spots.rows(
            axes,
            rows,
            [f"{name}: {value:+.3f} \u00b1 {width:.3f}" for name, (value, width) in values.items()],
        )
        axes.set_yticks(rows, names)
        axes.tick_params(axis="y", which="both", left=False, right=False)
        axes.set_ylim(-0.7, len(names) - 0.3)
        axes.set_xlim(-reach, reach)
        axes.set_xlabel(r"$(\hat{\theta} - \theta_0)\;/\;\Delta\theta$")
    return figure


def correlated(fit: FitRecord, smallest: float) -> list[str]:
    """Parameters for a legible correlation matrix: that of interest, systematics, and some others.

    Args:
        fit: the fit. Of more systematics than can be read, the least correlated are left out.
        smallest: other parameters are added if their correlation with any parameter reaches this,
            and there are not too many of them.
    """
    interest = [] if fit.poi is None else [fit.poi.name]
    names = [*interest, *(name for name in nuisances(fit) if name not in interest)]
    correlations = np.array(fit.correlation)
    others = np.abs(correlations - np.diag(np.diag(correlations)))
    reach = dict(zip(fit.labels, others.max(axis=1, initial=0), strict=True))
    if len(names) > _LEGIBLE:
        others = names[len(interest) :]
        strong = sorted(others, key=lambda label: -reach[label])[: _LEGIBLE - 1]
        names = [*interest, *(name for name in others if name in strong)]
    candidates = [label for label in fit.labels if label not in names]
    strongest = sorted(candidates, key=lambda label: -reach[label])[: max(_MOST - len(names), 0)]
    return [
        *names,
        *(label for label in candidates if reach[label] >= smallest and label in strongest),
    ]


def matrix(fit: FitRecord, parameters: Sequence[str]) -> Floats:
    """Correlations of some parameters, ``parameters * parameters``."""
    positions = [fit.labels.index(name) for name in parameters]
    return np.array(fit.correlation)[np.ix_(positions, positions)]


def correlation(
    fit: FitRecord,
    parameters: Sequence[str] | None = None,
    *,
    smallest: float = 0.4,
    titles: Titles | None = None,
) -> Figure:
    """Correlation matrix of some parameters.

    Args:
        fit: the fit.
        parameters: those to draw, from the top; None is ``correlated(fit, smallest)``.
        smallest: see ``correlated``.
        titles: of parameters, by name; those without one have their name.
    """
    names = correlated(fit, smallest) if parameters is None else parameters
    values = matrix(fit, names)
    size = 0.46 * len(names)
    with canvas(2.7 + size, 1.35 + size) as figure:
        axes = figure.subplots()
        image = axes.imshow(values, vmin=-1, vmax=1, cmap="RdBu", aspect="auto")
        shown = [title_of(name, titles) for name in names]
        axes.set_xticks(range(len(names)), shown, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(names)), shown)
        axes.tick_params(length=0)
        for (row, column), value in np.ndenumerate(values):
            if row != column and abs(value) >= PRINTED:
                axes.text(
                    column,
                    row,
                    f"{value:.2f}".replace("-", "\u2212"),
                    ha="center",
                    va="center",
                    size=8,
                    color="white" if abs(value) > 0.6 else INK,
                )
        spots.cells(
            axes,
            [
                [f"{name}, {other}: {value:.3f}" for other, value in zip(shown, row, strict=True)]
                for name, row in zip(shown, values, strict=True)
            ],
        )
        bar = figure.colorbar(image, ax=axes, fraction=0.045, pad=0.02)
        bar.set_label("correlation")
    return figure
