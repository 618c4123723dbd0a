"""Figures of the fitted parameters: pulls and correlations."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from cabinetry.fit import FitResults

from agc_pipeline.report.style import INK, Picture, canvas, publish

# Smaller correlations are drawn, but not written.
_WRITTEN = 0.1

# Statistical factors are added up to so many parameters in a matrix; more than the other number
# cannot be read.
_MOST = 20
_LEGIBLE = 40


def draw_pulls(pulls: Mapping[str, tuple[float, float]], folder: Path, *, partial: bool) -> Picture:
    """Best fit and uncertainty of nuisance parameters, in units of their pre-fit uncertainty.

    Args:
        pulls: by parameter, from the top: deviation from the value before the fit, and uncertainty.
        folder: where the files go.
        partial: mark the figure as partial.
    """
    names = list(pulls)
    values, widths = np.array(list(pulls.values())).T
    rows = np.arange(len(names))[::-1]
    with canvas(6.4, 1.1 + 0.3 * len(names)) as figure:
        axes = figure.subplots()
        reach = max(2.1, float(np.max(np.abs(values) + widths)) + 0.2)
        axes.axvspan(-2, 2, color="#fdf3d0", linewidth=0, zorder=0)
        axes.axvspan(-1, 1, color="#d9efe0", linewidth=0, zorder=0)
        axes.axvline(0, color=INK, linewidth=0.8, linestyle=":")
        axes.errorbar(values, rows, xerr=widths, fmt="o", color=INK, markersize=4, linewidth=1.3)
        for row, value, width in zip(rows, values, widths, strict=True):
            axes.annotate(
                f"{value:+.2f} \u00b1 {width:.2f}".replace("-", "\u2212"),
                (1.02, row),
                xycoords=("axes fraction", "data"),
                va="center",
                size=8.5,
                annotation_clip=False,
            )
        axes.set_yticks(rows, names)
        axes.tick_params(axis="y", which="both", left=False, right=False)
        axes.set_ylim(-0.7, len(names) - 0.3)
        axes.set_xlim(-reach, reach)
        axes.set_xlabel(r"$(\hat{\theta} - \theta_0)\;/\;\Delta\theta$")
        listed = ", ".join(
            f"{name} {value:+.2f} \u00b1 {width:.2f}"
            for name, value, width in zip(names, values, widths, strict=True)
        )
        return publish(
            figure,
            folder,
            "pulls",
            caption="Nuisance parameters after the fit, in units of their uncertainty before it. "
            "Bands: one and two of these units. The bar is shorter than the inner band where the "
            "data constrain a parameter.",
            alternative=f"Fitted nuisance parameters: {listed}.",
            partial=partial,
            numbers={
                name: {"pull": value, "uncertainty": width}
                for name, value, width in zip(names, values, widths, strict=True)
            },
        )


def correlated(fitted: FitResults, names: Sequence[str], smallest: float) -> list[str]:
    """Parameters for a legible correlation matrix.

    Args:
        fitted: result of the fit.
        names: parameters that are always part of it, but for the least correlated of more than can
            be read; the first is the one of interest.
        smallest: others are, if their correlation with any parameter reaches this, and there are
            not too many of them.
    """
    others = np.abs(np.asarray(fitted.corr_mat) - np.diag(np.diag(fitted.corr_mat)))
    reach = dict(zip(fitted.labels, others.max(axis=1, initial=0), strict=True))
    if len(names) > _LEGIBLE:
        kept = sorted(names[1:], key=lambda label: -reach[label])[: _LEGIBLE - 1]
        names = [names[0], *(name for name in names[1:] if name in kept)]
    candidates = [label for label in fitted.labels if label not in names]
    strongest = sorted(candidates, key=lambda label: -reach[label])[: max(_MOST - len(names), 0)]
    return [
        *names,
        *(label for label in candidates if reach[label] >= smallest and label in strongest),
    ]


def draw_correlations(
    fitted: FitResults, names: Sequence[str], folder: Path, *, partial: bool
) -> Picture:
    """Correlation matrix of some parameters.

    Args:
        fitted: result of the fit.
        names: the parameters to draw, from the top.
        folder: where the files go.
        partial: mark the figure as partial.
    """
    positions = [fitted.labels.index(name) for name in names]
    matrix = np.asarray(fitted.corr_mat)[np.ix_(positions, positions)]
    size = 0.46 * len(names)
    with canvas(2.7 + size, 1.35 + size) as figure:
        axes = figure.subplots()
        image = axes.imshow(matrix, vmin=-1, vmax=1, cmap="RdBu", aspect="auto")
        axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(names)), names)
        axes.tick_params(length=0)
        for (row, column), value in np.ndenumerate(matrix):
            if row != column and abs(value) >= _WRITTEN:
                axes.text(
                    column,
                    row,
                    f"{value:.2f}".replace("-", "\u2212"),
                    ha="center",
                    va="center",
                    size=8,
                    color="white" if abs(value) > 0.6 else INK,
                )
        bar = figure.colorbar(image, ax=axes, fraction=0.045, pad=0.02)
        bar.set_label("correlation")
        upper = np.triu(matrix, k=1)
        row, column = divmod(int(np.argmax(np.abs(upper))), len(names))
        return publish(
            figure,
            folder,
            "correlations",
            caption=f"Correlations of {len(names)} of {len(fitted.labels)} fitted parameters; "
            f"values under {_WRITTEN:g} are not written.",
            alternative=f"Correlation matrix of {len(names)} parameters; the largest is "
            f"{matrix[row, column]:.2f} between {names[row]} and {names[column]}.",
            partial=partial,
            numbers={"parameters": names, "correlations": matrix},
        )
