"""Figures of a training: correct events, scores, learning curves, importance of the features."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from agc_pipeline.learning.models import PARITIES
from agc_pipeline.learning.training_record import (
    LOSS,
    TRAINING,
    VALIDATION,
    WRONG,
    Row,
    Scores,
    TrainingRecord,
)
from agc_pipeline.report.style import COLOURS, INK, SOFT, canvas

# Models trained on even and on odd event numbers; correct and incorrect candidates.
_PARITY_COLOURS = dict(zip(PARITIES, (COLOURS[4], COLOURS[2]), strict=True))
_RIGHT, _WRONG = COLOURS[4], COLOURS[2]


def size_name(row: Row, rows: Sequence[Row], objects: str) -> str:
    """Name of the events of a row; the largest size includes larger ones."""
    if row.size is None:
        return "all"
    largest = max(other.size for other in rows if other.size is not None)
    return f"{row.size}{' or more' if row.size == largest and row.size > 4 else ''} {objects}"


def fractions(record: TrainingRecord) -> Figure:
    """Fractions of events with the correct candidate, by size of the event."""
    rows, wording = record.rows, record.wording
    places = np.arange(len(rows))
    with canvas(6.4, 3.9) as figure:
        axes = figure.subplots()
        for shift, colour, label, values in (
            (-0.27, COLOURS[4], "models", [row.part for row in rows]),
            (0.0, COLOURS[3], wording.baseline, [row.baseline for row in rows]),
        ):
            axes.bar(
                places + shift,
                [100 * fraction.value for fraction in values],
                0.25,
                yerr=[100 * fraction.uncertainty for fraction in values],
                color=colour,
                ecolor=INK,
                capsize=2,
                label=label,
            )
        random = [100 * row.random_part for row in rows]
        axes.bar(places + 0.27, random, 0.25, color=COLOURS[0], label="at random")
        names = [f"{size_name(row, rows, wording.size)}\n{row.n_events:,} events" for row in rows]
        axes.set_xticks(places, names)
        axes.tick_params(axis="x", which="both", top=False, bottom=False)
        axes.set_ylim(0, 119)
        axes.set_yticks(range(0, 101, 20))
        axes.set_ylabel("correct events [%]")
        axes.legend(loc="upper center", ncols=3)
    return figure


def scores(record: TrainingRecord) -> Figure:
    """Scores of correct and incorrect candidates, of events in the training and of others."""
    with canvas(9.8, 3.7) as figure:
        panels = figure.subplots(1, 2, sharey=True)
        for axes, parity in zip(panels, PARITIES, strict=True):
            model = record.of(parity)
            _scores_panel(axes, record.edges, model.training_scores, model.test_scores)
            axes.set_title(f"trained on {parity} event numbers", size=9.5, loc="right")
            axes.set_xlabel("score")
        panels[0].set_ylabel("fraction of candidates")
        panels[0].legend(loc="upper center", ncols=2)
    return figure


def _scores_panel(axes: Axes, edges: tuple[float, ...], trained: Scores, tested: Scores) -> None:
    at = np.array(edges)
    centres = (at[:-1] + at[1:]) / 2
    for colour, label, own, other in (
        (_WRONG, "incorrect", trained.wrong, tested.wrong),
        (_RIGHT, "correct", trained.right, tested.right),
    ):
        seen, unseen = np.array(own, np.float64), np.array(other, np.float64)
        axes.stairs(
            seen / max(seen.sum(), 1),
            at,
            fill=True,
            color=colour,
            alpha=0.3,
            label=f"{label}, training",
        )
        axes.errorbar(
            centres,
            unseen / max(unseen.sum(), 1),
            yerr=np.sqrt(unseen) / max(unseen.sum(), 1),
            fmt="o",
            color=colour,
            markersize=3,
            linewidth=1,
            label=f"{label}, test",
        )
    axes.set_xlim(at[0], at[-1])
    axes.set_yscale("log")
    # Room for the legend above.
    axes.set_ylim(2e-5, 20)


def learning_curves(record: TrainingRecord) -> Figure:
    """Loss and fraction of correct events against the number of trees."""
    with canvas(9.8, 3.7) as figure:
        left, right = figure.subplots(1, 2)
        for parity in PARITIES:
            model = record.of(parity)
            for part, style in ((TRAINING, "--"), (VALIDATION, "-")):
                curves = model.curves[part]
                trees = np.arange(1, len(curves[LOSS]) + 1)
                line = {
                    "color": _PARITY_COLOURS[parity],
                    "linestyle": style,
                    "linewidth": 1.4,
                    "label": f"{parity}, {part}",
                }
                left.plot(trees, curves[LOSS], **line)
                right.plot(trees, 100 * (1 - np.array(curves[WRONG])), **line)
            for axes in (left, right):
                axes.axvline(model.n_trees, color=_PARITY_COLOURS[parity], linewidth=0.8)
        left.set_ylabel("logarithmic loss")
        left.set_yscale("log")
        right.set_ylabel(f"{record.wording.whole} correct [%]")
        left.legend(loc="upper right")
        for axes in (left, right):
            axes.set_xlabel("trees")
            axes.set_xlim(0, None)
    return figure


def importance(record: TrainingRecord) -> Figure:
    """Importance of the features: share of each in the gain of all splits."""
    names = sorted(
        record.even.importance,
        key=lambda name: record.even.importance[name] + record.odd.importance[name],
    )
    heights = np.arange(len(names))
    with canvas(6.4, 4.6) as figure:
        axes = figure.subplots()
        for shift, parity in zip((0.2, -0.2), PARITIES, strict=True):
            shares = [100 * record.of(parity).importance[name] for name in names]
            axes.barh(
                heights + shift,
                shares,
                0.38,
                color=_PARITY_COLOURS[parity],
                label=f"{parity} model",
            )
        axes.set_yticks(heights, names, size=8)
        axes.tick_params(axis="y", which="both", left=False, right=False)
        axes.set_ylim(-0.6, len(names) - 0.4)
        axes.set_xlabel("share of the gain of all splits [%]")
        axes.grid(axis="x", color=SOFT, alpha=0.25, linewidth=0.6)
        axes.legend(loc="lower right")
    return figure
