"""The tables of a measurement for HEPData."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from hepdata_lib import Table

from agc_pipeline.inference.derived_records import RankingRecord, ScanRecord
from agc_pipeline.inference.fit_records import FitRecord
from agc_pipeline.inference.headline import Headline, headline
from agc_pipeline.inference.impacts import Breakdown
from agc_pipeline.inference.profile import Plane
from agc_pipeline.inference.template_noise import TITLE, TemplateNoise
from agc_pipeline.preservation.hepdata import axis, table, tell_apart, variable

Keywords = Mapping[str, Sequence[Any]]


def tables(
    fit: FitRecord,
    ranking: RankingRecord,
    scan: ScanRecord,
    keywords: Keywords,
    free: Sequence[str] = (),
) -> list[Table]:
    """Result, distributions, parameters, covariance, impacts, breakdown and scan.

    Args:
        fit: the fit.
        ranking: impacts of all parameters.
        scan: profile of the likelihood.
        keywords: of all tables, in HEPData's vocabulary.
        free: names of the free normalisations; several of them have a table of their own.
    """
    result = None if fit.poi is None else headline(fit, scan, quantity=fit.poi.name)
    content = [] if result is None else [_result(result, keywords)]
    content += [_distribution(fit, channel, keywords) for channel in fit.channels]
    content += [_parameters(fit, scan, keywords), _covariance(fit, keywords)]
    if len(free) > 1:
        content.append(_normalisations(fit, scan, free, keywords))
    if ranking.poi is not None and ranking.rows:
        content.append(_impacts(ranking, keywords))
    if fit.poi is not None and fit.breakdown is not None:
        content.append(_breakdown(fit.poi.name, fit.breakdown, fit.template_noise, keywords))
    if scan.poi is not None and scan.values:
        content.append(_scan(scan.poi.name, scan, keywords))
    content += [_plane(entry, keywords) for entry in scan.planes]
    tell_apart(content)
    return content


def _result(result: Headline, keywords: Keywords) -> Table:
    sides = (-(result.down or 0.0), result.up or 0.0)
    return table(
        "Result",
        "The parameter of interest as it is quoted: total uncertainty, "
        + result.origin("the Hessian")
        + ", and its parts: of the data, of everything else in the fit, and of luminosity and "
        "varied templates where they are apart.",
        [
            axis("Quantity", [result.quantity]),
            variable(
                "Value",
                [result.value],
                {"total": [sides]} | {name: [size] for name, size in result.sources.items()},
            ),
        ],
        keywords,
    )


def _distribution(fit: FitRecord, title: str, keywords: Keywords) -> Table:
    channel = fit.channels[title]
    before, after = fit.yields.prefit[title], fit.yields.postfit[title]
    bins = list(zip(channel.edges[:-1], channel.edges[1:], strict=True))
    columns = [
        axis(channel.label.replace("$", ""), bins),
        variable(
            "Data",
            [
                None if hidden else value
                for value, hidden in zip(channel.observed, channel.hidden, strict=True)
            ],
        ),
        variable("Expected before the fit", before.all.bins, {"total": before.all.uncertainty}),
        variable("Expected after the fit", after.all.bins, {"total": after.all.uncertainty}),
    ]
    columns += [
        variable(f"{name} after the fit", events.bins, {"total": events.uncertainty})
        for name, events in after.samples.items()
    ]
    description = f"Events in {title} before and after the fit."
    if channel.open_bins:
        description += f" {channel.open_bins[0].upper()}{channel.open_bins[1:]}."
    if channel.window:
        description += f" Data are {channel.window}: the fit has the expectation in their place."
    return table(f"Distribution {title}", description, columns, keywords)


def _parameters(fit: FitRecord, scan: ScanRecord, keywords: Keywords) -> Table:
    minos = {interval.parameter: interval for interval in scan.intervals}
    asymmetric, origins = [], []
    for name, size in zip(fit.labels, fit.uncertainty, strict=True):
        interval = minos.get(name)
        down, up = (None, None) if interval is None else (interval.down, interval.up)
        asymmetric.append((-size if down is None else -down, size if up is None else up))
        origins.append(_origin(size, down, up))
    return table(
        "Parameters",
        "Best fit of all parameters, with uncertainties from the Hessian and from the profile "
        "likelihood. Where the latter does not exist, its column repeats the former, and the "
        "column of its origin says so.",
        [
            axis("Parameter", fit.labels),
            variable("Best fit", fit.bestfit, {"Hessian": fit.uncertainty, "profile": asymmetric}),
            variable("Origin of the uncertainty 'profile'", origins),
        ],
        keywords,
    )


def _normalisations(
    fit: FitRecord, scan: ScanRecord, free: Sequence[str], keywords: Keywords
) -> Table:
    """What is measured at the same time, with its correlations."""
    minos = {interval.parameter: interval for interval in scan.intervals}
    positions = [fit.labels.index(name) for name in free]
    sizes = [fit.uncertainty[position] for position in positions]
    asymmetric, origins = [], []
    for name, size in zip(free, sizes, strict=True):
        interval = minos.get(name)
        down, up = (None, None) if interval is None else (interval.down, interval.up)
        asymmetric.append((-size if down is None else -down, size if up is None else up))
        origins.append(_origin(size, down, up))
    best = [fit.bestfit[position] for position in positions]
    return table(
        "Normalisations",
        "Free normalisations, which are measured at the same time, with uncertainties from the "
        "Hessian and from the profile likelihood, and their correlations.",
        [
            axis("Normalisation", list(free)),
            variable("Best fit", best, {"Hessian": sizes, "profile": asymmetric}),
            variable("Origin of the uncertainty 'profile'", origins),
            *(
                variable(
                    f"Correlation with {name}",
                    [fit.correlation[position][column] for position in positions],
                )
                for name, column in zip(free, positions, strict=True)
            ),
        ],
        keywords,
    )


def _origin(size: float, down: float | None, up: float | None) -> str:
    """Where the asymmetric uncertainties of a parameter come from."""
    if size == 0 and down is None and up is None:
        return "none: fixed or at a bound"
    match down is None, up is None:
        case False, False:
            return "profile"
        case False, True:
            return "profile (down), Hessian (up)"
        case True, False:
            return "Hessian (down), profile (up)"
        case _:
            return "Hessian"


def _covariance(fit: FitRecord, keywords: Keywords) -> Table:
    covariance = np.array(fit.correlation) * np.outer(fit.uncertainty, fit.uncertainty)
    pairs = [(row, column) for row in fit.labels for column in fit.labels]
    return table(
        "Covariance",
        "Covariance of all parameters after the fit.",
        [
            axis("Parameter", [row for row, _ in pairs]),
            axis("Other parameter", [column for _, column in pairs]),
            variable("Covariance", covariance.ravel().tolist()),
        ],
        keywords,
    )


def _impacts(ranking: RankingRecord, keywords: Keywords) -> Table:
    return table(
        "Impacts",
        f"Change of {ranking.poi} when a parameter is fixed, shifted by its uncertainty before and "
        "after the fit.",
        [
            axis("Parameter", [row.parameter for row in ranking.rows]),
            *(
                variable(name, [getattr(row, key) for row in ranking.rows])
                for name, key in (
                    ("Before the fit, up", "prefit_up"),
                    ("Before the fit, down", "prefit_down"),
                    ("After the fit, up", "postfit_up"),
                    ("After the fit, down", "postfit_down"),
                )
            ),
        ],
        keywords,
    )


def _breakdown(
    poi: str, breakdown: Breakdown, noise: TemplateNoise | None, keywords: Keywords
) -> Table:
    parts = breakdown.groups | {"Data statistics": breakdown.data}
    variances = {name: size**2 for name, size in parts.items()}
    variances |= {
        "Curvature of the model": breakdown.curvature,
        "Total": breakdown.total**2,
    }
    if noise is not None:
        variances[f"{TITLE}, not in the total"] = noise.size**2
    return table(
        "Uncertainty breakdown",
        f"Contributions of groups of sources to the variance of {poi}: squares of its "
        "change when their measurements are shifted by their uncertainties. They add up to the "
        "total.",
        [axis("Source", list(variances)), variable("Variance", list(variances.values()))],
        keywords,
    )


def _plane(entry: Plane, keywords: Keywords) -> Table:
    first, second = entry.parameters
    points = [(x, y) for y in entry.second for x in entry.first]
    return table(
        f"Likelihood of {first} and {second}",
        "Profile of -2 ln L of both parameters above its minimum; 2.30 is the contour of 68.3 %.",
        [
            axis(first, [x for x, _ in points]),
            axis(second, [y for _, y in points]),
            variable("-2 Delta ln L", [height for row in entry.heights for height in row]),
        ],
        keywords,
    )


def _scan(poi: str, scan: ScanRecord, keywords: Keywords) -> Table:
    return table(
        "Likelihood scan",
        "Profile of -2 ln L above its minimum.",
        [axis(poi, scan.values), variable("-2 Delta ln L", scan.heights)],
        keywords,
    )
