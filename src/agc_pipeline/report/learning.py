"""Figures of a training: learning curves, scores, right assignments, importance of the features."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

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
from agc_pipeline.report.style import COLOURS, INK, SOFT, Picture, canvas, publish

# Of the models trained on even and on odd event numbers; right and wrong candidates.
_PARITY_COLOURS = dict(zip(PARITIES, (COLOURS[4], COLOURS[2]), strict=True))
_RIGHT, _WRONG = COLOURS[4], COLOURS[2]


def draw(record: TrainingRecord, folder: Path, *, partial: bool) -> list[Picture]:
    """All figures of a training.

    Args:
        record: the training.
        folder: where the files go.
        partial: mark the figures as partial.
    """
    return [
        _draw_fractions(record, folder, partial=partial),
        _draw_scores(record, folder, partial=partial),
        _draw_curves(record, folder, partial=partial),
        _draw_importance(record, folder, partial=partial),
    ]


def size_name(row: Row, rows: Sequence[Row], what: str) -> str:
    """What the events of a row are: the largest size stands for larger ones, too."""
    if row.size is None:
        return "all"
    largest = max(other.size for other in rows if other.size is not None)
    return f"{row.size}{' or more' if row.size == largest and row.size > 4 else ''} {what}"


def _draw_fractions(record: TrainingRecord, folder: Path, *, partial: bool) -> Picture:
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
        by_lot = [100 * row.random_part for row in rows]
        axes.bar(places + 0.27, by_lot, 0.25, color=COLOURS[0], label="at random")
        names = [f"{size_name(row, rows, wording.size)}\n{row.n_events:,} events" for row in rows]
        axes.set_xticks(places, names)
        axes.tick_params(axis="x", which="both", top=False, bottom=False)
        axes.set_ylim(0, 119)
        axes.set_yticks(range(0, 101, 20))
        axes.set_ylabel("right [%]")
        axes.legend(loc="upper center", ncols=3)
        everything = rows[0]
        return publish(
            figure,
            folder,
            "training_fractions",
            caption=f"Events in which {wording.part} are found, of those whose truth is known. "
            "Each event is scored by the model that was not trained on its parity.",
            alternative=f"The models find {wording.part} in {everything.part.value:.1%} of the "
            f"events, the {wording.baseline} in {everything.baseline.value:.1%}, chance in "
            f"{everything.random_part:.1%}.",
            partial=partial,
            numbers=[row.model_dump() for row in rows],
        )


def _draw_scores(record: TrainingRecord, folder: Path, *, partial: bool) -> Picture:
    with canvas(9.8, 3.7) as figure:
        panels = figure.subplots(1, 2, sharey=True)
        for axes, parity in zip(panels, PARITIES, strict=True):
            model = record.of(parity)
            _scores_panel(axes, record.edges, model.training_scores, model.test_scores)
            axes.set_title(f"trained on {parity} event numbers", size=9.5, loc="right")
            axes.set_xlabel("score")
        panels[0].set_ylabel("fraction of candidates")
        panels[0].legend(loc="upper center", ncols=2)
        return publish(
            figure,
            folder,
            "training_scores",
            caption="Scores of right and wrong candidates, of the events that a model was trained "
            "on and of those with the other parity, each normalised. Where they part, the model "
            "knows its own events better than others.",
            alternative="Scores of right candidates pile up at one, of wrong ones at zero.",
            partial=partial,
            numbers={
                "edges": record.edges,
                **{
                    parity: {
                        "trained": record.of(parity).training_scores.model_dump(),
                        "tested": record.of(parity).test_scores.model_dump(),
                    }
                    for parity in PARITIES
                },
            },
        )


def _scores_panel(axes: Axes, edges: tuple[float, ...], trained: Scores, tested: Scores) -> None:
    at = np.array(edges)
    centres = (at[:-1] + at[1:]) / 2
    for colour, label, own, other in (
        (_WRONG, "wrong", trained.wrong, tested.wrong),
        (_RIGHT, "right", trained.right, tested.right),
    ):
        seen, unseen = np.array(own, np.float64), np.array(other, np.float64)
        axes.stairs(
            seen / max(seen.sum(), 1), at, fill=True, color=colour, alpha=0.3, label=f"{label}, own"
        )
        axes.errorbar(
            centres,
            unseen / max(unseen.sum(), 1),
            yerr=np.sqrt(unseen) / max(unseen.sum(), 1),
            fmt="o",
            color=colour,
            markersize=3,
            linewidth=1,
            label=f"{label}, unseen",
        )
    axes.set_xlim(at[0], at[-1])
    axes.set_yscale("log")
    # Room for the legend above.
    axes.set_ylim(2e-5, 20)


def _draw_curves(record: TrainingRecord, folder: Path, *, partial: bool) -> Picture:
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
        left.set_ylabel("log loss")
        left.set_yscale("log")
        right.set_ylabel(f"{record.wording.whole} right [%]")
        left.legend(loc="upper right")
        for axes in (left, right):
            axes.set_xlabel("trees")
            axes.set_xlim(0, None)
        return publish(
            figure,
            folder,
            "training_curves",
            caption="Learning curves of both models: the loss that is minimised, and events whose "
            "best candidate is the right one. Training stops where the loss of the validation "
            "part no longer falls; vertical lines are the trees that are kept.",
            alternative="Losses fall with the number of trees; that of the validation part levels "
            "off.",
            partial=partial,
            numbers={
                parity: {
                    "n_trees": record.of(parity).n_trees,
                    "curves": record.of(parity).curves,
                }
                for parity in PARITIES
            },
        )


def _draw_importance(record: TrainingRecord, folder: Path, *, partial: bool) -> Picture:
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
        return publish(
            figure,
            folder,
            "training_importance",
            caption="Importance of the features: what the splits in each of them gain, as a share "
            "of what all splits gain.",
            alternative=f"The most important feature is {names[-1]}, then {names[-2]}."
            if len(names) > 1
            else f"The only feature is {names[-1]}.",
            partial=partial,
            numbers={parity: record.of(parity).importance for parity in PARITIES},
        )
