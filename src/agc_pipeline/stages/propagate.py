"""Propagate the fit to other distributions: the bins of the histograms, and regions not fitted."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from agc_pipeline import analyses
from agc_pipeline.analyses.base import NOMINAL, Region, Template
from agc_pipeline.files import read_json, write_json
from agc_pipeline.inference.settings import ModelStage
from agc_pipeline.provenance import provenance
from agc_pipeline.stages.description import (
    Options,
    Stage,
    always,
    reads,
    writes,
)

if TYPE_CHECKING:
    import hist

    from agc_pipeline.plan import Plan


log = logging.getLogger(__name__)


class PropagateStage(ModelStage):
    """What the stage needs of the configuration.

    Attributes:
        parts: optional regions that the run has.
    """

    parts: tuple[str, ...] = ()


class PropagateOptions(Options):
    """What the stage is told beside its settings."""

    histograms: Path = reads("histograms.root", "merged ROOT file")
    workspace: Path = reads("workspace.json", "pyhf workspace")
    fit: Path = reads("fit.json", "record of the fit")
    output: Path = writes("propagated.json", "JSON record to write")


def configure(plan: "Plan") -> PropagateStage:
    """The model, and all regions of the run."""
    return PropagateStage(
        analysis=plan.config.analysis, parts=tuple(plan.parts), model=plan.config.fit.model
    )


def run(settings: PropagateStage, options: PropagateOptions) -> None:
    """Write the expected events in all bins of all regions, before and after the fit.

    Each region has a model of its own, whose title no channel of the fit has: statistical factors
    are named after it, and belong to its bins.

    The systematics have their fitted values, uncertainties and correlations. The statistical
    factors of the bins are not those of the fit: they have their uncertainty before it.
    """
    from cabinetry.model_utils import match_fit_results

    from agc_pipeline.histograms import read_root
    from agc_pipeline.inference import results, templates, workspace
    from agc_pipeline.inference.outcomes import PropagationRecord
    from agc_pipeline.inference.records import Channel, ChannelYields, FitRecord, Yields

    workspace.quieten()
    fit = results.read(FitRecord, options.fit, read_json(options.workspace))
    analysis = analyses.load(settings.analysis, *settings.parts)
    histograms = read_root(options.histograms)
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
        model, _ = workspace.load(built, place=str(options.histograms))
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
                inputs=(options.histograms, options.fit),
            )
        ),
    )
    write_json(options.output, record.model_dump())
    log.info("%d distributions", len(record.channels))


def _has_events(region: Region, process: str, histograms: "Mapping[str, hist.Hist]") -> bool:
    """Whether there is anything to scale in a region."""
    nominal = histograms.get(Template(region.name, process, NOMINAL).name)
    return nominal is not None and nominal.values().sum() > 0


STAGE = Stage(
    name="propagate",
    settings=PropagateStage,
    options=PropagateOptions,
    configure=configure,
    run=run,
    when=lambda plan: not plan.given,
    local=always,
)
main = STAGE.main

if __name__ == "__main__":
    main()
