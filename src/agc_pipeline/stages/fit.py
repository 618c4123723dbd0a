"""Fit the statistical model to its data."""

import argparse
import logging
from pathlib import Path

import pyhf

from agc_pipeline.errors import ModelError
from agc_pipeline.files import read_json, write_json
from agc_pipeline.inference import fit, groups, impacts, results, workspace
from agc_pipeline.inference.problem import problem
from agc_pipeline.inference.records import Comparison, ModelRecord
from agc_pipeline.inference.settings import MinimiserSettings
from agc_pipeline.provenance import provenance
from agc_pipeline.settings import Settings
from agc_pipeline.stages import command

log = logging.getLogger(__name__)


class FitStage(Settings):
    """What the stage needs of the configuration.

    Attributes:
        minimiser: ``fit.minimiser``.
        compare: ``fit.compare``.
    """

    minimiser: MinimiserSettings
    compare: bool


def stage(arguments: argparse.Namespace) -> None:
    """Write the fit with everything that figures and tables need."""
    workspace.quieten()
    settings = command.settings(FitStage, arguments.settings)
    content = read_json(arguments.workspace)
    model, data = workspace.load(content, place=str(arguments.workspace))
    about = results.read(ModelRecord, arguments.model, content)
    found = fit.fit(model, data, settings.minimiser)
    made = problem(model, data, settings.minimiser)
    best = made.lowest([found.results.bestfit]).minimum
    record = results.describe_fit(
        about,
        model,
        found,
        breakdown=impacts.breakdown(made, best, groups.of_parameters(model, about.groups)),
        comparison=_compare(model, data, found, settings),
        made_by=provenance(
            "fit",
            packages=("cabinetry", "numpy", "pyhf", "scipy"),
            settings=settings.model_dump(),
            inputs=(arguments.workspace, arguments.model),
        ),
    )
    write_json(arguments.output, record.model_dump())
    poi = record.poi
    log.info("%s = %.4f +- %.4f", poi.name, poi.bestfit, poi.uncertainty)
    log.info("at most %.1g above the minimum of -2 ln L", record.diagnostics.distance)
    for name in record.diagnostics.at_bounds:
        log.info("at its bound: %s", name)


def _compare(
    model: pyhf.Model, data: list[float], found: fit.Fit, settings: FitStage
) -> Comparison | None:
    """The other method's fit, or why it failed, if it is wanted."""
    if not settings.compare:
        return None
    other = "cabinetry" if settings.minimiser.method == "exact" else "exact"
    chosen = settings.minimiser.model_copy(update={"method": other})
    try:
        return results.compare(model, found, fit.fit(model, data, chosen))
    except ModelError as error:
        return results.compare(model, found, error)


def main() -> None:
    """Command line of the stage."""
    options = command.parser(__doc__)
    options.add_argument("--workspace", type=Path, required=True, help="pyhf workspace")
    options.add_argument("--model", type=Path, required=True, help="record of the model")
    options.add_argument("--output", type=Path, required=True, help="JSON record to write")
    command.run(stage, options)


if __name__ == "__main__":
    main()
