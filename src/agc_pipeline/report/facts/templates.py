"""Facts of templates: shifts of systematics, and the statistics of simulated events."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from agc_pipeline.formatting import name_list, plural
from agc_pipeline.inference.fit_records import FitRecord
from agc_pipeline.inference.impacts import STATISTICS
from agc_pipeline.inference.template_noise import REMEDY, Contents, SampleContents, ShiftContents
from agc_pipeline.report.facts.fact import Fact, Severity
from agc_pipeline.report.parameter_titles import bin_title

# Of a shift on the yield, relative: smaller ones do not matter.
_SMALL_SHIFT = 0.005
# Events of equal weight in a bin, below which its uncertainty is far from Gaussian.
_FEW_EFFECTIVE = 10.0
# Share of a sample in a channel from which on an empty bin of it matters.
_SHARE = 0.05


class _Change(NamedTuple):
    """Relative change of a yield by a shift, with its statistical error."""

    size: float
    error: float


def of_templates(fit: FitRecord) -> Iterator[Fact]:
    """Templates of systematics that are one-sided or mirrored."""
    for (channel, parameter), (down, up) in _shifts(fit).items():
        yield from _one_sided(channel, parameter, down, up)
    yield from _mirrored(fit)


def _one_sided(channel: str, parameter: str, down: _Change, up: _Change) -> Iterator[Fact]:
    # The smaller one may be there by accident.
    smaller = min(down, up, key=lambda side: abs(side.size))
    if down.size * up.size <= 0 or abs(smaller.size) <= max(_SMALL_SHIFT, 2 * smaller.error):
        return
    yield Fact(
        kind="one-sided templates",
        severity="warning",
        where=f"{channel}, {parameter}",
        statement=f"both shifts of {parameter} change the expectation in {channel} to the "
        f"same side, by {100 * down.size:+.1f} % (down) and {100 * up.size:+.1f} % (up)",
        number=abs(smaller.size),
        threshold=_SMALL_SHIFT,
        reason="No value of the parameter describes the other side, and the likelihood has a "
        "kink or two minima at its nominal value.",
        remedy="Check the two samples; mirror the larger shift (`symmetrise` in "
        "`fit.model.treatments`) if the smaller one is an accident.",
    )


def _mirrored(fit: FitRecord) -> Iterator[Fact]:
    mirrored = dict.fromkeys(
        shift.parameter for entry in fit.contents for shift in entry.shifts if shift.down is None
    )
    if not mirrored:
        return
    yield Fact(
        kind="mirrored templates",
        severity="note",
        where="",
        statement=(
            "1 systematic uncertainty has"
            if len(mirrored) == 1
            else f"{len(mirrored)} systematic uncertainties have"
        )
        + f" one template that is mirrored: {name_list(list(mirrored))}",
        number=len(mirrored),
        threshold=0.0,
        reason="The effect to the other side is an assumption, not a simulation.",
        remedy="Declare a variation `down` where there is one.",
    )


def _shifts(fit: FitRecord) -> dict[tuple[str, str], tuple[_Change, _Change]]:
    """Relative change of the yield of a channel by each two-sided systematic, down and up."""
    totals: dict[str, float] = {}
    for entry in fit.contents:
        totals[entry.channel] = totals.get(entry.channel, 0.0) + sum(entry.nominal.values)
    sums: dict[tuple[str, str], list[list[float]]] = {}
    for entry in fit.contents:
        for shift in entry.shifts:
            if shift.down is None:
                continue
            here = sums.setdefault((entry.channel, shift.parameter), [[0.0, 0.0], [0.0, 0.0]])
            for side, template in zip(here, (shift.down, shift.up), strict=True):
                change, variance = _change(entry, shift, template)
                side[0] += change
                side[1] += variance
    return {
        key: (
            _Change(down[0] / totals[key[0]], math.sqrt(down[1]) / totals[key[0]]),
            _Change(up[0] / totals[key[0]], math.sqrt(up[1]) / totals[key[0]]),
        )
        for key, (down, up) in sums.items()
        if totals[key[0]] > 0
    }


def _change(entry: SampleContents, shift: ShiftContents, template: Contents) -> tuple[float, float]:
    """Change of a yield, and its statistical variance.

    Variations of the same events have none: their fluctuations cancel.
    """
    variance = sum(template.variances) + sum(entry.nominal.variances)
    return (
        sum(template.values) - sum(entry.nominal.values),
        variance if shift.kind == "sample" else 0.0,
    )


def of_statistics(fit: FitRecord) -> Iterator[Fact]:
    """Facts of the simulated events: empty bins, too few events, their part of the uncertainty."""
    yield from _empty_channels(fit)
    yield from _empty_samples(fit)
    yield from _few_events(fit)
    yield from _dominating(fit)
    yield from _noise(fit)


def _empty_channels(fit: FitRecord) -> Iterator[Fact]:
    for channel, entry in fit.yields.prefit.items():
        empty = [number for number, value in enumerate(entry.all.bins) if value <= 0]
        if empty:
            statement = f"no process has expected events in {_bins(fit, channel, empty)}"
            yield _empty("warning", channel, statement, len(empty))


def _empty_samples(fit: FitRecord) -> Iterator[Fact]:
    sums = _sums(fit)
    for entry in fit.contents:
        values, total = np.array(entry.nominal.values), sums[entry.channel][0]
        empty = np.flatnonzero((values <= 0) & (total > 0)).tolist()
        if empty and values.sum() > _SHARE * total.sum():
            where = f"{entry.channel}, {entry.sample}"
            statement = f"{entry.sample} has no events in {_bins(fit, entry.channel, empty)}"
            yield _empty("note", where, statement, len(empty))


def _bins(fit: FitRecord, channel: str, numbers: list[int]) -> str:
    listed = name_list([bin_title(fit, channel, number) for number in numbers], 5)
    return f"{len(numbers)} {plural('bin', len(numbers))} of {channel}: {listed}"


def _empty(severity: Severity, where: str, statement: str, number: int) -> Fact:
    return Fact(
        kind="empty bins",
        severity=severity,
        where=where,
        statement=statement,
        number=number,
        threshold=0.0,
        reason="An empty bin counts as certainly empty: it has no statistical uncertainty, and no "
        "systematic can fill it.",
        remedy="Merge the bins with others (`fit.model.edges`), or use more events.",
    )


def _few_events(fit: FitRecord) -> Iterator[Fact]:
    for channel, (values, variances) in _sums(fit).items():
        filled = (values > 0) & (variances > 0)
        events = np.full(len(values), np.inf)
        events[filled] = values[filled] ** 2 / variances[filled]
        few = np.flatnonzero(events < _FEW_EFFECTIVE)
        if not few.size:
            continue
        worst = float(events.min())
        listed = name_list([bin_title(fit, channel, int(number)) for number in few], 5)
        yield Fact(
            kind="few effective events",
            severity="warning",
            where=channel,
            statement=f"the expectation in {channel} stands for fewer than "
            f"{_FEW_EFFECTIVE:g} events of equal weight in {len(few)} of {len(values)} bins "
            f"({listed}), with {worst:.1f} at least",
            number=worst,
            threshold=_FEW_EFFECTIVE,
            reason="The statistical factor of a bin assumes a Gaussian, which is wrong for so "
            "few events.",
            remedy="Merge the bins with others (`fit.model.edges`), or use more events.",
        )


def _sums(fit: FitRecord) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Contents and variances of all samples together, by channel."""
    sums: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for entry in fit.contents:
        values, variances = np.array(entry.nominal.values), np.array(entry.nominal.variances)
        before = sums.get(entry.channel, (np.zeros_like(values), np.zeros_like(variances)))
        sums[entry.channel] = before[0] + values, before[1] + variances
    return sums


