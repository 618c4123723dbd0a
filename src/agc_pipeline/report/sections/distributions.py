"""Sections of the distributions: fitted, propagated, and their systematics."""

from collections.abc import Mapping
from typing import Any

import hist
import numpy as np

from agc_pipeline.declaration import Analysis, Region
from agc_pipeline.inference.fit_records import FitRecord, unit
from agc_pipeline.report import figures
from agc_pipeline.report.figures.distributions import over
from agc_pipeline.report.figures.shifts import Shift, shifts
from agc_pipeline.report.figures.variations import effects
from agc_pipeline.report.style import COLOURS, Gallery, Label, Picture
from agc_pipeline.report.yields import (
    ChannelRecord,
    Expectation,
    Moment,
    expectation,
    expectations,
    poisson_interval,
)

# Templates in the figure of single ones; its numbers are of all.
SINGLE_TEMPLATES = 8


def fitted(
    gallery: Gallery, analysis: Analysis, record: ChannelRecord, *, label: Label, data_label: str
) -> list[Picture]:
    """Each channel before and after the fit, on one scale."""
    entries = expectations(analysis, record)
    highest: dict[str, float] = {}
    for entry in entries:
        highest[entry.title] = max(highest.get(entry.title, 0.0), entry.largest)
    return [
        distribution(
            gallery,
            analysis,
            record,
            entry.title,
            entry.moment,
            label=label,
            data_label=data_label,
            highest=highest[entry.title],
        )
        for entry in entries
    ]


def propagated(
    gallery: Gallery, analysis: Analysis, record: ChannelRecord, *, label: Label, data_label: str
) -> list[Picture]:
    """The regions of the analysis after the fit, in the bins of the histograms."""
    return [
        distribution(
            gallery,
            analysis,
            record,
            entry.title,
            "post-fit",
            label=label,
            data_label=data_label,
            name=f"{entry.region}_propagated",
        )
        for entry in expectations(analysis, record)
        if entry.moment == "post-fit"
    ]


def distribution(
    gallery: Gallery,
    analysis: Analysis,
    record: ChannelRecord,
    channel: str,
    moment: Moment,
    *,
    label: Label,
    data_label: str,
    highest: float | None = None,
    name: str | None = None,
) -> Picture:
    """One channel, before or after the fit.

    Args:
        gallery: where the files go.
        analysis: gives the order of the processes.
        record: a fit, or its propagation to other distributions.
        channel: title of the channel.
        moment: before or after the fit.
        label: above the figure.
        data_label: name of the data.
        highest: largest bin of this and related figures, which get the same axis; events.
        name: of the files; None is that of region and moment.
    """
    shown = expectation(analysis, record, channel, moment)
    total = shown.total.sum()
    window = f" Data are {shown.window}." if shown.window else ""
    if shown.open_bins:
        window += f" {shown.open_bins[0].upper()}{shown.open_bins[1:]}."
    return gallery.picture(
        name or f"{shown.region}_{moment.replace('-', '')}",
        lambda: figures.stack(
            analysis,
            record,
            channel,
            moment,
            label=label,
            data_label=data_label,
            highest=highest,
        ),
        caption=f"{channel}, {moment}. The hatched bands show the total uncertainty of the "
        f"expectation.{window}",
        alternative=f"Distribution of {shown.observable} in {channel}, "
        f"{moment}: {shown.observed:.0f} events of {data_label}, {total:.0f} "
        f"expected, as a stack of processes with the ratio of the two below.{window}",
        numbers={
            "edges": shown.edges,
            "samples": shown.samples,
            "expected": shown.total,
            "uncertainty": shown.uncertainty,
            "data": shown.data,
        },
        chart=_chart(analysis, shown, data_label),
    )


