"""Compare the histograms with the published ones."""

import argparse
import logging
from pathlib import Path

from agc_pipeline import analyses
from agc_pipeline.columnar import closure as closures
from agc_pipeline.columnar.closure import Closure
from agc_pipeline.declaration import Analysis
from agc_pipeline.errors import PipelineError
from agc_pipeline.files import write_json, write_text
from agc_pipeline.histograms import read_root
from agc_pipeline.provenance import provenance
from agc_pipeline.report import page
from agc_pipeline.settings import Settings
from agc_pipeline.stages import command
from agc_pipeline.validation import published, run
from agc_pipeline.validation.compare import Agreement
from agc_pipeline.validation.results import ValidationResult
from agc_pipeline.validation.settings import ValidationSettings

log = logging.getLogger(__name__)


class ValidateStage(Settings):
    """What the validation needs of the configuration."""

    analysis: str
    validation: ValidationSettings


def stage(arguments: argparse.Namespace) -> None:
    """Write the validation for machines and for people.

    Raises:
        PipelineError: if a histogram disagrees and the settings call this a failure.
    """
    settings = command.settings(ValidateStage, arguments.settings)
    closure = closures.read(arguments.closure)
    analysis = analyses.load(settings.analysis)
    result = run.validate(
        analysis,
        read_root(arguments.histograms),
        closure,
        settings.validation,
        provenance(
            "validate",
            packages=("hist", "numpy", "scipy", "uproot"),
            settings=settings.model_dump(),
            inputs=(arguments.histograms, arguments.closure),
        ),
    )
    write_json(arguments.output, result.model_dump(mode="json"))
    write_text(arguments.page, _page(analysis, result, closure))
    log.info("%s", result.summary)
    if result.verdict == "disagrees" and settings.validation.fail_on_disagreement:
        names = [
            template.name
            for template in result.templates
            if template.comparison.agreement is Agreement.DISAGREEMENT
        ]
        raise PipelineError(
            f"{result.summary} First of them: {', '.join(names[:5])}",
            place=str(arguments.histograms),
            remedy="find out why, or only report it with `validation.fail_on_disagreement: false`",
        )


def _page(analysis: Analysis, result: ValidationResult, closure: Closure) -> str:
    return page.render(
        "validation.html.j2",
        {
            "title": "Comparison with the published histograms",
            "subtitle": result.summary,
            "partial": result.partial,
            "left_out": closure.left_out,
            "validation": result,
            "regions": analysis.regions,
            "titles": {process.name: process.title for process in analysis.processes},
            "source": published.read(analysis, result.mode.n_files).source,
        },
    )


def main() -> None:
    """Command line of the stage."""
    options = command.parser(__doc__)
    options.add_argument("--histograms", type=Path, required=True, help="histogram file")
    options.add_argument("--closure", type=Path, required=True, help="closure record")
    options.add_argument("--output", type=Path, required=True, help="JSON file to write")
    options.add_argument("--page", type=Path, required=True, help="HTML page to write")
    command.run(stage, options)


if __name__ == "__main__":
    main()
