"""The tables of a measurement for HEPData."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from hepdata_lib import Table

from agc_pipeline.inference.derived_records import RankingRecord, ScanRecord
from agc_pipeline.inference.fit_records import FitRecord
from agc_pipeline.inference.template_noise import TITLE
from agc_pipeline.preservation.hepdata import axis, table, variable

Keywords = Mapping[str, Sequence[Any]]


def tables(
    fit: FitRecord, ranking: RankingRecord, scan: ScanRecord, keywords: Keywords
) -> list[Table]:
    """Distributions, parameters, covariance, impacts, breakdown and scan.

    Args:
        fit: the fit.
        ranking: impacts of all parameters.
        scan: profile of the likelihood.
        keywords: of all tables, in HEPData's vocabulary.
    """
    content = [_distribution(fit, channel, keywords) for channel in fit.channels]
    content += [_parameters(fit, scan, keywords), _covariance(fit, keywords)]
    content.append(_impacts(ranking, keywords))
    if fit.breakdown is not None:
        content.append(_breakdown(fit, keywords))
    content.append(_scan(scan, keywords))
    return content


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
    if channel.window:
        description += f" Data are {channel.window}: the fit has the expectation in their place."
    return table(f"Distribution {title}", description, columns, keywords)


def _parameters(fit: FitRecord, scan: ScanRecord, keywords: Keywords) -> Table:
    minos = {interval.parameter: interval for interval in scan.intervals}
    asymmetric = []
    for name, size in zip(fit.labels, fit.uncertainty, strict=True):
        interval = minos.get(name)
        if interval is None or interval.down is None or interval.up is None:
            asymmetric.append((-size, size))
        else:
            asymmetric.append((-interval.down, interval.up))
    return table(
        "Parameters",
        "Best fit of all parameters, with uncertainties from the Hessian and from the profile "
        "likelihood (the former again where the latter is missing).",
        [
            axis("Parameter", fit.labels),
            variable("Best fit", fit.bestfit, {"Hessian": fit.uncertainty, "profile": asymmetric}),
        ],
        keywords,
    )


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


def _breakdown(fit: FitRecord, keywords: Keywords) -> Table:
    assert fit.breakdown is not None  # noqa: S101 for the type checker
    parts = fit.breakdown.groups | {"Data statistics": fit.breakdown.data}
    variances = {name: size**2 for name, size in parts.items()}
    variances |= {
        "Curvature of the model": fit.breakdown.curvature,
        "Total": fit.breakdown.total**2,
    }
    if fit.template_noise is not None:
        variances[f"{TITLE}, not in the total"] = fit.template_noise.size**2
    return table(
        "Uncertainty breakdown",
        f"Contributions of groups of sources to the variance of {fit.poi.name}: squares of its "
        "change when their measurements are shifted by their uncertainties. They add up to the "
        "total.",
        [axis("Source", list(variances)), variable("Variance", list(variances.values()))],
        keywords,
    )


def _scan(scan: ScanRecord, keywords: Keywords) -> Table:
    return table(
        "Likelihood scan",
        "Profile of -2 ln L above its minimum.",
        [axis(scan.poi.name, scan.values), variable("-2 Delta ln L", scan.heights)],
        keywords,
    )
