"""Propagate the fit to other distributions: the bins of the histograms, and regions not fitted."""

import argparse
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import hist
from cabinetry.model_utils import match_fit_results

from agc_pipeline import analyses
from agc_pipeline.declaration import NOMINAL, Region, Template
from agc_pipeline.files import read_json, write_json
from agc_pipeline.histograms import read_root
from agc_pipeline.inference import results, templates, workspace
from agc_pipeline.inference.outcomes import PropagationRecord
from agc_pipeline.inference.records import Channel, ChannelYields, FitRecord, Yields
from agc_pipeline.inference.settings import ModelStage
from agc_pipeline.provenance import provenance
from agc_pipeline.stages import command

log = logging.getLogger(__name__)


class PropagateStage(ModelStage):
    """What the stage needs of the configuration.

    Attributes:
        learned: whether the run has learned observables.
    """

    learned: bool = False


def stage(arguments: argparse.Namespace) -> None:
    """Write the expected events in all bins of all regions, before and after the fit.

    Each region has a model of its own, whose title no channel of the fit has: statistical factors
    are named after it, and belong to its bins.

    The systematics have their fitted values, uncertainties and correlations. The statistical
    factors of the bins are not those of the fit: they have their uncertainty before it.
    """
    workspace.quieten()
    settings = command.settings(PropagateStage, arguments.settings)
    fit = results.read(FitRecord, arguments.fit, read_json(arguments.workspace))
    analysis = analyses.load(settings.analysis)
    if settings.learned:
        analysis = analysis.with_learned()
    histograms = read_root(arguments.histograms)
    channels: dict[str, Channel] = {}
    before: dict[str, ChannelYields] = {}
    after: dict[str, ChannelYields] = {}
    for region in analysis.regions:
        if not _has_events(region, settings.model.poi.process, histograms):
            log.info("no events of %s in %s", settings.model.poi.process, region.name)
            continue
        alone = replace(region, title=f"{region.title}, all bins", fitted=True)
        only = replace(analysis, regions=(alone,))
        selected = templates.select(
            only,
            histograms,
            settings.model.model_copy(update={"rebinning": None}),
        )
        built = workspace.build(only, selected, settings.model.poi)
        model, _ = workspace.load(built, place=str(arguments.histograms))
        expected = results.yields(model, match_fit_results(model, fit.results()))
        channels[region.title] = Channel(
            region=region.name,
            label=region.label,
            edges=selected.data[region.name].bins.tolist(),
            observed=selected.data[region.name].yields.tolist(),
        )
        before[region.title] = expected.prefit[alone.title]
        after[region.title] = expected.postfit[alone.title]
    record = PropagationRecord(
        workspace_digest=fit.workspace_digest,
        channels=channels,
        yields=Yields(prefit=before, postfit=after),
        provenance=dict(
            provenance(
                "propagate",
                packages=("cabinetry", "hist", "numpy", "pyhf", "uproot"),
                settings=settings.model_dump(),
                inputs=(arguments.histograms, arguments.fit),
            )
        ),
    )
    write_json(arguments.output, record.model_dump())
    log.info("%d distributions", len(record.channels))


def _has_events(region: Region, process: str, histograms: Mapping[str, hist.Hist]) -> bool:
    """Whether there is anything to scale in a region."""
    nominal = histograms.get(Template(region.name, process, NOMINAL).name)
    return nominal is not None and nominal.values().sum() > 0


def main() -> None:
    """Command line of the stage."""
    options = command.parser(__doc__)
    options.add_argument("--histograms", type=Path, required=True, help="merged ROOT file")
    options.add_argument("--workspace", type=Path, required=True, help="pyhf workspace")
    options.add_argument("--fit", type=Path, required=True, help="record of the fit")
    options.add_argument("--output", type=Path, required=True, help="JSON record to write")
    command.run(stage, options)


if __name__ == "__main__":
    main()