def _dominating(fit: FitRecord) -> Iterator[Fact]:
    if fit.breakdown is None or fit.breakdown.data <= 0:
        return
    simulation = fit.breakdown.groups.get(STATISTICS, 0.0)
    ratio = simulation / fit.breakdown.data
    if ratio <= 1:
        return
    yield Fact(
        kind="simulation statistics",
        severity="warning",
        where="",
        statement=f"the statistics of the simulation contribute {simulation:.2g} to the "
        f"uncertainty, {ratio:.1f} times as much as those of the data",
        number=ratio,
        threshold=1.0,
        reason="More data would hardly improve the result, and it depends on which events "
        "were simulated.",
        remedy="Simulate or take more events, or use wider bins (`fit.model.edges`).",
    )


def _noise(fit: FitRecord) -> Iterator[Fact]:
    noise, breakdown, statement = fit.template_noise, fit.breakdown, fit.noise_statement
    if noise is None or breakdown is None or statement is None:
        return
    yield Fact(
        kind="varied templates",
        severity="warning" if noise.in_total else "serious",
        where="",
        statement=statement,
        number=noise.size / breakdown.total,
        threshold=None,
        reason="What differs by accident between a varied template and the nominal one counts "
        "as the effect of the systematic, and the data constrain it.",
        remedy=REMEDY,
    )
