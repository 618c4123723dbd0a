"""Proof that every sample and systematic of a workspace comes from the histograms of its name.

The classic error is a pasted string: the templates of one systematic are those of another, and
nothing fails. So the content of each is computed once more from the histograms that the
declaration names, by another way than the one that built the workspace, and compared.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import hist
import numpy as np

from agc_pipeline.declaration import NOMINAL, Analysis, Process, Region, Systematic, Template
from agc_pipeline.inference.binning import rebin
from agc_pipeline.inference.checks import Finding
from agc_pipeline.inference.edges import fit_edges, fitted_regions
from agc_pipeline.inference.interpolation import Array
from agc_pipeline.inference.settings import ModelSettings, Treatment
from agc_pipeline.inference.treatment import treated
from agc_pipeline.inference.workspace import nuisances
from agc_pipeline.settings import Settings

Workspace = dict[str, Any]
Histograms = Mapping[str, hist.Hist]

# Rounding of sums in another order.
_TOLERANCE = 1e-9


class Origin(Settings):
    """Where content of a workspace comes from.

    Attributes:
        channel: title of the region.
        sample: title of the process.
        modifier: name of the systematic; None for the sample itself.
        histograms: that the declaration names for it.
        deviation: largest difference from their content, relative to the largest bin.
        actual: histograms that have the content instead, if it is not theirs.
    """

    channel: str
    sample: str
    modifier: str | None
    histograms: tuple[str, ...]
    deviation: float
    actual: tuple[str, ...]

    @property
    def proven(self) -> bool:
        """Whether the content is that of the histograms."""
        return self.deviation <= _TOLERANCE


def audit(
    workspace: Workspace,
    analysis: Analysis,
    histograms: Histograms,
    settings: ModelSettings,
) -> tuple[Origin, ...]:
    """Trace the samples and the systematics with histograms of their own.

    Args:
        workspace: before pruning.
        analysis: the declaration.
        histograms: of the run, by name.
        settings: of the model, with the bins of the fit.
    """
    regions = {region.title: region for region in analysis.regions}
    processes = {process.title: process for process in analysis.processes}
    systematics = {nuisance.name: nuisance.systematic for nuisance in nuisances(analysis)}
    fitted = {
        name: fit_edges(region, settings.edges) for name, region in fitted_regions(analysis).items()
    }
    rebinned = {
        template.name: rebin(
            histograms[template.name], fitted[template.region], name=template.name
        ).yields
        for template in analysis.templates()
        if template.region in fitted and template.name in histograms
    }
    rebinned |= _treated(analysis, rebinned, settings)
    return tuple(
        origin
        for channel in workspace["channels"]
        for sample in channel["samples"]
        for origin in _sample(
            sample, regions[channel["name"]], processes[sample["name"]], systematics, rebinned
        )
    )


def _treated(
    analysis: Analysis, contents: Mapping[str, Array], settings: ModelSettings
) -> dict[str, Array]:
    """Contents of the variations that the configuration treats, by name of the histogram."""
    result: dict[str, Array] = {}
    for systematic in analysis.systematics:
        treatment = settings.treatments.get(systematic.name, Treatment())
        for region in () if treatment.nothing else analysis.regions:
            for process in systematic.acts_on:
                names = [
                    Template(region.name, process, variation).name
                    for variation in (NOMINAL, *systematic.variations)
                ]
                if all(name in contents for name in names):
                    nominal, up, *down = (contents[name] for name in names)
                    shifts = treated(nominal, up, down[0] if down else None, treatment, nominal)
                    result |= {
                        name: shift
                        for name, shift in zip(names[1:], shifts, strict=False)
                        if shift is not None
                    }
    return result


def findings(origins: tuple[Origin, ...]) -> tuple[Finding, ...]:
    """Errors for everything that is not what its name says."""
    return tuple(
        Finding(
            severity="error",
            where=", ".join(filter(None, (origin.channel, origin.sample, origin.modifier))),
            message=f"content is not that of {', '.join(origin.histograms)}"
            + (f", but of {', '.join(origin.actual)}" if origin.actual else ""),
        )
        for origin in origins
        if not origin.proven
    )


def _sample(
    sample: Any,
    region: Region,
    process: Process,
    systematics: Mapping[str, Systematic],
    contents: Mapping[str, Array],
) -> Iterator[Origin]:
    nominal = Template(region.name, process.name, NOMINAL).name
    yield _origin(region, process, None, {nominal: np.array(sample["data"])}, contents)
    effects: dict[str, dict[str, Any]] = {}
    for modifier in sample["modifiers"]:
        if modifier["type"] in ("normsys", "histosys"):
            effects.setdefault(modifier["name"], {})[modifier["type"]] = modifier["data"]
    for name, effect in effects.items():
        if "histosys" in effect:
            shifts = zip(("hi", "lo"), systematics[name].variations, strict=False)
            claimed = {
                Template(region.name, process.name, variation).name: np.array(
                    effect["histosys"][f"{side}_data"]
                )
                * effect["normsys"][side]
                for side, variation in shifts
            }
            yield _origin(region, process, name, claimed, contents)


def _origin(
    region: Region,
    process: Process,
    modifier: str | None,
    claimed: Mapping[str, Array],
    contents: Mapping[str, Array],
) -> Origin:
    """Compare content with the histograms that it is claimed to come from."""
    deviation = max(_deviation(content, contents[name]) for name, content in claimed.items())
    actual: list[str] = []
    if deviation > _TOLERANCE:
        actual = [
            name
            for content in claimed.values()
            for name, other in contents.items()
            if _deviation(content, other) <= _TOLERANCE
        ]
    return Origin(
        channel=region.title,
        sample=process.title,
        modifier=modifier,
        histograms=tuple(claimed),
        deviation=deviation,
        actual=tuple(actual),
    )


def _deviation(content: Array, other: Array) -> float:
    scale = float(np.max(np.abs(other), initial=0)) or 1.0
    return float(np.max(np.abs(content - other)) / scale) if len(content) == len(other) else np.inf