def _chart(analysis: Analysis, shown: Expectation, data_label: str) -> dict[str, Any]:
    """Numbers with which the script of the page draws a distribution anew."""
    titles = [process.title for process in analysis.processes]
    intervals = poisson_interval(shown.data)
    name = unit(shown.label)
    return {
        "label": shown.observable if name is None else f"{shown.observable} [{name}]",
        "data_label": data_label,
        "edges": shown.edges,
        "processes": [
            {
                "title": title,
                "events": events,
                "colour": COLOURS[titles.index(title) % len(COLOURS)],
            }
            for title, events in shown.samples.items()
        ],
        "uncertainty": shown.uncertainty,
        "data": [
            None if np.isnan(events) else {"events": events, "low": low, "high": high}
            for events, low, high in zip(shown.data, *intervals, strict=True)
        ],
    }


def overview(gallery: Gallery, analysis: Analysis, record: ChannelRecord) -> Picture:
    """Data over expectation in every channel, before and after the fit."""
    entries = expectations(analysis, record)
    titles = list(dict.fromkeys(entry.title for entry in entries))
    return gallery.picture(
        "overview",
        lambda: figures.ratios(analysis, record),
        caption="Ratio of data to expectation in the bins of the fit, before (grey) and after the "
        "fit (blue). The bands show the total uncertainty of the expectation."
        + blinded_sentence(entries),
        alternative=f"Ratios of data to expectation before and after the fit in "
        f"{', '.join(titles)}.",
        numbers={title: _ratios(entries, title) for title in titles},
    )


def blinded_sentence(entries: list[Expectation]) -> str:
    """Which data of some figures are blinded; empty if none are."""
    windows = {entry.title: entry.window for entry in entries if entry.window}
    listed = "; ".join(f"{title} {window}" for title, window in windows.items())
    return f" Data are not shown where they are blinded: {listed}." if listed else ""


def _ratios(entries: list[Expectation], title: str) -> dict[str, object]:
    return {
        entry.moment: {
            "ratio": over(entry.data, entry.total),
            "uncertainty": over(entry.uncertainty, entry.total),
        }
        for entry in entries
        if entry.title == title
    }


def systematics(
    gallery: Gallery, analysis: Analysis, region: Region, histograms: Mapping[str, hist.Hist]
) -> Picture | None:
    """Effects of the systematics on the templates of a region; None if there are none."""
    changes = effects(analysis, region, histograms)
    if not changes:
        return None
    return gallery.picture(
        f"{region.name}_systematics",
        lambda: figures.templates(analysis, region, histograms),
        caption=f"{region.title}: relative change of the sum of all processes by each systematic "
        "uncertainty, up (red) and down (blue). A single line is a one-sided variation, which is "
        "mirrored in the model.",
        alternative=f"Relative change of {region.observable} in {region.title} by "
        f"{', '.join(changes)}.",
        numbers={"edges": region.edges, "relative_changes": changes},
    )


def single_templates(gallery: Gallery, fit: FitRecord, channel: str) -> Picture | None:
    """The templates with the largest effects in a channel; None if there are none."""
    entries = shifts(fit, channel)
    shown = [shift for shift in entries if shift.size > 0][:SINGLE_TEMPLATES]
    if not shown:
        return None
    entry = fit.channels[channel]
    listed = ", ".join(f"{shift.parameter} of {shift.sample}" for shift in shown)
    return gallery.picture(
        f"{entry.region}_templates",
        lambda: figures.single_templates(shown, entry.edges, entry.label),
        caption=f"{channel}: the {len(shown)} largest of {len(entries)} changes of single samples "
        "by single systematic uncertainties, up (red) and down (blue). Points are the templates "
        "as they were filled, with the statistical error of their difference from the nominal "
        "ones; lines are what the model has, smoothed and symmetrised where the configuration "
        "says so, and dotted where the other side is mirrored. The file of the numbers has all.",
        alternative=f"Relative changes in {channel} by {listed}.",
        numbers={"edges": entry.edges, "templates": [_numbers(shift) for shift in entries]},
    )


def _numbers(shift: Shift) -> dict[str, object]:
    sides = {"up": shift.up, "down": shift.down}
    return {
        "parameter": shift.parameter,
        "sample": shift.sample,
        "smoothing": shift.smoothing,
        "size": shift.size,
    } | {name: vars(side) for name, side in sides.items() if side is not None}
