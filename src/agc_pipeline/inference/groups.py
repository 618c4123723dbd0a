"""Groups of parameters whose contributions to the uncertainty are given together."""

from collections.abc import Mapping
from fnmatch import fnmatchcase

import pyhf

from agc_pipeline.declaration import Analysis

STATISTICS = "Simulation statistics"
OTHER = "Other systematics"

_STATISTICAL = ("staterror", "shapesys")


def declared(analysis: Analysis) -> dict[str, str]:
    """Group of each systematic of an analysis, by name."""
    return {known.name: known.group or known.name for known in analysis.systematics}


def matched(names: list[str], patterns: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """Group of each name that a pattern of a group fits; of several groups, the first.

    Args:
        names: of modifiers.
        patterns: group to patterns, as in file names (``jet_*``).
    """
    found = {}
    for name in names:
        for group, alternatives in patterns.items():
            if any(fnmatchcase(name, pattern) for pattern in alternatives):
                found[name] = group
                break
    return found


def of_parameters(model: pyhf.Model, groups: Mapping[str, str]) -> dict[str, str]:
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
