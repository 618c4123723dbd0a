"""Sections of the learned observables, and of the training of their models."""

from typing import Any

from agc_pipeline.declaration import Analysis, Region
from agc_pipeline.formatting import decimals
from agc_pipeline.learning.models import PARITIES
from agc_pipeline.learning.training_record import TrainingRecord
from agc_pipeline.report import figures
from agc_pipeline.report.figures.learned import reconstructions, signal_events, signal_titles
from agc_pipeline.report.figures.training import size_name
from agc_pipeline.report.sections.distributions import blinded_sentence
from agc_pipeline.report.settings import Texts
from agc_pipeline.report.style import Gallery, Label, Picture
from agc_pipeline.report.yields import ChannelRecord, expectations

_LEARNED = (
    "The observables are computed from the output of trained models. Their distributions do not "
    "enter the fit; the fit result is propagated to them."
)
_TRAINING = (
    "Two models were trained: one on events with even event numbers, one on events with odd event "
    "numbers. Each is applied to events of the other parity, so that no model is evaluated on "
    "events of its own training. The events are those with a known correct candidate."
)


def section(
    gallery: Gallery,
    analysis: Analysis,
    record: ChannelRecord,
    texts: Texts,
    *,
    label: Label,
    data_label: str,
) -> dict[str, Any] | None:
    """Title, introduction and pictures of the learned observables.

    Args:
        gallery: where the files go.
        analysis: with the learned observables.
        record: the fit, propagated to them.
        texts: of the analysis.
        label: above the figure.
        data_label: name of the data.

    Returns:
        None if the analysis has no learned observables.
    """
    if analysis.learned is None:
        return None
    extended = analysis.with_learned()
    pictures = [
        rivals(gallery, extended, record, region, texts, label=label)
        for region in analysis.learned.regions
        if region.rival is not None
    ]
    pictures.append(observables(gallery, extended, record, label=label, data_label=data_label))
    return {
        "title": analysis.learned.title,
        "text": _LEARNED if texts.learned is None else texts.learned,
        "pictures": [picture for picture in pictures if picture is not None],
    }


def observables(
    gallery: Gallery, analysis: Analysis, record: ChannelRecord, *, label: Label, data_label: str
) -> Picture | None:
    """Distributions of the learned observables after the fit; None if the record has none."""
    names = [region.name for region in analysis.learned.regions] if analysis.learned else []
    entries = [entry for entry in expectations(analysis, record) if entry.region in names]
    if analysis.learned is None or not entries:
        return None
    regions = list(dict.fromkeys(entry.region for entry in entries))
    by_region = {
        name: {entry.moment: entry for entry in entries if entry.region == name} for name in regions
    }
    shown = ", ".join(pair["post-fit"].observable for pair in by_region.values())
    return gallery.picture(
        "learned",
        lambda: figures.observables(analysis, record, regions, label=label, data_label=data_label),
        caption=f"{analysis.learned.title}: distributions after the fit. Below each, the ratio of "
        "data to expectation before (grey) and after the fit (blue). The bands show the total "
        f"uncertainty of the expectation.{blinded_sentence(entries)}",
        alternative=f"Distributions of {shown}: {data_label} and the expectation after the fit, "
        "with ratios before and after it.",
        numbers={
            name: {
                "edges": pair["post-fit"].edges,
                "samples": pair["post-fit"].samples,
                "data": pair["post-fit"].data,
                **{
                    moment: {"expected": entry.total, "uncertainty": entry.uncertainty}
                    for moment, entry in pair.items()
                },
            }
            for name, pair in by_region.items()
        },
    )


