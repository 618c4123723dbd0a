"""What to look at in a result: facts with their numbers, why they matter, and what can be done.

Nothing here is an error: the run has ended well. It is what a reviewer would ask about.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from agc_pipeline.formatting import name_list
from agc_pipeline.inference.derived_records import Pull, RankingRecord, ScanRecord, ToyRecord
from agc_pipeline.inference.fit_records import FitRecord
from agc_pipeline.inference.impacts import STATISTICS
from agc_pipeline.inference.template_noise import Contents, SampleContents, ShiftContents
from agc_pipeline.report.parameter_titles import Titles, bin_title, titles
from agc_pipeline.report.run import Run
from agc_pipeline.settings import Settings
from agc_pipeline.validation.compare import Agreement

Severity = Literal["serious", "warning", "note"]
Kind = Literal[
    "biased pseudo-experiments",
    "width of pulls",
    "coverage",
    "failed pseudo-experiments",
    "large pull",
    "strong constraint",
    "one-sided templates",
    "mirrored templates",
    "empty bins",
    "few effective events",
    "simulation statistics",
    "varied templates",
    "large correlation",
    "bad fit",
    "parameter at its bound",
    "asymmetric uncertainty",
    "other minimiser",
    "negative contents",
    "partial input",
    "disagreement with published histograms",
]

# Kinds of what pseudo-experiments tell.
TOY_FACTS: tuple[Kind, ...] = (
    "biased pseudo-experiments",
    "width of pulls",
    "coverage",
    "failed pseudo-experiments",
)

# Standard deviations: of the parameter of interest, and of any of the others, which are many.
_SIGNIFICANT, _SIGNIFICANT_OF_MANY = 3.0, 4.0
# Bias of the result in units of its uncertainty from which on it is serious: with a fifth, the
# interval of one standard deviation covers 67 % instead of 68 %, with a half 61 %.
_SERIOUS_BIAS = 0.2
# Of systematics, in units of their uncertainty before the fit. Of the statistical factors, which
# are many and random, three.
_LARGE_PULL, _LARGE_PULL_OF_MANY = 2.0, 3.0
_STRONG_CONSTRAINT = 0.3
_LARGE_CORRELATION = 0.9
_BAD_FIT = 0.01
_FAILED = 0.02
_DIFFERENT_UNCERTAINTY = 0.1
_ASYMMETRY = 0.25
# Events of equal weight in a bin, below which its uncertainty is far from Gaussian.
_FEW_EFFECTIVE = 10.0
# Of a shift on the yield, relative: smaller ones do not matter.
_SMALL_SHIFT = 0.005
# Share of a sample in a channel from which on an empty bin of it matters.
_SHARE = 0.05
_COVERAGE = math.erf(math.sqrt(0.5))


class Fact(Settings):
    """Something to look at.

    Attributes:
        kind: what sort of fact.
        severity: "serious" puts the result in question, "warning" may change it, "note" is to be
            known.
        where: parameter, channel or sample; empty for the result as a whole.
        statement: the fact with its numbers.
        number: the one that decides.
        threshold: beyond which it is told; None where it is one of the configuration.
        reason: why it matters.
        remedy: what can be done about it.
    """

    kind: Kind
    severity: Severity
    where: str
    statement: str
    number: float
    threshold: float | None
    reason: str
    remedy: str


_ORDER: dict[Severity, int] = {"serious": 0, "warning": 1, "note": 2}


def facts(run: Run) -> list[Fact]:
    """Everything to look at in a run, the most serious first."""
    names = titles(run.fit)
    entries = [
        *_of_input(run),
        *of_toys(run.toys, names),
        *of_fit(run.fit, names),
        *of_parameters(run.fit, run.ranking, names),
        *of_scan(run.scan),
        *of_templates(run.fit),
        *of_statistics(run.fit),
        *_of_checks(run),
    ]
    return sorted(entries, key=lambda fact: _ORDER[fact.severity])


def of_toys(record: ToyRecord, names: Titles | None = None) -> Iterator[Fact]:
    """Facts of pseudo-experiments: bias, width of pulls, coverage, failed fits.

    Args:
        record: the pseudo-experiments.
        names: titles of parameters.
    """
    if not record.count:
        return
    failed = record.count - record.converged
    if failed > _FAILED * record.count:
        yield Fact(
            kind="failed pseudo-experiments",
            severity="warning",
            where="",
            statement=f"{failed} of {record.count} fits of pseudo-experiments failed",
            number=failed / record.count,
            threshold=_FAILED,
            reason="What is left may be a selection: bias and coverage are those of the fits that "
            "converge.",
            remedy="Read the reasons in toys.json; raise `fit.minimiser.iterations`, or merge bins "
            "with few events.",
        )
    poi = None if record.poi is None else record.poi.name
    for pull in record.pulls:
        of_interest = pull.parameter == poi
        yield from _bias(
            record, pull, (names or {}).get(pull.parameter, pull.parameter), of_interest
        )
        if of_interest:
            yield from _width(record, pull)
    if record.coverage is not None and record.converged:
        error = math.sqrt(_COVERAGE * (1 - _COVERAGE) / record.converged)
        distance = (record.coverage - _COVERAGE) / error
        if abs(distance) > _SIGNIFICANT:
            yield Fact(
                kind="coverage",
                severity="serious" if distance < 0 else "warning",
                where=poi or "",
                statement=f"the interval of one standard deviation covers the true value in "
                f"{100 * record.coverage:.1f} % of {record.converged} pseudo-experiments instead "
                f"of 68.3 %, {abs(distance):.1f} standard deviations off",
                number=distance,
                threshold=_SIGNIFICANT,
                reason="The quoted uncertainty is too "
                + ("small." if distance < 0 else "large: the result is better than it says."),
                remedy="Quote the interval of the profile likelihood, or one from the "
                "pseudo-experiments.",
            )


def _bias(record: ToyRecord, pull: Pull, title: str, of_interest: bool) -> Iterator[Fact]:
    if pull.mean_error <= 0:
        return
    distance = pull.mean / pull.mean_error
    threshold = _SIGNIFICANT if of_interest else _SIGNIFICANT_OF_MANY
    if abs(distance) <= threshold:
        return
    serious = of_interest and abs(pull.mean) > _SERIOUS_BIAS
    reason = "A fit without bias has pulls around zero."
    remedy = (
        "Look at the parameters with large pulls in toys.json and at the templates of their "
        "systematics; more simulated events, smoothing (`fit.model.treatments`) or wider bins "
        "(`fit.model.edges`) reduce accidental effects that the data constrain."
    )
    if of_interest:
        reason = f"{reason} {_of_estimates(record)}".rstrip()
        if not serious:
            remedy = f"It is small against the uncertainty; quote it where it matters. {remedy}"
    yield Fact(
        kind="biased pseudo-experiments",
        severity="serious" if serious else "warning" if of_interest else "note",
        where=title,
        statement=f"the mean pull of {title} in {record.converged} pseudo-experiments is "
        f"{pull.mean:+.2f} with an uncertainty of {pull.mean_error:.2f}, "
        f"{abs(distance):.1f} standard deviations from zero",
        number=distance,
        threshold=threshold,
        reason=reason,
        remedy=remedy,
    )


def _of_estimates(record: ToyRecord) -> str:
    """Whether the best fits themselves are biased, or only their pulls are skewed."""
    poi, n = record.poi, len(record.bestfit)
    if poi is None or n < 2:
        return ""
    values = np.array(record.bestfit)
    shift = float(values.mean()) - poi.bestfit
    error = float(values.std(ddof=1)) / math.sqrt(n)
    if error == 0:
        return ""
    told = (
        f"The mean of the best fits differs from the true value by {shift:+.2g} with an "
        f"uncertainty of {error:.1g}"
    )
    if abs(shift) > _SIGNIFICANT * error:
        return f"{told}: the estimate itself is biased, and the result is likely to be off by this."
    return (
        f"{told}: the estimate itself shows no bias beyond that, but the uncertainty follows the "
        "best fit, so that low results claim to be more precise than high ones. The asymmetric "
        "interval takes care of this."
    )


def _width(record: ToyRecord, pull: Pull) -> Iterator[Fact]:
    if pull.width_error <= 0:
        return
    distance = (pull.width - 1) / pull.width_error
    if abs(distance) <= _SIGNIFICANT:
        return
    yield Fact(
        kind="width of pulls",
        severity="serious" if distance > 0 else "warning",
        where=pull.parameter,
        statement=f"the width of the pulls of {pull.parameter} in {record.converged} "
        f"pseudo-experiments is {pull.width:.2f} with an uncertainty of {pull.width_error:.2f}, "
        f"{abs(distance):.1f} standard deviations from one",
        number=distance,
        threshold=_SIGNIFICANT,
        reason="The uncertainty of the fit is too "
        + ("small." if distance > 0 else "large, for instance as a bound cuts off the results."),
        remedy="Quote an interval from the pseudo-experiments, and look for parameters at bounds "
        "and bins with few events.",
    )


def of_fit(fit: FitRecord, names: Titles | None = None) -> Iterator[Fact]:
    """Facts of the minimum: goodness of fit, bounds, correlations, the other minimiser.

    Args:
        fit: the fit.
        names: titles of parameters.
    """
    names = names or {}
    p_value = fit.goodness_of_fit
    if p_value is not None and p_value < _BAD_FIT:
        yield Fact(
            kind="bad fit",
            severity="serious",
            where="",
            statement=f"the p-value of the goodness of fit is {p_value:.2g}",
            number=p_value,
            threshold=_BAD_FIT,
            reason="The model does not describe the data: its uncertainties do not cover what "
            "differs.",
            remedy="Find the bins in the ratios of the distributions; a systematic uncertainty or "
            "a process may be missing, or may act on too many bins at once.",
        )
    for name in fit.diagnostics.at_bounds:
        yield Fact(
            kind="parameter at its bound",
            severity="serious" if fit.poi is not None and name == fit.poi.name else "warning",
            where=names.get(name, name),
            statement=f"the best fit of {names.get(name, name)} is at its bound",
            number=1.0,
            threshold=0.0,
            reason="Its uncertainty is not known from the curvature there, and those of others "
            "are computed as if it were fixed.",
            remedy="Widen the bounds if they are not physical, or quote a limit.",
        )
    yield from _correlations(fit, names)
    other = fit.comparison
    if other is not None and other.largest is not None:
        name, ratio = other.largest
        if abs(ratio - 1) > _DIFFERENT_UNCERTAINTY:
            yield Fact(
                kind="other minimiser",
                severity="note",
                where=names.get(name, name),
                statement=f"the uncertainty of {names.get(name, name)} by the fit with "
                f"{'cabinetry' if other.method == 'cabinetry' else 'exact derivatives'} is "
                f"{ratio:.2f} times that of this fit",
                number=ratio - 1,
                threshold=_DIFFERENT_UNCERTAINTY,
                reason="Numerical derivatives are inaccurate where the likelihood has kinks or is "
                "far from a parabola.",
                remedy="Take the interval of the profile likelihood for this parameter.",
            )


def _correlations(fit: FitRecord, names: Titles) -> Iterator[Fact]:
    if fit.poi is None or fit.poi.name not in fit.labels:
        return
    row = fit.correlation[fit.labels.index(fit.poi.name)]
    for name, value in zip(fit.labels, row, strict=True):
        if name != fit.poi.name and abs(value) > _LARGE_CORRELATION:
            title = names.get(name, name)
            yield Fact(
                kind="large correlation",
                severity="warning",
                where=title,
                statement=f"the correlation of {fit.poi.name} with {title} is {value:+.2f}",
                number=value,
                threshold=_LARGE_CORRELATION,
                reason="The data hardly tell the two apart: the result depends on what is "
                "assumed for the other one.",
                remedy="Add a region in which they differ, or quote both.",
            )


def of_parameters(
    fit: FitRecord, ranking: RankingRecord, names: Titles | None = None
) -> Iterator[Fact]:
    """Large pulls and strong constraints, in units of the uncertainty before the fit.

    Args:
        fit: names the systematics.
        ranking: has the pulls.
        names: titles of parameters.
    """
    for row in ranking.rows:
        if row.pull is None:
            continue
        value, width = row.pull
        title = (names or {}).get(row.parameter, row.parameter)
        systematic = row.parameter in fit.groups
        threshold = _LARGE_PULL if systematic else _LARGE_PULL_OF_MANY
        if abs(value) > threshold:
            yield Fact(
                kind="large pull",
                severity="warning",
                where=title,
                statement=f"the pull of {title} is {value:+.2f}",
                number=value,
                threshold=threshold,
                reason="The data prefer a value that its own measurement makes unlikely: it may "
                "stand in for something that the model lacks.",
                remedy="Look where its template differs from the nominal one, and whether the "
                "same bins would tolerate another explanation; repeat the fit without it.",
            )
        if systematic and 0 < width < _STRONG_CONSTRAINT:
            yield Fact(
                kind="strong constraint",
                severity="warning",
                where=title,
                statement=f"the data constrain {title} to {width:.2f} of its uncertainty before "
                "the fit",
                number=width,
                threshold=_STRONG_CONSTRAINT,
                reason="The analysis claims to measure it better than the dedicated measurement. "
                "That can be right, but also an accident of templates with few events, or a "
                "single parameter for what are several effects.",
                remedy="Compare the template with its statistical error below; smooth it, use "
                "more events, or split it by region or process (`correlated`).",
            )


def of_scan(record: ScanRecord) -> Iterator[Fact]:
    """Whether the profile of the parameter of interest differs from its parabola."""
    interval = record.of_interest
    if interval is None or interval.down is None or interval.up is None or interval.hesse <= 0:
        return
    sides = {"down": interval.down, "up": interval.up}
    side, size = max(sides.items(), key=lambda item: abs(item[1] / interval.hesse - 1))
    ratio = size / interval.hesse
    if abs(ratio - 1) > _ASYMMETRY:
        yield Fact(
            kind="asymmetric uncertainty",
            severity="note",
            where=interval.parameter,
            statement=f"the uncertainty of {interval.parameter} from the profile likelihood is "
            f"{ratio:.2f} times that of the curvature ({side})",
            number=ratio - 1,
            threshold=_ASYMMETRY,
            reason="A symmetric uncertainty misrepresents the result.",
            remedy="Quote the asymmetric one, as the headline does, or the whole profile.",
        )


def of_templates(fit: FitRecord) -> Iterator[Fact]:
    """Templates of systematics that are one-sided or mirrored."""
    mirrored = dict.fromkeys(
        shift.parameter for entry in fit.contents for shift in entry.shifts if shift.down is None
    )
    for (channel, parameter), sides in _shifts(fit).items():
        (down, down_error), (up, up_error) = sides
        if down * up <= 0 or min(abs(down), abs(up)) <= _SMALL_SHIFT:
            continue
        # The smaller one may be there by accident.
        smaller, error = min((down, down_error), (up, up_error), key=lambda side: abs(side[0]))
        if abs(smaller) <= 2 * error:
            continue
        yield Fact(
            kind="one-sided templates",
            severity="warning",
            where=f"{channel}, {parameter}",
            statement=f"both shifts of {parameter} change the expectation in {channel} to the "
            f"same side, by {100 * down:+.1f} % (down) and {100 * up:+.1f} % (up)",
            number=abs(smaller),
            threshold=_SMALL_SHIFT,
            reason="No value of the parameter describes the other side, and the likelihood has a "
            "kink or two minima at its nominal value.",
            remedy="Check the two samples; mirror the larger shift (`symmetrise` in "
            "`fit.model.treatments`) if the smaller one is an accident.",
        )
    if mirrored:
        yield Fact(
            kind="mirrored templates",
            severity="note",
            where="",
            statement=f"{len(mirrored)} systematic uncertainties have one template that is "
            f"mirrored: {name_list(list(mirrored))}",
            number=len(mirrored),
            threshold=0.0,
            reason="The effect to the other side is an assumption, not a simulation.",
            remedy="Declare a variation `down` where there is one.",
        )


def _shifts(
    fit: FitRecord,
) -> dict[tuple[str, str], tuple[tuple[float, float], tuple[float, float]]]:
    """Relative change of the yield of a channel by each two-sided systematic, with its error.

    Down and up. Variations of the same events have no error: their fluctuations cancel.
    """
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
            (down[0] / totals[key[0]], math.sqrt(down[1]) / totals[key[0]]),
            (up[0] / totals[key[0]], math.sqrt(up[1]) / totals[key[0]]),
        )
        for key, (down, up) in sums.items()
        if totals[key[0]] > 0
    }


def _change(entry: SampleContents, shift: ShiftContents, template: Contents) -> tuple[float, float]:
    """Change of a yield, and its statistical variance."""
    variance = sum(template.variances) + sum(entry.nominal.variances)
    return (
        sum(template.values) - sum(entry.nominal.values),
        variance if shift.kind == "sample" else 0.0,
    )


def of_statistics(fit: FitRecord) -> Iterator[Fact]:
    """Facts of the simulated events: empty bins, too few events, their part of the uncertainty."""
    for channel, entry in fit.yields.prefit.items():
        empty = [number for number, value in enumerate(entry.all.bins) if value <= 0]
        if empty:
            yield _empty(fit, channel, "no process", empty, "warning")
    yield from _effective(fit)
    if fit.breakdown is not None and fit.breakdown.data > 0:
        simulation = fit.breakdown.groups.get(STATISTICS, 0.0)
        ratio = simulation / fit.breakdown.data
        if ratio > 1:
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
    noise = fit.template_noise
    if noise is not None and noise.serious and fit.breakdown is not None:
        names = name_list([source.parameter for source in noise.sources[:3]])
        yield Fact(
            kind="varied templates",
            severity="warning" if noise.in_total else "serious",
            where="",
            statement="the statistics of varied templates move the result by "
            f"{noise.bound}{noise.size:.2g}, "
            f"{noise.size / fit.breakdown.total:.0%} of the uncertainty of the fit, which has no "
            f"term for it; the largest parts: {names}"
            + ("" if noise.in_total else ". It is not in the quoted uncertainty"),
            number=noise.size / fit.breakdown.total,
            threshold=None,
            reason="What differs by accident between a varied template and the nominal one counts "
            "as the effect of the systematic, and the data constrain it.",
            remedy="Use more events for these variations, smooth them with "
            "`fit.model.treatments`, or merge bins with `fit.model.edges`.",
        )


def _effective(fit: FitRecord) -> Iterator[Fact]:
    """Bins with few simulated events, and samples with empty bins."""
    sums: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for entry in fit.contents:
        pair = np.array(entry.nominal.values), np.array(entry.nominal.variances)
        sums.setdefault(entry.channel, []).append(pair)
    for entry in fit.contents:
        values = np.array(entry.nominal.values)
        total = np.sum([pair[0] for pair in sums[entry.channel]], axis=0)
        empty = np.flatnonzero((values <= 0) & (total > 0))
        if empty.size and values.sum() > _SHARE * total.sum():
            yield _empty(fit, entry.channel, entry.sample, empty.tolist(), "note")
    for channel, pairs in sums.items():
        values = np.sum([pair[0] for pair in pairs], axis=0)
        variances = np.sum([pair[1] for pair in pairs], axis=0)
        filled = (values > 0) & (variances > 0)
        events = np.full(len(values), np.inf)
        events[filled] = values[filled] ** 2 / variances[filled]
        few = np.flatnonzero(events < _FEW_EFFECTIVE)
        if few.size:
            worst = int(np.argmin(events))
            listed = name_list([bin_title(fit, channel, int(number)) for number in few], 5)
            yield Fact(
                kind="few effective events",
                severity="warning",
                where=channel,
                statement=f"the expectation in {channel} stands for fewer than "
                f"{_FEW_EFFECTIVE:g} events of equal weight in {len(few)} of {len(values)} bins "
                f"({listed}), with {events[worst]:.1f} at least",
                number=float(events[worst]),
                threshold=_FEW_EFFECTIVE,
                reason="The statistical factor of a bin assumes a Gaussian, which is wrong for so "
                "few events.",
                remedy="Merge the bins with others (`fit.model.edges`), or use more events.",
            )


def _empty(fit: FitRecord, channel: str, sample: str, bins: list[int], severity: Severity) -> Fact:
    listed = name_list([bin_title(fit, channel, number) for number in bins], 5)
    number = f"{len(bins)} {'bin' if len(bins) == 1 else 'bins'}"
    return Fact(
        kind="empty bins",
        severity=severity,
        where=f"{channel}, {sample}" if sample != "no process" else channel,
        statement=f"{sample} has expected events in {number} of {channel}: {listed}"
        if sample == "no process"
        else f"{sample} has no events in {number} of {channel}: {listed}",
        number=len(bins),
        threshold=0.0,
        reason="An empty bin counts as certainly empty: it has no statistical uncertainty, and no "
        "systematic can fill it.",
        remedy="Merge the bins with others (`fit.model.edges`), or use more events.",
    )


def _of_input(run: Run) -> Iterator[Fact]:
    if run.partial:
        files = 0 if run.closure is None else len(run.closure.left_out)
        yield Fact(
            kind="partial input",
            severity="serious",
            where="",
            statement=f"files of the input that were left out: {files}"
            if files
            else "parts of the input were left out",
            number=files,
            threshold=0.0,
            reason="Yields are normalised to what is left, but which events are missing is not "
            "random.",
            remedy="Read the reasons at the top of the page, and run again when the files are "
            "there.",
        )
    if run.validation is not None and run.validation.verdict == "disagrees":
        number = run.validation.counts.get(Agreement.DISAGREEMENT, 0)
        yield Fact(
            kind="disagreement with published histograms",
            severity="serious",
            where="",
            statement=f"{number} histograms disagree with the published ones",
            number=number,
            threshold=0.0,
            reason="The selection or its input is not the one that was published.",
            remedy="Start with the first histogram in the list of the section Validation.",
        )


def _of_checks(run: Run) -> Iterator[Fact]:
    negative = [
        finding
        for finding in run.checks.findings
        if finding.severity != "note" and "negative content" in finding.message
    ]
    if negative:
        listed = name_list([finding.where for finding in negative], 3)
        yield Fact(
            kind="negative contents",
            severity="note",
            where="",
            statement=f"{len(negative)} templates have negative contents: {listed}",
            number=len(negative),
            threshold=0.0,
            reason="A negative number of events has no meaning; the sum of all processes must "
            "stay positive.",
            remedy="Use more events, merge bins with `fit.model.edges`, or leave the sample or the "
            "systematic out.",
        )


@dataclass(frozen=True)
class FactGroup:
    """Facts of one kind, that matter for the same reason and have the same remedy."""

    kind: Kind
    severity: Severity
    statements: tuple[str, ...]
    reason: str
    remedy: str


def grouped(entries: Sequence[Fact]) -> list[FactGroup]:
    """Facts that differ only in their numbers together, in the order of the first of each."""
    groups: dict[tuple[Kind, Severity, str, str], list[str]] = {}
    for fact in entries:
        key = (fact.kind, fact.severity, fact.reason, fact.remedy)
        groups.setdefault(key, []).append(fact.statement)
    return [
        FactGroup(kind, severity, tuple(statements), reason, remedy)
        for (kind, severity, reason, remedy), statements in groups.items()
    ]
