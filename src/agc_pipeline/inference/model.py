"""From the histograms of a run to a statistical model: workspace, description and checks."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

import hist

from agc_pipeline.declaration import Analysis
from agc_pipeline.inference import audit, checks, consistency, templates, workspace
from agc_pipeline.inference.edges import beyond, fit_edges
from agc_pipeline.inference.fit_records import Channel, Checks, ModelDescription
from agc_pipeline.inference.impacts import declared_groups
from agc_pipeline.inference.pruning import prune
from agc_pipeline.inference.settings import ModelSettings
from agc_pipeline.inference.template_noise import contents
from agc_pipeline.inference.templates import Templates


class Model(NamedTuple):
    """A statistical model.

    Attributes:
        workspace: of pyhf, with the data.
        description: what a workspace has no room for.
        checks: without errors.
        analysis: the declaration that it follows.
    """

    workspace: workspace.Workspace
    description: ModelDescription
    checks: Checks
    analysis: Analysis


def build_workspace(
    analysis: Analysis,
    histograms: Mapping[str, hist.Hist],
    settings: ModelSettings,
    *,
    partial: bool = False,
    blinded: bool = False,
    pseudodata: bool = False,
    subsets: Mapping[str, str] = MappingProxyType({}),
    place: str = "histograms",
) -> Model:
    """The model that an analysis declares, with the templates of a run.

    Args:
        analysis: the declaration; drop a systematic from it to fit without it.
        histograms: of the run, by name.
        settings: ``fit.model`` of the configuration.
        partial: whether files are missing from the histograms.
        blinded: whether they have the expectation in place of data in blinded windows.
        pseudodata: whether simulated events stand in the place of collision data.
        subsets: datasets of which all events are in another one, which is named.
        place: where the histograms come from, for errors.

    Raises:
        ModelError: if histograms that the model needs are missing or cannot be used, or the checks
            of the model find an error.
    """
    selection = templates.select(analysis, histograms, settings)
    full = workspace.build(analysis, selection)
    origins = audit.audit(full, analysis, histograms, settings)
    mirrored = {
        nuisance.name
        for nuisance in workspace.nuisances(analysis)
        if nuisance.systematic.down is None
    }
    description = describe(
        analysis,
        selection,
        settings,
        partial=partial,
        blinded=blinded,
        pseudodata=pseudodata,
        subsets=subsets,
    )
    findings = (
        *consistency.check(full),
        *checks.check(full, mirrored),
        *audit.findings(origins),
        *_blinded(description.channels),
    )
    checks.refuse(findings, place=place)
    spec, pruned = prune(full, settings.pruning)
    return Model(
        spec,
        description,
        Checks(findings=findings, pruned=pruned, origins=origins),
        analysis,
    )


def _blinded(channels: Mapping[str, Channel]) -> Iterator[checks.Finding]:
    """A warning for each channel whose data are not all shown."""
    for title, channel in channels.items():
        if channel.window:
            yield checks.Finding(
                severity="warning",
                where=title,
                message=f"{channel.window}: the expectation before the fit stands in place of the "
                f"data in {sum(channel.hidden)} of {len(channel.hidden)} bins",
            )


def describe(
    analysis: Analysis,
    selection: Templates,
    settings: ModelSettings,
    *,
    partial: bool,
    blinded: bool,
    pseudodata: bool = False,
    subsets: Mapping[str, str] = MappingProxyType({}),
) -> ModelDescription:
    """The description of a model with some templates."""
    return ModelDescription(
        analysis=analysis.name,
        data="simulated" if pseudodata and settings.data == "observed" else settings.data,
        partial=partial,
        left_out=selection.left_out,
        channels=channels(analysis, selection, settings, blinded=blinded),
        groups=declared_groups(analysis),
        contents=contents(analysis, selection, settings.treatments, subsets),
    )


def channels(
    analysis: Analysis, selection: Templates, settings: ModelSettings, *, blinded: bool
) -> dict[str, Channel]:
    """The channels of a model with some templates, by title."""
    # Other data than those of collisions are shown everywhere.
    blinded = blinded and settings.data == "observed"
    return {
        region.title: Channel(
            region=region.name,
            label=region.label,
            edges=selection.data[region.name].bins.tolist(),
            beyond=beyond(fit_edges(region, settings.edges)),
            observed=selection.data[region.name].yields.tolist(),
            blinded=region.blinded if blinded else None,
        )
        for region in analysis.regions
        if region.name in selection.data
    }
