"""The fit in other distributions: the bins of the histograms, and regions that are not fitted."""

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import hist
from cabinetry.model_utils import match_fit_results

from agc_pipeline.attempts import Missing, attempt
from agc_pipeline.declaration import NOMINAL, Analysis, Region, Template
from agc_pipeline.inference import templates, workspace
from agc_pipeline.inference.fit_records import Channel, FitRecord
from agc_pipeline.inference.model import channels as model_channels
from agc_pipeline.inference.settings import ModelSettings
from agc_pipeline.inference.yields import ChannelYields, Yields, expected_yields


class Propagation(NamedTuple):
    """A fit in other distributions.

    Attributes:
        channels: by title of the region.
        yields: likewise.
        missing: regions that it could not be propagated to.
    """

    channels: dict[str, Channel]
    yields: Yields
    missing: tuple[Missing, ...]


def propagate(
    analysis: Analysis,
    histograms: Mapping[str, hist.Hist],
    settings: ModelSettings,
    fit: FitRecord,
    *,
    blinded: bool = False,
) -> Propagation:
    """Expected events in all bins of all regions with events, before and after a fit.

    Each region has a model of its own, whose title no channel of the fit has: statistical factors
    are named after it, and belong to its bins.

    The systematics have their fitted values, uncertainties and correlations. The statistical
    factors of the bins are not those of the fit: they have their uncertainty before it.

    Args:
        analysis: the declaration.
        histograms: of the run, by name.
        settings: of the model.
        fit: to be propagated.
        blinded: whether the histograms have the expectation in place of data in blinded windows.

    Returns:
        Channels and yields, and why a region has none.
    """
    channels: dict[str, Channel] = {}
    before: dict[str, ChannelYields] = {}
    after: dict[str, ChannelYields] = {}
    missing: list[Missing] = []
    for region in analysis.regions:
        if not has_signal(analysis, region, histograms):
            continue
        with attempt(f"propagation to {region.title}", missing):
            # A model of this region alone, with all bins.
            alone = replace(region, title=f"{region.title}, all bins", fitted=True, fit_edges=None)
            only = replace(analysis, regions=(alone,))
            every = settings.model_copy(update={"edges": {}})
            selection = templates.select(only, histograms, every)
            model, _ = workspace.load(workspace.build(only, selection), place="histograms")
            expected = expected_yields(model, match_fit_results(model, fit.results()))
            (shown,) = model_channels(only, selection, settings, blinded=blinded).values()
            channels[region.title] = shown
            before[region.title] = expected.prefit[alone.title]
            after[region.title] = expected.postfit[alone.title]
    return Propagation(channels, Yields(prefit=before, postfit=after), tuple(missing))


def has_signal(analysis: Analysis, region: Region, histograms: Mapping[str, hist.Hist]) -> bool:
    """Whether a region has events that the parameter of interest scales."""
    names = [Template(region.name, process, NOMINAL).name for process in analysis.free[0].processes]
    return any(name in histograms and histograms[name].values().sum() > 0 for name in names)