def rivals(
    gallery: Gallery,
    analysis: Analysis,
    record: ChannelRecord,
    region: Region,
    texts: Texts,
    *,
    label: Label,
) -> Picture | None:
    """A quantity reconstructed in two ways; None if the record lacks one of them."""
    pair = reconstructions(analysis, record, region)
    if not pair:
        return None
    names = texts.reconstructions
    listed = " and ".join(names.get(name, entry.title) for name, entry in pair.items())
    return gallery.picture(
        f"{region.name}_reconstructions",
        lambda: figures.rivals(analysis, record, region, names=names, label=label),
        caption=f"{region.title}, reconstructed in two ways in the same events: {listed}. Each "
        "distribution is normalised to unity within the range of the axis."
        + blinded_sentence(list(pair.values())),
        alternative=f"Normalised distributions of {region.observable}: {listed}.",
        numbers={
            name: {
                "edges": entry.edges,
                ", ".join(signal_titles(analysis)): signal_events(analysis, entry),
                "expected": entry.total,
                "data": entry.data,
            }
            for name, entry in pair.items()
        },
    )


def training(
    gallery: Gallery, analysis: Analysis, record: TrainingRecord, texts: Texts
) -> dict[str, Any]:
    """Title, introduction, names of the rows, decimals in percent and pictures of a training.

    Args:
        gallery: where the files go.
        analysis: names the learned observables.
        record: the training.
        texts: of the analysis.
    """
    return {
        "title": f"Training: {analysis.learned.title}" if analysis.learned else "Training",
        "text": _TRAINING if texts.training is None else texts.training,
        "record": record,
        "names": [size_name(row, record.rows, record.wording.size) for row in record.rows],
        "decimals": decimals(
            100 * fraction.uncertainty
            for row in record.rows
            for fraction in (row.whole, row.part, row.baseline, row.gain)
        ),
        "pictures": [
            _fractions(gallery, record),
            _scores(gallery, record),
            _curves(gallery, record),
            _importance(gallery, record),
        ],
    }


def _fractions(gallery: Gallery, record: TrainingRecord) -> Picture:
    wording, total = record.wording, record.rows[0]
    return gallery.picture(
        "training_fractions",
        lambda: figures.fractions(record),
        caption=f"Fraction of events in which {wording.part} are identified correctly, among the "
        "events with a known correct candidate. Each event is scored by the model trained on "
        "events of the other parity.",
        alternative=f"The models identify {wording.part} in {total.part.value:.1%} of the "
        f"events, the {wording.baseline} in {total.baseline.value:.1%}, a random choice in "
        f"{total.random_part:.1%}.",
        numbers=[row.model_dump() for row in record.rows],
    )


def _scores(gallery: Gallery, record: TrainingRecord) -> Picture:
    return gallery.picture(
        "training_scores",
        lambda: figures.scores(record),
        caption="Scores of correct and incorrect candidates in the events of the training "
        "(histograms) and in events of the other parity (points), each normalised to unity. A "
        "difference between the two indicates overtraining.",
        alternative="Scores of correct candidates peak at one, those of incorrect ones at zero.",
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


def _curves(gallery: Gallery, record: TrainingRecord) -> Picture:
    return gallery.picture(
        "training_curves",
        lambda: figures.learning_curves(record),
        caption="Learning curves of both models: the loss function, and the fraction of events "
        "whose candidate with the highest score is correct. Training stops when the loss in the "
        "validation sample no longer decreases; the vertical lines show the number of trees.",
        alternative="Losses decrease with the number of trees; that of the validation sample "
        "levels off.",
        numbers={
            parity: {"n_trees": record.of(parity).n_trees, "curves": record.of(parity).curves}
            for parity in PARITIES
        },
    )


def _importance(gallery: Gallery, record: TrainingRecord) -> Picture:
    gains = {
        name: record.even.importance[name] + record.odd.importance[name]
        for name in record.even.importance
    }
    names = sorted(gains, key=lambda name: -gains[name])
    return gallery.picture(
        "training_importance",
        lambda: figures.importance(record),
        caption="Importance of the features: gain of all splits in a feature, relative to the "
        "gain of all splits.",
        alternative=f"Features by importance: {', '.join(names[:2])}.",
        numbers={parity: record.of(parity).importance for parity in PARITIES},
    )
