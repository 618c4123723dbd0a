"""Facts of pseudo-experiments: bias, width of pulls, coverage, failed fits."""

import math
from collections.abc import Iterator

import numpy as np

from agc_pipeline.inference.derived_records import Pull, ToyRecord
from agc_pipeline.report.facts.fact import WIDEN, Fact, Kind
from agc_pipeline.report.parameter_titles import Titles, title_of

KINDS: tuple[Kind, ...] = (
    "biased pseudo-experiments",
    "width of pulls",
    "coverage",
    "failed pseudo-experiments",
    "pseudo-experiments at a bound",
)

# Standard deviations: of the parameter of interest, and of any of the others, which are many.
_SIGNIFICANT, _SIGNIFICANT_OF_MANY = 3.0, 4.0
# Bias of the result in units of its uncertainty from which on it is serious: with a fifth, the
# interval of one standard deviation covers 67 % instead of 68 %, with a half 61 %.
_SERIOUS_BIAS = 0.2
_FAILED = 0.02
# Share that ends at a bound, from which on it tells in means and widths.
_BOUNDED = 0.02
_COVERAGE = math.erf(math.sqrt(0.5))


def of_toys(record: ToyRecord, names: Titles | None = None) -> Iterator[Fact]:
    """Facts of pseudo-experiments.

    Args:
        record: the pseudo-experiments.
        names: titles of parameters.
    """
    if not record.count:
        return
    yield from _failed(record)
    yield from _at_bounds(record, names)
    poi = None if record.poi is None else record.poi.name
    for pull in record.pulls:
        yield from _bias(record, pull, title_of(pull.parameter, names), pull.parameter == poi)
        if pull.parameter == poi:
            yield from _width(pull)
    yield from _coverage(record)


def _failed(record: ToyRecord) -> Iterator[Fact]:
    failed = record.count - record.converged
    if failed <= _FAILED * record.count:
        return
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


def _bounded(record: ToyRecord) -> bool:
    """Whether a bound cuts off the best fits of the parameter of interest."""
    return record.at_bounds > _BOUNDED * record.converged


def _at_bounds(record: ToyRecord, names: Titles | None) -> Iterator[Fact]:
    if record.poi is None or not _bounded(record):
        return
    title = title_of(record.poi.name, names)
    yield Fact(
        kind="pseudo-experiments at a bound",
        severity="warning",
        where=title,
        statement=f"{title} ends at one of its bounds in {record.at_bounds} of {record.converged} "
        "pseudo-experiments",
        number=record.at_bounds / record.converged,
        threshold=_BOUNDED,
        reason="Its best fits are cut off there. These have no uncertainty and no pull: mean and "
        "width of the pulls, and the coverage, are those of the others.",
        remedy=f"{WIDEN} Else quote a limit, or an interval from the pseudo-experiments.",
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
    if of_interest and _bounded(record):
        reason = (
            f"{record.at_bounds} of {record.converged} pseudo-experiments end at a bound and have "
            "no pull, so that the others lean away from it: this tells of the bound, and of a bias "
            "of the estimate only without it."
        )
        remedy = WIDEN
    elif of_interest:
        reason = f"{reason} {_of_estimates(record)}".rstrip()
        if not serious:
            remedy = f"It is small against the uncertainty; quote it where it matters. {remedy}"
    yield Fact(
        kind="biased pseudo-experiments",
        severity="serious" if serious else "warning" if of_interest else "note",
        where=title,
        statement=f"the mean pull of {title} in {pull.count} pseudo-experiments is "
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


def _width(pull: Pull) -> Iterator[Fact]:
    if pull.width_error <= 0:
        return
    distance = (pull.width - 1) / pull.width_error
    if abs(distance) <= _SIGNIFICANT:
        return
    yield Fact(
        kind="width of pulls",
        severity="serious" if distance > 0 else "warning",
        where=pull.parameter,
        statement=f"the width of the pulls of {pull.parameter} in {pull.count} "
        f"pseudo-experiments is {pull.width:.2f} with an uncertainty of {pull.width_error:.2f}, "
        f"{abs(distance):.1f} standard deviations from one",
        number=distance,
        threshold=_SIGNIFICANT,
        reason="The uncertainty of the fit is too "
        + ("small." if distance > 0 else "large, for instance as a bound cuts off the results."),
        remedy="Quote an interval from the pseudo-experiments, and look for parameters at bounds "
        "and bins with few events.",
    )


def _coverage(record: ToyRecord) -> Iterator[Fact]:
    if record.coverage is None or not record.measured:
        return
    error = math.sqrt(_COVERAGE * (1 - _COVERAGE) / record.measured)
    distance = (record.coverage - _COVERAGE) / error
    if abs(distance) <= _SIGNIFICANT:
        return
    yield Fact(
        kind="coverage",
        severity="serious" if distance < 0 else "warning",
        where="" if record.poi is None else record.poi.name,
        statement=f"the interval of one standard deviation covers the true value in "
        f"{100 * record.coverage:.1f} % of {record.measured} pseudo-experiments instead "
        f"of 68.3 %, {abs(distance):.1f} standard deviations off",
        number=distance,
        threshold=_SIGNIFICANT,
        reason="The quoted uncertainty is too "
        + ("small." if distance < 0 else "large: the result is better than it says."),
        remedy="Quote the interval of the profile likelihood, or one from the pseudo-experiments.",
    )
