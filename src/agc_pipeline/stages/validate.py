"""Compare the histograms with the published ones."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agc_pipeline import analyses
from agc_pipeline.code import data
from agc_pipeline.errors import PipelineError
from agc_pipeline.files import write_json
from agc_pipeline.provenance import provenance
from agc_pipeline.settings import Settings
from agc_pipeline.stages.description import Options, Stage, always, reads, writes, writes_folder
from agc_pipeline.validation.settings import ValidationSettings

if TYPE_CHECKING:
    from agc_pipeline.columnar.closure import Closure
    from agc_pipeline.declaration import Analysis
    from agc_pipeline.plan import Plan
    from agc_pipeline.validation.results import ValidationResult


log = logging.getLogger(__name__)


class ValidateStage(Settings):
    """What the validation needs of the configuration.

    Attributes:
        analysis: what it is loaded by.
        pseudodata: simulated events stand in the place of collision data.
        validation: how close is close.
    """

    analysis: str
    pseudodata: bool = False
    validation: ValidationSettings


class ValidateOptions(Options):
    """What the stage is told beside its settings."""

    histograms: Path = reads("histograms.root", "histogram file")
    closure: Path = reads("closure.json", "closure record")
    output: Path = writes("validation.json", "JSON file to write")
    page: Path = writes("validation.html", "HTML page to write")
    tables: Path = writes_folder("validation_tables", "folder for the tables of the page")


def configure(plan: "Plan") -> ValidateStage:
    """How close is close."""
    return ValidateStage(
        analysis=plan.config.analysis,
        pseudodata=plan.config.pseudodata,
        validation=plan.config.validation,
    )


def run(settings: ValidateStage, options: ValidateOptions) -> None:
    """Write the validation for machines and for people.

    Raises:
        PipelineError: if a histogram disagrees and the settings call this a failure.
    """
    from agc_pipeline.columnar import closure as closures
    from agc_pipeline.histograms import read_root
    from agc_pipeline.report import page
    from agc_pipeline.validation import run
    from agc_pipeline.validation.compare import Agreement

    closure = closures.read(options.closure)
    analysis = analyses.load(settings.analysis)
    result = run.validate(
        analysis,
        read_root(options.histograms),
        closure,
        settings.validation,
        provenance(
            "validate",
            packages=("hist", "numpy", "scipy", "uproot"),
            settings=settings.model_dump(),
            inputs=(options.histograms, options.closure),
        ),
        pseudodata=settings.pseudodata,
    )
    write_json(options.output, result.model_dump(mode="json"))
    page.write(
        options.page, "validation.html.j2", _values(analysis, result, closure), options.tables
    )
    log.info("%s", result.summary)
    if result.verdict == "disagrees" and settings.validation.fail_on_disagreement:
        names = [
            template.name
            for template in result.templates
            if template.comparison.agreement is Agreement.DISAGREEMENT
        ]
        raise PipelineError(
            f"{result.summary} First of them: {', '.join(names[:5])}",
            place=str(options.histograms),
            remedy="find out why, or only report it with `validation.fail_on_disagreement: false`",
        )


def _values(analysis: "Analysis", result: "ValidationResult", closure: "Closure") -> dict[str, Any]:
    from agc_pipeline.validation import published

    return {
        "title": "Comparison with the published histograms",
        "subtitle": result.summary,
        "partial": result.partial,
        "left_out": closure.left_out,
        "validation": result,
        "regions": analysis.regions,
        "titles": {process.name: process.title for process in analysis.processes},
        "source": published.read(analysis, result.mode.n_files).source,
    }


STAGE = Stage(
    name="validate",
    settings=ValidateStage,
    options=ValidateOptions,
    configure=configure,
    run=run,
    when=lambda plan: plan.validated,
    watched={
        "published": lambda plan: plan.reference_files,
        "templates": lambda _: data("report/templates/*"),
    },
    local=always,
)
main = STAGE.main

if __name__ == "__main__":
    main()
