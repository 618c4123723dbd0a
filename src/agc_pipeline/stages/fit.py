"""Fit the statistical model to its data."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from agc_pipeline.files import read_json, write_json
from agc_pipeline.inference.settings import MinimiserSettings, NoiseSettings
from agc_pipeline.provenance import provenance
from agc_pipeline.settings import Settings
from agc_pipeline.stages.description import Options, Stage, reads, writes

if TYPE_CHECKING:
    from agc_pipeline.plan import Plan


log = logging.getLogger(__name__)


class FitStage(Settings):
    """What the stage needs of the configuration.

    Attributes:
        minimiser: ``fit.minimiser``.
        compare: ``fit.compare``.
        template_noise: ``fit.template_noise``.
    """

    minimiser: MinimiserSettings
    compare: bool
    template_noise: NoiseSettings


class FitOptions(Options):
    """What the stage is told beside its settings."""

    workspace: Path = reads("workspace.json", "pyhf workspace")
    model: Path = reads("model.json", "record of the model")
    output: Path = writes("fit.json", "JSON record to write")


def configure(plan: "Plan") -> FitStage:
    """How the minimum is found."""
    fit = plan.config.fit
    return FitStage(minimiser=fit.minimiser, compare=fit.compare, template_noise=fit.template_noise)


def run(settings: FitStage, options: FitOptions) -> None:
    """Write the fit with everything that figures and tables need."""
    from agc_pipeline.inference import fit_records
    from agc_pipeline.inference.fit_records import ModelRecord
    from agc_pipeline.inference.result import fit_workspace
    from agc_pipeline.inference.template_noise import REMEDY
    from agc_pipeline.inference.workspace import quieten, validate_schema

    quieten()
    content = read_json(options.workspace)
    validate_schema(content, place=str(options.workspace))
    result = fit_workspace(
        content,
        settings.minimiser,
        description=fit_records.read(ModelRecord, options.model, content),
        noise=settings.template_noise,
        compare=settings.compare,
        place=str(options.workspace),
    )
    record = result.record(
        provenance(
            "fit",
            packages=("cabinetry", "numpy", "pyhf", "scipy"),
            settings=settings.model_dump(),
            inputs=(options.workspace, options.model),
        )
    )
    write_json(options.output, record.model_dump())
    poi = record.poi
    if poi is None:
        log.info("-2 ln L = %.4f, without a parameter of interest", record.best_twice_nll)
    else:
        log.info("%s = %.4f +- %.4f", poi.name, poi.bestfit, poi.uncertainty)
    noise = record.template_noise
    if noise is not None and poi is not None:
        log.info("statistics of varied templates: +- %.4f", noise.size)
        if noise.in_total:
            log.info("%s = %.4f +- %.4f with it", poi.name, poi.bestfit, noise.total)
    if record.noise_statement is not None:
        log.warning("%s. %s", record.noise_statement, REMEDY)
    log.info("at most %.1g above the minimum of -2 ln L", record.diagnostics.distance)
    for name in record.diagnostics.at_bounds:
        log.info("at its bound: %s", name)
    for finding in record.findings:
        log.warning("%s: %s", finding.where, finding.message)


STAGE = Stage(
    name="fit",
    settings=FitStage,
    options=FitOptions,
    configure=configure,
    run=run,
)
main = STAGE.main

if __name__ == "__main__":
    main()
