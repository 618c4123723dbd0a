"""Propagate the fit to other distributions: the bins of the histograms, and regions not fitted."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from agc_pipeline import analyses
from agc_pipeline.files import read_json, write_json
from agc_pipeline.inference.settings import ModelStage
from agc_pipeline.provenance import provenance
from agc_pipeline.stages.description import Options, Stage, always, reads, writes

if TYPE_CHECKING:
    from agc_pipeline.plan import Plan


log = logging.getLogger(__name__)


class PropagateStage(ModelStage):
    """What the stage needs of the configuration.

    Attributes:
        learned: whether the run has learned observables.
    """

    learned: bool = False


class PropagateOptions(Options):
    """What the stage is told beside its settings."""

    histograms: Path = reads("histograms.root", "merged ROOT file")
    workspace: Path = reads("workspace.json", "pyhf workspace")
    fit: Path = reads("fit.json", "record of the fit")
    output: Path = writes("propagated.json", "JSON record to write")


def configure(plan: "Plan") -> PropagateStage:
    """The model, and all regions of the run."""
    return PropagateStage(
        analysis=plan.config.analysis,
        learned=plan.assigns,
        model=plan.config.fit.model,
        blinded=plan.blinded,
    )


def run(settings: PropagateStage, options: PropagateOptions) -> None:
    """Write the expected events in all bins of all regions, before and after the fit."""
    from agc_pipeline.histograms import read_root
    from agc_pipeline.inference import fit_records, workspace
    from agc_pipeline.inference.derived_records import PropagationRecord
    from agc_pipeline.inference.fit_records import FitRecord
    from agc_pipeline.inference.propagation import propagate

    workspace.quieten()
    fit = fit_records.read(FitRecord, options.fit, read_json(options.workspace))
    analysis = analyses.load(settings.analysis)
    if settings.learned:
        analysis = analysis.with_learned()
    propagation = propagate(
        analysis, read_root(options.histograms), settings.model, fit, blinded=settings.blinded
    )
    for region in analysis.regions:
        if not propagation.missing and region.title not in propagation.channels:
            log.info("no events of the measured processes in %s", region.name)
    record = PropagationRecord(
        workspace_digest=fit.workspace_digest,
        channels=propagation.channels,
        yields=propagation.yields,
        missing=propagation.missing,
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


STAGE = Stage(
    name="propagate",
    settings=PropagateStage,
    options=PropagateOptions,
    configure=configure,
    run=run,
    when=lambda plan: not plan.external,
    local=always,
)
main = STAGE.main

if __name__ == "__main__":
    main()
