"""What each source of uncertainty contributes to that of the parameter of interest.

The parameter of interest is a function of the data and of the auxiliary measurements. Shifting the
auxiliary measurement of parameter j by its uncertainty moves it, to first order, by

    impact_j = cov(mu, j) / sigma_j,

with the uncertainty sigma_j that this measurement alone leaves; and shifting bin b of the data by
its uncertainty

    impact_b = sum_k cov(mu, k) d rate_b / d k sqrt(n_b) / rate_b.

These shifts are independent, so that their squares add up to the variance of the first order. The
Hessian has one term more: second derivatives of the rates, as far as these differ from the data.
With it, the sum is the total exactly. (Freezing groups of parameters does not add up: there,
correlations count twice.)

Source: A. Pinto et al., Eur. Phys. J. C 84 (2024) 593, arXiv:2307.04007.
"""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import numpy as np

from agc_pipeline.declaration import Analysis
from agc_pipeline.inference.minimum import Minimum
from agc_pipeline.inference.problem import Problem
from agc_pipeline.inference.workspace import nuisances
from agc_pipeline.settings import Settings

if TYPE_CHECKING:
    import pyhf

# Groups of parameters that are in no other.
STATISTICS = "Simulation statistics"
OTHER = "Other systematics"

_STATISTICAL = ("staterror", "shapesys")


class Source(Settings):
    """Impact of one auxiliary measurement: the change for a shift up by its uncertainty."""

    parameter: str
    group: str
    impact: float


class Breakdown(Settings):
    """Contributions to the uncertainty of the parameter of interest.

    Attributes:
        total: uncertainty, from the Hessian.
        data: impact of the statistical uncertainty of the data.
        curvature: variance that comes with the second derivatives of the rates; it can be negative,
            and is zero where the model fits the data perfectly.
        groups: impact of the sources of each group together, the largest first.
        sources: of each auxiliary measurement, the largest first.
    """

    total: float
    data: float
    curvature: float
    groups: dict[str, float]
    sources: tuple[Source, ...]


def breakdown(problem: Problem, best: Minimum, groups: Mapping[str, str]) -> Breakdown | None:
    """Contributions of all sources; None if no parameter of interest is free to move.

    Args:
        problem: the fit.
        best: its minimum.
        groups: group of each parameter that has one, by name.
    """
    poi = problem.poi
    if poi is None or not best.free[poi]:
        return None
    along = best.covariance[poi]
    information = problem.likelihood.constraints.information(best.parameters)
    impacts = along * np.sqrt(information)
    measured = best.free & (information > 0)
    sources = [
        Source(parameter=name, group=groups.get(name, OTHER), impact=float(impact))
        for name, impact, counts in zip(problem.names, impacts, measured, strict=True)
        if counts
    ]
    variances: dict[str, float] = {}
    for source in sources:
        variances[source.group] = variances.get(source.group, 0.0) + source.impact**2
    likelihood = problem.likelihood
    change = along @ likelihood.slopes(best.parameters)
    rates = likelihood.rates(best.parameters)
    data = float(np.sum(likelihood.data * (change / np.where(rates > 0, rates, 1.0)) ** 2))
    variance = float(along[poi])
    ordered = sorted(variances.items(), key=lambda item: -item[1])
    return Breakdown(
        total=float(np.sqrt(variance)),
        data=float(np.sqrt(data)),
        curvature=variance - data - sum(variances.values()),
        groups={name: float(np.sqrt(part)) for name, part in ordered},
        sources=tuple(sorted(sources, key=lambda source: -abs(source.impact))),
    )


def declared_groups(analysis: Analysis) -> dict[str, str]:
    """Group of each nuisance parameter of an analysis, by name."""
    return {
        nuisance.name: nuisance.systematic.group or nuisance.systematic.name
        for nuisance in nuisances(analysis)
    }


def matching_groups(
    names: Iterable[str], patterns: Mapping[str, tuple[str, ...]]
) -> dict[str, str]:
    """Group of each name that a pattern of a group fits; of several groups, the first.

    Args:
        names: of modifiers.
        patterns: group to patterns, as in file names (``jet_*``).
    """
    return {
        name: group
        for name in names
        for group in [
            next(
                (
                    group
                    for group, alternatives in patterns.items()
                    if any(fnmatchcase(name, pattern) for pattern in alternatives)
                ),
                None,
            )
        ]
        if group is not None
    }


def parameter_groups(model: "pyhf.Model", groups: Mapping[str, str]) -> dict[str, str]:
    """Group of each constrained parameter, by its full name (``gamma[3]``).

    Args:
        model: gives parameters and their kinds.
        groups: of modifiers, by name; statistical factors of bins have their own without it.
    """
    kinds = dict(model.config.modifiers)
    labels = model.config.par_names
    return {
        label: groups.get(name, STATISTICS if kinds[name] in _STATISTICAL else OTHER)
        for name in model.config.par_order
        if model.config.param_set(name).constrained
        for label in labels[model.config.par_slice(name)]
    }
