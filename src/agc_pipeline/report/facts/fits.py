"""Facts of the minimum, of its parameters, and of the profile of the parameter of interest."""

from collections.abc import Iterator

from agc_pipeline.inference.derived_records import RankingRecord, ScanRecord
from agc_pipeline.inference.fit_records import FitRecord
from agc_pipeline.report.facts.fact import WIDEN, Fact
from agc_pipeline.report.parameter_titles import Titles, title_of

_BAD_FIT = 0.01
_LARGE_CORRELATION = 0.9
_DIFFERENT_UNCERTAINTY = 0.1
# Of systematics, in units of their uncertainty before the fit. Of the statistical factors, which
# are many and random, three.
_LARGE_PULL, _LARGE_PULL_OF_MANY = 2.0, 3.0
_STRONG_CONSTRAINT = 0.3
_ASYMMETRY = 0.25


def of_fit(fit: FitRecord, names: Titles | None = None) -> Iterator[Fact]:
    """Facts of the minimum: goodness of fit, bounds, correlations, the other minimiser.

    Args:
        fit: the fit.
        names: titles of parameters.
    """
    yield from _bad_fit(fit)
    yield from _at_bounds(fit, names)
    yield from _correlations(fit, names)
    yield from _other_minimiser(fit, names)


def _bad_fit(fit: FitRecord) -> Iterator[Fact]:
    p_value = fit.goodness_of_fit
    if p_value is None or p_value >= _BAD_FIT:
        return
    yield Fact(
        kind="bad fit",
        severity="serious",
        where="",
        statement=f"the p-value of the goodness of fit is {p_value:.2g}",
        number=p_value,
        threshold=_BAD_FIT,
        reason="The model does not describe the data: its uncertainties do not cover what differs.",
        remedy="Find the bins in the ratios of the distributions; a systematic uncertainty or "
        "a process may be missing, or may act on too many bins at once.",
    )


def _at_bounds(fit: FitRecord, names: Titles | None) -> Iterator[Fact]:
    for name in fit.diagnostics.at_bounds:
        title = title_of(name, names)
        yield Fact(
            kind="parameter at its bound",
            severity="serious" if fit.poi is not None and name == fit.poi.name else "warning",
            where=title,
            statement=f"the best fit of {title} is at its bound",
            number=1.0,
            threshold=0.0,
            reason="Its uncertainty is not known from the curvature there, and those of others "
            "are computed as if it were fixed.",
            remedy=f"{WIDEN} Else quote a limit.",
        )


def _correlations(fit: FitRecord, names: Titles | None) -> Iterator[Fact]:
    if fit.poi is None or fit.poi.name not in fit.labels:
        return
    row = fit.correlation[fit.labels.index(fit.poi.name)]
    for name, value in zip(fit.labels, row, strict=True):
        if name == fit.poi.name or abs(value) <= _LARGE_CORRELATION:
            continue
        title = title_of(name, names)
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


def _other_minimiser(fit: FitRecord, names: Titles | None) -> Iterator[Fact]:
    other = fit.comparison
    if other is None or other.largest is None:
        return
    name, ratio = other.largest
    if abs(ratio - 1) <= _DIFFERENT_UNCERTAINTY:
        return
    title = title_of(name, names)
    method = "cabinetry" if other.method == "cabinetry" else "exact derivatives"
    yield Fact(
        kind="other minimiser",
        severity="note",
        where=title,
        statement=f"the uncertainty of {title} by the fit with {method} is {ratio:.2f} times that "
        "of this fit",
        number=ratio - 1,
        threshold=_DIFFERENT_UNCERTAINTY,
        reason="Numerical derivatives are inaccurate where the likelihood has kinks or is "
        "far from a parabola.",
        remedy="Take the interval of the profile likelihood for this parameter.",
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
        title = title_of(row.parameter, names)
        systematic = row.parameter in fit.groups
        yield from _large_pull(title, value, _LARGE_PULL if systematic else _LARGE_PULL_OF_MANY)
        if systematic:
            yield from _strong_constraint(title, width)


def _large_pull(title: str, value: float, threshold: float) -> Iterator[Fact]:
    if abs(value) <= threshold:
        return
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


def _strong_constraint(title: str, width: float) -> Iterator[Fact]:
    # A width of zero is that of a fixed parameter.
    if not 0 < width < _STRONG_CONSTRAINT:
        return
    yield Fact(
        kind="strong constraint",
        severity="warning",
        where=title,
        statement=f"the data constrain {title} to {width:.2f} of its uncertainty before the fit",
        number=width,
        threshold=_STRONG_CONSTRAINT,
        reason="The analysis claims to measure it better than the dedicated measurement. "
        "That can be right, but also an accident of templates with few events, or a "
        "single parameter for what are several effects.",
        remedy="Compare the template with its statistical error below; smooth it, use "
        "more events, or split it by region or process (`correlated`).",
    )


def of_scan(record: ScanRecord, names: Titles | None = None) -> Iterator[Fact]:
    """Profiles that reach a bound, and that of the parameter of interest if it is no parabola.

    Args:
        record: the profiles.
        names: titles of parameters.
    """
    yield from _bounded(record, names)
    yield from _asymmetry(record)


def _bounded(record: ScanRecord, names: Titles | None) -> Iterator[Fact]:
    for interval in record.intervals:
        for side, bound in interval.bounds.items():
            distance = abs(bound - interval.bestfit)
            # A fit that ends there is a fact of its own.
            if distance == 0 or interval.hesse <= 0:
                continue
            title = title_of(interval.parameter, names)
            of_interest = interval == record.of_interest
            yield Fact(
                kind="profile that reaches a bound",
                # No signal is a bound of its own meaning; any other one of the result may be wrong.
                severity="serious" if of_interest and bound != 0 else "warning",
                where=title,
                statement=f"{title} = {interval.bestfit:.4g} is {distance / interval.hesse:.2f} of "
                f"its uncertainty from the bound {bound:g}, which its profile reaches ({side}) "
                "before -2 ln L has risen by one",
                number=distance / interval.hesse,
                threshold=None,
                reason="The profile gives no uncertainty on this side. That of the curvature "
                "stands in its place, and knows of no bound.",
                remedy=f"{WIDEN} Else quote a limit.",
            )


def _asymmetry(record: ScanRecord) -> Iterator[Fact]:
    interval = record.of_interest
    if interval is None or interval.down is None or interval.up is None or interval.hesse <= 0:
        return
    sides = {"down": interval.down, "up": interval.up}
    side, size = max(sides.items(), key=lambda item: abs(item[1] / interval.hesse - 1))
    ratio = size / interval.hesse
    if abs(ratio - 1) <= _ASYMMETRY:
        return
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
